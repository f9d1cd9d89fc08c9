"""Forked children do not touch the session of their parent, and get their own."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator

import pandas as pd
import psycopg
import pytest

from sspcloud_magics import session
from sspcloud_magics.databases.gc_pause import collector_paused
from sspcloud_magics.databases.postgres import forked_sessions
from sspcloud_magics.databases.postgres.query import run
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import ConnectionLost
from sspcloud_magics.session import session as session_module
from tests.support.forked_child import in_child
from tests.support.queries import chunks, query

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork"),
    # Python warns about it since 3.12, but users fork all the same.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.fixture
def connected(connection, monkeypatch) -> Iterator[DatabaseConnection]:
    """The connection as that of the Python API, with a table and a transaction that is open."""
    monkeypatch.setattr(session_module, "session", session_module.Session(connections=[connection]))
    query(connection, "drop table if exists forked; create table forked (n int)")
    query(connection, "begin; insert into forked values (1)")
    yield connection
    query(connection, "rollback; drop table forked")
    session_module.session.connections.clear()


def _number_seen(number: int) -> tuple[int, int, int, int]:
    found = session.query_db(
        f"select {number} as number, (select count(*) from forked) as seen, pg_backend_pid() as backend"
    ).iloc[0]
    return int(found["number"]), int(found["seen"]), int(found["backend"]), os.getpid()


def _five() -> list[int]:
    return [int(n) for n in session.query_db("select 5 as n")["n"]]


def test_pool_of_forked_workers_gets_its_own_rows(connected):
    parents = connected.psycopg.info.backend_pid
    with multiprocessing.get_context("fork").Pool(3) as pool:
        answers = pool.map(_number_seen, range(60), chunksize=1)
    assert [number for number, *_ in answers] == list(range(60))
    assert {seen for _, seen, *_ in answers} == {0}
    sessions = {(backend, worker) for *_, backend, worker in answers}
    assert parents not in {backend for backend, _ in sessions}
    assert len(sessions) == len({worker for _, worker in sessions})
    # The parent's session has not changed.
    assert connected.in_transaction
    assert _number_seen(7)[:3] == (7, 1, parents)
    query(connected, "commit")
    assert query(connected, "select n from forked")["n"].tolist() == [1]


def test_child_is_told_of_its_own_session_once(connected):
    notes = in_child(lambda: [run(connected, "select 1").notes, run(connected, "select 1").notes])
    assert notes == [
        [
            "This process has its own session, which does not see its parent's transaction and temporary tables."
        ],
        [],
    ]


def test_childs_session_has_what_was_set(connected):
    query(connected, "rollback; set app.who = 'me'")
    assert in_child(lambda: query(connected, "show app.who").iloc[0, 0]) == "me"


@pytest.mark.parametrize(
    "ask",
    [
        lambda: [len(pd.read_sql("select 1 as n", session.engine()))],
        lambda: list(session.connection().execute("select 1").fetchone()),
        lambda: [1, *session.tables("nothing.*")["name"]],
        lambda: [session.load_table(pd.DataFrame({"n": [1]}), "forked", "append")],
        lambda: [len(next(session.query_db("select 1 as n", chunks=5)))],
    ],
)
def test_every_call_works_in_a_child(connected, ask):
    query(connected, "commit")
    assert in_child(ask) == [1]
    query(connected, "begin")


def _insert_in_a_block() -> list[int]:
    with session.transaction():
        session.query_db("insert into forked values (2)")
        with session.transaction():
            session.query_db("insert into forked values (3)")
    return [int(n) for n in session.query_db("select n from forked order by n")["n"]]


def test_transaction_is_the_first_call_of_a_child(connected):
    """It keeps what it wrote, whatever the parent has open."""
    query(connected, "commit")
    with connected.transaction():
        query(connected, "insert into forked values (4)")
        assert in_child(_insert_in_a_block) == [1, 2, 3]
    assert query(connected, "select n from forked order by n")["n"].tolist() == [1, 2, 3, 4]
    query(connected, "begin")


def test_session_handed_out_refused_in_a_child(connected):
    handed_out = connected.psycopg
    answer = in_child(lambda: handed_out.execute("select 1").fetchone())
    assert answer.startswith(
        "OperationalError: this session with user-alice/db belongs to the parent process"
    )
    assert "ssp.connection()" in answer
    assert handed_out.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("leave", [os._exit, sys.exit], ids=["_exit", "exit"])
@pytest.mark.parametrize("work", ["nothing", "queries", "closes", "closes what was handed out"])
def test_end_of_a_child_leaves_the_parents_session(connected, leave, work):
    handed_out = connected.psycopg
    backend = handed_out.info.backend_pid
    asks = {
        "nothing": lambda: None,
        "queries": lambda: _number_seen(1)[1],
        "closes": session.close,
        "closes what was handed out": handed_out.close,
    }
    in_child(asks[work], leave if leave is os._exit else _exit_as_python_does)
    assert _number_seen(3)[:3] == (3, 1, backend)


def _exit_as_python_does(_status: int) -> None:
    """Free all objects, as the end of the interpreter does, and exit."""
    session_module.session.connections.clear()
    forked_sessions._parents.clear()
    gc.collect()
    os._exit(0)


def test_rows_that_the_parent_reads_refused_in_a_child(connected):
    rows = chunks(connected, "select i from generate_series(1, 300000) i", size=1000)
    read = len(next(rows))
    assert in_child(lambda: len(next(rows))).startswith(ConnectionLost.__name__)
    assert in_child(rows.close, _exit_as_python_does) is None
    assert in_child(_five) == [5]
    assert read + sum(map(len, rows)) == 300_000


def test_child_forked_within_a_query_asks_its_own(connected, server):
    asking = threading.Thread(target=query, args=(connected, "select pg_sleep(0.3)"))
    pid = connected.psycopg.info.backend_pid
    asking.start()
    with psycopg.connect(**server.conninfo(), autocommit=True) as bystander:
        active = (
            "select 1 from pg_stat_activity where pid = %s and state = 'active' and query like '%%pg_sleep%%'"
        )
        while not bystander.execute(active, [pid]).fetchone():
            pass
    assert in_child(_five) == [5]
    asking.join()
    assert _number_seen(3)[:2] == (3, 1)


def test_grandchild_asks_its_own(connected):
    def ask() -> list[int]:
        return [*_five(), *in_child(_five)]

    assert in_child(ask) == [5, 5]
    assert _number_seen(3)[:2] == (3, 1)


def test_child_collects_garbage_while_a_thread_paused():
    began, over = threading.Event(), threading.Event()

    def decode() -> None:
        with collector_paused():
            began.set()
            over.wait()

    decoding = threading.Thread(target=decode)
    decoding.start()
    began.wait()
    with collector_paused():
        pass
    assert not gc.isenabled()
    assert in_child(gc.isenabled) is True
    over.set()
    decoding.join()
    assert gc.isenabled()
