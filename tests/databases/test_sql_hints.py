"""A hint for what a student types wrong, on a real server; and none for what is right."""

from pathlib import Path

import pytest

from sspcloud_magics.databases.parameters import statements
from sspcloud_magics.databases.query import query
from sspcloud_magics.databases.sql_hints import hint
from sspcloud_magics.errors import QueryFailed, SspcloudError

VALUES = {"dep": "35", "ids": ["35"], "table": "towns", "x": None, "name": "Bruz"}

SLIPS = [
    ("SELECT * FROM towns WHERE dep = :ids::int", ""),
    ('SELECT * FROM towns WHERE name = "Bruz"', "'Bruz'"),
    ("SELECT * FROM towns WHERE name = 'L'Aigle'", "'L''Aigle"),
    ("SELECT * FROM towns WHERE dep = 35", "= '35'"),
    ("SELECT * FROM towns WHERE 35 = dep", "= '35'"),
    ('f"SELECT * FROM towns"', "without f"),
    ("SELECT * FROM towns WHERE dep IN :ids", "= ANY(:ids)"),
    ("SELECT * FROM :table", "cannot name a table"),
    ("SELECT * FROM towns WHERE dep = %(dep)s", "write :dep"),
    ("SELECT * FROM towns WHERE dep = $1", "write :name"),
    ("SELECT * FROM towns WHERE dep = ?", "write :name"),
    ("SELECT * FROM towns WHERE :x IS NULL", "CAST(:x AS text)"),
    ("SELECT *\N{NO-BREAK SPACE}FROM towns", "no-break space"),
    ("SELECT name\nFROM\N{NARROW NO-BREAK SPACE}towns", "in line 2"),
    (r"\d towns", "%describe_table towns"),
    (r"\dt", "%tables"),
    ("SELECT * FROM towns WHERE dep::int = ':dep'", "write :dep"),
    ("SELEC 1", ""),
    ("SELECT nothing FROM towns", ""),
    ("SELECT * FROM nowhere", ""),
]


@pytest.fixture
def towns(connection):
    query(connection, "CREATE TEMPORARY TABLE towns AS SELECT 'Bruz' AS name, '35' AS dep")
    return connection


@pytest.mark.parametrize(("text", "expected"), SLIPS)
def test_slip_that_fails_gets_its_hint(towns, text, expected):
    with pytest.raises(SspcloudError) as refused:
        query(towns, text, VALUES)
    if expected:
        assert expected in refused.value.mend
    else:
        assert hint(text, "42601") == ""


@pytest.mark.parametrize("literal", ["':dep'", "'{dep}'", "' :dep '"])
def test_quoted_parameter_is_told_if_nothing_is_found(towns, literal):
    frame = query(towns, f"SELECT * FROM towns WHERE dep = {literal}", VALUES)
    assert frame.empty
    assert any("write :dep without" in note for note in frame.attrs["notes"])


RIGHT = [
    "SELECT * FROM towns WHERE dep = 'none'",
    "SELECT * FROM towns WHERE name = 'a:dep b' OR name = '12:30'",
    "SELECT ':dep' AS text FROM towns",
    "SELECT * FROM towns WHERE dep = ANY(:ids)",
    'SELECT name AS "Bruz" FROM towns',
    "SELECT 'L''Aigle', E'a\\'b', $$it's$$",
    "SELECT '{\"a\": 1}'::jsonb ? 'a', '{dep}'::text[]",
    "SELECT 10 % 3, 'a%(x)s', '$1', 5 % (2)",
    "SELECT 'x\N{NO-BREAK SPACE}y'",
    "SELECT * FROM towns WHERE CAST(:x AS text) IS NULL",
]


@pytest.mark.parametrize("text", RIGHT)
def test_right_statement_gets_no_hint(towns, text):
    found = query(towns, text, VALUES)
    assert not any("write" in note for note in found.attrs.get("notes", ()))


def test_statements_of_the_project_get_no_hint():
    """All SQL of the tutorials and of the documentation: none of it would be commented on where it found nothing."""
    root = Path(__file__).parents[2]
    texts = [*root.glob("notebooks/source/*.txt"), *root.glob("docs/**/*.md")]
    found = [each.text for path in texts for each in statements(path.read_text(encoding="utf-8"))]
    assert len(found) > 100
    assert [text for text in found if hint(text)] == []


def test_at_most_one_hint_is_given(towns):
    with pytest.raises(QueryFailed) as refused:
        query(towns, "SELECT * FROM towns WHERE dep IN :ids AND name = %(name)s", VALUES)
    assert len(refused.value.mend.splitlines()) == 1
