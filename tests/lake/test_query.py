"""DuckDB over a real PostgreSQL, DataFrames and files."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from typing import Any

import pandas as pd
import polars as pl
import pytest

from sspcloud_magics.databases.query_options import Output, QueryOptions
from sspcloud_magics.errors import FileNotWritten, ParameterError, QueryFailed, UsageProblem
from sspcloud_magics.lake import query
from sspcloud_magics.lake.attachment import CONNECTIONS
from sspcloud_magics.lake.instance import application
from sspcloud_magics.secret import Secret
from tests.support.waiting import wait_until


def ask(instance: Any, sql: str, params: Any = None, *, options: Any = None, **output: Any) -> Any:
    request = query.Request(
        sql=sql, params=params or {}, options=options or QueryOptions(), output=Output(**output)
    )
    return query.run(instance, request, lambda: None)


def test_one_statement_joins_database_frame_and_file(instance, connection, tmp_path):
    connection.psycopg.execute("create table if not exists lake_towns as select 1 as code, 'Rennes' as name")
    file = tmp_path / "people.parquet"
    pl.DataFrame({"code": [1, 1, 2], "age": [30, 40, 50]}).write_parquet(file)
    weights = pd.DataFrame({"code": [1], "weight": [2.5]})
    found = ask(
        instance,
        """SELECT name, count(*) AS people, max(age) AS oldest, any_value(weight) AS weight
        FROM pg.public.lake_towns JOIN read_parquet(:file) USING (code) JOIN weights USING (code)
        WHERE age >= :least GROUP BY name""",
        {"file": str(file), "least": 30, "weights": weights},
    )
    assert found.to_dict("records") == [{"name": "Rennes", "people": 2, "oldest": 40, "weight": 2.5}]


def test_dtypes_are_those_of_a_query_of_postgres(instance):
    found = ask(
        instance,
        "SELECT 1::int a, NULL::bigint b, true c, 'x' d, DATE '2026-12-01' e, 1.5::decimal(9,2) f, "
        "TIMESTAMP '2026-12-01 10:00' g WHERE a = 1",
    )
    names = ["Int32", "Int64", "boolean", "string", "datetime64[s]", "float64", "datetime64[us]"]
    assert [str(each) for each in found.dtypes] == names
    assert found["b"].isna().all()
    exact = ask(instance, "SELECT 0.1::decimal(9,2) AS f", options=QueryOptions(numeric="decimal"))
    assert str(exact["f"][0]) == "0.10"


def test_empty_result_keeps_its_columns(instance):
    found = ask(instance, "SELECT 1::int AS a, 'x' AS b WHERE false")
    assert (list(found.columns), len(found), str(found.dtypes["a"])) == (["a", "b"], 0, "Int32")


def test_columns_with_the_same_name_stay(instance):
    assert list(ask(instance, "SELECT 1 AS a, 2 AS a").columns) == ["a", "a"]


@pytest.mark.parametrize("kind", [list, tuple, pd.Series, set])
def test_list_is_bound_as_a_list(instance, kind):
    found = ask(
        instance, "SELECT count(*) AS n FROM range(10) t(i) WHERE i = ANY(:ids)", {"ids": kind([1, 3])}
    )
    assert found["n"][0] == 2


def test_variables_are_never_pasted(instance):
    text = "x'; DROP TABLE pg.public.anything; --"
    assert ask(instance, "SELECT :text AS t", {"text": text})["t"][0] == text


def test_unknown_parameter_is_named(instance):
    with pytest.raises(ParameterError, match="leest"):
        ask(instance, "SELECT :leest", {"least": 1})


def test_only_the_variables_are_tables(instance):
    hidden = pd.DataFrame({"a": [1]})
    with pytest.raises(QueryFailed, match="hidden"):
        ask(instance, "SELECT * FROM hidden", {"shown": hidden})


def test_database_is_read_only_unless_asked(instance, connection):
    with pytest.raises(QueryFailed, match="read-only"):
        ask(instance, "CREATE TABLE pg.public.from_duckdb AS SELECT 1 AS a")
    instance.refresh({"pg": connection}, read_only=False)
    ask(instance, "CREATE OR REPLACE TABLE pg.public.from_duckdb AS SELECT 1 AS a")
    assert connection.psycopg.execute("select a from from_duckdb").fetchall() == [(1,)]
    connection.psycopg.execute("drop table from_duckdb")


def test_temporary_table_lasts_over_cells(instance):
    assert ask(instance, "CREATE OR REPLACE TEMP TABLE kept AS SELECT 42 AS a") is not None
    assert ask(instance, "SELECT a FROM kept")["a"][0] == 42


def test_login_appears_nowhere(instance, connection):
    password = connection.login.password.reveal()
    texts = [
        ask(instance, f"SELECT * FROM {name}()").to_csv()
        for name in ("duckdb_databases", "duckdb_secrets", "duckdb_settings")
    ]
    assert not any(password in text for text in texts)


def test_connections_stay_within_the_pool(instance, connection):
    connection.psycopg.execute(
        "create table if not exists lake_many as select i, repeat('x', 200) as t from generate_series(1, 200000) i"
    )
    most = 0
    done = threading.Event()

    def count() -> None:
        nonlocal most
        with closing(connection.copy_connection()) as side:
            while not done.is_set():
                (found,) = side.psycopg.execute(
                    "select count(*) from pg_stat_activity where application_name = %s", [application("pg")]
                ).fetchone()
                most = max(most, found)

    counter = threading.Thread(target=count)
    counter.start()
    askers = [
        threading.Thread(
            target=instance.duck.cursor().execute, args=("SELECT sum(length(t)) FROM pg.public.lake_many",)
        )
        for _ in range(4)
    ]
    for each in askers:
        each.start()
    for each in askers:
        each.join()
    done.set()
    counter.join()
    assert 1 <= most <= CONNECTIONS


def test_timeout_ends_the_query(instance):
    with pytest.raises(QueryFailed, match="took longer"):
        ask(
            instance,
            "SELECT count(*) FROM range(100000000) a, range(1000) b",
            options=QueryOptions(timeout=0.2),
        )
    assert ask(instance, "SELECT 1 AS a")["a"][0] == 1


def test_query_at_the_server_is_cancelled(instance, connection):
    cancelled = threading.Event()

    def cancel() -> None:
        with closing(connection.copy_connection()) as side:
            side.psycopg.execute(
                "select pg_cancel_backend(pid) from pg_stat_activity where application_name = %s",
                [application("pg")],
            )
        cancelled.set()

    request = query.Request(
        sql="SELECT * FROM postgres_query('pg', 'select pg_sleep(60)')",
        params={},
        options=QueryOptions(timeout=1.0),
        output=Output(),
    )
    with pytest.raises(QueryFailed, match="took longer"):
        query.run(instance, request, cancel)
    assert cancelled.is_set()

    def sleeps() -> bool:
        return bool(
            connection.psycopg.execute(
                "select 1 from pg_stat_activity where query like '%%pg_sleep(60)%%' and state = 'active' "
                "and pid <> pg_backend_pid()"
            ).fetchall()
        )

    wait_until(lambda: not sleeps())


def test_full_disk_is_told(instance):
    for setting in ("memory_limit = '60MB'", "max_temp_directory_size = '1MB'"):
        instance.duck.execute(f"SET GLOBAL {setting}")
    with pytest.raises(FileNotWritten, match="disk is full"):
        ask(instance, "SELECT i, hash(i) AS h FROM range(5000000) t(i) ORDER BY h")
    assert ask(instance, "SELECT 1 AS a")["a"][0] == 1


def test_too_little_memory_has_a_hint(instance):
    for setting in ("memory_limit = '60MB'", "temp_directory = ''"):
        instance.duck.execute(f"SET GLOBAL {setting}")
    with pytest.raises(QueryFailed, match="write the rows with --to"):
        ask(instance, "SELECT i, hash(i) AS h FROM range(5000000) t(i) ORDER BY h")


def test_chunks_have_the_size_that_was_asked(instance):
    chunks = ask(instance, "SELECT i FROM range(25) t(i)", chunks=10)
    # Another query in between takes no rows away.
    assert ask(instance, "SELECT 1 AS a")["a"][0] == 1
    assert [len(each) for each in chunks] == [10, 10, 5]


def test_limit_and_other_types(instance):
    sql = "SELECT i FROM range(1000) t(i) ORDER BY i"
    assert ask(instance, sql, options=QueryOptions(limit=3))["i"].tolist() == [0, 1, 2]
    assert ask(instance, sql, as_="arrow").num_rows == 1000
    assert isinstance(ask(instance, sql, as_="polars"), pl.DataFrame)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_file_is_written_whole_or_not_at_all(instance, tmp_path, suffix):
    file = tmp_path / f"rows.{suffix}"
    assert repr(ask(instance, "SELECT i FROM range(3) t(i)", to=str(file))).startswith("3 rows in ")
    before = file.read_bytes()
    with pytest.raises(UsageProblem, match="exists"):
        ask(instance, "SELECT 1 AS a", to=str(file))
    with pytest.raises(QueryFailed):
        ask(instance, "SELECT CAST('x' AS INT) FROM range(3)", to=str(file), overwrite=True)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_plan_says_where_an_aggregate_is_computed(instance, connection):
    connection.psycopg.execute("create table if not exists lake_plan as select 1 as a")
    text = query.plan(instance, "SELECT a, count(*) FROM pg.public.lake_plan GROUP BY a", {})
    assert "postgres_query" in text
    assert "postgres_query" not in query.plan(instance, "SELECT a FROM pg.public.lake_plan WHERE a > 1", {})


def test_comment_alone_is_no_statement(instance):
    for ask_it in (lambda sql: ask(instance, sql), lambda sql: query.plan(instance, sql, {})):
        with pytest.raises(UsageProblem, match="no statement"):
            ask_it("-- later")


def test_renewed_password_replaces_the_old_one(instance, connection, monkeypatch):
    """A share's password is read again after a refused login, and not before each query."""
    connection.psycopg.execute("drop role if exists lake_colleague")
    connection.psycopg.execute("create role lake_colleague login password 'first'")
    login = replace(connection.login, user="lake_colleague", password=Secret("first"))
    renewed = []

    def renew(old: Any) -> Any:
        renewed.append(old)
        return replace(old, password=Secret("second"))

    monkeypatch.setattr(connection, "_login", login)
    monkeypatch.setattr(connection, "_renew", renew)
    sql = "SELECT * FROM postgres_query('pg', 'select current_user')"
    for _ in range(2):
        instance.refresh({"pg": connection})
        assert ask(instance, sql).iloc[0, 0] == "lake_colleague"
    assert renewed == []
    connection.psycopg.execute("alter role lake_colleague password 'second'")
    connection.psycopg.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'lake_colleague'"
    )
    instance.refresh({"pg": connection})
    assert ask(instance, sql).iloc[0, 0] == "lake_colleague"
    assert len(renewed) == 1
    instance.refresh({"pg": connection})
    assert ask(instance, sql).iloc[0, 0] == "lake_colleague"
    assert len(renewed) == 1


def test_closed_connection_is_detached(instance):
    instance.refresh({})
    with pytest.raises(QueryFailed):
        ask(instance, "SELECT * FROM postgres_query('pg', 'select 1')")
