"""Connections that come faster than tunnels open, in the real helper: they share tunnels, and none notices."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from sspcloud_magics.tunnel.timings import Timings
from tests.faults import FaultProxy
from tests.tunnel.apiserver import ApiServer
from tests.tunnel.conftest import echo
from tests.tunnel.helper_process import HelperProcess
from tests.tunnel.test_forward import ask, connect, receive, receive_all
from tests.tunnel.test_network import SHORT_REPLY

pytestmark = pytest.mark.slow

SHORT_READER_TIMEOUT = Timings(ping_interval=0.5, reader_timeout=1.0)
ENDLESS = b"without end"
MUCH = 64 << 20


def echo_or_flood(connection: socket.socket) -> None:
    """Echo, until a client asks for much."""
    try:
        while said := connection.recv(65536):
            connection.sendall(bytes(MUCH) if said == ENDLESS else said)
    except OSError:
        pass


@pytest.fixture
def pod(api, programs) -> str:
    api.put_pod("web-0", {8000: programs(echo_or_flood), 9000: programs(echo)})
    return "web-0"


@contextmanager
def burst(api: ApiServer, helper: HelperProcess, port: int, size: int) -> Iterator[list[socket.socket]]:
    """Clients of which all but the first few wait for a tunnel at the same time."""
    helper.events.clear()
    with ExitStack() as stack:
        with api.upgrades_held():
            clients = [stack.enter_context(connect(port)) for _ in range(size)]
            helper.wait_for_counters(lambda counted: counted.open_connections >= size)
        for client in clients:
            client.settimeout(60)
        yield clients


def test_burst_is_served_by_a_few_tunnels(api, pod):
    source = random.Random(5)
    words = [source.randbytes(source.randint(1, 40_000)) for _ in range(100)]
    with HelperProcess(api.access(), SHORT_REPLY) as helper:
        port = helper.forward("pod", pod, 9000).local_ports[0]
        assert ask(port) == b"ping"
        before = api.upgrades
        with burst(api, helper, port, 100) as clients:
            for client, word in zip(clients, words, strict=True):
                client.sendall(word)
            for client in clients[::2]:
                client.shutdown(socket.SHUT_WR)
            for client, word in list(zip(clients, words, strict=True))[::2]:
                assert receive_all(client) == word
            for client, word in list(zip(clients, words, strict=True))[1::2]:
                assert receive(client, len(word)) == word
        assert api.upgrades - before < 30
        counted = helper.wait_for_counters(lambda counted: not counted.open_connections)
    sent = sum(map(len, words))
    assert (counted.sent - 4, counted.received - 4, counted.failed_connections) == (sent, sent, 0)


def test_burst_shares_with_connections_just_before(api, pod):
    with HelperProcess(api.access()) as helper:
        port = helper.forward("pod", pod, 8000).local_ports[0]
        assert ask(port) == b"ping"
        with api.upgrades_held(), ExitStack() as stack:
            clients = [stack.enter_context(connect(port)) for _ in range(26)]
            for client in clients:
                client.settimeout(60)
            assert echo_all(clients)


def test_leaving_or_refused_client_harms_no_other(api, pod):
    with HelperProcess(api.access()) as helper:
        state = helper.forward("pod", pod, 8000)
        port = state.local_ports[0]
        assert ask(port) == b"ping"
        with burst(api, helper, port, 26) as clients:
            assert echo_all(clients)
            clients[-1].sendall(ENDLESS)
            assert receive(clients[-1], 1) == b"\0"
            clients[-1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            clients[-1].close()  # in the middle of much: a reset
            clients[-2].close()
            assert echo_all(clients[:-2])


def test_blocking_client_is_ended(api, pod):
    with HelperProcess(api.access(), SHORT_READER_TIMEOUT) as helper:
        port = helper.forward("pod", pod, 8000).local_ports[0]
        assert ask(port) == b"ping"
        with burst(api, helper, port, 26) as clients:
            assert echo_all(clients)
            clients[-1].sendall(ENDLESS)
            counted = helper.wait_for_counters(lambda counted: counted.failed_connections == 1)
            assert "read nothing" in counted.last_error
            assert echo_all(clients[:-1])
            # It has what came before, and then an error: what was cut never looks whole.
            with pytest.raises(ConnectionResetError):
                receive_all(clients[-1])


def test_broken_shared_tunnel_resets_only_its_clients(api, pod):
    with (
        FaultProxy("127.0.0.1", api.port) as network,
        HelperProcess(api.access(port=network.port)) as helper,
    ):
        port = helper.forward("pod", pod, 9000).local_ports[0]
        assert ask(port) == b"ping"
        with burst(api, helper, port, 34) as clients:
            assert echo_all(clients)
            network.reset_all()
            for client in clients:
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
        with connect(port) as client:
            client.settimeout(60)
            client.sendall(b"again")
            assert receive(client, 5) == b"again"


def echo_all(clients: list[socket.socket]) -> bool:
    """Let all clients echo different words at the same time."""
    words = [f"word {number}".encode() for number in range(len(clients))]
    for client, word in zip(clients, words, strict=True):
        client.sendall(word)
    return [receive(client, len(word)) for client, word in zip(clients, words, strict=True)] == words
