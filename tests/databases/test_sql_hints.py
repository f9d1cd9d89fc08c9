"""Hints for common mistakes, on a real server; and none for correct statements."""

from pathlib import Path

import pytest

from sspcloud_magics.databases.postgres.sql_hints import find_slip_hint
from sspcloud_magics.databases.postgres.sql_lexer import statements
from sspcloud_magics.errors import QueryFailed, SspcloudError
from tests.support.queries import query

VALUES = {"dep": "35", "ids": ["22"], "table": "towns", "x": None, "name": "Bruz", "pick": "35"}

SLIPS = [
    ("SELECT * FROM towns WHERE dep = :ids::int", ""),
    ('SELECT * FROM towns WHERE name = "Bruz"', "'Bruz'"),
    ('SELECT * FROM towns WHERE name = "L\'Aigle"', "'L''Aigle'"),
    ('SELECT * FROM towns WHERE dep = ":dep"', "write :dep"),
    ("SELECT * FROM towns WHERE name = 'L'Aigle'", "'L''Aigle"),
    ("SELECT * FROM towns WHERE dep = 35", "= '35'"),
    ("SELECT * FROM towns WHERE 35 = dep", "= '35'"),
    ("SELECT * FROM towns JOIN (SELECT id::bigint) t ON dep = id", ""),
    ('f"SELECT * FROM towns"', "without f"),
    ("'SELECT * FROM towns'", "quotes"),
    ("SELECT * FROM towns WHERE dep IN :ids", "= ANY(:ids)"),
    ("SELECT * FROM :table", "cannot be a table name"),
    ("SELECT * FROM towns WHERE dep = %(dep)s", "write :dep"),
    ("SELECT * FROM towns WHERE dep = $1", "write :name"),
    ("SELECT * FROM towns WHERE dep = ?", "write :name"),
    ("SELECT * FROM towns WHERE dep = %s", "write :name"),
    ("SELECT * FROM towns WHERE dep = {dep}", "write :dep"),
    ("SELECT * FROM towns WHERE :x IS NULL", "CAST(:x AS text)"),
    ("SELECT * FROM towns WHERE :x IS NULL OR dep = :x", "CAST(:x AS text)"),
    ("SELECT * FROM towns WHERE dep = :dep AND (:x IS NULL OR name = :x)", "CAST(:x AS text)"),
    ("SELECT *\N{NO-BREAK SPACE}FROM towns", "no-break space"),
    ("SELECT name\nFROM\N{NARROW NO-BREAK SPACE}towns", "line 2 has"),
    ("SELECT * FROM\N{THIN SPACE}towns", "no-break space"),
    ("SELECT * FROM towns\N{IDEOGRAPHIC SPACE}LIMIT 1", "no-break space"),
    ("SELECT * FROM towns\N{WORD JOINER} LIMIT 1", "no-break space"),
    (
        "SELECT * FROM towns WHERE dep = \N{LEFT DOUBLE QUOTATION MARK}35\N{RIGHT DOUBLE QUOTATION MARK}",
        "write '",
    ),
    (
        "SELECT * FROM towns WHERE dep = \N{LEFT SINGLE QUOTATION MARK}35\N{RIGHT SINGLE QUOTATION MARK}",
        "write '",
    ),
    ("SELECT * FROM towns WHERE dep = \N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}35", "write '"),
    ("SELECT * FROM towns WHERE dep::int \N{GREATER-THAN OR EQUAL TO} 5", "write >="),
    ("SELECT 5 \N{EN DASH} 3", "write -"),
    ("SELECT * FROM `towns`", 'write "'),
    (r"\d towns", "%describe_table towns"),
    (r"\d+ towns;", "%describe_table towns"),
    (r"\dt", "%tables"),
    (r"\l", "%databases"),
    ("describe towns", "%describe_table towns"),
    ("DESC towns;", "%describe_table towns"),
    ("SHOW TABLES", "%tables"),
    ("show full columns from towns", "%tables"),
    ("use postgres;", "%databases"),
    ('query = "SELECT * FROM towns"', "quotes"),
    ("SELECT * FROM {table}", "cannot be a table name"),
    ("SELECT * FROM $table", "cannot be a table name"),
    ("SELECT * FROM pg_temp.:table", "cannot be a table name"),
    ("INSERT INTO %(table)s VALUES (1)", "cannot be a table name"),
    ("SELECT * FROM towns WHERE dep NOT IN :ids", "<> ALL(:ids)"),
    ("SELECT * FROM towns WHERE dep::int NOT IN (:ids)", "<> ALL(:ids)"),
    ("SELECT * FROM towns WHERE dep::int in (:ids)", "= ANY(:ids)"),
    ("SELECT * FROM towns WHERE dep = $dep", "write :dep"),
    ("SELECT * FROM towns WHERE dep = ${dep}", "write :dep"),
    ("SELECT * FROM towns WHERE dep = {{dep}}", "write :dep"),
    ("SELECT * FROM towns WHERE dep = {dep!r}", "write :name"),
    ("SELECT * FROM towns WHERE dep = {ids[0]}", "write :name"),
    ("SELECT * FROM towns WHERE dep = :'dep'", "write :dep"),
    ("SELECT * FROM towns WHERE dep = : dep", "write :dep"),
    ("SELECT * FROM towns WHERE dep = pick", "write :pick"),
    ("SELECT * FROM towns WHERE dep = @pick", "write :pick"),
    ("SELECT * FROM towns WHERE name = 'L'Aigle' OR name = 'L'Hay'", "'L''Aigle"),
    ("SELECT * FROM towns WHERE name LIKE 'L'%'", "'L''%"),
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
        assert expected in refused.value.hint
    else:
        assert find_slip_hint(text, "42601") == ""


@pytest.mark.parametrize(
    "condition",
    [
        *("dep = ':dep'", "dep = '{dep}'", "dep = ' :dep '", "lower(dep) <= '{dep}' AND dep > ':dep'"),
        *("dep IN (':dep', '1')", "dep in ('1', '{dep}')", "dep LIKE ':dep'", "dep BETWEEN ':dep' AND '1'"),
    ],
)
def test_quoted_parameter_is_told_if_nothing_is_found(towns, condition):
    frame = query(towns, f"SELECT * FROM towns WHERE {condition}", VALUES)
    assert frame.empty
    assert any("write :dep without" in note for note in frame.attrs["notes"])


@pytest.mark.parametrize(
    ("condition", "hint"),
    [
        ("dep = '$dep'", "write :dep without"),
        ("dep = '${dep}'", "write :dep without"),
        ("name LIKE '%{name}%' AND dep = ''", "write '%' || :name || '%'"),
        ("name ILIKE '%:name' AND dep = ''", "write '%' || :name"),
        ("name LIKE '{dep}%'", "write :dep || '%'"),
        ("dep IN (:ids)", "write = ANY(:ids)"),
        ("dep = NULL", "IS NULL"),
        ("dep <> null OR dep != NULL", "IS NOT NULL"),
    ],
)
def test_mistake_without_an_error_is_told(towns, condition, hint):
    notes = query(towns, f"SELECT * FROM towns WHERE {condition}", VALUES).attrs["notes"]
    assert [hint in note for note in notes] == [True]


RIGHT = [
    "SELECT * FROM towns WHERE name LIKE '%{other}%' OR name LIKE '12:name%'",
    "SELECT * FROM towns WHERE dep IN (:dep) AND name = '$other' OR name = '5 $dep'",
    "SELECT * FROM towns WHERE name IS NOT DISTINCT FROM NULL AND dep = '= NULL'",
    "SELECT make_interval(days => NULL) AS x WHERE false",
    "SELECT * FROM towns WHERE name = '\N{LEFT DOUBLE QUOTATION MARK}a' OR name = '\N{NO-BREAK SPACE}'",
    "UPDATE towns SET dep = NULL WHERE false RETURNING *",
    "SELECT * FROM towns WHERE dep = 'none'",
    "SELECT * FROM towns WHERE name = 'a:dep b' OR name = '12:30'",
    "SELECT ':dep' AS text FROM towns",
    "SELECT * FROM towns WHERE dep = ANY(:ids)",
    'SELECT name AS "Bruz" FROM towns',
    "SELECT 'L''Aigle', E'a\\'b', $$it's$$",
    "SELECT '{\"a\": 1}'::jsonb ? 'a', '{dep}'::text[]",
    "SELECT jsonb '{}' #>> '{dep}' AS x WHERE false",
    "SELECT jsonb_set('{}', '{dep}', '1') AS x WHERE false",
    "SELECT name FROM towns WHERE ARRAY[dep] && '{name}' OR dep = ANY('{name}')",
    "SELECT name FROM towns WHERE ARRAY[dep] = '{name}' OR string_to_array(dep, ' ') = '{name}'::text[]",
    "SELECT name FROM towns WHERE name ~ ':dep' OR dep = split_part(name, ':dep', 2)",
    "SELECT string_agg(name, ':dep') AS x FROM towns WHERE false GROUP BY dep",
    "SELECT ':dep' AS text WHERE false",
    "SELECT 10 % 3, 'a%(x)s', '$1', 5 % (2)",
    "SELECT 'x\N{NO-BREAK SPACE}y'",
    "SELECT * FROM towns WHERE CAST(:x AS text) IS NULL",
]


@pytest.mark.parametrize("text", RIGHT)
def test_right_statement_gets_no_hint(towns, text):
    found = query(towns, text, VALUES)
    assert not any("write" in note for note in found.attrs.get("notes", ()))


CONDITIONS = [
    "dep = '{text}'",
    "name <> '{text}'",
    "dep IN ('{text}', ':', '::')",
    "name LIKE '%{text}%'",
    "dep = :dep AND name = '{text}'",
    "dep = ANY(ARRAY['{text}'])",
    "name = E'{text}'",
    "name = $${text}$$",
    "name ~ '{text}$'",
    "coalesce(name, '{text}') = '{text}'",
    "NOT (name = '{text}' OR dep::int > 40)",
    "length(name || '{text}') < 0",
    "(name, dep) = ('{text}', '35')",
    "name = (SELECT max(t.name) FROM towns t WHERE t.dep = '{text}')",
    "CASE WHEN name = '{text}' THEN true ELSE false END",
    "'{text}' = '' AND EXISTS (SELECT FROM towns)",
    "name = '{text}' -- as :dep says, or '{{dep}}'",
    "name = '{text}' /* ':dep' */",
    "string_to_array(name, ' ') = '{{{{a}}}}'::text[] OR name = '{text}'",
    "to_char(now(), 'HH24:MI') = '{text}'",
]
TEXTS = ["", "12:30", "a: b", "L''Aigle", "100 %", "{a,b}", "x:y", "::int", "a ? b", "#1"]


def test_two_hundred_right_statements_get_no_hint(towns):
    """Most of them return no rows, in which case a wrong hint would appear."""
    texts = [
        "SELECT * FROM towns WHERE " + condition.replace("{text}", text).replace("{{", "{").replace("}}", "}")
        for condition in CONDITIONS
        for text in TEXTS
    ]
    assert len(set(texts)) == 200
    empty = 0
    for text in texts:
        found = query(towns, text, VALUES)
        empty += found.empty
        assert not found.attrs.get("notes"), text
    assert empty > 100


def test_array_is_a_parameter_if_there_is_one(towns):
    text = "SELECT * FROM towns WHERE string_to_array(name, ' ') = '{%s}'"
    assert not query(towns, text % "red", VALUES).attrs.get("notes")
    assert "write :name" in query(towns, text % "name", VALUES).attrs["notes"][0]


def test_statements_of_the_project_get_no_hint():
    """No SQL of the tutorials and the documentation would get a hint if it returned no rows."""
    root = Path(__file__).parents[2]
    texts = [*root.glob("notebooks/source/*.txt"), *root.glob("docs/**/*.md")]
    found = [each.text for path in texts for each in statements(path.read_text(encoding="utf-8"))]
    assert len(found) > 100
    assert [text for text in found if find_slip_hint(text)] == []


def test_at_most_one_hint_is_given(towns):
    with pytest.raises(QueryFailed) as refused:
        query(towns, "SELECT * FROM towns WHERE dep IN :ids AND name = %(name)s", VALUES)
    assert len(refused.value.hint.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "number", "named"),
    [
        ("SELECT :_a IS NULL, :b IS NULL", 2, ":b"),
        ("SELECT :_a IS NULL, :b", 1, ":_a"),
        ("SELECT f(:a)", 3, ""),
    ],
)
def test_parameter_without_type_is_the_servers(text, number, named):
    told = find_slip_hint(text, "42P18", f"could not determine data type of parameter ${number}")
    assert named in told
    assert bool(told) is bool(named)
