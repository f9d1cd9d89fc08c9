"""Tables as Dask DataFrames: local threads on a real PostgreSQL, and worker processes on the sandbox."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import pickle
import signal
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pandas as pd
import psutil
import pytest

import sspcloud_magics as ssp
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import SspcloudError, UsageProblem
from sspcloud_magics.session import dask_frames, dask_workers, session
from tests.conftest import helper_commands
from tests.support.database import DATABASE_PATH
from tests.support.waiting import wait_until
from tests.testbed import Sandbox

if TYPE_CHECKING:
    from distributed import Client

# Dask's own threads and sockets end after the cluster is closed.
pytestmark = [pytest.mark.servers, pytest.mark.filterwarnings("ignore::ResourceWarning")]

ROWS = 20_000
TABLE = f"""
drop table if exists measured;
create table measured as select i as id, i::bigint as big, i::smallint % 7::smallint as small,
  i * 1.1 as exact, i::float8 as float, case when i % 10 = 0 then null else 'c' || i % 7 end as text,
  date '2020-01-01' + i % 500 as day, timestamp '2020-01-01' + i * interval '1 h' as moment,
  timestamptz '2020-01-01 00:00+00' + i * interval '1 h' as instant, i * interval '1 s' as span,
  time '00:00' + i * interval '1 s' as hour, (i % 2 = 0) as flag, ((i % 97) ^ 3)::int as skewed,
  md5(i::text)::uuid as uuid, i::text::bytea as bytes, jsonb_build_object('a', i) as document, array[i, i] as list,
  '10.0.0.1'::inet as host, int4range(i, i + 1) as span4, null::int as nothing
  from generate_series(1, {ROWS}) i
"""


@pytest.fixture(scope="module", autouse=True)
def dask() -> None:
    """Import Dask, which takes a second, but not in each process that collects this file."""
    pytest.importorskip("dask.dataframe")
    pytest.importorskip("distributed")


@pytest.fixture
def table(connection: DatabaseConnection, monkeypatch: pytest.MonkeyPatch) -> DatabaseConnection:
    """A table with a column of each kind, in the current connection."""
    monkeypatch.setattr(session.session, "connections", [connection])
    connection.psycopg.execute(TABLE)
    return connection


@pytest.mark.parametrize("analyzed", [False, True], ids=["values", "statistics"])
@pytest.mark.parametrize(
    "column",
    [
        "id",
        "exact",
        "float",
        "text",
        "day",
        "moment",
        "instant",
        "span",
        "hour",
        "flag",
        "skewed",
        "uuid",
        "bytes",
        "document",
        "host",
        "span4",
        "nothing",
    ],
)
def test_partitions_have_each_row_once(table, column, analyzed):
    if analyzed:
        table.psycopg.execute("analyze measured")
    frame = ssp.read_dask("measured", partition_on=column, partitions=6)
    ids = frame["id"].compute(scheduler="threads")
    assert sorted(ids) == list(range(1, ROWS + 1))


@pytest.mark.parametrize("analyzed", [False, True], ids=["values", "statistics"])
def test_partitions_have_about_one_size(table, analyzed):
    if analyzed:
        table.psycopg.execute("analyze measured")
    frame = ssp.read_dask("measured", partition_on="skewed", partitions=4)
    sizes = frame.map_partitions(len).compute(scheduler="threads")
    assert max(sizes) < ROWS / 4 * 1.5


def test_types_are_those_of_query_db(table):
    expected = ssp.query_db("select * from measured order by id")
    frame = ssp.read_dask("measured", partition_on="id", partitions=3)
    pd.testing.assert_series_equal(frame.dtypes, expected.dtypes)
    found = frame.compute(scheduler="threads").sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)


def test_settings_are_the_notebooks(table):
    ssp.query_db(
        "create schema if not exists other; create table if not exists other.elsewhere as select 1 as id, now() as at"
    )
    ssp.query_db("set search_path = other; set time zone 'Asia/Tokyo'")
    frame = ssp.read_dask("elsewhere", partition_on="id", partitions=2).compute(scheduler="threads")
    assert str(frame["at"].dtype) == "datetime64[us, Asia/Tokyo]"


@pytest.mark.parametrize("name", ["most", "fractions", "kind"])
def test_query_takes_parameters(table, name):
    frame = ssp.read_dask(
        f"select id, text from measured where id <= :{name}", {name: 100}, partition_on="id", partitions=3
    )
    assert len(frame.compute(scheduler="sync")) == 100


@pytest.mark.parametrize(
    ("sql", "column", "words"),
    [
        ("measured", "ids", "did you mean id"),
        ("delete from measured", "id", "one table or one query"),
        ("select 1 as a, 2 as a", "a", "Several columns are named 'a'"),
        ("select 1 as id; select 2 as id", "id", "one table or one query"),
    ],
)
def test_refusals_say_why(table, sql, column, words):
    with pytest.raises(UsageProblem, match=words):
        ssp.read_dask(sql, partition_on=column)


def test_arrays_are_no_partitions(table):
    with pytest.raises(UsageProblem, match="array"):
        ssp.read_dask("measured", partition_on="list")


def test_open_transaction_is_refused(table):
    with table.transaction(), pytest.raises(UsageProblem, match="transaction"):
        ssp.read_dask("measured", partition_on="id")


def test_reads_stay_within_the_room(table, monkeypatch):
    monkeypatch.setattr(dask_frames, "_count_room", lambda *_: 2)
    most = []
    run = dask_frames.query.run

    def count(connection, *given):
        most.append(len(dask_workers._reading))
        return run(connection, *given)

    monkeypatch.setattr(dask_frames.query, "run", count)
    frame = ssp.read_dask("measured", partition_on="id", partitions=12)
    assert len(frame.compute(scheduler="threads", num_workers=8)) == ROWS
    assert max(most) == 2


def test_lost_server_process_is_an_error(table):
    """A query that ends in the middle is an error, and never fewer rows."""
    slow = "select id, pg_sleep(0.0005)::text as s from measured"
    frame = ssp.read_dask(slow, partition_on="id", partitions=2)
    with (
        _run_during_reads(table, "pg_sleep(0.0005)", lambda: _end_readers(table)),
        pytest.raises(SspcloudError),
    ):
        frame.compute(scheduler="threads")


def _end_readers(table: DatabaseConnection) -> None:
    with contextlib.closing(table.copy_connection()) as side:
        side.psycopg.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(0.0005)%' and pid <> pg_backend_pid()"
        )


def test_interrupt_cancels_local_reads(table):
    frame = ssp.read_dask("select id, pg_sleep(60)::text as s from measured", partition_on="id", partitions=1)
    with (
        _run_during_reads(table, "pg_sleep(60)", lambda: os.kill(os.getpid(), signal.SIGINT)),
        pytest.raises(KeyboardInterrupt),
    ):
        frame.compute(scheduler="threads")
    wait_until(lambda: _count_readers(table, "pg_sleep(60)") == 0)


@contextlib.contextmanager
def _run_during_reads(table: DatabaseConnection, words: str, act: Callable[[], None]) -> Iterator[None]:
    """Act once, as soon as the server runs a query with these words."""

    def wait_and_act() -> None:
        wait_until(lambda: _count_readers(table, words) > 0)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    yield
    thread.join()


def _count_readers(table: DatabaseConnection, words: str) -> int:
    with contextlib.closing(table.copy_connection()) as side:
        (count,) = side.psycopg.execute(
            "select count(*) from pg_stat_activity where state = 'active' and query like %s and pid <> pg_backend_pid()",
            [f"%{words}%"],
        ).fetchone()
    return int(count)


@pytest.fixture(scope="module")
def workers(sandbox: Sandbox) -> Iterator[Client]:
    """Two worker processes on this machine, and alice's connection."""
    import distributed

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(sandbox.kubeconfig("alice")))
        patch.setenv("HOME", str(sandbox.home))
        ssp.close()
        ssp.connect_db(DATABASE_PATH)
        try:
            with (
                distributed.LocalCluster(
                    n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0"
                ) as cluster,
                distributed.Client(cluster) as client,
            ):
                yield client
        finally:
            ssp.close()


def test_workers_read_by_name(workers):
    frame = ssp.read_dask("communes", partition_on="code", partitions=5)
    expected = ssp.query_db("select * from communes order by code")
    found = frame.compute().sort_values("code", ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)
    assert workers.run(lambda: len(session.open_connections())) == dict.fromkeys(
        workers.scheduler_info()["workers"], 0
    )


def test_workers_use_the_notebooks_forward(workers):
    ssp.read_dask("communes", partition_on="code", partitions=5).compute()
    assert len(helper_commands()) == 1
    assert not any(workers.run(helper_commands).values())


@pytest.mark.timeout(300)  # with the start of the sandbox and the workers, on a busy machine
def test_worker_holds_few_partitions_in_memory(workers):
    """The collector of Python counts objects and not bytes, so that it would not run between partitions."""
    workers.run(gc.disable)
    try:
        frame = ssp.read_dask("select code, code as held from communes", partition_on="code", partitions=24)
        most = frame.map_partitions(_count_held, meta=("n", "int64")).compute().max()
    finally:
        workers.run(gc.enable)
    assert most < 10  # of the 12 of each worker: one in each thread, and those whose next task waits


def _count_held(_frame: pd.DataFrame) -> pd.Series:
    """Return the number of partitions in this process."""
    frames = [each for each in gc.get_objects() if type(each) is pd.DataFrame and len(each)]
    return pd.Series([sum("held" in each.columns for each in frames)], name="n")


def test_no_credential_leaves_the_notebook(workers, caplog):
    """Canary: neither the graph, its pickle, the dashboard nor a log has the password."""
    password = session.session.connections[-1]._login.password.reveal()
    with caplog.at_level(logging.DEBUG):
        frame = ssp.read_dask("communes", partition_on="code", partitions=3)
        graph = frame.__dask_graph__()
        seen = [repr(graph), str(pickle.dumps(frame)), repr(frame.expr), str(dict(graph))]
        frame.compute()
    with urllib.request.urlopen(
        f"{workers.dashboard_link.rpartition('/')[0]}/info/main/workers.html"
    ) as page:
        seen.append(page.read().decode())
    seen += [str(line) for lines in workers.get_worker_logs().values() for line in lines]
    seen += [str(line) for line in workers.get_scheduler_logs()]
    seen.append(caplog.text)
    assert password
    assert [text for text in seen if password in text] == []


def test_interrupted_cell_cancels_at_the_server(workers):
    """Jupyter signals the kernel's whole process group, so the workers get the signal too."""
    frame = ssp.read_dask(
        "select code, pg_sleep(60)::text as s from communes", partition_on="code", partitions=1
    )
    expected = ssp.query_db("select count(*) as n from communes")["n"][0]
    ssp.read_dask("communes", partition_on="code", partitions=8).compute()  # each worker has read
    connected = session.session.connections[-1]
    processes = [os.getpid(), *workers.run(os.getpid).values()]

    def interrupt() -> None:
        wait_until(lambda: _count_readers(connected, "pg_sleep(60)") > 0)
        for process in processes:
            os.kill(process, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        frame.compute()
    thread.join()
    wait_until(lambda: _count_readers(connected, "pg_sleep(60)") == 0)
    assert len(ssp.read_dask("communes", partition_on="code", partitions=2).compute()) == expected


def test_killed_worker_changes_no_row(workers):
    slow = "select code, pg_sleep(0.002)::text as s from communes"
    expected = sorted(ssp.query_db("select code from communes")["code"])
    frame = ssp.read_dask(slow, partition_on="code", partitions=8)
    connected = session.session.connections[-1]
    running = workers.compute(frame)
    wait_until(lambda: _count_readers(connected, "pg_sleep(0.002)") > 0)
    os.kill(next(iter(workers.run(os.getpid).values())), signal.SIGKILL)
    assert sorted(running.result(timeout=90)["code"]) == expected


def test_killed_helper_is_an_error_or_changes_nothing(workers):
    slow = "select code, pg_sleep(0.002)::text as s from communes"
    expected = sorted(ssp.query_db("select code from communes")["code"])
    frame = ssp.read_dask(slow, partition_on="code", partitions=4)
    connected = session.session.connections[-1]
    running = workers.compute(frame)
    wait_until(lambda: _count_readers(connected, "pg_sleep(0.002)") > 0)
    for child in psutil.Process().children():
        if "sspcloud_magics.tunnel" in " ".join(child.cmdline()):
            child.kill()
            child.wait()  # its sockets are closed, that of the notebook's own session too
    with contextlib.suppress(SspcloudError):
        assert sorted(running.result(timeout=90)["code"]) == expected
    again = ssp.read_dask("communes", partition_on="code", partitions=4).compute()
    assert sorted(again["code"]) == expected
