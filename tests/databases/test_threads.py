"""One connection with many threads: each gets its own rows, whatever the others query, interrupt or break."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import psycopg
import pytest
import sqlalchemy

from sspcloud_magics import session
from sspcloud_magics.databases.chunks import Chunks
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import ConnectionBusy, ConnectionLost, NotConnected, QueryFailed
from sspcloud_magics.session import session as session_module
from tests.databases.conftest import Server
from tests.databases.test_session_lock import SECONDS, interrupt
from tests.support.queries import chunks, query

THREADS = 16
ENDLESS = "select a from generate_series(1, 100000) a, generate_series(1, 100000) b"


@pytest.fixture
def bystander(server: Server):
    """Another session, for observation."""
    with psycopg.connect(**server.conninfo(), autocommit=True, options="-c lock_timeout=10s") as looking:
        yield looking


@pytest.fixture
def connected(connection, monkeypatch) -> Iterator[DatabaseConnection]:
    """The connection, as that of the Python API."""
    monkeypatch.setattr(session_module, "session", session_module.Session(connections=[connection]))
    yield connection
    session_module.session.connections.clear()


@contextlib.contextmanager
def run_on_thread(work: Callable[[], object]) -> Iterator[threading.Thread]:
    """Run something on a thread as long as the block runs, and wait for its end."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def tables(bystander):
    """The tables and files that the calls read and write."""
    bystander.execute("drop schema if exists threads cascade; create schema threads")
    bystander.execute(
        "create table threads.numbers as select i, md5(i::text) as m from generate_series(1, 3000) i"
    )
    bystander.execute("create table threads.kept (thread int, n int)")
    yield
    bystander.execute("drop schema threads cascade")


def is_busy(error: BaseException | None) -> bool:
    """Whether another thread reads in chunks: SQLAlchemy and pandas wrap that error."""
    return error is not None and (isinstance(error, ConnectionBusy) or is_busy(error.__cause__))


class Calls:
    """All kinds of calls, each with its expected result.

    Parameters
    ----------
    number
        The thread's.
    folder
        Where it may write.
    """

    def __init__(self, number: int, folder: Path) -> None:
        self._number = number
        self._count = itertools.count(1)
        self._file = folder / f"{number}"

    def _mine(self) -> int:
        return self._number * 100_000 + next(self._count)

    def query(self) -> None:
        n = self._mine()
        assert session.query_db(f"select {n} as a, :b::int as b", {"b": n})["a"].tolist() == [n]

    def many_rows(self) -> None:
        n = self._mine()
        frame = session.query_db(f"select i, m, {n} as mine from threads.numbers order by i")
        assert (len(frame), set(frame["mine"])) == (3000, {n})

    def fail(self) -> None:
        with pytest.raises(QueryFailed, match="division"):
            session.query_db("select 1 / 0")

    def time_out(self) -> None:
        with pytest.raises(QueryFailed, match="after its timeout"):
            session.query_db("select pg_sleep(30)", timeout=0.01)

    def read_chunks(self) -> None:
        n = self._mine()
        with session.query_db(f"select i + {n} as i from threads.numbers order by i", chunks=1000) as rows:
            assert [i for each in rows for i in each["i"]] == list(range(n + 1, n + 3001))

    def table(self) -> None:
        name = f"threads.t{self._number}"
        n = self._mine()
        assert session.load_table(pd.DataFrame({"n": [n, 2]}), name, "replace") == 2
        assert session.query_db(f"select n from {name}")["n"].tolist() == [n, 2]

    def describe(self) -> None:
        assert session.describe_table("threads.numbers").columns["name"].tolist() == ["i", "m"]
        assert "numbers" in set(session.tables("threads.*")["name"])

    def export(self) -> None:
        n = self._mine()
        done = session.query_db(
            f"select {n} as n from threads.numbers", to=f"{self._file}.csv", overwrite=True
        )
        assert done.rows == 3000
        assert set(pd.read_csv(done.file)["n"]) == {n}

    def copy(self) -> None:
        n = self._mine()
        Path(f"{self._file}.in").write_text(f"{self._number}\t{-n}\n")
        result = session.query_db("copy threads.kept from stdin", from_=f"{self._file}.in")
        assert result.statements[0].rows == 1

    def commit(self) -> None:
        with session.transaction():
            session.query_db(f"insert into threads.kept values ({self._number}, {self._mine()})")
            session.query_db(f"insert into threads.kept values ({self._number}, {self._mine()})")

    def roll_back(self) -> None:
        with contextlib.suppress(KeyError), session.transaction():
            session.query_db(f"insert into threads.kept values ({self._number}, 0)")
            raise KeyError

    def by_psycopg(self) -> None:
        n = self._mine()
        with session.connection().cursor() as cursor:
            assert cursor.execute("select %s::int, m from threads.numbers", [n]).fetchone()[0] == n

    def by_sqlalchemy(self) -> None:
        n = self._mine()
        frame = pd.read_sql(f"select {n} as n from threads.numbers", session.engine())
        assert set(frame["n"]) == {n}
        with session.engine().begin() as conn:
            conn.execute(sqlalchemy.text(f"insert into threads.kept values ({self._number}, {self._mine()})"))

    def query_side_session(self) -> None:
        n = self._mine()
        with session.open_side_session("db") as other:
            assert query(other, f"select {n} as n")["n"].tolist() == [n]

    def retry_while_busy(self, call: Callable[[], None]) -> None:
        """Make a call, and repeat it as long as another thread reads in chunks."""
        while True:
            try:
                call()
            except Exception as error:
                if not is_busy(error):
                    raise
                continue
            return


KINDS = [name for name in vars(Calls) if not name.startswith("_") and name != "retry_while_busy"]


def test_sixteen_threads_with_all_kinds_of_call(connected, bystander, tables, tmp_path):
    wrong: list[BaseException] = []

    def work(number: int) -> None:
        calls = Calls(number, tmp_path)
        order = KINDS * 2
        random.Random(number).shuffle(order)
        try:
            for kind in order:
                calls.retry_while_busy(getattr(calls, kind))
        except BaseException as error:  # noqa: BLE001 - the test tells it
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20 * SECONDS)
        assert not thread.is_alive()
    assert wrong == []
    assert not connected.in_transaction
    counts = bystander.execute(
        "select count(*) filter (where n > 0), count(*) filter (where n < 0), count(*) filter (where n = 0) from threads.kept"
    ).fetchone()
    assert counts == (THREADS * 2 * 3, THREADS * 2, 0)


class Interrupts:
    """Ctrl-C from another thread, which counts while calls are made."""

    def __init__(self) -> None:
        self.count = 0
        self._counts = False

    def _raise(self, _signal: int, _frame: object) -> None:
        if self._counts:
            self._counts = False
            self.count += 1
            raise KeyboardInterrupt

    def call_interruptible(self, call: Callable[[], None]) -> None:
        """Make a call, which an interrupt may end."""
        try:
            self._counts = True
            call()
            self._counts = False
        except KeyboardInterrupt:
            pass

    @contextlib.contextmanager
    def send_interrupts(self) -> Iterator[None]:
        before = signal.signal(signal.SIGINT, self._raise)
        over = threading.Event()
        draw = random.Random(3)

        def press() -> None:
            while not over.wait(draw.random() / 20):
                os.kill(os.getpid(), signal.SIGINT)

        with run_on_thread(press):
            try:
                yield
            finally:
                over.set()
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends SIGINT to the whole console")
# Python drops an interruption that comes in the callback of a weak reference.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupts_leave_the_other_threads_their_rows(connected, bystander, tables, tmp_path):
    wrong: list[BaseException] = []
    mine = Calls(0, tmp_path)
    kinds = [
        "read_chunks",
        "many_rows",
        "query",
        "roll_back",
        "by_psycopg",
        "describe",
        "table",
        "by_sqlalchemy",
    ]
    for kind in kinds:  # what is imported at first use is
        getattr(mine, kind)()
    began = bystander.execute("select count(*) from threads.kept").fetchone()[0]

    def work(number: int) -> None:
        calls = Calls(number, tmp_path)
        try:
            for kind in ("query", "many_rows", "fail", "commit", "table") * 3:
                calls.retry_while_busy(getattr(calls, kind))
        except BaseException as error:  # noqa: BLE001 - the test tells it
            wrong.append(error)

    interrupts = Interrupts()
    draw = random.Random(5)
    with interrupts.send_interrupts(), ThreadPoolExecutor(THREADS - 1) as pool:
        others = [pool.submit(work, number) for number in range(1, THREADS)]
        while interrupts.count < 40 or not all(each.done() for each in others):
            call = getattr(mine, draw.choice(kinds))
            interrupts.call_interruptible(lambda call=call: mine.retry_while_busy(call))
    assert wrong == []
    assert not connected.in_transaction
    assert query(connected, "select 1 as one")["one"].tolist() == [1]
    counts = bystander.execute(
        "select count(*) filter (where thread > 0), count(*) filter (where n = 0) from threads.kept"
    ).fetchone()
    assert counts == ((THREADS - 1) * 3 * 2, 0)
    assert began == 1


# ------------------------------------------------------------------ one case at a time


def test_wait_for_a_turn_can_be_interrupted(connected):
    begun, over = threading.Event(), threading.Event()

    def slow() -> None:
        with connected.turn:
            begun.set()
            over.wait(SECONDS)

    waits = threading.Event()
    connected.turn._refuse = lambda _seconds: waits.set()  # it is called while a thread waits
    raised: list[bool] = []

    def ask() -> None:
        try:
            session.query_db("select 1")
        except KeyboardInterrupt:
            raised.append(not over.is_set())

    with run_on_thread(slow):
        assert begun.wait(SECONDS)
        with run_on_thread(ask) as asking:
            assert waits.wait(SECONDS)
            interrupt(asking)
        over.set()
    assert raised == [True]
    assert session.query_db("select 1 as one")["one"].tolist() == [1]


def test_block_is_one_turn(connected, bystander, tables):
    inside, joined = threading.Event(), threading.Event()

    def other() -> None:
        inside.wait(SECONDS)
        session.query_db("insert into threads.kept values (2, 2)")
        joined.set()

    with run_on_thread(other):
        with contextlib.suppress(KeyError), session.transaction():
            session.query_db("insert into threads.kept values (1, 1)")
            inside.set()
            session.query_db("insert into threads.kept values (1, 1)")
            raise KeyError
        assert joined.wait(SECONDS)
    assert bystander.execute("select thread, n from threads.kept").fetchall() == [(2, 2)]


def test_block_that_waits_for_its_workers_is_told(connected, bystander, tables):
    connected.patience = 0.0

    def wait_for_a_worker() -> None:
        with session.transaction(), ThreadPoolExecutor(1) as pool:
            pool.submit(session.query_db, "select 1").result()

    with pytest.raises(ConnectionBusy, match="Another thread has a transaction open") as raised:
        wait_for_a_worker()
    assert "thread that began it" in raised.value.hint
    assert not connected.in_transaction


def test_chunks_refuse_queries_of_other_threads(connected):
    refused: list[str] = []

    def ask() -> None:
        try:
            session.query_db("select 1")
        except ConnectionBusy as error:
            refused.append(error.hint)

    with session.query_db(ENDLESS, chunks=10) as rows:
        with run_on_thread(ask):
            pass
        assert len(next(rows)) == 10
    assert "chunks.close()" in refused[0]
    assert session.query_db("select 1 as one")["one"].tolist() == [1]


def test_rows_here_are_read_before_another_query(connected, tables):
    """All rows of a small result arrive with the first chunk, but their reader still blocks the session."""
    with chunks(connected, "select i from threads.numbers", size=100) as mine:
        read = len(next(mine))
        for ask in ("select 1", "begin", "insert into threads.kept values (1, 1)"):
            with pytest.raises(ConnectionBusy, match="read in chunks"):
                query(connected, ask)
        with pytest.raises(ConnectionBusy, match="read in chunks"), connected.transaction():
            pass
        with pytest.raises(ConnectionBusy, match="read in chunks"):
            chunks(connected, "select 0 as i from threads.numbers", size=100)
        assert read + sum(len(each) for each in mine) == 3000
    assert query(connected, "select count(*) as n from threads.kept")["n"][0] == 0


def test_rows_given_up_by_others_are_told(connected, tables):
    with connected.transaction():
        mine = chunks(connected, "select i from threads.numbers", size=100)
        next(mine)
    with pytest.raises(QueryFailed, match="ended after 100"):
        next(mine)
    mine.close()
    assert list(mine) == []


def test_threads_share_the_chunks_of_one_query(connected):
    rows = chunks(connected, "select i from generate_series(1, 40000) i", size=100)
    read: list[int] = []

    def take() -> None:
        for chunk in rows:
            read.extend(chunk["i"])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert sorted(read) == list(range(1, 40001))


def test_chunks_forgotten_on_another_thread_end(connected):
    rows = [chunks(connected, ENDLESS, size=10)]
    with run_on_thread(rows.clear):
        pass
    assert session.query_db("select 1 as one")["one"].tolist() == [1]


def test_chunks_forgotten_while_the_turn_is_taken_end(connected):
    rows = [chunks(connected, ENDLESS, size=10)]
    with connected.turn:
        with run_on_thread(rows.clear):  # it does not wait
            pass
        assert session.query_db("select 1 as one")["one"].tolist() == [1]


def test_chunks_end_if_their_destructor_is_interrupted(connected, monkeypatch):
    rows = [chunks(connected, ENDLESS, size=10)]
    monkeypatch.delattr(Chunks, "__del__")
    rows.clear()
    assert session.query_db("select 1 as one")["one"].tolist() == [1]


def test_query_out_of_progress_is_refused(connected):
    asked: list[str] = []

    def progress(*_: object) -> None:
        if asked:
            return
        with pytest.raises(ConnectionBusy, match="in this thread") as raised:
            session.query_db("select 1")
        asked.append(raised.value.hint)

    frame = session.query_db("select i from generate_series(1, 100000) i", progress=progress)
    assert len(frame) == 100_000
    assert asked


def test_close_ends_the_query_of_another_thread(connected, bystander):
    pid = connected.psycopg.info.backend_pid
    ended: list[BaseException] = []

    def ask() -> None:
        try:
            session.query_db("select pg_sleep(600)")
        except (ConnectionLost, NotConnected) as error:
            ended.append(error)

    with run_on_thread(ask):
        active = (
            "select 1 from pg_stat_activity where pid = %s and state = 'active' and query like '%%pg_sleep%%'"
        )
        while not bystander.execute(active, [pid]).fetchone():
            pass
        connected.close()
    assert len(ended) == 1
    with pytest.raises(NotConnected):
        connected.ready()


@pytest.mark.parametrize("left", ["a query", "a description", "a load", "a COPY to us"])
def test_what_an_interruption_left_under_way_is_ended(connected, left):
    pgconn = connected.psycopg.pgconn
    if left == "a query":
        pgconn.send_query(ENDLESS.encode())
    elif left.startswith("a load"):
        pgconn.exec_(b"create temp table loaded (n int)")
        assert pgconn.exec_(b"copy loaded from stdin").status == psycopg.pq.ExecStatus.COPY_IN
    elif left.startswith("a COPY"):
        assert pgconn.exec_(b"copy pg_class to stdout").status == psycopg.pq.ExecStatus.COPY_OUT
    else:
        pgconn.enter_pipeline_mode()
        pgconn.send_prepare(b"", b"select 1")
    assert session.query_db("select 1 as one")["one"].tolist() == [1]


def test_rows_streamed_by_psycopg_are_not_disturbed(connected):
    with session.connection().cursor() as cursor:
        rows = cursor.stream("select i from generate_series(1, 1000) i")
        assert next(rows) == (1,)
        with pytest.raises(ConnectionBusy, match="in this thread"):
            session.query_db("select 1")
        assert len(list(rows)) == 999
    assert session.query_db("select 1 as one")["one"].tolist() == [1]
