"""Completions in SQL; the bar marks the cursor."""

from __future__ import annotations

import pytest

from sspcloud_magics.databases.postgres.sql.sql_completion import offers
from sspcloud_magics.databases.sql_names import Relation, SchemaNames

INDIVIDUS = (("id", "integer"), ("age", "smallint"), ("code_commune", "text"), ("Salaire Net", "numeric"))
COMMUNES = (("code_commune", "text"), ("nom", "text"), ("population", "integer"))
NAMES = SchemaNames(
    path=("public", "pg_catalog"),
    schemas=("information_schema", "pg_catalog", "public", "survey"),
    relations={
        (each.schema, each.name): each
        for each in (
            Relation("public", "individus", "table", INDIVIDUS),
            Relation("public", "communes", "table", COMMUNES),
            Relation("public", "Odd Name", "table", (("x", "integer"),)),
            Relation("survey", "answers", "view", (("question", "text"), ("user", "text"))),
            Relation("pg_catalog", "pg_class", "table", (("oid", "oid"),)),
        )
    },
    functions=(
        ("pg_catalog", "avg"),
        ("pg_catalog", "age"),
        ("pg_catalog", "pg_sleep"),
        ("survey", "weight"),
    ),
    types=("date", "double precision", "integer"),
    reserved=frozenset({"select", "user"}),
)


def complete_all(sql: str) -> list[str]:
    """Return the texts after each completion."""
    cursor = sql.index("|")
    text = sql.replace("|", "", 1)
    start, found = offers(text, cursor, NAMES, ["year", "years"])
    return [text[:start] + each.text for each in found]


def list_offers(sql: str) -> dict[str, str]:
    """Return the offers with their kinds."""
    cursor = sql.index("|")
    return {
        each.text: each.kind for each in offers(sql.replace("|", "", 1), cursor, NAMES, ["year", "years"])[1]
    }


COLUMNS = {'"Salaire Net"', "age", "code_commune", "id"}


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT * FROM individus i WHERE i.|", COLUMNS),
        ("SELECT i.| FROM individus i", COLUMNS),
        ("SELECT i.| FROM individus AS i JOIN communes c USING (code_commune)", COLUMNS),
        ("select * from communes c, individus i where i.a|", {"age"}),
        ("SELECT * FROM public.individus WHERE individus.|", COLUMNS),
        ('SELECT * FROM individus "I" WHERE "I".a|', {"age"}),
        ("SELECT individus.|", COLUMNS),
        ("SELECT public.individus.|", COLUMNS),
        ("SELECT * FROM survey.answers a WHERE a.|", {"question", '"user"'}),
        (
            "WITH young AS (SELECT id, age * 2 AS twice, c.nom FROM individus, communes c) SELECT y.| FROM young y",
            {"id", "twice", "nom"},
        ),
        (
            "WITH a AS (SELECT * FROM communes), b (n, p) AS (SELECT nom, population FROM a) SELECT b.| FROM b",
            {"n", "p"},
        ),
        ("WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT t.| FROM t) SELECT * FROM t", {"n"}),
        ("WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t) SELECT t.| FROM t", {"n"}),
        (
            "SELECT s.| FROM (SELECT i.*, count(*), max(age) oldest FROM individus i GROUP BY 1) s",
            COLUMNS | {"count", "oldest"},
        ),
        ("SELECT * FROM (VALUES (1, 'a')) AS v (number, letter) WHERE v.|", {"number", "letter"}),
        (
            "SELECT * FROM communes c JOIN LATERAL (SELECT age FROM individus i WHERE i.code_commune = c.|) x ON true",
            {"code_commune", "nom", "population"},
        ),
        ("SELECT id FROM individus UNION SELECT c.| FROM communes c", {"code_commune", "nom", "population"}),
        ("SELECT i.| FROM individus i UNION SELECT nom FROM communes i", COLUMNS),
        ("SELECT 1 FROM communes; SELECT i.| FROM individus i; SELECT i.x FROM communes i", COLUMNS),
        ("SELECT n.| FROM generate_series(1, 3) AS n", {"n"}),
        (
            "SELECT s.| FROM (SELECT id::date, age::text AS label, 1 + 1, sum(id) OVER () FROM individus) s",
            {"id", "label", "sum"},
        ),
        ("INSERT INTO communes (|) VALUES (1)", {"code_commune", "nom", "population"}),
        ("INSERT INTO communes (nom, p|", {"population"}),
        ("SELECT * FROM individus JOIN communes USING (|)", {"code_commune"}),
        ("SELECT * FROM (individus i JOIN communes c USING (code_commune)) WHERE c.p|", {"population"}),
        ("DELETE FROM communes c WHERE c.|", {"code_commune", "nom", "population"}),
        ("MERGE INTO communes c USING individus i ON c.code_commune = i.c|", {"code_commune"}),
        ("SELECT d.| FROM (DELETE FROM communes RETURNING nom, population AS p) d", {"nom", "p"}),
    ],
)
def test_dot_is_followed_by_the_columns_of_its_name(sql, columns):
    assert set(list_offers(sql)) == columns


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("SELECT | FROM individus", {"id": "integer", "age": "smallint", "individus": "alias"}),
        ("SELECT id FROM individus i WHERE a|", {"age": "smallint", "avg(": "function", "and": "keyword"}),
        ("SELECT id FROM individus WHERE AGE > 3 AND cod|", {"code_commune": "text"}),
        ("SELECT id FROM individus ORDER BY |", {"age": "smallint"}),
        ("UPDATE communes SET |", {"population": "integer"}),
        ("SELECT avg(| FROM individus", {"age": "smallint"}),
        ("SELECT coalesce(i.age, po|) FROM individus i, communes", {"population": "integer"}),
        ("SELECT id::date FROM individus WHERE id = :a AND a|", {"age": "smallint"}),
        ("SELECT * FROM com|", {"communes": "table"}),
        (
            "SELECT * FROM |",
            {"communes": "table", "individus": "table", '"Odd Name"': "table", "survey.": "schema"},
        ),
        ("SELECT * FROM individus i JOIN |", {"communes": "table"}),
        ("SELECT * FROM individus i, c|", {"communes": "table"}),
        ("SELECT * FROM ans|", {"survey.answers": "view"}),
        ("SELECT * FROM survey.|", {"answers": "view"}),
        ("SELECT * FROM pg_c|", {"pg_class": "table", "pg_catalog.": "schema"}),
        ("WITH recent AS (SELECT 1) SELECT * FROM re|", {"recent": "query"}),
        ("DROP TABLE com|", {"communes": "table"}),
        ("ALTER TABLE communes DROP po|", {"population": "integer"}),
        ("SELECT survey.w|", {"weight(": "function"}),
        ("SELECT com|", {"communes": "table"}),
        ("SELECT '1'::d|", {"date": "type", "double precision": "type"}),
        ("SELECT CAST(id AS i|) FROM individus", {"integer": "type"}),
        ("sel|", {"select": "keyword"}),
        ("SEL|", {"SELECT": "keyword"}),
        ("SELECT 1; ins|", {"insert": "keyword"}),
        ("SELECT * FROM individus wh|", {"where": "keyword"}),
        ("SELECT * FROM individus i LEFT J|", {"JOIN": "keyword"}),
        ("SELECT * FROM (|", {"SELECT": "keyword"}),
        ("SELECT * FROM communes WHERE code_commune IN (SEL|", {"SELECT": "keyword"}),
        ("SELECT * FROM individus WHERE age = :y|", {"year": "parameter", "years": "parameter"}),
    ],
)
def test_what_may_stand_at_a_place_is_offered(sql, first):
    found = list_offers(sql)
    assert first.items() <= found.items()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'i.|' FROM individus i",
        "SELECT 1 -- i.| FROM individus i",
        "SELECT /* i.| */ 1 FROM individus i",
        "SELECT $$ i.| $$ FROM individus i",
        "SELECT 12| FROM individus",
        "SELECT zzz| FROM individus",
        "SELECT nowhere.|",
    ],
)
def test_nothing_is_offered_where_nothing_fits(sql):
    assert list_offers(sql) == {}


def test_relations_and_columns_are_not_confused():
    assert "age" not in list_offers("SELECT * FROM a|")
    assert "communes" not in list_offers("SELECT id FROM individus WHERE c|")
    assert "pg_class" not in list_offers("SELECT * FROM p|")
    assert "pg_sleep(" not in list_offers("SELECT p|")


@pytest.mark.parametrize(
    ("sql", "then"),
    [
        ('SELECT * FROM "Od|', ['SELECT * FROM "Odd Name"']),
        ('SELECT * FROM "Od|"', ['SELECT * FROM "Odd Name']),
        ("SELECT * FROM odd|", ['SELECT * FROM "Odd Name"']),
        ("SELECT i.sal| FROM individus i", ['SELECT i."Salaire Net"']),
        ('SELECT i."Sal| FROM individus i', ['SELECT i."Salaire Net"']),
        (
            "SELECT * FROM survey.answers a WHERE a.us|er = 1",
            ['SELECT * FROM survey.answers a WHERE a."user"'],
        ),
        ("SELECT * FROM individus i WHERE I.AG|", ["SELECT * FROM individus i WHERE I.age"]),
    ],
)
def test_names_are_written_as_sql_needs_it(sql, then):
    assert complete_all(sql) == then


def test_columns_come_before_functions_and_keywords():
    kinds = list(list_offers("SELECT a| FROM individus").values())
    assert kinds.index("smallint") < kinds.index("function") < kinds.index("keyword")


def test_of_very_many_tables_some_are_offered():
    many = {("public", f"t{n}"): Relation("public", f"t{n}", "table", ()) for n in range(3000)}
    _, found = offers("SELECT * FROM t", 15, SchemaNames(path=("public",), relations=many))
    assert len(found) == 500


HALVES = "WITH t AS (SELECT i.age, (SELECT max(c.nom) FROM communes c) FROM individus i) INSERT INTO x (a, \"B\") SELECT t.* FROM t WHERE a[1:2] = '{' AND $$x$$ <> E'\\'' /* ( */ ORDER BY 1;"


def test_no_half_of_a_statement_is_too_much():
    for cursor in range(len(HALVES) + 1):
        offers(HALVES, cursor, NAMES)
        offers(HALVES[:cursor], cursor, NAMES)
        offers(HALVES[cursor:], 0, NAMES)
