"""Sessions with a real MariaDB: interruptions, time limits, threads, forks, transactions, losses."""

from __future__ import annotations

import _thread
import os
import threading

import pytest

from sspcloud_magics.databases.mariadb import kind
from sspcloud_magics.databases.mariadb.query import run
from sspcloud_magics.databases.query_options import Output, QueryOptions
from sspcloud_magics.errors import ConnectionBusy, ConnectionLost, LoginRefused, NotConnected, QueryFailed
from tests.support.mariadb_servers import start_mariadb
from tests.support.waiting import wait_until

SLOW = "select sleep(600) as s"
ENDLESS = "select a.seq from seq_1_to_1000000 a, seq_1_to_1000000 b"


def list_running(server) -> list[str]:
    with server.connect() as root, root.cursor() as cursor:
        cursor.execute("select info from information_schema.processlist where command = 'Query'")
        return [str(row[0]) for row in cursor.fetchall() if "processlist" not in str(row[0])]


@pytest.mark.parametrize("sql", [SLOW, ENDLESS])
def test_interruption_cancels_on_the_server(connection, server, sql):
    run(connection, "create temporary table kept (a int); begin; insert into kept values (1)")

    def interrupt() -> None:
        wait_until(lambda: any(sql in each for each in list_running(server)))
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(connection, sql)
    thread.join()
    assert wait_until(lambda: not any(sql in each for each in list_running(server)))
    assert run(connection, "select a from kept").frame["a"].tolist() == [1]
    assert connection.in_transaction


def test_timeout(connection):
    with pytest.raises(QueryFailed, match=r"its timeout of 0\.3 s"):
        run(connection, "select seq, sleep(0.1) from seq_1_to_1000", options=QueryOptions(timeout=0.3))
    assert run(connection, "select 1 as a").frame["a"].tolist() == [1]


def test_chunks_end_early(connection, server):
    with kind.run(connection, ENDLESS, None, QueryOptions(), Output(chunks=10)) as chunks:
        assert len(next(chunks)) == 10
        with pytest.raises(ConnectionBusy):
            run(connection, "select 1")
    assert run(connection, "select 1 as a").frame["a"].tolist() == [1]
    assert ENDLESS not in list_running(server)


def test_progress_is_reported(connection):
    seen = []
    run(
        connection,
        "select seq from seq_1_to_50000",
        options=QueryOptions(progress=lambda *now: seen.append(now[0])),
    )
    assert seen[-1] == 50_000
    assert len(seen) == 5


def test_threads_take_turns(connection):
    errors = []

    def work(number: int) -> None:
        try:
            for _round in range(20):
                assert run(connection, "select :n as n", {"n": number}).frame["n"][0] == number
                with connection.session.cursor() as cursor:
                    cursor.execute(f"select {number}")
                    assert cursor.fetchone() == (number,)
        except BaseException as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors


def test_own_object_has_its_conversions(connection):
    with connection.session.cursor() as cursor:
        cursor.execute("select 1, %s", (2,))
        assert cursor.fetchone() == (1, 2)


def test_transaction_block(connection):
    run(connection, "create or replace table blocks (a int)")
    with connection.transaction():
        run(connection, "insert into blocks values (1)")
        with pytest.raises(ZeroDivisionError), connection.transaction():  # noqa: PT012 - the block fails
            run(connection, "insert into blocks values (2)")
            raise ZeroDivisionError
    assert run(connection, "select a from blocks").frame["a"].tolist() == [1]
    with pytest.raises(ZeroDivisionError), connection.transaction():  # noqa: PT012 - the block fails
        run(connection, "insert into blocks values (3)")
        raise ZeroDivisionError
    assert run(connection, "select a from blocks").frame["a"].tolist() == [1]
    assert not connection.in_transaction
    with pytest.raises(QueryFailed, match="ended its transaction"), connection.transaction():
        run(connection, "create or replace table other (a int)")


def test_open_transaction_is_noted(connection):
    assert "A transaction is open" in run(connection, "begin").notes[0]
    run(connection, "rollback")


def test_lost_session_is_replaced(connection, server):
    first = connection.session.thread_id()
    with server.connect() as root:
        root.query(f"kill connection {first}")
    wait_until(lambda: run(connection, "select connection_id() as i").frame["i"][0] != first)


def test_lost_transaction_is_reported(connection, server):
    run(connection, "begin")
    with server.connect() as root:
        root.query(f"kill connection {connection.session.thread_id()}")
        wait_until(lambda: len(list_running(server)) == 0)
    with pytest.raises(ConnectionLost, match="rolled back"):
        run(connection, "select 1")
    assert "replaces it" in run(connection, "select 1").notes[0]


def test_lost_during_a_query(connection, server):
    first = connection.session.thread_id()

    def end() -> None:
        wait_until(lambda: SLOW in list_running(server))
        with server.connect() as root:
            root.query(f"kill connection {first}")

    thread = threading.Thread(target=end)
    thread.start()
    with pytest.raises(ConnectionLost):
        run(connection, SLOW)
    thread.join()
    assert run(connection, "select 1 as a").frame["a"].tolist() == [1]


def test_child_has_its_own_session(connection):
    mine = int(run(connection, "select connection_id() as i").frame["i"][0])
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = run(connection, "select connection_id() as i")
            os.write(writes, f"{found.frame['i'][0]} {found.notes[0][:12]}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    said = os.read(reads, 1000).decode()
    os.close(reads)
    os.close(writes)
    assert said.split()[0] not in ("", str(mine))
    assert "This process" in said
    assert int(run(connection, "select connection_id() as i").frame["i"][0]) == mine


def test_close_ends_the_session(connection, server):
    own = connection.session.thread_id()
    connection.close()
    connection.close()
    with pytest.raises(NotConnected):
        run(connection, "select 1")
    with server.connect() as root, root.cursor() as cursor:

        def is_gone() -> bool:
            cursor.execute("select count(*) from information_schema.processlist where id = %s", (own,))
            return cursor.fetchone() == (0,)

        wait_until(is_gone)


def test_wrong_password_is_refused(connect):
    with pytest.raises(LoginRefused) as caught:
        connect(password="wrong-and-secret")
    assert "wrong-and-secret" not in str(caught.value)


def test_time_zone_is_set(connection):
    connection.apply_defaults(None, "+02:00")
    assert run(connection, "select @@time_zone as z").frame["z"][0] == "+02:00"
    connection.apply_defaults(None, "Nowhere/Land")
    assert "refuses the time zone" in run(connection, "select 1").notes[0]
    connection.apply_defaults(None, None)
    assert run(connection, "select @@time_zone as z").frame["z"][0] == "+00:00"


def test_engine_reads_with_pandas(connection):
    import pandas as pd

    engine = kind.engine(connection)
    pd.DataFrame({"a": [1, 2]}).to_sql("by_pandas", engine, index=False, if_exists="replace")
    assert pd.read_sql("select a from by_pandas", engine)["a"].tolist() == [1, 2]
    with engine.connect() as lent:
        made = lent.connection.dbapi_connection.owner
    engine.dispose()
    assert made.closed


def test_plan_is_a_table(connection):
    assert "possible_keys" in run(connection, kind.explain("select 1")).frame.columns


def test_second_interruption_leaves_no_reader(connection, monkeypatch):
    """The connection is lost then: no query may read the rows of the interrupted one."""
    first = connection.session.thread_id()

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(connection, "cancel", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(connection, "select sleep(20) as s", options=QueryOptions(timeout=0.1))
    monkeypatch.undo()
    found = run(connection, "select connection_id() as i")
    assert found.frame["i"][0] != first
    assert "replaces it" in found.notes[0]


def test_servers_keep_their_temporary_tables(server):
    """A server that starts deletes all temporary tables in its directory for them."""
    with server.connect(database="defaultdb") as root, root.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE kept (n int) ENGINE=Aria")
        with start_mariadb():
            cursor.execute("DROP TEMPORARY TABLE kept")
