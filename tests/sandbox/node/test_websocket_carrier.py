"""The frames of a tunnel's WebSocket, as gorilla's writer and Go's TLS make them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.sandbox.node.websocket_carrier import frames
from sspcloud_magics.tunnel.protocols.websocket import Boundary, FrameDecoder

LAST = b"\x80\x00"


def list_write_sizes(size: int) -> list[int]:
    """Return how many bytes each write has."""
    return [len(part) for part in frames(memoryview(bytes(size)))]


@pytest.mark.parametrize(
    ("size", "writes"),
    [
        (0, []),
        (1, [3]),
        (125, [127]),
        (126, [130]),
        (4082, [4086]),
        (4083, [4086, 3]),
        (8192, [4086, 4086, 30]),
        (8193, [4, 8193, 2]),
        (16384, [4, 16384, 2]),
        (16385, [4, 16384, 2, 3]),
        (40000, [4, 16384, 2, 4, 16384, 2, 4086, 3154]),
    ],
)
def test_what_is_written_at_once(size, writes):
    assert list_write_sizes(size) == writes


def test_an_empty_frame_ends_a_large_message():
    assert bytes(frames(memoryview(bytes(9000)))[-1]) == LAST


@given(st.binary(max_size=40_000))
def test_the_messages_say_what_was_to_be_said(data):
    events = FrameDecoder().receive(memoryview(b"".join(frames(memoryview(data)))))
    assert b"".join(event for event in events if isinstance(event, memoryview)) == data
    assert events.count(Boundary.BINARY) == events.count(Boundary.END) == -(-len(data) // 16384)
