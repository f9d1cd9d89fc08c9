"""Saved statements as common table expressions: composition, refusals, and their results in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres.libpq import Login
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.sql.cte import SavedStatement, check_name, check_query, compose
from sspcloud_magics.errors import QueryFailed, UsageProblem
from tests.databases.conftest import login_to
from tests.support.postgres_servers import of_debian, start_server
from tests.support.queries import query


def make_saved(*statements: tuple[str, ...]) -> dict[str, SavedStatement]:
    """Return statements by their names: name, SQL, and the names that each uses."""
    return {name: SavedStatement(name, sql, tuple(uses)) for name, sql, *uses in statements}


KNOWN = make_saved(
    ("few", "SELECT n FROM generate_series(1, :most) AS n -- it's few;\n;"),
    ("doubled", "/* twice */ SELECT n * 2 AS n\nFROM few WHERE n > :least", "few"),
    ("towns", "SELECT code, name || E'\\n' AS name FROM towns WHERE name <> 'a;b'"),
    ("listed", "WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 3) TABLE t"),
    ("of_table", "SELECT code AS few FROM few"),
)
VALUES = {"most": 5, "least": 2}
RECURSIVE = """with recursive t(n) as (select max(n) from few union all select n + 1 from t where n < 7)
search depth first by n set place select n from t"""
COMPOSED = [
    ("SELECT sum(n) FROM few", ["few"], [15]),
    ("-- why\n\nSELECT n FROM doubled ORDER BY n;", ["doubled"], [6, 8, 10]),
    ("SELECT d.n FROM few JOIN doubled AS d USING (n)", ["FEW", "doubled"], []),
    ("WITH own AS (SELECT n FROM few) SELECT max(n) FROM own", ["few"], [5]),
    (RECURSIVE, ["few"], [5, 6, 7]),
    ("WITH own(n) AS MATERIALIZED (SELECT 1) (SELECT n FROM own UNION SELECT n FROM few) ORDER BY 1 LIMIT 2",
     ["few"], [1, 2]),
    ("(SELECT n FROM few) EXCEPT VALUES (1), (2), (3), (4)", ["few"], [5]),
    ("TABLE listed", ["listed"], [1, 2, 3]),
    ("VALUES ((SELECT count(*) FROM towns))", ["towns"], [2]),
    ("INSERT INTO target SELECT n FROM few WHERE n > :most - 1 RETURNING n", ["few"], [5]),
    ("UPDATE target SET n = few.n + 10 FROM few WHERE few.n = target.n RETURNING target.n", ["few"], [11]),
    ("WITH gone AS (DELETE FROM target RETURNING n) SELECT n FROM gone WHERE n IN (SELECT n FROM few)",
     ["few"], [1]),
    ("SELECT count(*) FROM of_table, doubled", ["doubled", "of_table"], [3]),
]  # fmt: skip
TABLES = (
    "CREATE TABLE IF NOT EXISTS towns AS SELECT 1 AS code, 'a' AS name UNION ALL VALUES (2, 'b'), (3, 'a;b');"
    "CREATE TABLE IF NOT EXISTS few AS SELECT 7 AS code;"
    "CREATE TABLE IF NOT EXISTS target (n int); TRUNCATE target; INSERT INTO target VALUES (1)"
)


@pytest.mark.parametrize(("sql", "uses", "rows"), COMPOSED)
def test_composed_statement_gives_its_rows(connection, sql, uses, rows):
    query(connection, TABLES)
    frame = query(connection, compose(sql, uses, KNOWN), VALUES)
    assert frame.iloc[:, 0].tolist() == rows


@pytest.fixture(scope="module")
def debian() -> Iterator[DatabaseConnection]:
    """A connection to PostgreSQL 15."""
    with start_server(of_debian(15)) as server:
        login: Login = login_to(server)
        made = DatabaseConnection(Database("db", "user-alice", "postgres", "db-rw", 5432), login)
        yield made
        made.close()


@pytest.mark.parametrize(("sql", "uses", "rows"), COMPOSED)
def test_postgresql_15_takes_composed_statements(debian, sql, uses, rows):
    test_composed_statement_gives_its_rows(debian, sql, uses, rows)


def test_error_names_the_line_of_the_cell(connection):
    with pytest.raises(QueryFailed) as failed:
        query(connection, compose("-- above\nSELECT n,\n  nn FROM doubled", ["doubled"], KNOWN), VALUES)
    assert failed.value.why.startswith("3 │   nn FROM doubled\n")
    assert failed.value.sqlstate == "42703"


REFUSED = [
    ("SELECT 1", ["doubld"], "No statement is saved as doubld.\n→ did you mean doubled?"),
    ("SELECT 1", ["lost"], "No statement is saved as gone.\nlost uses it."),
    ("SELECT 1; SELECT 2", ["few"], "--with takes one statement."),
    ("-- nothing", ["few"], "--with takes one statement."),
    ("CREATE TABLE t AS SELECT n FROM few", ["few"], "--with does not work with CREATE"),
    ("EXPLAIN SELECT n FROM few", ["few"], "show the plan with %%query_db --explain"),
    ("COPY (SELECT n FROM few) TO STDOUT", ["few"], "--with does not work with COPY"),
    ('WITH "few"(n) AS (SELECT 1) SELECT n FROM few', ["few"], "few is both a saved statement and a name in"),
    ("WITH RECURSIVE t AS (SELECT 1) TABLE t", ["towns"], "would change what towns means"),
    ("SELECT 1", ["one"], "cannot be used in one statement"),
    ("SELECT 1", ["this", "that"], "cannot be used in one statement"),
]


@pytest.mark.parametrize(("sql", "uses", "said"), REFUSED)
def test_statement_that_takes_none_is_refused(sql, uses, said):
    others = make_saved(
        ("lost", "SELECT 1", "gone"),
        ("one", "TABLE other", "other"),
        ("other", "TABLE one", "one"),
        # Each reads a table of the other one's name.
        ("this", "TABLE that"),
        ("that", "TABLE this"),
    )
    with pytest.raises(UsageProblem) as refused:
        compose(sql, uses, KNOWN | others)
    assert said in str(refused.value)
    assert len(refused.value.what) <= 100


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DELETE FROM towns RETURNING *", "would run the DELETE again"),
        ("INSERT INTO t VALUES (1)", "would run the INSERT again"),
        ("WITH t AS MATERIALIZED (UPDATE towns SET code = 1 RETURNING *) TABLE t", "would run the UPDATE"),
        (
            "WITH t AS (SELECT 1) MERGE INTO towns USING t ON true WHEN MATCHED THEN DELETE",
            "would run the MERGE",
        ),
        ("SELECT * INTO copied FROM towns", "not SELECT INTO"),
        ("CREATE TABLE t ()", "--save takes a query"),
        ("SELECT 1; SELECT 2", "--save takes one statement."),
        ("SELECT * FROM few", "fresh would use itself"),
    ],
)
def test_statement_that_is_no_query_is_not_saved(sql, said):
    known = KNOWN | make_saved(("few", "TABLE fresh", "fresh"), ("fresh", "SELECT 1"))
    with pytest.raises(UsageProblem) as refused:
        check_query(sql, "fresh", ["few"] if "few" in sql else [], known)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1 -- end\n;", "VALUES (1)", "TABLE t", "(SELECT 1) UNION SELECT 2", "WITH t AS (SELECT 1) TABLE t",
     "SELECT update, delete FROM (SELECT 1) AS insert (update, delete) FOR UPDATE"],
)  # fmt: skip
def test_query_is_saved(sql):
    check_query(sql, "fresh", [], {})


def test_names_are_plain_and_folded():
    assert [check_name(name) for name in ("Salaires", "élus_2024", "Été")] == ["salaires", "élus_2024", "Été"]
    for name in ("a b", "1a", "User", "a.b", '"a"', "x" * 64, ""):
        with pytest.raises(UsageProblem, match="without quotes"):
            check_name(name, {"user"})
