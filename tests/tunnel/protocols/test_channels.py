"""The protocol `channels`: v4.channel.k8s.io."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.tunnel.protocols.events import (
    Accepted,
    Ended,
    Failed,
    Ponged,
    ProtocolError,
    Received,
    TunnelClosed,
)
from sspcloud_magics.tunnel.protocols.websocket_channels import ChannelTunnel
from tests.tunnel.protocols.wire import cuts, everything, frame, slices, unmask

PORT = (5432).to_bytes(2, "little")
HELLO = frame(2, b"\x00" + PORT) + frame(2, b"\x01" + PORT)


@pytest.fixture
def tunnel() -> ChannelTunnel:
    tunnel = ChannelTunnel()
    assert tunnel.open(5432) == (1, b"")
    return tunnel


def feed(tunnel: ChannelTunnel, data: bytes, at: list[int] | None = None) -> list[object]:
    return everything(tunnel.receive, slices(data, at or []))


def test_serves_one_pair():
    tunnel = ChannelTunnel()
    assert (tunnel.reusable, tunnel.pairs) == (True, 0)
    tunnel.open(5432)
    assert (tunnel.reusable, tunnel.pairs) == (False, 1)


def test_first_bytes_go_to_the_data_channel():
    pair, sent = ChannelTunnel().open(5432, b"hello")
    assert (pair, unmask(sent)) == (1, [(2, b"\x00hello")])


def test_the_ports_come_first(tunnel):
    assert feed(tunnel, HELLO) == [Accepted(1)]


def test_carries_data_both_ways(tunnel):
    feed(tunnel, HELLO)
    assert feed(tunnel, frame(2, b"\x00hello")) == [Received(1, [b"hello"])]
    assert unmask(b"".join(tunnel.send(1, memoryview(b"world")))) == [(2, b"\x00world")]


def test_data_may_follow_the_port_in_one_message(tunnel):
    assert feed(tunnel, frame(2, b"\x00" + PORT + b"hi")) == [Accepted(1), Received(1, [b"hi"])]


def test_a_normal_close_is_the_end(tunnel):
    (ended, closed) = feed(tunnel, HELLO + frame(8, b"\x03\xe8"))[1:]
    assert ended == Ended(1)
    assert isinstance(closed, TunnelClosed)
    assert unmask(bytes(tunnel.outgoing)) == [(8, b"\x03\xe8")]
    assert tunnel.pairs == 0


def test_an_error_text_fails_the_pair_at_the_close(tunnel):
    feed(tunnel, HELLO)
    assert feed(tunnel, frame(2, b"\x01connection ") + frame(2, b"\x01refused\n")) == []
    assert feed(tunnel, frame(8, b"\x03\xe8"))[0] == Failed(1, "connection refused")


@pytest.mark.parametrize(
    ("payload", "text"),
    [(b"\x03\xf3gone", "gone"), (b"\x03\xf3", "the server closed the tunnel (1011)")],
)
def test_an_abnormal_close_fails_the_pair(tunnel, payload, text):
    assert feed(tunnel, frame(8, payload))[0] == Failed(1, text)


def test_finish_closes_the_tunnel_without_half_close(tunnel):
    assert not tunnel.half_close
    feed(tunnel, HELLO)
    assert unmask(tunnel.finish(1)) == [(8, b"\x03\xe8")]
    assert tunnel.abandon(1) == tunnel.reset(1) == tunnel.close() == b""
    assert feed(tunnel, frame(2, b"\x00late")) == []
    (closed,) = feed(tunnel, frame(8))
    assert isinstance(closed, TunnelClosed)
    assert not tunnel.outgoing


def test_an_error_text_is_kept_within_a_limit(tunnel):
    feed(tunnel, HELLO + b"".join(frame(2, b"\x01" + b"x" * 60_000) for _ in range(3)))
    assert feed(tunnel, frame(8))[0] == Failed(1, "x" * 65536)


def test_pings(tunnel):
    assert unmask(tunnel.ping()) == [(9, b"")]
    assert feed(tunnel, frame(10)) == [Ponged()]
    assert feed(tunnel, frame(9, b"hi")) == []
    assert unmask(bytes(tunnel.outgoing)) == [(10, b"hi")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (frame(1, b"\x00x"), "text"),
        (frame(2), "without a channel"),
        (frame(2, b"\x02x"), "unknown channel 2"),
        (frame(2, fin=False) + frame(0), "without a channel"),
    ],
)
def test_refuses_what_the_protocol_forbids(tunnel, data, words):
    with pytest.raises(ProtocolError, match=words):
        feed(tunnel, data)


@given(st.lists(st.binary(max_size=300), max_size=6), cuts, st.integers(0, 3))
def test_any_slicing_gives_the_same_bytes(parts, at, fragment):
    tunnel = ChannelTunnel()
    tunnel.open(5432)
    stream = HELLO
    for part in parts:
        message = b"\x00" + part
        # A message may come in fragments, the first of them without even its channel.
        stream += frame(2, message[:fragment], fin=False) + frame(0, message[fragment:])
    events = feed(tunnel, stream + frame(8, b"\x03\xe8"), at)
    assert b"".join(
        part for event in events if isinstance(event, Received) for part in event.parts
    ) == b"".join(parts)
    others = [event for event in events if not isinstance(event, Received)]
    assert others == [Accepted(1), Ended(1), TunnelClosed("the connection is over")]


@given(st.binary(max_size=1000), st.booleans(), cuts)
def test_noise_brings_only_protocol_errors(noise, framed, at):
    tunnel = ChannelTunnel()
    tunnel.open(5432)
    with contextlib.suppress(ProtocolError):
        feed(tunnel, frame(2, noise) if framed else noise, at)
    assert len(tunnel._text) <= 65536
