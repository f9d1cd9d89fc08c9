"""The state of a session: transactions, settings, queries that are read in chunks, and its end."""

from __future__ import annotations

import contextlib
import gc
import json
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from threading import Thread

import pandas as pd
import psycopg
import pytest

from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres.query import TRANSACTION_OPEN, run
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.session.session_settings import Preferences
from sspcloud_magics.errors import (
    ConnectionBusy,
    ConnectionLost,
    DatabaseUnavailable,
    QueryFailed,
    UsageProblem,
)
from tests.databases.conftest import login_to
from tests.support.postgres_servers import Server, start_server
from tests.support.queries import chunks, query


@pytest.fixture
def bystander(server: Server):
    """Another user's session, for observation."""
    with psycopg.connect(**server.conninfo(), autocommit=True) as session:
        yield session


@pytest.fixture
def ledger(connection):
    """A table that all sessions see."""
    query(connection, "drop table if exists ledger; create table ledger (n int unique)")
    yield "ledger"
    query(connection, "rollback; drop table ledger")


def _terminate(bystander, connection) -> None:
    _terminate_pid(bystander, connection.psycopg.info.backend_pid)


def _terminate_pid(bystander, pid: int) -> None:
    bystander.execute("select pg_terminate_backend(%s, 10000)", [pid])


def _in_a_block(connection, *steps) -> None:
    """Run statements and functions inside one block."""
    with connection.transaction():
        for step in steps:
            step() if callable(step) else query(connection, step)


def _numbers(bystander) -> list[int]:
    return [n for (n,) in bystander.execute("select n from ledger order by n")]


# ------------------------------------------------------------------ transactions


def test_a_block_commits_at_its_end(connection, bystander, ledger):
    with connection.transaction():
        result = run(connection, "insert into ledger values (1)")
        assert TRANSACTION_OPEN in result.notes
        assert _numbers(bystander) == []
    assert _numbers(bystander) == [1]
    assert run(connection, "select 1").notes == ()


def test_a_block_is_rolled_back_by_any_error(connection, bystander, ledger):
    with pytest.raises(QueryFailed, match="duplicate") as raised:
        _in_a_block(connection, "insert into ledger values (1)", "insert into ledger values (1)")
    assert "the transaction has failed" in raised.value.hint
    with pytest.raises(KeyError):
        _in_a_block(connection, "insert into ledger values (2)", lambda: {}["nothing"])
    assert _numbers(bystander) == []
    assert not connection.in_transaction


def test_a_block_inside_another_is_a_savepoint(connection, bystander, ledger):
    with connection.transaction():
        query(connection, "insert into ledger values (1)")
        with pytest.raises(QueryFailed), connection.transaction():
            query(connection, "insert into ledger values (2), (1)")
        with connection.transaction():
            query(connection, "insert into ledger values (3)")
    assert _numbers(bystander) == [1, 3]


def test_block_with_a_swallowed_error_is_not_committed(connection, bystander, ledger):
    def swallow() -> None:
        with pytest.raises(QueryFailed):
            query(connection, "select 1/0")

    with pytest.raises(QueryFailed, match="Nothing was committed"):
        _in_a_block(connection, "insert into ledger values (1)", swallow)
    assert _numbers(bystander) == []
    assert not connection.in_transaction


def test_a_block_that_was_committed_by_hand_is_said(connection, ledger):
    with pytest.raises(QueryFailed, match="inside the block"), connection.transaction():
        query(connection, "commit")


def test_deferred_constraint_is_told_at_the_end(connection, bystander, ledger):
    query(
        connection,
        "alter table ledger add unique (n) deferrable initially deferred; alter table ledger drop constraint ledger_n_key",
    )
    with pytest.raises(QueryFailed, match="duplicate key"), connection.transaction():
        query(connection, "insert into ledger values (1), (1)")
    assert not connection.in_transaction
    assert _numbers(bystander) == []


@pytest.mark.parametrize("swallowed", [False, True])
def test_block_on_a_lost_connection_is_never_partial(connection, bystander, ledger, swallowed):
    def lose() -> None:
        with connection.transaction():
            query(connection, "insert into ledger values (1)")
            _terminate(bystander, connection)
            for n in (2, 3):
                try:
                    query(connection, f"insert into ledger values ({n})")
                except ConnectionLost:
                    if not swallowed:
                        raise

    with pytest.raises(ConnectionLost, match="rolled back"):
        lose()
    assert _numbers(bystander) == []
    assert "a new one replaces it" in run(connection, "select 1").notes[0]


def test_block_tells_of_a_lost_connection(connection, bystander, ledger):
    with pytest.raises(ConnectionLost, match="rolled back"):
        _in_a_block(connection, "insert into ledger values (1)", lambda: _terminate(bystander, connection))
    assert _numbers(bystander) == []


def test_connection_lost_in_a_transaction_is_told(connection, ledger):
    query(connection, "begin; insert into ledger values (1)")
    with pytest.raises(ConnectionLost, match="rolled back") as raised:
        query(connection, "select pg_terminate_backend(pg_backend_pid())")
    assert "from its BEGIN" in raised.value.hint
    assert query(connection, "select count(*) as n from ledger")["n"].tolist() == [0]


def test_session_that_ends_before_its_settings_is_told(connection, bystander, monkeypatch):
    """It was alive when the query began."""
    catch_up = connection.settings.catch_up

    def end_first(session):
        _terminate_pid(bystander, session.info.backend_pid)
        return catch_up(session)

    connection.apply_defaults("public", "UTC")
    monkeypatch.setattr(connection.settings, "catch_up", end_first)
    with pytest.raises(ConnectionLost, match="ended"):
        query(connection, "select 1")


# ------------------------------------------------------------------ settings


def _show_setting(connection, name: str) -> str:
    return str(query(connection, f"show {name}").iloc[0, 0])


def test_preferences_hold_from_the_next_statement(connection, bystander):
    connection.settings.prefer(Preferences("pg_catalog, public", "Asia/Tokyo"))
    assert _show_setting(connection, "search_path") == "pg_catalog, public"
    frame = query(connection, "select timestamptz '2024-01-01 00:00+00' as t")
    assert str(frame["t"].dtype) == "datetime64[us, Asia/Tokyo]"
    _terminate(bystander, connection)
    assert _show_setting(connection, "timezone") == "Asia/Tokyo"
    connection.settings.prefer(Preferences())
    assert _show_setting(connection, "timezone") == "UTC"
    assert _show_setting(connection, "search_path") == '"$user", public'


def test_what_the_server_does_not_take_is_said(connection):
    connection.settings.prefer(Preferences(time_zone="Mars/Olympus"))
    assert any("timezone" in note for note in run(connection, "select 1").notes)
    assert run(connection, "select 1").notes == ()


def test_preferences_wait_for_the_end_of_a_transaction(connection):
    query(connection, "begin")
    connection.settings.prefer(Preferences(time_zone="Asia/Tokyo"))
    assert _show_setting(connection, "timezone") == "UTC"
    query(connection, "rollback")
    assert _show_setting(connection, "timezone") == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("said", "name", "then"),
    [
        ("set search_path to pg_catalog, public", "search_path", "pg_catalog, public"),
        ("set session time zone 'Asia/Tokyo'", "timezone", "Asia/Tokyo"),
        ("set schema 'public'", "search_path", "public"),
        ("set app.who = 'me'", "app.who", "me"),
        ("begin; set work_mem = '7MB'; commit", "work_mem", "7MB"),
        ("begin; set work_mem = '7MB'; rollback", "work_mem", "4MB"),
        ("begin; set local work_mem = '7MB'; commit", "work_mem", "4MB"),
        ("set work_mem = '7MB'; reset work_mem", "work_mem", "4MB"),
        ("set work_mem = '7MB'; reset all", "work_mem", "4MB"),
        ("set work_mem = '7MB'; discard all", "work_mem", "4MB"),
        ("set session characteristics as transaction read write", "work_mem", "4MB"),
    ],
)
def test_settings_by_hand_are_set_in_a_new_session(connection, bystander, said, name, then):
    query(connection, said)
    before = _show_setting(connection, name)
    _terminate(bystander, connection)
    assert _show_setting(connection, name) == before == then


# ------------------------------------------------------------------ chunks


def test_chunks_have_their_size_and_order(connection):
    sql = "select i, case when i % 2 = 0 then i end as even, 'x' || i as t from generate_series(1, 20000) i"
    read = list(chunks(connection, sql, size=3000))
    assert [len(chunk) for chunk in read] == [3000] * 6 + [2000]
    assert all(chunk.index.equals(pd.RangeIndex(len(chunk))) for chunk in read)
    pd.testing.assert_frame_equal(pd.concat(read, ignore_index=True), query(connection, sql))
    assert [len(chunk) for chunk in chunks(connection, "select 1 as a, :b as b", {"b": 2}, size=5)] == [1]


def test_result_without_rows_is_one_empty_chunk(connection):
    (only,) = chunks(connection, "select oid, relname from pg_class where false", size=10)
    assert (
        only.dtypes.astype(str).to_dict()
        == query(connection, "select oid, relname from pg_class where false").dtypes.astype(str).to_dict()
    )


def test_mistake_is_told_before_the_first_chunk(connection):
    with pytest.raises(QueryFailed, match="oops"):
        chunks(connection, "select oops", size=10)
    with pytest.raises(UsageProblem, match="no rows"):
        chunks(connection, "create temp table t (a int)", size=10)
    with pytest.raises(UsageProblem, match="single query"):
        chunks(connection, "select 1; select 2", size=10)
    assert len(query(connection, "select 1")) == 1


ENDLESS = "select a from generate_series(1, 100000) a, generate_series(1, 100000) b"


def _active(bystander, pid: int) -> bool:
    row = bystander.execute("select state = 'active' from pg_stat_activity where pid = %s", [pid]).fetchone()
    return bool(row and row[0])


@pytest.mark.parametrize("sql", [ENDLESS, ENDLESS.replace("select a", "select a + :one")])
@pytest.mark.parametrize("way", ["closed", "left", "forgotten"])
def test_leaving_early_cancels_the_query_on_the_server(connection, bystander, sql, way):
    pid = connection.psycopg.info.backend_pid
    coming = chunks(connection, sql, {"one": 1}, size=10)
    assert len(next(coming)) == 10
    assert _active(bystander, pid)
    if way == "closed":
        coming.close()
        coming.close()
        assert list(coming) == []
    elif way == "left":
        with coming:
            next(coming)
    else:
        gc.disable()
        del coming
        gc.enable()
    assert not _active(bystander, pid)
    assert query(connection, "select pg_backend_pid() as p")["p"].tolist() == [pid]


@pytest.mark.parametrize("sql", [ENDLESS, ENDLESS.replace("select a", "select a + :one")])
def test_concurrent_query_is_refused_with_a_hint(connection, sql):
    session = connection.psycopg
    with chunks(connection, sql, {"one": 1}, size=10) as coming:
        with pytest.raises(ConnectionBusy) as raised:
            query(connection, "select 1")
        assert "close()" in raised.value.hint
        with pytest.raises(ConnectionBusy):
            _ = connection.psycopg
        with pytest.raises(psycopg.OperationalError, match="another command"):  # and it does not hang
            session.execute("select 1")
        assert len(next(coming)) == 10
        assert len(next(coming)) == 10
    assert len(query(connection, "select 1")) == 1


def test_transaction_outlives_chunks_left_early(connection, bystander, ledger):
    with connection.transaction():
        query(connection, "insert into ledger values (1)")
        with chunks(connection, ENDLESS, size=10) as coming:
            next(coming)
        assert sum(map(len, chunks(connection, "select a from generate_series(1, 99) a", size=10))) == 99
        query(connection, "insert into ledger values (2)")
        coming = chunks(connection, ENDLESS, size=10)
        next(coming)
    with pytest.raises(QueryFailed, match="ended after 10"):
        list(coming)
    assert _numbers(bystander) == [1, 2]


def test_error_is_told_by_its_chunk_and_session_stays(connection):
    coming = chunks(connection, "select 1 / (50000 - i) as x from generate_series(1, 90000) i", size=10000)
    with pytest.raises(QueryFailed, match="division by zero"):
        list(coming)
    assert len(query(connection, "select 1")) == 1


# ------------------------------------------------------------------ ends


ADMINISTRATOR = "terminating connection due to administrator command"


def _pid(connection) -> int:
    """Return the session's process, by the package's own query: statements of other libraries are not tracked."""
    return int(query(connection, "select pg_backend_pid() as p")["p"][0])


@pytest.mark.parametrize(
    ("before", "lost"),
    [
        ("select 1", "nothing was lost"),
        ("create temp table t (n int)", "temporary tables are gone"),
        ("select 1 as n into temporary t", "temporary tables are gone"),
        ("create or replace temp view v as select 1", "temporary tables are gone"),
        ("select pg_advisory_lock(1); listen news", "advisory locks and LISTEN registrations are gone"),
        ("prepare p as select 1; begin; declare c cursor with hold for select 1; commit", "prepared statements and cursors are gone"),
        ("create temp table t (n int); discard all", "nothing was lost"),
        ("select 'create temp table', pg_advisory_xact_lock(1)", "nothing was lost"),
    ],
)  # fmt: skip
def test_ended_session_tells_why_and_what_is_lost(connection, bystander, before, lost):
    query(connection, before)
    _terminate_pid(bystander, _pid(connection))
    (note,) = run(connection, "select 1").notes
    assert note == f"The session ended ({ADMINISTRATOR}), and a new one replaces it: {lost}."


def test_earlier_error_is_no_reason_for_the_end(connection, bystander):
    """libpq keeps the message of the last statement, whose error has nothing to do with the end of the stream."""
    with pytest.raises(QueryFailed):
        query(connection, "select 1 / 0")
    with socket.fromfd(connection._session.pgconn.socket, socket.AF_INET, socket.SOCK_STREAM) as link:
        link.shutdown(socket.SHUT_RDWR)
    (note,) = run(connection, "select 1").notes
    assert "division" not in note
    assert "server closed the connection unexpectedly" in note
    assert note.endswith("nothing was lost.")


def test_session_that_others_used_pretends_nothing(connection, bystander):
    _terminate(bystander, connection)  # which has used it as any library does
    (note,) = run(connection, "select 1").notes
    assert ADMINISTRATOR in note
    assert note.endswith("temporary tables and locks, if it had any, are gone.")


def test_transaction_ended_while_idle_tells_why(connection, bystander, ledger):
    pid = _pid(connection)
    query(
        connection,
        "begin; insert into ledger values (1); set local idle_in_transaction_session_timeout = 1",
    )
    while bystander.execute("select 1 from pg_stat_activity where pid = %s", [pid]).fetchone():
        pass
    with pytest.raises(ConnectionLost, match="rolled back") as raised:
        query(connection, "commit")
    assert raised.value.why == "terminating connection due to idle-in-transaction timeout"
    (note,) = run(connection, "select 1").notes
    assert note.endswith("nothing else was lost.")
    assert _numbers(bystander) == []


@contextlib.contextmanager
def _relay_without_end(port: int) -> Iterator[int]:
    """Relay connections to the server; the end of the server's stream is never passed on."""
    links: list[socket.socket] = []

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    def relay(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, server = listener.accept()[0], socket.create_connection(("127.0.0.1", port))
                links.extend((client, server))
                for pair in ((client, server), (server, client)):
                    Thread(target=copy, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=relay, args=(listener,), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            for link in links:
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)  # ends recv() in the other thread
                link.close()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def test_reason_precedes_the_end_of_the_stream(server, bystander):
    with (
        _relay_without_end(server.port) as port,
        contextlib.closing(
            DatabaseConnection(
                Database("db", "user-alice", "postgres", "db-rw", 5432), login_to(server, port)
            )
        ) as slow,
    ):
        link = slow.psycopg.pgconn.socket
        query(slow, "begin")
        bystander.execute("select pg_terminate_backend(%s, 10000)", [_pid(slow)])
        select.select([link], [], [])
        with pytest.raises(ConnectionLost) as raised:
            query(slow, "commit")
        assert raised.value.why == ADMINISTRATOR


DYING = """
import json, sys
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres.libpq import Login
from tests.support.queries import query
from sspcloud_magics.secret import Secret
told = json.load(sys.stdin)
login = Login(**told | {"password": Secret(told["password"])})
connection = DatabaseConnection(Database("db", "user-alice", "postgres", "db-rw", 5432), login)
print(connection.psycopg.info.backend_pid, flush=True)
query(connection, "select pg_sleep(600)")
"""


def test_query_ends_on_the_server_with_its_process(login, bystander):
    told = {name: getattr(login, name) for name in ("host", "address", "port", "user", "dbname")}
    told["password"] = login.password.reveal()
    with subprocess.Popen(
        [sys.executable, "-c", DYING], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdin.write(json.dumps(told).encode())
        process.stdin.close()
        pid = int(process.stdout.readline())
        while not bystander.execute(
            "select 1 from pg_stat_activity where pid = %s and query like '%%pg_sleep%%' and state = 'active'",
            [pid],
        ).fetchone():
            pass
        process.kill()
    while bystander.execute("select 1 from pg_stat_activity where pid = %s", [pid]).fetchone():
        pass


@pytest.mark.parametrize("noticed", ["by the statement", "before the statement"])
def test_server_shutdown_is_told_and_its_return_used(connection, noticed):
    with start_server() as own:
        leaving = DatabaseConnection(connection.database, login_to(own))
        query(leaving, "begin")
        own.process.send_signal(signal.SIGTERM)  # no new sessions; those that are open may end their work

        def log_in_as_long_as_it_lets_one() -> None:
            while True:
                DatabaseConnection(connection.database, login_to(own)).close()

        with pytest.raises(DatabaseUnavailable, match="accepts no connection") as raised:
            log_in_as_long_as_it_lets_one()
        assert "shutting down" in raised.value.why
        own.process.send_signal(signal.SIGINT)  # at once
        if noticed == "before the statement":
            own.process.wait()
        with pytest.raises(ConnectionLost, match="rolled back") as lost:
            query(leaving, "select pg_sleep(60)")
        assert lost.value.why.splitlines()[0].endswith(("administrator command", "unexpectedly"))
        assert len(lost.value.why.splitlines()) == 1
        own.process.wait()
        with pytest.raises(DatabaseUnavailable, match="db failed"):
            query(leaving, "select 1")
