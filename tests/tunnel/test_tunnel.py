"""A tunnel and its pairs, without a socket: which pairs a slow client stops, and for how long."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from sspcloud_magics.tunnel import tunnel as engine
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyTunnel
from sspcloud_magics.tunnel.tunnel import Pair, Tunnel
from tests.tunnel.protocols.wire import SpdyPeer, data, spdy_frames


class Line:
    """A double of the stream to the server, which records writes and pauses."""

    unsent = 0
    delivers = True

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.reading = True

    def write(self, *parts: bytes) -> None:
        self.writes.append(b"".join(parts))

    def pause(self) -> None:
        self.reading = False

    def resume(self) -> None:
        self.reading = True

    def reset(self) -> None:
        """Do nothing: there is no connection."""

    def frames(self) -> list[tuple[object, ...]]:
        """Return the SPDY frames that were sent."""
        return [one for write in self.writes for one in spdy_frames(write)]


@dataclass
class Holder:
    """A pair's handler, which buffers as many bytes as the test says."""

    untaken: int = 0
    told: list[str] = field(default_factory=list)
    received: bytes = b""

    def pair_accepted(self) -> None:
        self.told.append("accepted")

    def pair_received(self, parts: list[memoryview]) -> None:
        self.received += b"".join(parts)

    def pair_drained(self) -> None:
        self.told.append("drained")

    def pair_ended(self) -> None:
        self.told.append("ended")

    def pair_failed(self, text: str) -> None:
        self.told.append(f"failed: {text}")

    def pair_lost(self, text: str) -> None:
        self.told.append(f"lost: {text}")


@dataclass
class Ends:
    """A tunnel, its stream, and the server's messages."""

    line: Line
    tunnel: Tunnel
    peer: SpdyPeer

    def open(self) -> tuple[Pair, Holder]:
        pair, holder = self.tunnel.acquire(), Holder()
        pair.open(5432, holder)
        return pair, holder

    def say(self, *frames: bytes) -> None:
        self.tunnel.on_data(memoryview(b"".join(frames)))


@pytest.fixture
async def ends() -> Ends:
    line = Line()
    return Ends(line, Tunnel(line, SpdyTunnel()), SpdyPeer())  # type: ignore[arg-type]


async def test_lone_pair_stops_its_tunnel_at_once(ends):
    pair, holder = ends.open()
    holder.untaken = 1
    ends.say(data(pair.number, b"x"))
    assert not ends.line.reading
    pair.resume()
    assert ends.line.reading


async def test_sharing_pairs_keep_a_bounded_share_first(ends):
    pairs = [ends.open() for _ in range(4)]
    slow, holder = pairs[0]
    holder.untaken = engine._KEPT // 4
    ends.say(data(slow.number, b"x"))
    assert ends.line.reading
    holder.untaken += 1
    ends.say(data(slow.number, b"x"))
    assert not ends.line.reading
    slow.resume()
    assert ends.line.reading


async def test_two_blocking_pairs_must_both_read_again(ends):
    (one, first), (other, second) = ends.open(), ends.open()
    first.untaken = second.untaken = engine._KEPT
    ends.say(data(one.number, b"x"), data(other.number, b"x"))
    one.resume()
    assert not ends.line.reading
    assert ends.tunnel.stopped
    other.abandon()
    assert ends.line.reading
    assert not ends.tunnel.stopped


async def test_bytes_for_several_pairs_keep_their_order(ends):
    (one, first), (other, second) = ends.open(), ends.open()
    ends.say(
        data(one.number, b"a"), data(one.number, b"b"), data(other.number, b"1"), data(one.number, b"c", fin=True),
        data(one.number - 2, fin=True), data(other.number, b"2"),
    )  # fmt: skip
    assert (first.received, second.received) == (b"abc", b"12")
    assert (first.told, second.told) == (["ended"], [])
    assert ends.tunnel.pairs == 1


async def test_blocking_pair_is_ended_for_the_others(ends):
    (slow, holder), (other, neighbour) = ends.open(), ends.open()
    holder.untaken = engine._KEPT
    ends.say(data(slow.number, b"x"))
    ends.tunnel.ping(0.0)
    assert holder.told == [f"lost: {engine._describe_slow_reader(0)}"]
    assert ends.line.frames()[-1][:2] == ("control", 3)
    assert ends.line.reading
    ends.say(data(slow.number, b"late"), data(other.number, b"y"))
    assert (holder.received, neighbour.received, neighbour.told) == (b"x", b"y", [])


async def test_client_that_takes_a_little_is_not_ended(ends):
    (slow, holder), _ = ends.open(), ends.open()
    holder.untaken = engine._KEPT
    ends.say(data(slow.number, b"x"))
    for _ in range(3):
        holder.untaken -= 1
        ends.tunnel.ping(0.0)
    assert holder.told == []
    ends.tunnel.ping(0.0)
    assert holder.told == [f"lost: {engine._describe_slow_reader(0)}"]


async def test_lone_pair_may_keep_its_tunnel_waiting(ends):
    pair, holder = ends.open()
    holder.untaken = engine._KEPT
    ends.say(data(pair.number, b"x"))
    assert ends.tunnel.ping(0.0) is engine.Pulse.ALIVE
    assert holder.told == []


async def test_requests_of_sharing_pairs_leave_together(ends):
    acquired = [ends.tunnel.acquire() for _ in range(3)]
    for pair in acquired:
        pair.open(5432, Holder(), memoryview(b"hello"))
    assert ends.line.writes == []
    await asyncio.sleep(0)
    assert len(ends.line.writes) == 1
    kinds = [(said[0], said[1]) for said in ends.line.frames()]
    assert kinds == [
        step for pair in acquired for step in (("control", 1), ("control", 1), ("data", pair.number))
    ]


async def test_nothing_overtakes_a_request_that_has_not_left(ends):
    pairs = [ends.tunnel.acquire() for _ in range(2)]
    pairs[0].open(5432, Holder())
    pairs[0].send(memoryview(b"hello"))
    assert [said[:2] for said in ends.line.frames()] == [
        ("control", 1),
        ("control", 1),
        ("data", pairs[0].number),
    ]
    await asyncio.sleep(0)
    assert len(ends.line.writes) == 1


async def test_a_tunnel_that_breaks_tells_each_pair_once(ends):
    (one, first), (_, second) = ends.open(), ends.open()
    gone, unopened = ends.open(), ends.tunnel.acquire()
    gone[0].abandon()
    first.pair_lost = lambda text: (first.told.append(text), one.reset())  # type: ignore[method-assign]
    ends.tunnel.break_off("gone")
    assert (first.told, second.told, gone[1].told) == (["gone"], ["lost: gone"], [])
    late = Holder()
    unopened.open(5432, late)
    await asyncio.sleep(0)
    assert late.told == ["lost: the tunnel broke before it was used"]
    assert ends.tunnel.pairs == 0


async def test_sharing_pairs_all_hear_of_draining(ends):
    (_, first), (_, second) = ends.open(), ends.open()
    ends.tunnel.on_drain()
    assert (first.told, second.told) == (["drained"], ["drained"])
