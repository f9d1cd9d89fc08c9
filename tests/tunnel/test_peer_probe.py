"""Detection of a closed peer, or of only its closed writing side."""

from __future__ import annotations

import socket
import sys
from contextlib import closing

import pytest

from sspcloud_magics.tunnel.peer_probe import PeerProbe

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture(params=["127.0.0.1", "::1"])
def ends(request):
    """The accepted end of a connection, and the client's."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as server:
        client = socket.create_connection(server.getsockname()[:2])
        accepted, _ = server.accept()
    with accepted, client:
        yield accepted, client


@pytest.fixture
def watch():
    with closing(PeerProbe()) as found:
        yield found


def test_an_open_peer(ends, watch):
    assert watch.has_closed(ends[0]) is False


def test_a_peer_that_has_shut_down_its_writing_half(ends, watch):
    accepted, client = ends
    client.shutdown(socket.SHUT_WR)
    assert accepted.recv(1) == b""
    assert watch.has_closed(accepted) is False


def test_a_peer_that_has_closed(ends, watch):
    accepted, client = ends
    client.close()
    assert accepted.recv(1) == b""
    assert watch.has_closed(accepted) is True


def test_peer_that_reset_has_closed(ends, watch):
    """A client that closes with unread bytes, as psql does over TLS, leaves no address to look up."""
    accepted, client = ends
    accepted.sendall(b"x")
    client.close()
    assert watch.has_closed(accepted) is True


def test_unix_socket_tells_close_from_shutdown(watch):
    accepted, client = socket.socketpair()
    with accepted, client:
        assert watch.has_closed(accepted) is False
        client.shutdown(socket.SHUT_WR)
        assert accepted.recv(1) == b""
        assert watch.has_closed(accepted) is False
        client.close()
        assert watch.has_closed(accepted) is True


def test_socket_of_two_processes_closes_with_both(ends, watch):
    accepted, client = ends
    second = client.dup()
    client.close()
    assert watch.has_closed(accepted) is False
    second.close()
    assert watch.has_closed(accepted) is True


def test_kernel_without_sock_diag_is_ignored(ends, watch, monkeypatch):
    monkeypatch.setattr(watch, "_inode", lambda *_args: None)
    accepted, client = ends
    client.close()
    assert watch.has_closed(accepted) is None
    monkeypatch.undo()
    assert watch.has_closed(accepted) is None, "it has been given up for good"


def test_a_kernel_that_refuses_is_silent(ends, watch, monkeypatch):
    def refuse(*_args):
        raise PermissionError

    monkeypatch.setattr(watch, "_inode", refuse)
    assert watch.has_closed(ends[0]) is None


class Deaf:
    """A netlink socket whose answers are not read."""

    def __init__(self, true):
        self.send, self.close = true.send, true.close

    def recv(self, size):  # noqa: ARG002 - as of a socket
        raise BlockingIOError


def test_unfetched_answer_is_not_taken_for_the_next(ends, watch):
    accepted, client = ends
    assert watch.has_closed(accepted) is False
    true = watch._netlink
    watch._netlink = Deaf(true)
    assert watch.has_closed(accepted) is None
    watch._netlink = true
    client.close()
    assert watch.has_closed(accepted) is True
