"""The colours of SQL on the documentation's site."""

from __future__ import annotations

import pytest
from pygments.token import Comment, Keyword, Name, Number, String, _TokenType

from tools.notebook_lexer import NotebookLexer

CELL = "# Towns\ndf = %%query_db --limit 10\nSELECT nom::text -- it's\nFROM communes WHERE d = :d"


@pytest.mark.parametrize(
    ("source", "text", "kind"),
    [
        (CELL, "# Towns", Comment),
        (CELL, "SELECT", Keyword),
        (CELL, "-- it's\n", Comment),
        (CELL, ":d", Name.Variable),
        ("df = %query_db SELECT $$it's$$\nprint(1)", "SELECT", Keyword),
        ("df = %query_db SELECT $$it's$$\nprint(1)", "print", Name.Builtin),
        ("%%query_db\nSELECT 1\n\n%%query_db\nSELECT 'town'", "town", String),
        ("%query_db --begin\nprint(1)", "print", Name.Builtin),
        ("SELECT = 1", "1", Number),
    ],
)
def test_sql_on_the_site_is_coloured(source: str, text: str, kind: _TokenType) -> None:
    tokens = [(value, each) for each, value in NotebookLexer().get_tokens(source)]
    assert "".join(value for value, _ in tokens).rstrip("\n") == source
    found = [each for value, each in tokens if value == text]
    assert found, tokens
    assert all(each in kind for each in found)
