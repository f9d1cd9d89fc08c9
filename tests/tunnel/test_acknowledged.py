"""Detection of a peer that TCP no longer reaches."""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import suppress

import pytest

from sspcloud_magics.tunnel import stream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


class Told:
    """A socket whose kernel reports unacknowledged packets, which a test cannot cause."""

    def __init__(self, *, probes: int = 0, unacknowledged: int = 0, silent_ms: int = 0) -> None:
        # The fields of struct tcp_info, up to tcpi_last_ack_recv.
        self._info = struct.pack("=4B4x12I", 1, 0, 0, probes, 0, 0, 0, 0, unacknowledged, *[0] * 7)
        self._info = self._info[:56].ljust(56, b"\0") + struct.pack("=I", silent_ms)

    def getsockopt(self, _level: int, _option: int, size: int) -> bytes:
        return self._info[:size]


def test_a_peer_that_does_not_read_is_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with client, accepted:
            client.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    client.send(bytes(1 << 16))
            assert stream._delivers(client) is True


@pytest.mark.parametrize(
    ("told", "delivers"),
    [
        (Told(silent_ms=3_600_000), True),  # nothing was sent: silence says nothing
        (Told(unacknowledged=3, silent_ms=200), True),
        (Told(unacknowledged=3, silent_ms=20_000), False),
        (Told(probes=1, silent_ms=60_000), True),
        (Told(probes=9, silent_ms=60_000), False),
    ],
)
def test_a_peer_that_acknowledges_nothing_is_gone(told, delivers):
    assert stream._delivers(told) is delivers


def test_a_socket_of_another_kind_says_nothing():
    one, other = socket.socketpair()
    with one, other:
        assert stream._delivers(one) is None
