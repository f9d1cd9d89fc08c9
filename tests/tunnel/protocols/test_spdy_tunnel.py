"""The protocols `spdy` and `spdy_websocket`: stream pairs over SPDY."""

from __future__ import annotations

import contextlib
import struct

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
from tests.tunnel.protocols.wire import (
    CARRIAGES,
    Carriage,
    SpdyPeer,
    control,
    cuts,
    data,
    everything,
    frame,
    slices,
    spdy_frames,
    unmask,
)


class Server:
    """The server's end: its data is fed to the tunnel, and the tunnel's data is decoded."""

    def __init__(self, carriage: Carriage) -> None:
        self.tunnel = carriage.tunnel()
        self.peer = SpdyPeer()
        self.pack, self.unpack = carriage.pack, carriage.unpack

    def open(self, port: int = 5432) -> int:
        pair, sent = self.tunnel.open(port)
        for _, kind, _, body in self.read(sent):
            assert kind == 1
            self.peer.read_syn(body)
        return pair

    def say(self, *frames: bytes, at: list[int] | None = None) -> list[object]:
        stream = b"".join(map(self.pack, frames))
        return everything(self.tunnel.receive, slices(stream, at or []))

    def read(self, sent: bytes) -> list[tuple[object, ...]]:
        """Return the SPDY frames that the tunnel sent."""
        return spdy_frames(self.unpack(sent))

    def take_outgoing(self) -> list[tuple[object, ...]]:
        """Return the SPDY frames of the answers to send."""
        sent = bytes(self.tunnel.outgoing)
        self.tunnel.outgoing.clear()
        return self.read(sent)


both_carriages = pytest.mark.parametrize("carriage", CARRIAGES.values(), ids=CARRIAGES)


@pytest.fixture(params=CARRIAGES.values(), ids=CARRIAGES)
def server(request: pytest.FixtureRequest) -> Server:
    return Server(request.param)


@pytest.fixture
def bare() -> Server:
    return Server(CARRIAGES["bare"])


@pytest.fixture
def over_websocket() -> Server:
    return Server(CARRIAGES["over websocket"])


def errors_of(pair: int) -> int:
    return pair - 2


def test_error_stream_opens_first_and_half_closes(server):
    pair, sent = server.tunnel.open(5432)
    (_, _, first_flags, first), (_, _, second_flags, second) = server.read(sent)
    assert (first_flags, second_flags) == (1, 0)
    number, headers = server.peer.read_syn(first)
    assert headers == {"streamtype": "error", "port": "5432", "requestid": "0"}
    assert number == errors_of(pair) == 1
    assert server.peer.read_syn(second) == (pair, headers | {"streamtype": "data"})


def test_first_bytes_go_along_with_the_request(server):
    pair, sent = server.tunnel.open(5432, memoryview(b"hello"))
    *_, last = server.read(sent)
    assert last == ("data", pair, 0, b"hello")


def test_streams_are_odd_and_requests_are_counted(server):
    pairs = [server.open() for _ in range(200)]
    assert pairs == list(range(3, 3 + 4 * 200, 4))
    assert server.tunnel.pairs == 200


def test_a_pair_from_its_acceptance_to_its_end(server):
    pair = server.open()
    assert server.say(server.peer.reply(1), server.peer.reply(pair)) == [Accepted(pair)]
    assert server.say(data(pair, b"hello")) == [Received(pair, [b"hello"])]
    assert server.read(b"".join(server.tunnel.send(pair, memoryview(b"world")))) == [
        ("data", pair, 0, b"world")
    ]
    assert server.say(data(1, fin=True)) == []
    assert server.say(data(pair, fin=True)) == [Ended(pair)]
    assert server.tunnel.pairs == 0


def test_end_of_the_data_waits_for_the_error_stream(server):
    pair = server.open()
    assert server.say(data(pair, b"x", fin=True)) == [Received(pair, [b"x"])]
    assert server.say(data(1, fin=True)) == [Ended(pair)]


def test_replies_may_end_streams(server):
    pair = server.open()
    assert server.say(server.peer.reply(1, fin=True)) == []
    assert server.say(server.peer.reply(pair, fin=True)) == [Accepted(pair), Ended(pair)]


def test_headers_of_a_known_stream_say_nothing(server):
    pair = server.open()
    assert server.say(control(8, struct.pack("!I", pair) + server.peer.block())) == []
    assert server.say(control(8, struct.pack("!I", 1) + server.peer.block())) == []


def test_our_end_is_closed_when_the_pod_ends_first(server):
    pair = server.open()
    server.say(data(1, fin=True), data(pair, fin=True))
    assert server.take_outgoing() == [("data", pair, 1, b"")]


def test_our_end_is_not_closed_twice(server):
    pair = server.open()
    assert server.tunnel.finish(pair)
    assert server.tunnel.finish(pair) == b""
    server.say(data(1, fin=True), data(pair, fin=True))
    assert server.take_outgoing() == []
    assert server.tunnel.finish(pair) == b""


def test_an_error_text_fails_the_pair_and_nothing_else(server):
    first, second = server.open(), server.open()
    events = server.say(data(1, b"connection "), data(1, b"refused\n", fin=True))
    assert events == [Failed(first, "connection refused")]
    assert server.take_outgoing() == [("control", 3, 0, struct.pack("!II", first, 5))]
    assert server.say(data(second, b"alive")) == [Received(second, [b"alive"])]
    assert server.tunnel.reusable


def test_error_text_is_a_reset_since_kubernetes_1_32(server):
    pair = server.open()
    reset = [control(3, struct.pack("!II", stream, 5)) for stream in (pair, 1)]
    assert server.say(data(1, b"broken pipe"), *reset) == [Failed(pair, "broken pipe")]


def test_a_reset_of_the_error_stream_fails_the_pair(server):
    pair = server.open()
    (event,) = server.say(control(3, struct.pack("!II", 1, 5)))
    assert event == Failed(pair, "the server reset the connection")


def test_an_error_text_is_kept_within_a_limit(server):
    pair = server.open()
    server.say(*[data(1, b"x" * 60_000) for _ in range(5)])
    (event,) = server.say(data(1, b"y", fin=True))
    assert event == Failed(pair, "x" * 65536)


def test_what_comes_for_unknown_streams_is_dropped(server):
    assert (
        server.say(
            data(99, b"x", fin=True),
            control(3, struct.pack("!II", 99, 5)),
            server.peer.reply(99),
        )
        == []
    )


def test_abandoned_pair_is_finished_and_stays_silent(server):
    pair = server.open()
    assert server.read(server.tunnel.abandon(pair)) == [("data", pair, 1, b"")]
    assert server.say(server.peer.reply(pair), data(pair, b"late")) == []
    assert server.tunnel.pairs == 1
    assert server.say(data(1, b"reset by peer", fin=True)) == []
    assert server.tunnel.pairs == 0
    assert server.take_outgoing() == []
    assert server.tunnel.abandon(pair) == b""


def test_a_reset_pair_stays_silent(server):
    pair = server.open()
    assert server.read(server.tunnel.reset(pair)) == [("control", 3, 0, struct.pack("!II", pair, 5))]
    assert server.say(data(pair, b"late"), data(1, fin=True), data(pair, fin=True)) == []
    assert server.tunnel.reset(pair) == b""


def test_reset_pair_with_endless_data_is_forgotten(server):
    server.tunnel.reset(server.open())
    assert server.tunnel.pairs == 1
    assert server.say(data(1, fin=True)) == []
    assert server.tunnel.pairs == 0
    assert server.take_outgoing() == []


def test_reset_pair_without_errors_is_forgotten(server):
    pair = server.open()
    server.say(data(1, fin=True))
    assert server.read(server.tunnel.reset(pair)) == [("control", 3, 0, struct.pack("!II", pair, 5))]
    assert server.tunnel.pairs == 0
    assert server.take_outgoing() == []


def test_pings_are_odd_and_answered(server):
    numbers = []
    for _ in range(2):
        ((_, kind, _, body),) = server.read(server.tunnel.ping())
        assert kind == 6
        numbers.append(int.from_bytes(body, "big"))
    assert numbers == [1, 3]
    assert server.say(control(6, struct.pack("!I", 1))) == [Ponged()]


def test_pings_of_the_server_are_echoed(server):
    assert server.say(control(6, struct.pack("!I", 8))) == []
    assert server.take_outgoing() == [("control", 6, 0, struct.pack("!I", 8))]


def test_websocket_pings_are_answered_and_pongs_taken(over_websocket):
    events = everything(over_websocket.tunnel.receive, [memoryview(frame(9, b"hi") + frame(10))])
    assert events == []
    assert unmask(bytes(over_websocket.tunnel.outgoing)) == [(10, b"hi")]


def test_streams_of_the_server_are_refused(server):
    body = struct.pack("!IIBB", 2, 0, 0, 0) + server.peer.block()
    assert server.say(control(1, body)) == []
    assert server.take_outgoing() == [("control", 3, 0, struct.pack("!II", 2, 3))]


def test_a_goaway_ends_the_use_of_the_tunnel(server):
    (event,) = server.say(control(7, struct.pack("!II", 0, 0)))
    assert isinstance(event, TunnelClosed)
    assert not server.tunnel.reusable


@pytest.mark.parametrize(
    ("payload", "text"), [(b"\x03\xe8bye", "bye"), (b"\x03\xe8", "the server closed the tunnel (1000)")]
)
def test_a_close_ends_the_tunnel(over_websocket, payload, text):
    assert over_websocket.tunnel.receive(memoryview(frame(8, payload))) == [TunnelClosed(text)]
    assert not over_websocket.tunnel.reusable


def test_text_is_refused(over_websocket):
    with pytest.raises(ProtocolError, match="text"):
        over_websocket.tunnel.receive(memoryview(frame(1, b"x")))


def test_closing_says_so(bare, over_websocket):
    assert bare.read(bare.tunnel.close()) == [("control", 7, 0, bytes(8))]
    assert unmask(over_websocket.tunnel.close()) == [(8, b"\x03\xe8")]
    assert not bare.tunnel.reusable
    assert not over_websocket.tunnel.reusable


def test_opening_is_one_message_and_bulk_spares_a_copy(bare, over_websocket):
    assert len(unmask(over_websocket.tunnel.open(5432, b"hello")[1])) == 1
    much = memoryview(bytes(100_000))
    assert bare.tunnel.send(3, much)[1] is much
    assert len(bare.tunnel.send(3, much[:100])) == 1, "each part is a record of TLS"


@both_carriages
@given(parts=st.lists(st.binary(min_size=1, max_size=300), max_size=6), at=cuts, messages_at=cuts)
def test_any_slicing_and_framing_gives_the_same_bytes(carriage, parts, at, messages_at):
    server = Server(carriage)
    pair = server.open()
    spdy = server.peer.reply(1) + server.peer.reply(pair)
    spdy += b"".join(data(pair, part) for part in parts) + data(1, fin=True) + data(pair, fin=True)
    # A message may hold a part of a SPDY frame, or several.
    events = server.say(*map(bytes, slices(spdy, messages_at)), at=at)
    received = b"".join(part for event in events if isinstance(event, Received) for part in event.parts)
    others = [event for event in events if not isinstance(event, Received)]
    assert received == b"".join(parts)
    assert others == [Accepted(pair), Ended(pair)]


@both_carriages
@given(noise=st.binary(max_size=2000), framed=st.booleans(), at=cuts)
def test_noise_brings_only_protocol_errors(carriage, noise, framed, at):
    server = Server(carriage)
    server.open()
    with contextlib.suppress(ProtocolError):
        everything(server.tunnel.receive, slices(carriage.pack(noise) if framed else noise, at))
