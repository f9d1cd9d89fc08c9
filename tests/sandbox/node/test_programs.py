"""The programs that stand for images, in pods of a real node."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.sandbox import postgres
from sspcloud_magics.sandbox.node.images import canonical, find
from sspcloud_magics.sandbox.node.programs import postgres as program
from sspcloud_magics.sandbox.node.programs.api import answer, front_end
from sspcloud_magics.sandbox.node.programs.relay import Relay, UsageError, parse
from tests.sandbox.node.conftest import LISTENS, Cluster, delete
from tests.support.waiting import dawdle

pytestmark = pytest.mark.slow

SECONDS = 20.0
SERVICE = "db-rw.ns.svc"


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("alpine/socat", "relay"),
        ("docker.io/alpine/socat:1.8.0.0", "relay"),
        ("alpine/socat@sha256:" + "0" * 64, "relay"),
        ("ghcr.io/cloudnative-pg/postgresql:17.5", "postgres"),
        ("bitnamilegacy/postgresql:16", "postgres"),
        ("registry.example:5000/team/mon-api:1", "api"),
        ("sspcloud-sandbox/helper", "helper"),
    ],
)
def test_images_are_known_by_every_way_to_write_them(image, name):
    found = find(image)
    assert found is not None
    assert found.program.stem == name


@pytest.mark.parametrize("image", ["nope", "socat", "evil.example/alpine/socat", "python:3.13"])
def test_other_images_cannot_be_had(image):
    assert find(image) is None


def test_a_reference_is_completed_as_a_runtime_does():
    assert canonical("nope") == "docker.io/library/nope:latest"
    assert canonical("localhost:5000/x") == "localhost:5000/x:latest"


@pytest.mark.parametrize(
    ("args", "relay"),
    [
        (["TCP-LISTEN:5432,fork,reuseaddr", "TCP:db:5432"], Relay(5432, True, "db", 5432)),
        (["tcp4-listen:1,reuseaddr", "tcp4:10.0.0.1:2"], Relay(1, False, "10.0.0.1", 2)),
        (["-d", "-d", "-t", "2", "TCP6-LISTEN:1,fork", "TCP-CONNECT:h:2"], Relay(1, True, "h", 2, 2.0)),
    ],
)
def test_socats_arguments(args, relay):
    assert parse(args) == relay


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "exactly 2 addresses required (there are 0)"),
        (["TCP-LISTEN:1", "UDP:h:1"], 'unknown device/address "UDP:h:1"'),
        (["TCP-LISTEN:1", "TCP:h"], 'unknown device/address "TCP:h"'),
        (["TCP-LISTEN:http", "TCP:h:1"], 'unknown device/address "TCP-LISTEN:http"'),
    ],
)
def test_socats_complaints(args, words):
    with pytest.raises(UsageError) as caught:
        parse(args)
    assert words in str(caught.value)


@given(st.lists(st.text(max_size=30), max_size=4))
def test_socat_arguments_are_understood_or_refused(args):
    with contextlib.suppress(UsageError):
        assert 0 < parse(args).port < 65536


async def http(cluster: Cluster, target: str) -> tuple[int, Any]:
    connection = await cluster.node.dial("ns", "api", 8000)
    await connection.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    whole = b""
    while data := await connection.read():
        whole += data
    connection.close()
    head, _, body = whole.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


async def test_the_web_api_answers_in_json(cluster: Cluster):
    cluster.create("api", "mon-api")
    await cluster.ready("api")
    assert await http(cluster, "/health") == (200, {"status": "ok"})
    assert await http(cluster, "/communes/35238") == (200, answer("/communes/35238"))
    assert answer("/communes/35238")["nom"] == "Rennes"
    assert "<td>Rennes</td>" in (front_end("/?departement=35") or "")
    assert "<script>" not in (front_end("/?departement=%22%3E%3Cscript%3E") or "")
    assert front_end("/communes") is None
    assert [c["departement"] for c in (await http(cluster, "/communes?departement=35&limit=2"))[1]] == [
        "35",
        "35",
    ]
    assert (await http(cluster, "/communes?limit=x"))[0] == 422
    assert (await http(cluster, "/nothing"))[0] == 404


async def test_stopped_web_api_answers_what_has_arrived(cluster: Cluster):
    """A connection that has just begun gets its response; an idle one ends."""
    cluster.create("api", "mon-api")
    await cluster.ready("api")
    idle, new = [await cluster.node.dial("ns", "api", 8000) for _ in range(2)]
    await idle.write(b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await idle.read()).startswith(b"HTTP/1.1 200 OK")
    delete(cluster, "api")
    assert await idle.read() == b""
    with pytest.raises(ConnectionRefusedError):
        await cluster.node.dial("ns", "api", 8000)
    await new.write(b"GET /communes/35238 HTTP/1.1\r\nHost: x\r\n\r\n")
    response = b""
    while data := await new.read():
        response += data
    assert json.loads(response.partition(b"\r\n\r\n")[2]) == answer("/communes/35238")
    idle.close()
    new.close()
    await cluster.wait_until(lambda: cluster.pod("api") is None)


async def test_source_sends_what_it_is_asked_and_closes(cluster: Cluster):
    cluster.create("source", args=["source", "9000"])
    await cluster.ready("source")
    connection = await cluster.node.dial("ns", "source", 9000)
    await connection.write(b"1000000\n")
    size = 0
    while data := await connection.read():
        assert not data.strip(b"\0")
        size += len(data)
    connection.close()
    assert size == 1_000_000


async def test_echo_keeps_untaken_bytes_and_outlives_clients(cluster: Cluster):
    cluster.create("echo", args=["echo", "9000"])
    await cluster.ready("echo")
    for _ in range(3):
        gone = await cluster.node.dial("ns", "echo", 9000)
        await gone.write(bytes(300_000))
        gone.abort()
    connection = await cluster.node.dial("ns", "echo", 9000)
    said = bytes(range(256)) * 64 * 1024  # 16 MiB: more than all buffers on the way
    saying = asyncio.ensure_future(connection.write(said))
    await asyncio.to_thread(dawdle, 0.5)  # nothing is read
    heard = bytearray()
    while len(heard) < len(said) and (data := await connection.read()):
        heard += data
    await saying
    assert heard == said
    connection.close()


async def test_relay_joins_two_pods_and_tells_failures(cluster: Cluster):
    cluster.create("echo", args=["echo", "9000"])
    ip = (await cluster.ready("echo"))["status"]["podIP"]
    cluster.create("relay", "alpine/socat", ["TCP-LISTEN:5432,fork,reuseaddr", f"TCP:{ip}:9000"])
    cluster.create("lost", "alpine/socat", ["TCP-LISTEN:5432,fork", "TCP:missing:1"])
    cluster.create("shut", "alpine/socat", ["TCP-LISTEN:5432,fork", f"TCP:{ip}:1"])
    for name in ("relay", "lost", "shut"):
        await cluster.ready(name)
    connection = await cluster.node.dial("ns", "relay", 5432)
    await connection.write(b"through")
    assert await connection.read() == b"through"
    connection.close()
    for name, words in (
        ("lost", 'getaddrinfo("missing", "NULL", {1,0,1,6}, {}): Name does not resolve'),
        ("shut", f"connect(5, AF=2 {ip}:1, 16): Connection refused"),
    ):
        connection = await cluster.node.dial("ns", name, 5432)
        assert await connection.read() == b""
        connection.close()
        lines = cluster.node.logs("ns", name, container="main", follow=True)
        assert words in (await anext(lines)).decode()
        await lines.aclose()


# Postgres.


@pytest.fixture
async def database(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Path]:
    """A ready database pod, ``db-1`` of the cluster ``db``; the path of its CA's certificate."""
    home = tmp_path / "home"
    data = postgres.volumes(home) / "ns" / "db-1" / "pgdata"
    data.parent.mkdir(parents=True)
    postgres.give(data.parent)
    await asyncio.to_thread(postgres.initialise, data)
    password = ["ALTER ROLE postgres PASSWORD 'secret of the test'"]
    await asyncio.to_thread(postgres.execute, data, "postgres", password)
    authority = trustme.CA()
    pair = authority.issue_cert(SERVICE)
    values = {
        "tls.crt": b"".join(blob.bytes() for blob in pair.cert_chain_pems),
        "tls.key": pair.private_key_pem.bytes(),
    }
    cluster.store.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "db-server", "namespace": "ns"},
            "data": {name: base64.b64encode(value).decode() for name, value in values.items()},
        }
    )
    claim = {"metadata": {"name": "db-1", "namespace": "ns"}, "spec": {}}
    cluster.store.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})
    start(cluster)
    await cluster.ready("db-1")
    certificate = tmp_path / "ca.crt"
    authority.cert_pem.write_to_path(str(certificate))
    yield certificate
    await cluster.node.stop()
    postgres.forget(home)


def start(cluster: Cluster) -> None:
    container = {
        "name": "main",
        "image": "ghcr.io/cloudnative-pg/postgresql:18",
        "command": ["/controller/manager", "instance", "run"],
        "readinessProbe": LISTENS,
    }
    cluster.store.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "db-1", "namespace": "ns", "labels": {"cnpg.io/cluster": "db"}},
            "spec": {
                "containers": [container],
                "volumes": [{"name": "pgdata", "persistentVolumeClaim": {"claimName": "db-1"}}],
            },
        }
    )


def login(cluster: Cluster) -> dict[str, Any]:
    worker = cluster.node._worker("ns", "db-1")
    return {
        "host": SERVICE,
        "hostaddr": "127.0.0.1",
        "port": worker.port(5432),
        "user": "postgres",
        "password": "secret of the test",
        "dbname": "postgres",
    }


async def sql(cluster: Cluster, statement: str, **how: Any) -> list[Any]:
    parameters = {**login(cluster), "autocommit": True, **how}
    async with await psycopg.AsyncConnection.connect(**parameters) as connection:
        cursor = await connection.execute(statement)
        return await cursor.fetchall() if cursor.description else []


async def test_postgres_answers_over_verified_tls_and_plain(cluster: Cluster, database: Path):
    assert await sql(cluster, "select 1", sslmode="verify-full", sslrootcert=str(database)) == [(1,)]
    assert await sql(cluster, "show max_connections", sslmode="disable") == [("100",)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await sql(cluster, "select 1", password="wrong")
    big = "select length(repeat('x', 3000000)), repeat('y', 3000000)"
    assert await sql(cluster, big, sslmode="require") == [(3000000, "y" * 3000000)]


async def test_broken_tls_stream_ends_the_session(cluster: Cluster, database: Path):
    await sql(cluster, "create table held (n int)")
    async with await psycopg.AsyncConnection.connect(**login(cluster), sslmode="require") as connection:
        await connection.execute("lock table held")
        os.write(connection.fileno(), b"\x17\x03\x03\0\x20" + bytes(32))  # a record that was not encrypted
        async with asyncio.timeout(SECONDS):
            await sql(cluster, "insert into held values (1)")
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("select 1")


async def test_data_outlives_the_pod(cluster: Cluster, database: Path, tmp_path: Path):
    """Even where the process id in the lock file of a killed server is another program's now."""
    await sql(cluster, "create table kept as select 42 as n")
    delete(cluster, "db-1")
    await cluster.wait_until(lambda: cluster.pod("db-1") is None)
    data = postgres.volumes(tmp_path / "home") / "ns" / "db-1" / "pgdata"
    with subprocess.Popen(["sleep", "600"], **postgres.identity()) as other:  # noqa: ASYNC220 - it does nothing
        (data / "postmaster.pid").write_text(f"{other.pid}\n{data}\n")
        postgres.give(data / "postmaster.pid")
        start(cluster)
        await cluster.ready("db-1")
        assert await sql(cluster, "select n from kept") == [(42,)]
        other.kill()


async def test_ended_tls_session_is_reset_and_a_plain_is_not(cluster: Cluster, database: Path):
    assert await farewell(cluster, database) == "reset"
    assert await farewell(cluster, None) == "end"


async def farewell(cluster: Cluster, ca: Path | None) -> str:
    """Send a startup message and a goodbye, then the closing of TLS; return how the server's side ends."""
    connection = await cluster.node.dial("ns", "db-1", 5432)
    startup = struct.pack(">I", 196608) + b"user\0nobody\0\0"
    messages = struct.pack(">I", len(startup) + 4) + startup
    if ca is None:
        await connection.write(messages)
        await connection.read()
        await connection.write(b"X\0\0\0\4")
        try:
            while await connection.read():
                pass
        except ConnectionResetError:
            return "reset"
        finally:
            connection.close()
        return "end"
    await connection.write(struct.pack(">II", 8, 80877103))
    assert await connection.read() == b"S"
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context(cafile=str(ca)).wrap_bio(incoming, outgoing, server_hostname=SERVICE)
    for step in (
        tls.do_handshake,
        lambda: tls.write(messages),
        lambda: tls.read(1),
        lambda: tls.write(b"X\0\0\0\4"),
    ):
        while True:
            try:
                step()
                break
            except ssl.SSLWantReadError:
                await connection.write(outgoing.read())
                incoming.write(await connection.read())
    try:
        await connection.write(outgoing.read())
        while await connection.read():
            pass
    except ConnectionResetError:
        return "reset"
    finally:
        connection.close()
    return "end"


@pytest.mark.parametrize("content", ["", f"{os.getpid()}\n/elsewhere\n"], ids=["empty", "of another"])
def test_lock_of_a_killed_server_is_removed(tmp_path: Path, content: str) -> None:
    lock = tmp_path / "postmaster.pid"
    lock.write_text(content)
    program._unlock(tmp_path)
    assert not lock.exists()


def test_lock_of_another_users_process_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: psutil.Process) -> list[str]:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "cmdline", refuse)
    test_lock_of_a_killed_server_is_removed(tmp_path, str(os.getpid()))
