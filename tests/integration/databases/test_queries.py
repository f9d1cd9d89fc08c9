"""Queries through a tunnel, on any cluster: large results, interruption, many sessions."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pandas as pd
import pytest

from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.databases.postgres.query import run
from sspcloud_magics.errors import ConnectionLost, LoginRefused, QueryFailed
from sspcloud_magics.forwards.manager import ForwardManager
from sspcloud_magics.secret import Secret
from tests.support.queries import connect, query

MILLION = 1_000_000

# A table that the server computes: every type that a statistician uses, and NULL.
TABLE = f"""
    select i::int as number, (i::bigint * 2654435761) % 4294967296 as hashed,
    case when i % 7 <> 0 then i % 1000 end as small, (i % 10007) / 8.0::float8 as eighth, (i / 100.0)::numeric(12, 2) as amount,
    timestamptz '2020-01-01 00:00:00+00' + i * interval '1 second' as instant, date '1970-01-01' + i % 20000 as day,
    i % 3 = 0 as flag, 'région ' || i % 13 as region, case when i % 5 <> 0 then md5(i::text) end as digest,
    jsonb_build_object('n', i) as document, (i % 97)::smallint as tiny
    from generate_series(1, {MILLION}) as i
"""


@pytest.fixture(scope="module")
def manager():
    made = ForwardManager()
    yield made
    made.close()


@pytest.fixture(scope="module")
def cluster(testbed):
    found = find_cluster(
        kubeconfig=str(testbed.kubeconfig), context=testbed.context, namespace=testbed.namespace
    )
    yield found
    found.close()


@pytest.fixture
def open_to(testbed, cluster, manager):
    """Connect to the testbed's database, by default with the correct password."""
    opened = []
    postgres = testbed.postgres

    def open_(password: str | None = None):
        url = Secret(
            f"postgresql://{postgres.user}@host/{postgres.database}?password={password or postgres.password.reveal()}"
        )
        opened.append(connect(cluster, manager, postgres.service, url=url))
        return opened[-1]

    yield open_
    for connection in opened:
        connection.close()


@pytest.fixture
def connection(open_to):
    return open_to()


def test_million_rows_match_the_servers_checksums(connection):
    frame = query(connection, TABLE)
    sums = query(
        connection,
        f"""select count(*) as rows, sum(number)::bigint as number, sum(hashed)::bigint as hashed, sum(small)::bigint as small,
        count(small) as smalls, sum(eighth) as eighth, sum(amount)::float8 as amount,
        sum(extract(epoch from instant)::bigint)::bigint as instant, sum(day - date '1970-01-01')::bigint as day,
        count(*) filter (where flag) as flags, md5(string_agg(region, ',' order by number)) as region,
        md5(string_agg(digest, '' order by number)) as digest, count(digest) as digests,
        sum((document ->> 'n')::bigint)::bigint as document, sum(tiny)::bigint as tiny from ({TABLE}) as t""",
    ).iloc[0]
    assert len(frame) == sums["rows"] == MILLION
    assert frame["number"].sum() == sums["number"]
    assert frame["hashed"].sum() == sums["hashed"]
    assert (frame["small"].sum(), frame["small"].count()) == (sums["small"], sums["smalls"])
    assert frame["eighth"].sum() == sums["eighth"]
    assert np.isclose(frame["amount"].sum(), sums["amount"], rtol=1e-12)
    assert (frame["instant"].astype("int64") // 10**6).sum() == sums["instant"]
    assert (frame["day"] - pd.Timestamp("1970-01-01")).dt.days.sum() == sums["day"]
    assert frame["flag"].sum() == sums["flags"]
    assert _md5(",".join(frame["region"])) == sums["region"]
    assert _md5("".join(frame["digest"].dropna())) == sums["digest"]
    assert frame["digest"].count() == sums["digests"]
    assert sum(document["n"] for document in frame["document"]) == sums["document"]
    assert frame["tiny"].astype("int64").sum() == sums["tiny"]
    assert str(frame["instant"].dtype).startswith("datetime64[us, ")


def _md5(text: str) -> str:
    import hashlib

    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_an_interruption_cancels_on_the_server(connection, open_to):
    pid, onlooker = connection.psycopg.info.backend_pid, open_to()
    state = "select count(*) as n from pg_stat_activity where pid = :pid and state = 'active' and query like '%pg_sleep%'"

    def interrupt_once_it_runs() -> None:
        while not query(onlooker, state, {"pid": pid})["n"].iloc[0]:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt_once_it_runs)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        query(connection, "select pg_sleep(600)")
    watcher.join()
    assert query(onlooker, state, {"pid": pid})["n"].tolist() == [0]
    assert connection.psycopg.info.backend_pid == pid
    assert query(connection, "select :a + 1 as b", {"a": 1})["b"].tolist() == [2]


def test_sessions_come_and_go_through_one_forward(open_to, manager):
    first = open_to()
    for number in range(50):
        another = open_to()
        assert query(another, "select :n as n", {"n": number})["n"].tolist() == [number]
        another.close()
    assert len(manager.forwards()) == 1
    assert query(first, "select 1 as a")["a"].tolist() == [1]


def test_a_session_that_the_server_ends_comes_back(connection, open_to):
    onlooker = open_to()
    query(onlooker, "select pg_terminate_backend(:pid, 10000)", {"pid": connection.psycopg.info.backend_pid})
    try:
        result = run(connection, "select 1 as a")
    except ConnectionLost:
        result = run(connection, "select 1 as a")
    assert result.frame["a"].tolist() == [1]
    assert any("a new one replaces it" in note for note in result.notes)


def test_refused_password_or_statement_leaves_the_rest(connection, open_to):
    with pytest.raises(LoginRefused):
        open_to("wrong")
    with pytest.raises(QueryFailed, match="division by zero"):
        query(connection, "select 1 / 0")
    assert query(connection, "select 1 as a")["a"].tolist() == [1]
