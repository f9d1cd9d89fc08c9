"""The forward or the pod ends in the middle: all rows or an error, and never fewer, by DuckDB, into S3 and by Dask."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from kubernetes import client, config, watch

import sspcloud_magics as ssp
from sspcloud_magics.errors import SspcloudError
from tests.support.database import DATABASE, DATABASE_PATH
from tests.support.s3_server import S3Server
from tests.support.waiting import wait_until
from tests.testbed import Sandbox

pytestmark = pytest.mark.servers

SLOW = "select code, pg_sleep(0.005)::text as s from communes"


@pytest.fixture
def connected(sandbox: Sandbox, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Alice's connection, and the access to S3."""
    monkeypatch.setenv("KUBECONFIG", str(sandbox.kubeconfig("alice")))
    monkeypatch.setenv("HOME", str(sandbox.home))
    ssp.close()
    try:
        yield ssp.connect_db(DATABASE_PATH)
    finally:
        ssp.close()


def query_duckdb() -> int:
    found = ssp.query_db(f"SELECT count(*) AS n FROM postgres_query('pg', '{SLOW}')", duckdb=True)
    return int(found["n"][0])


def export_to_s3() -> int:
    return int(ssp.query_db(SLOW, to="s3://diffusion/cut.parquet", overwrite=True).rows)


def read_by_dask() -> int:
    frame = ssp.read_dask(SLOW, partition_on="code", partitions=2)
    return len(frame.compute(scheduler="threads"))


def kill_helper(_sandbox: Sandbox) -> None:
    for child in psutil.Process().children():
        if "sspcloud_magics.tunnel" in " ".join(child.cmdline()):
            child.kill()


def replace_pod(sandbox: Sandbox) -> None:
    api = config.new_client_from_config(str(sandbox.kubeconfig("alice")))
    core, name = client.CoreV1Api(api), f"{DATABASE}-1"
    gone = core.read_namespaced_pod(name, "user-alice").metadata.uid
    core.delete_namespaced_pod(name, "user-alice", grace_period_seconds=0)
    for event in watch.Watch().stream(core.list_namespaced_pod, "user-alice", timeout_seconds=60):
        pod = event["object"]
        ready = any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or [])
        if pod.metadata.name == name and pod.metadata.uid != gone and ready:
            break
    api.close()


@pytest.mark.parametrize("cut", [kill_helper, replace_pod])
@pytest.mark.parametrize("read", [query_duckdb, export_to_s3, read_by_dask])
def test_cut_is_an_error_or_changes_nothing(
    connected: Any, sandbox: Sandbox, s3: S3Server, read: Callable[[], int], cut: Callable[[Sandbox], None]
) -> None:
    expected = int(ssp.query_db("select count(*) as n from communes")["n"][0])
    began = threading.Event()

    def cut_in_the_middle() -> None:
        with contextlib.closing(connected.copy_connection()) as side:
            wait_until(lambda: _is_reading(side))
        began.set()
        cut(sandbox)

    thread = threading.Thread(target=cut_in_the_middle)
    thread.start()
    with contextlib.suppress(SspcloudError):
        assert read() == expected
    thread.join()
    assert began.is_set()
    assert s3.uploads("diffusion") == []
    # The next one is complete, once the lost session has been told.
    with contextlib.suppress(SspcloudError):
        ssp.query_db("select 1")
    assert _read_at_last(read) == expected


def _is_reading(side: Any) -> bool:
    found = side.psycopg.execute(
        "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep(0.005)%' "
        "and pid <> pg_backend_pid()"
    )
    return bool(found.fetchone()[0])


def _read_at_last(read: Callable[[], int]) -> int:
    try:
        return read()
    except SspcloudError:  # a connection in DuckDB's pool that had ended
        return read()
