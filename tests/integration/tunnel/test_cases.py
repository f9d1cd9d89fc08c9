"""Cases that any forwarder must survive, on any cluster, under each protocol.

The cases come from the suites of Kubernetes and from what users report; those that need a server which misbehaves on
demand are in tests/tunnel.
"""

from __future__ import annotations

import hashlib
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from sspcloud_magics.tunnel.ipc import State
from tests.faults import FaultProxy, Faults
from tests.support.waiting import wait_until
from tests.testbed import Testbed
from tests.tunnel.helper_process import FIRST, HelperProcess

pytestmark = pytest.mark.slow

PATIENCE = 60.0
MIB = 1024 * 1024
in_every_protocol = pytest.mark.parametrize("helper", FIRST, indirect=True)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def receive_all(client: socket.socket) -> int:
    """Read to the end, and return the number of bytes, which are all zero."""
    size, buffer = 0, bytearray(MIB)
    while got := client.recv_into(buffer):
        assert not any(buffer[:64]), "the source sends zeros"
        size += got
    return size


def ask_echo(port: int, data: bytes = b"ping") -> bytes:
    with connect(port) as client:
        client.sendall(data)
        answer = b""
        while len(answer) < len(data) and (piece := client.recv(MIB)):
            answer += piece
        return answer


def database(testbed: Testbed, port: int, **rest) -> psycopg.Connection:
    postgres = testbed.postgres
    return psycopg.connect(
        host=f"{postgres.service}.{testbed.namespace}.svc",
        hostaddr="127.0.0.1",
        port=port,
        dbname=postgres.database,
        user=postgres.user,
        password=postgres.password.reveal(),
        **{"sslmode": "require", **rest},
    )


@pytest.fixture
def postgres_port(helper: HelperProcess, testbed: Testbed) -> Iterator[int]:
    state = helper.forward(
        "service", testbed.postgres.service, testbed.postgres.port, namespace=testbed.namespace
    )
    yield state.local_ports[0]
    helper.stop(state.forward_id)


@in_every_protocol
def test_the_protocol_is_the_one_that_is_meant(helper, testbed):
    state = helper.forward("pod", testbed.echo.pod, testbed.echo.port, namespace=testbed.namespace)
    assert state.protocol == helper.protocol
    helper.stop(state.forward_id)


def test_a_client_that_connects_and_says_nothing(forward, testbed):
    port = forward(testbed.echo)
    for _ in range(3):
        connect(port).close()
    assert ask_echo(port) == b"ping"


def test_a_reply_ends_with_the_servers_end(forward, testbed):
    with connect(forward(testbed.source)) as client:
        client.sendall(b"100\n")
        assert receive_all(client) == 100


@in_every_protocol
def test_reply_after_the_clients_shutdown_is_whole(forward, testbed):
    with connect(forward(testbed.source)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(b"%d\n" % (64 * MIB))
        client.shutdown(socket.SHUT_WR)
        # Slower than the second that containerd gives.
        assert receive_all(client) == 64 * MIB


def test_a_server_that_reads_to_the_end_gets_its_end(forward, testbed):
    with connect(forward(testbed.sink)) as client:
        client.sendall(bytes(4 * MIB))
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


@in_every_protocol
def test_pod_deleted_during_a_transfer_resets_it(helper, testbed, pods):
    name = pods.like(testbed.source)
    state = helper.forward("pod", name, testbed.source.port, namespace=testbed.namespace)
    port = state.local_ports[0]
    with connect(port) as client:
        client.sendall(b"%d\n" % (1 << 40))
        assert client.recv(1000)
        pods.delete(name)
        helper.wait_for_state(state.forward_id, State.RECONNECTING)
        with pytest.raises(ConnectionError):
            receive_all(client)
    pods.like(testbed.source, name)
    assert helper.wait_for_state(state.forward_id, State.ACTIVE).local_ports == (port,)
    with connect(port) as client:
        client.sendall(b"10\n")
        assert receive_all(client) == 10
    helper.stop(state.forward_id)


def test_a_client_that_aborts_does_not_hurt_the_next(forward, testbed):
    port = forward(testbed.source)
    for _ in range(3):
        with connect(port) as client:
            client.sendall(b"%d\n" % (40 * MIB))
            assert client.recv(1) == b"\0"
    with connect(port) as client:
        client.sendall(b"5\n")
        assert receive_all(client) == 5


def test_stalled_readers_do_not_stall_others(forward, testbed):
    port = forward(testbed.source)
    stalled = [connect(port) for _ in range(3)]
    for client in stalled:
        client.sendall(b"%d\n" % (1 << 40))
        assert client.recv(1) == b"\0"
    try:
        for _ in range(3):
            with connect(port) as client:
                client.sendall(b"%d\n" % (4 * MIB))
                assert receive_all(client) == 4 * MIB
    finally:
        for client in stalled:
            client.close()


def test_a_stalled_reader_costs_no_memory(helper, forward, testbed):
    port = forward(testbed.source)
    process = psutil.Process(helper.process.pid)
    before = process.memory_info().rss
    with closing(connect(port)) as client:
        client.sendall(b"%d\n" % (1 << 40))
        assert client.recv(1) == b"\0"
        # While another connection moves 64 MiB, the stalled one would have buffered about as much.
        with connect(port) as other:
            other.sendall(b"%d\n" % (64 * MIB))
            assert receive_all(other) == 64 * MIB
        assert process.memory_info().rss - before < 8 * MIB


@pytest.mark.timeout(300)
def test_one_database_session_after_another_over_tls(postgres_port, testbed, helper):
    # Each ends with a reset by the server. A tunnel that survives one must survive hundreds (`make benchmark` has thousands).
    # `spdy_websocket` carries the same SPDY, and `channels` opens a WebSocket for each: fewer connections show as much.
    for _ in range(250 if helper.protocol == "spdy" else 50):
        with database(testbed, postgres_port) as connection:
            assert connection.execute("select 1").fetchone() == (1,)


@in_every_protocol
def test_a_cancelled_query(postgres_port, testbed):
    with database(testbed, postgres_port) as connection:
        began = threading.Event()
        errors = []

        def run() -> None:
            began.set()
            try:
                connection.execute("select pg_sleep(60)")
            except psycopg.errors.QueryCanceled as error:
                errors.append(error)

        with database(testbed, postgres_port, autocommit=True) as other:
            thread = threading.Thread(target=run)
            thread.start()
            began.wait()
            pid = connection.info.backend_pid
            busy = "select state from pg_stat_activity where pid = %s"
            while other.execute(busy, [pid]).fetchone() != ("active",):
                pass
            connection.cancel_safe(timeout=PATIENCE)
            thread.join()
        assert len(errors) == 1


def test_two_hundred_connections_in_turn(helper, forward, testbed):
    port = forward(testbed.echo)
    assert all(ask_echo(port, b"x") == b"x" for _ in range(200))


@in_every_protocol
def test_two_hundred_connections_at_once(forward, testbed):
    port = forward(testbed.echo)
    clients = [connect(port) for _ in range(200)]
    try:
        for number, client in enumerate(clients):
            client.sendall(b"%03d" % number)
        answers = [client.recv(3, socket.MSG_WAITALL) for client in clients]
    finally:
        for client in clients:
            client.close()
    assert answers == [b"%03d" % number for number in range(200)]


def test_bytes_arrive_as_they_were_sent_both_ways(forward, testbed):
    assert_echoes(forward(testbed.echo), 32 * MIB)


def assert_echoes(port: int, size: int) -> None:
    """Send random bytes while reading them back; the checksums must agree."""
    source = random.Random(size)
    sent, received = hashlib.sha256(), hashlib.sha256()
    with connect(port) as client:

        def send() -> None:
            left = size
            while left:
                piece = source.randbytes(min(left, 64 * 1024))
                sent.update(piece)
                client.sendall(piece)
                left -= len(piece)

        thread = threading.Thread(target=send)
        thread.start()
        left = size
        while left:
            piece = client.recv(min(left, MIB))
            assert piece, f"the connection ended {left} bytes before the end"
            received.update(piece)
            left -= len(piece)
        thread.join()
    assert sent.digest() == received.digest()


@pytest.mark.parametrize("faults", [Faults(slice=1500), Faults(latency=0.02)], ids=["slices", "latency"])
def test_bytes_arrive_intact_through_a_bad_network(access, testbed, faults, helper):
    assert_echoes_through(access, testbed, helper.protocol, faults, 4 * MIB)


@pytest.mark.gibibyte
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "faults",
    [Faults(), Faults(slice=64 * 1024, latency=0.001), Faults(slice=1500)],
    ids=["as it is", "slices and latency", "small slices"],
)
def test_a_gibibyte_arrives_as_it_was_sent_both_ways(access, testbed, faults, helper):
    began = time.monotonic()
    assert_echoes_through(access, testbed, helper.protocol, faults, 1024 * MIB)
    sys.stderr.write(
        f"{helper.protocol}: 1 GiB each way in {time.monotonic() - began:.0f} s through {faults}\n"
    )


def assert_echoes_through(access, testbed, protocol: str, faults: Faults, size: int) -> None:
    """Send random bytes to the echo and back through a network with faults; the checksums must agree."""
    server = urlsplit(access.server)
    assert server.hostname is not None
    with FaultProxy(server.hostname, server.port or 443) as proxy:
        name = access.tls_server_name or server.hostname
        address = f"https://127.0.0.1:{proxy.port}{server.path}"
        through = replace(access, server=address, tls_server_name=name)
        with HelperProcess(through, first=FIRST[protocol]) as other:
            proxy.faults = faults
            state = other.forward("pod", testbed.echo.pod, testbed.echo.port, namespace=testbed.namespace)
            assert state.protocol == protocol
            assert_echoes(state.local_ports[0], size)


def _count_settled(process: psutil.Process) -> tuple[int, int]:
    """Return the numbers of threads and descriptors of a process after its last connections have closed."""
    wait_until(lambda: not process.net_connections())
    return process.num_threads(), process.num_fds()


def test_nothing_is_left_when_everything_is_stopped(access, testbed, helper):
    with HelperProcess(access, first=FIRST[helper.protocol]) as other:
        process = psutil.Process(other.process.pid)
        for round_ in range(3):
            state = other.forward("pod", testbed.echo.pod, testbed.echo.port, namespace=testbed.namespace)
            clients = [connect(state.local_ports[0]) for _ in range(5)]
            for client in clients:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
            other.stop(state.forward_id)
            for client in clients:
                client.close()
            other.stop(4711)  # one more round of the loop, in which cancelled work lets go
            if round_ == 0:
                first = _count_settled(process)
        assert _count_settled(process) <= first
        assert process.net_connections() == []
