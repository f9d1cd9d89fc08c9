"""SQLAlchemy's guarantees in a shared session; every test also runs on a plain engine."""

from __future__ import annotations

import threading

import pandas as pd
import psycopg
import pytest
import sqlalchemy
from sqlalchemy import text

from sspcloud_magics.databases.postgres.transfer.sqlalchemy_engine import engine
from sspcloud_magics.errors import ConnectionBusy
from tests.databases.conftest import Server
from tests.support.queries import chunks, query


@pytest.fixture
def bystander(server: Server):
    """Another session, for observation."""
    with psycopg.connect(**server.conninfo(), autocommit=True) as session:
        yield session


@pytest.fixture
def plain(server: Server):
    """A plain SQLAlchemy engine, with a session for each connection."""
    made = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(**server.conninfo()), use_native_hstore=False
    )
    yield made
    made.dispose()


@pytest.fixture(params=["ours", "plain"])
def either(request, connection, plain):
    """The package's engine, and a plain one as the oracle."""
    return engine(connection) if request.param == "ours" else plain


@pytest.fixture
def ledger(bystander):
    """A table that all sessions see."""
    bystander.execute(
        "drop table if exists ledger; create table ledger (n int unique deferrable initially deferred)"
    )
    yield "ledger"
    bystander.execute("drop table if exists ledger")


def fail_after_inserting(n: int, block, conn=None) -> None:
    """Fail in the middle of a block, as a cell does."""
    with block as begun:
        (conn or begun).execute(INSERT, {"n": n})
        raise KeyError


def numbers(bystander) -> list[int]:
    return [n for (n,) in bystander.execute("select n from ledger order by n")]


INSERT = text("insert into ledger values (:n)")


def test_block_that_fails_leaves_nothing(either, bystander, ledger):
    with pytest.raises(KeyError):
        fail_after_inserting(1, either.begin())
    assert numbers(bystander) == []


def test_block_commits_at_its_end_and_not_before(either, bystander, ledger):
    with either.begin() as conn:
        conn.execute(INSERT, {"n": 1})
        assert numbers(bystander) == []
    assert numbers(bystander) == [1]


def test_closing_without_commit_keeps_nothing(either, bystander, ledger):
    with either.connect() as conn:
        conn.execute(INSERT, {"n": 1})
        conn.commit()
        conn.execute(INSERT, {"n": 2})
    assert numbers(bystander) == [1]


def test_nested_block_is_a_savepoint(either, bystander, ledger):
    with either.begin() as conn:
        conn.execute(INSERT, {"n": 1})
        with pytest.raises(KeyError):
            fail_after_inserting(2, conn.begin_nested(), conn)
        with conn.begin_nested():
            conn.execute(INSERT, {"n": 3})
    assert numbers(bystander) == [1, 3]


def test_autocommit_keeps_each_statement(either, bystander, ledger):
    with either.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(INSERT, {"n": 1})
        assert numbers(bystander) == [1]
    assert numbers(bystander) == [1]


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED"])
def test_isolation_level_is_that_of_the_transaction(either, level):
    with either.connect().execution_options(isolation_level=level) as conn:
        assert conn.execute(text("show transaction_isolation")).scalar_one() == level.lower()
        assert conn.get_isolation_level() == level


def test_repeatable_read_sees_one_snapshot(either, bystander, ledger):
    with either.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
        assert conn.execute(text("select count(*) from ledger")).scalar_one() == 0
        bystander.execute("insert into ledger values (1)")
        assert conn.execute(text("select count(*) from ledger")).scalar_one() == 0


def test_constraint_of_commit_an_error_of_sqlalchemy(either, bystander, ledger):
    with pytest.raises(sqlalchemy.exc.IntegrityError), either.begin() as conn:
        conn.execute(INSERT, [{"n": 1}, {"n": 1}])
    assert numbers(bystander) == []


def test_server_side_cursor_reads_all_rows(either):
    with either.connect().execution_options(stream_results=True, yield_per=100) as conn:
        found = conn.execute(text("select i from generate_series(1, 1000) i"))
        assert sum(row.i for row in found) == 500_500


def test_replace_that_fails_leaves_the_table(either, bystander, ledger):
    bystander.execute("insert into ledger values (1)")
    wrong = pd.DataFrame({"n": [1, {"a": object()}]})
    with pytest.raises(pd.errors.DatabaseError), either.begin() as conn:
        wrong.to_sql("ledger", conn, if_exists="replace", index=False)
    assert numbers(bystander) == [1]


@pytest.mark.parametrize("rows", [[1, "x"], [1, {"a": {2}}]])
def test_pandas_replace_that_fails_leaves_the_table(connection, bystander, ledger, rows):
    bystander.execute("insert into ledger values (1)")
    frame = pd.DataFrame({"n": pd.Series(rows, dtype=object)})
    types = {"n": sqlalchemy.Integer()}
    with pytest.raises(pd.errors.DatabaseError):
        frame.to_sql("ledger", engine(connection), if_exists="replace", index=False, dtype=types)
    assert numbers(bystander) == [1]
    assert not connection.in_transaction


def test_writing_between_chunks_that_are_read_is_kept(connection, bystander, ledger):
    shared = engine(connection)
    for chunk in pd.read_sql("select i as n from generate_series(1, 30) i", shared, chunksize=10):
        chunk.to_sql("ledger", shared, if_exists="append", index=False)
    assert numbers(bystander) == list(range(1, 31))


# ------------------------------------------------------------------ in a transaction of the user's


def test_block_in_a_transaction_is_a_savepoint(connection, bystander, ledger):
    shared = engine(connection)
    query(connection, "begin; insert into ledger values (1)")
    with pytest.raises(KeyError):
        fail_after_inserting(2, shared.begin())
    with shared.begin() as conn:
        conn.execute(INSERT, {"n": 3})
    assert query(connection, "select n from ledger order by n")["n"].tolist() == [1, 3]
    assert numbers(bystander) == []
    query(connection, "commit")
    assert numbers(bystander) == [1, 3]


def test_query_that_fails_leaves_the_users_transaction(connection, bystander, ledger):
    query(connection, "begin; insert into ledger values (1)")
    with pytest.raises(pd.errors.DatabaseError, match="nowhere"):
        pd.read_sql("select * from nowhere", engine(connection))
    query(connection, "commit")
    assert numbers(bystander) == [1]


def test_commit_by_hand_is_not_taken_back(connection, bystander, ledger):
    with engine(connection).connect() as conn:
        conn.execute(INSERT, {"n": 1})
        query(connection, "commit; begin; insert into ledger values (2)")
    assert connection.in_transaction
    query(connection, "commit")
    assert numbers(bystander) == [1, 2]


def test_transaction_within_sqlalchemys_is_refused(connection, ledger):
    shared = engine(connection)
    with shared.connect() as conn:
        conn.execute(INSERT, {"n": 1})
        with pytest.raises(ConnectionBusy, match="SQLAlchemy"), shared.begin() as other:
            other.execute(INSERT, {"n": 2})
        with pytest.raises(ConnectionBusy, match="SQLAlchemy"), connection.transaction():
            pass
        assert pd.read_sql("select n from ledger", shared)["n"].tolist() == [1]
    assert query(connection, "select n from ledger")["n"].tolist() == []


def test_transactions_of_threads_follow_one_another(connection, bystander, ledger):
    shared = engine(connection)

    def work(first: int) -> None:
        for n in range(first, first + 10):
            with shared.begin() as conn:
                conn.execute(INSERT, {"n": n})
                seen = conn.execute(text("select count(*) from ledger where n >= 1000")).scalar_one()
                assert seen == 0
                if n % 2:
                    conn.execute(INSERT, {"n": n + 1000})
                    conn.rollback()

    threads = [threading.Thread(target=work, args=(10 * k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(bystander) == list(range(0, 80, 2))


# ------------------------------------------------------------------ plans


CHANGES = {
    "alter table": ["alter table ledger add column if not exists more{} int"],
    "deallocate": ["deallocate all"],
    "search_path": ["create schema if not exists other; create table if not exists other.ledger (x text)"]
    + ["set search_path to other", "set search_path to public"] * 4,
}


@pytest.mark.parametrize("kind", CHANGES)
def test_plans_survive_what_changes_between_queries(connection, bystander, ledger, kind):
    shared = engine(connection)
    steps = CHANGES[kind]
    for number in range(9):
        query(connection, steps[number % len(steps)].format(number))
        by_pandas = pd.read_sql("select * from ledger", shared)
        by_psycopg = connection.psycopg.execute("select * from ledger where %s", [True]).description
        ours = query(connection, "select * from ledger")
        in_chunks = next(chunks(connection, "select * from ledger", size=10))
        expected = list(ours.columns)
        assert (
            list(by_pandas.columns)
            == expected
            == [column.name for column in by_psycopg]
            == list(in_chunks.columns)
        )
    bystander.execute("drop schema if exists other cascade")


def test_savepoint_can_be_rolled_back_many_times(connection, bystander, ledger):
    with connection.transaction():
        for n in range(12):
            with pytest.raises(KeyError):
                fail_after_inserting(n, engine(connection).begin())
    assert numbers(bystander) == []


@pytest.mark.parametrize("within", ["alone", "a transaction"])
def test_query_gives_the_columns_that_there_are_now(connection, bystander, within):
    bystander.execute(
        "drop table if exists changing; create table changing as select i as n from generate_series(1, 9000) i"
    )
    sql = "select * from changing where n > 0"
    if within == "a transaction":
        query(connection, "begin")
    for _ in range(2):
        query(connection, sql)
    alter = "alter table changing add column spans int4range default '[1,5)'"
    if within == "a transaction":
        connection.psycopg.execute(alter)
    else:
        bystander.execute(alter)
    frame = query(connection, sql)
    assert frame["n"].tolist() == list(range(1, 9001))
    assert set(frame["spans"].astype(str)) == {"[1, 5)"}
    query(connection, "rollback")
    bystander.execute("drop table changing")
