"""Queries: several statements, errors, notices, interruption, and reconnection."""

from __future__ import annotations

import os
import signal
import socket
import threading
import traceback
from dataclasses import replace

import numpy as np
import pandas as pd
import psycopg
import pytest

from sspcloud_magics.databases.postgres.query import QueryResult, run
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.query_options import QueryOptions
from sspcloud_magics.errors import (
    ConnectionLost,
    DatabaseUnavailable,
    LoginRefused,
    NotConnected,
    ParameterError,
    QueryFailed,
    UsageProblem,
)
from sspcloud_magics.secret import Secret
from tests.databases.conftest import process_of
from tests.support.postgres_servers import Server
from tests.support.queries import query


@pytest.fixture
def bystander(server: Server):
    """Another user's session, for observation."""
    with psycopg.connect(**server.conninfo(), autocommit=True) as session:
        yield session


# ------------------------------------------------------------------ what is returned


def test_rows_come_as_a_dataframe(connection):
    frame = query(connection, "select i, i * 1.5::float8 as x from generate_series(1, 3) i")
    pd.testing.assert_frame_equal(
        frame,
        pd.DataFrame({"i": pd.array([1, 2, 3], dtype="Int32"), "x": [1.5, 3.0, 4.5]}),
    )


def test_last_statement_with_rows_is_the_answer(connection):
    result = run(
        connection,
        "create table counted(a int); insert into counted values (1), (2); select a from counted; select sum(a) as s from counted; drop table counted",
    )
    assert result.frame["s"].tolist() == [3]
    assert [done.tag for done in result.statements] == [
        "CREATE TABLE",
        "INSERT 0 2",
        "SELECT 2",
        "SELECT 1",
        "DROP TABLE",
    ]


def test_a_statement_without_rows_says_what_it_did(connection):
    query(connection, "drop table if exists t; create table t(a int)")
    result = query(connection, "insert into t select generate_series(1, 1234)")
    assert isinstance(result, QueryResult)
    assert "INSERT 0 1234" in repr(result)
    assert "1,234 rows" in repr(result)
    assert set(result._repr_mimebundle_()) == {"text/plain", "text/html"}
    assert query(connection, "update t set a = 0 where a < 10").statements[0].rows == 9


def test_rows_that_an_update_returns_are_a_dataframe(connection):
    query(connection, "drop table if exists t; create table t(a int); insert into t values (1), (2)")
    assert sorted(query(connection, "update t set a = a + 1 returning a")["a"]) == [2, 3]


def test_more_rows_than_a_chunk_arrive_in_order(connection):
    frame = query(
        connection,
        "select i, case when i % 7 <> 0 then i end as n, 'é' || i as t from generate_series(1, 25001) i",
    )
    assert frame["i"].tolist() == list(range(1, 25002))
    assert frame["n"].isna().sum() == 25001 // 7
    assert frame["t"].iloc[-1] == "é25001"


def test_columns_of_the_same_name_are_kept_and_said(connection):
    result = run(connection, "select 1 as a, 2 as a, 3 as b")
    assert result.frame.columns.tolist() == ["a", "a", "b"]
    assert result.frame.iloc[0].tolist() == [1, 2, 3]
    assert any("'a'" in note for note in result.notes)


def test_names_of_columns_are_taken_as_they_are(connection):
    frame = query(connection, 'select 1 as "a b", 2 as "é%s", 3 as ":x", 4')
    assert frame.columns.tolist() == ["a b", "é%s", ":x", "?column?"]


def test_rows_without_columns_are_counted(connection):
    assert query(connection, "select from generate_series(1, 3)").shape == (3, 0)


def test_limit_keeps_first_rows_and_runs_it_whole(connection):
    query(connection, "drop table if exists t; create table t(a int)")
    result = run(
        connection, "insert into t select generate_series(1, 5000) returning a", options=QueryOptions(limit=3)
    )
    assert result.frame["a"].tolist() == [1, 2, 3]
    assert any("3 rows of 5,000" in note for note in result.notes)
    assert query(connection, "select count(*) as n from t")["n"].tolist() == [5000]
    assert query(connection, "select 1 as a", limit=0).dtypes.astype(str).to_dict() == {"a": "Int32"}


def test_notices_are_heard(connection):
    result = run(
        connection,
        "do $$ begin raise notice 'half %', 'way' using hint = 'go on'; raise warning 'hm'; end $$; select 1",
    )
    assert result.notes[0].startswith("NOTICE: half way")
    assert "go on" in result.notes[0]
    assert result.notes[1] == "WARNING: hm"
    assert run(connection, "select 1").notes == ()


def test_special_characters_mean_what_postgres_means(connection):
    frame = query(
        connection,
        """select 7 % 4 as m, '100%' as p, '{"a": {"b": 1}}'::jsonb ? 'a' as q, '{"a": {"b": 1}}'::jsonb -> 'a' ->> 'b' as j,
        'a:b' as c, (array[1,2,3])[1:2] as s, ('{4,5,6}'::int[])[:i] as e, 5::text as t, $$:x$$ as d -- :nothing
        /* :nothing */""",
        {"i": 2},
    )
    assert frame.iloc[0].tolist() == [3, "100%", True, "1", "a:b", [1, 2], 5, "5", ":x"]


def test_dict_beyond_json_names_the_parameter(connection):
    with pytest.raises(ParameterError, match=r"^:document cannot be bound") as raised:
        query(connection, "select :a::int, :document::jsonb", {"a": 1, "document": {"when": object()}})
    assert "JSON" in raised.value.why


def test_session_keeps_tables_settings_and_transaction(connection, bystander):
    query(connection, "create table kept(a int)")
    try:
        query(connection, "set search_path to public; begin; insert into kept values (1)")
        assert connection.in_transaction
        assert query(connection, "select a from kept")["a"].tolist() == [1]
        assert bystander.execute("select * from kept").fetchall() == []
        query(connection, "rollback")
        assert not connection.in_transaction
        query(connection, "insert into kept values (2)")
        assert bystander.execute("select * from kept").fetchall() == [(2,)]
    finally:
        query(connection, "drop table kept")


# ------------------------------------------------------------------ errors


def test_an_error_marks_the_place_under_its_line(connection):
    with pytest.raises(QueryFailed) as raised:
        query(
            connection,
            "-- a comment\nselect :first_name,\n\tsurnam from (select 1 as surname) t",
            {"first_name": "x"},
        )
    assert 'column "surnam" does not exist' in raised.value.what
    assert "3 │     surnam from" in raised.value.why
    line, mark = raised.value.why.split("\n")[:2]
    assert line[mark.index("^") :].startswith("surnam")
    assert "surname" in raised.value.hint


def test_an_error_keeps_the_servers_details(connection):
    query(connection, "drop table if exists t; create table t(a int primary key); insert into t values (1)")
    with pytest.raises(QueryFailed, match="duplicate key") as raised:
        query(connection, "insert into t values (1)")
    assert "(a)=(1)" in raised.value.why
    assert "23505" in raised.value.what


def test_the_session_is_clean_after_an_error(connection):
    for bad in ("select 1/0", "selec", "select 1 from generate_series(1, 100000) i where 1/(i - 70000) > 0"):
        with pytest.raises(QueryFailed):
            query(connection, bad)
        assert query(connection, "select 1 as one")["one"].tolist() == [1]


def test_statements_before_the_failed_one_are_told(connection):
    query(connection, "drop table if exists t; create table t(a int)")
    with pytest.raises(QueryFailed, match=r"statement 2 of 3") as raised:
        query(connection, "insert into t values (1);\nselect oops;\ninsert into t values (2)")
    assert "2 │ select oops" in raised.value.why
    assert query(connection, "select a from t")["a"].tolist() == [1]


def test_nothing_is_sent_where_a_parameter_is_missing(connection):
    query(connection, "drop table if exists t; create table t(a int)")
    with pytest.raises(ParameterError):
        query(connection, "insert into t values (1); insert into t values (:missing)")
    assert query(connection, "select a from t")["a"].tolist() == []


def test_a_failed_transaction_says_how_to_go_on(connection):
    with pytest.raises(QueryFailed):
        query(connection, "begin; select 1/0")
    with pytest.raises(QueryFailed, match="aborted") as raised:
        query(connection, "select 1")
    assert "ROLLBACK" in raised.value.hint
    query(connection, "rollback")
    assert len(query(connection, "select 1")) == 1


@pytest.mark.parametrize("sql", ["", "  ;; -- nothing\n", "/* nothing */"])
def test_no_statement_is_said(connection, sql):
    with pytest.raises(UsageProblem, match="no statement"):
        query(connection, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "copy pg_class to stdout",
        "COPY (select 1) TO STDOUT",
        "drop table if exists t; create table t(a int); copy t from stdin",
    ],
)
def test_copy_is_refused_before_it_starts(connection, sql):
    with pytest.raises(UsageProblem, match="COPY") as raised:
        query(connection, sql)
    assert "--from FILE" in raised.value.hint
    assert len(query(connection, "select 1")) == 1


def test_a_statement_timeout_is_a_failed_query(connection):
    with pytest.raises(QueryFailed, match="statement timeout"):
        query(connection, "begin; set local statement_timeout to '50ms'; select pg_sleep(60)")
    query(connection, "rollback")


# ------------------------------------------------------------------ interruption


def _interrupt_when(condition) -> threading.Thread:
    """Send this process SIGINT once `condition` holds, as Ctrl-C does."""

    def watch() -> None:
        while not condition():
            pass
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_interrupt_cancels_and_keeps_the_session(connection, bystander):
    pid = process_of(connection)
    query(connection, "drop table if exists t; create table t as select 1 as a")

    def is_running() -> bool:
        row = bystander.execute(
            "select state = 'active' and query like '%%pg_sleep%%' from pg_stat_activity where pid = %s",
            [pid],
        ).fetchone()
        return bool(row and row[0])

    watcher = _interrupt_when(is_running)
    with pytest.raises(KeyboardInterrupt):
        query(connection, "select pg_sleep(600)")
    watcher.join()
    assert not is_running()
    assert query(connection, "select a from t")["a"].tolist() == [1]
    assert process_of(connection) == pid


def test_interrupt_during_rows_keeps_the_session(connection, bystander):
    pid = process_of(connection)

    def is_sending() -> bool:
        row = bystander.execute(
            "select wait_event = 'ClientWrite' from pg_stat_activity where pid = %s", [pid]
        ).fetchone()
        return bool(row and row[0])

    watcher = _interrupt_when(is_sending)
    with pytest.raises(KeyboardInterrupt):
        query(
            connection,
            "select repeat('x', 100) from generate_series(1, 10000) a, generate_series(1, 10000) b",
        )
    watcher.join()
    assert query(connection, "select 1 as one")["one"].tolist() == [1]
    assert process_of(connection) == pid


def test_own_error_during_rows_keeps_the_session(connection):
    pid = process_of(connection)
    with pytest.raises(QueryFailed, match="24"):
        query(connection, "select time '24:00' from generate_series(1, 10000) a, generate_series(1, 10000) b")
    assert query(connection, "select 1 as one")["one"].tolist() == [1]
    assert process_of(connection) == pid


# ------------------------------------------------------------------ connections that end


def test_a_lost_connection_is_said_and_made_again(connection, bystander):
    pid = process_of(connection)
    with pytest.raises(ConnectionLost):
        query(connection, f"select pg_terminate_backend({pid})")
    result = run(connection, "select 1 as one")
    assert result.frame["one"].tolist() == [1]
    assert any("a new one replaces it" in note for note in result.notes)
    assert run(connection, "select 1 as one").notes == ()


def _terminate(bystander, connection) -> None:
    pid = process_of(connection)
    bystander.execute("select pg_terminate_backend(%s, 10000)", [pid])


def test_connection_lost_between_cells_costs_nothing(connection, bystander):
    _terminate(bystander, connection)
    assert query(connection, "select 1 as one")["one"].tolist() == [1]


def test_lost_transaction_is_never_redone_silently(connection, bystander):
    query(connection, "begin; create table never_kept(a int)")
    _terminate(bystander, connection)
    with pytest.raises(ConnectionLost, match="rolled back"):
        query(connection, "insert into never_kept values (1)")
    frame = query(connection, "select to_regclass('never_kept') is null as gone")
    assert frame["gone"].tolist() == [True]


def test_a_closed_connection_says_so(connection):
    connection.close()
    connection.close()
    assert connection.closed
    with pytest.raises(NotConnected, match="closed"):
        query(connection, "select 1")


def test_refused_password_is_told_and_not_shown(connection, login):
    canary = "canary-" + os.urandom(8).hex()
    with pytest.raises(LoginRefused, match="refuses the user") as raised:
        DatabaseConnection(connection.database, replace(login, password=Secret(canary)))
    shown = f"{raised.value!r} {raised.value} {raised.value.__cause__!r} {raised.value.__context__!r}"
    assert canary not in shown
    assert "authentication failed" in shown
    assert canary not in f"{connection!r} {connection._repr_mimebundle_()} {login!r}"


def test_refused_login_has_no_password_in_its_frames(connection, login):
    """The local variables, as a verbose traceback would show them."""
    canary = Secret("canary-" + os.urandom(8).hex())
    with pytest.raises(LoginRefused) as raised:
        DatabaseConnection(connection.database, replace(login, password=canary))
    shown = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=True).format())
    assert "login" in shown
    assert canary.reveal() not in shown


def test_interrupted_login_ends_and_shows_no_password(connection, login):
    canary = Secret("canary-" + os.urandom(8).hex())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        accepted = []

        def interrupt_once_it_connects() -> None:
            accepted.append(silent.accept()[0])
            os.kill(os.getpid(), signal.SIGINT)

        watcher = threading.Thread(target=interrupt_once_it_connects)
        watcher.start()
        mute = replace(login, port=silent.getsockname()[1], password=canary)
        with pytest.raises(KeyboardInterrupt) as raised:
            DatabaseConnection(connection.database, mute)
        watcher.join()
        accepted[0].close()
    shown = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=True).format())
    assert "login" in shown
    assert canary.reveal() not in shown


def test_a_database_that_is_not_there_is_said(connection, login):
    with pytest.raises(LoginRefused, match="has no database nowhere"):
        DatabaseConnection(connection.database, replace(login, dbname="nowhere"))


@pytest.mark.parametrize("login", ["server"], indirect=True)  # no pooler knows the role
def test_a_server_without_connections_left_is_said(connection, login):
    query(
        connection, "drop role if exists one_only; create role one_only login password 'x' connection limit 1"
    )
    try:
        one = replace(login, user="one_only", password=Secret("x"))
        first = DatabaseConnection(connection.database, one)
        with pytest.raises(DatabaseUnavailable, match="limit is reached"):
            DatabaseConnection(connection.database, one)
        first.close()
    finally:
        query(connection, "drop role one_only")


def test_a_server_that_is_not_there_is_said(connection, login):
    with pytest.raises(DatabaseUnavailable, match="db failed") as raised:
        DatabaseConnection(connection.database, replace(login, port=1))
    assert "refused" in raised.value.why


# ------------------------------------------------------------------ amounts


def test_hundred_thousand_rows_match_the_checksums(connection):
    sql = """select i, (i::bigint * 7919) % 1000003 as b, case when i % 3 = 0 then null else i / 7.0::float8 end as f,
             md5(i::text) as t, timestamptz '2020-01-01 00:00+00' + i * interval '1 minute' as z, i % 2 = 0 as e
             from generate_series(1, 100000) i"""
    frame = query(connection, sql)
    sums = query(
        connection,
        f"""select count(*) as n, sum(b)::bigint as b, sum(f) as f, count(f) as fs, bit_xor(hashtext(t)) as h, max(t) as t,
        sum(extract(epoch from z))::bigint as z, count(*) filter (where e) as e from ({sql}) q""",
    ).iloc[0]
    assert (len(frame), frame["b"].sum(), frame["f"].count()) == (sums["n"], sums["b"], sums["fs"])
    assert np.isclose(frame["f"].sum(), sums["f"], rtol=1e-12)
    assert frame["t"].max() == sums["t"]
    assert (frame["z"].astype("int64") // 10**6).sum() == sums["z"]
    assert frame["e"].sum() == sums["e"]


def test_nothing_of_the_environment_interferes(login, hostile_login):
    assert hostile_login(login) == "UTC sspcloud-magics absent"
