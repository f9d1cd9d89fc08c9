"""The documentation's lexer for code: IPython's, with PostgreSQL after ``%query_db`` and ``%%query_db``."""

from __future__ import annotations

from typing import Any, ClassVar

from ipython_pygments_lexers import IPython3Lexer
from pygments.lexer import bygroups, inherit, using
from pygments.lexers import PostgresLexer
from pygments.token import Keyword, Operator, Text


class NotebookLexer(IPython3Lexer):  # type: ignore[misc]  # it has no types
    """A lexer for a cell, or for several cells with blank lines between them."""

    name = "Notebook with SQL"
    aliases: ClassVar[list[str]] = []
    tokens: ClassVar[dict[str, list[Any]]] = {
        "root": [
            (
                r"(?s)(\s*)(%%)(query_db)([^\n]*\n)(.+?)(?=\n\n[^\n]*%|\Z)",
                bygroups(Text, Operator, Keyword, Text, using(PostgresLexer)),
            ),
            (
                r"(\s*)(%)(query_db)([ \t]+)(?!--)([^\n]+)",
                bygroups(Text, Operator, Keyword, Text, using(PostgresLexer)),
            ),
            inherit,
        ]
    }
