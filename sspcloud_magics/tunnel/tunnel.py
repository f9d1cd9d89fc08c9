"""One upgraded connection to the API server, and the pairs that are open on it.

It drives a sans-IO tunnel over a stream, and tells the holders of the pairs and the pool (`on_lost`) what happens.

There is no flow control within a tunnel: to stop one pair is to stop them all. A pair that is alone stops its tunnel at the
first byte that its client does not take, and that is the back-pressure of its own connection. Pairs that share one
may keep something first, `_KEPT` together, which is what they could have kept on tunnels of their own. Whoever
lets more pile up stops the others too; and when its client has taken nothing for `Timings.patience_with_readers`, its pair is ended, so that
the others go on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from sspcloud_magics.tunnel.http import ANSWER_TIMEOUT, Client
from sspcloud_magics.tunnel.protocols.events import (
    Accepted,
    Ended,
    Failed,
    Ponged,
    ProtocolError,
    Received,
)
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyTunnel
from sspcloud_magics.tunnel.protocols.websocket_channels import ChannelTunnel
from sspcloud_magics.tunnel.stream import Buffer, Stream

_STALE = 1.0
# Less than this, the buffers on the way to a pod take even if it reads nothing, and the ping behind it arrives.
_MUCH = 64 * 1024
# What pairs that share a tunnel keep for clients that do not read, all together.
_KEPT = 8 * 1024 * 1024
_IN_THE_WAY = (
    "its client took nothing for {:.0f} seconds, while other connections waited behind it on the same tunnel"
)


class Pulse(Enum):
    """What a ping has found out about a tunnel."""

    ALIVE = auto()
    DOUBTFUL = auto()
    """It took much and says nothing: its pod may not read, or the server may be gone."""
    GONE = auto()


class PairHandler(Protocol):
    """The holder of an open pair, which its tunnel tells what becomes of it.

    After `pair_ended`, `pair_failed` or `pair_lost` nothing more comes, and neither does anything after the holder has
    abandoned or reset the pair.
    """

    @property
    def untaken(self) -> int:
        """How many bytes from the pod it keeps, because they cannot be passed on yet; see `Pair.resume`."""

    def pair_accepted(self) -> None:
        """Take note that the server dials the pod."""

    def pair_received(self, parts: list[memoryview]) -> None:
        """Use up `parts`, which are valid during the call only."""

    def pair_drained(self) -> None:
        """Take note that everything sent has left."""

    def pair_ended(self) -> None:
        """Take note that the pod has closed, without an error."""

    def pair_failed(self, text: str) -> None:
        """Take note that the pair was ended with an error; `text` says which."""

    def pair_lost(self, text: str) -> None:
        """Take note that the tunnel broke with the pair on it."""


class Pair:
    """One connection to the pod through a tunnel: promised by the pool, opened once; made by `Tunnel.promise`."""

    __slots__ = ("handler", "number", "over", "tunnel")

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel
        self.number = 0
        self.handler: PairHandler  # from `open` on
        self.over = False

    def open(self, port: int, handler: PairHandler, first: memoryview | None = None) -> None:
        """Connect to `port` of the pod, for `handler`; `first` is sent along."""
        self.handler = handler
        self.tunnel.open_pair(self, port, first)

    def send(self, data: memoryview) -> None:
        """Send `data` to the pod."""
        self.tunnel.send(self, data)

    def resume(self) -> None:
        """Take note that the handler keeps nothing any more."""
        self.tunnel.let_flow(self)

    def finish(self) -> None:
        """Tell the server that the client sends nothing more."""
        self.tunnel.finish_pair(self)

    def abandon(self) -> None:
        """Let go of the pair after everything sent has reached the pod; drop what the pod still says."""
        self.tunnel.abandon_pair(self)

    def reset(self) -> None:
        """Let go of the pair at once."""
        self.tunnel.reset_pair(self)


class Tunnel:
    """An open tunnel to one pod.

    Parameters
    ----------
    stream
        The connection after the upgrade.
    protocol
        The protocol that was agreed on.
    """

    def __init__(self, stream: Stream, protocol: SpdyTunnel | ChannelTunnel) -> None:
        self._stream = stream
        self._protocol = protocol
        self._pairs: dict[int, Pair] = {}  # those that are open, by their numbers
        # Those that keep too much: since when their clients have taken nothing of how much.
        self._stopping: dict[Pair, tuple[float, int]] = {}
        self._pinged_at: float | None = None
        self._sent = self._taken = 0  # bytes of data in all, and those before a ping that was answered
        self._pings: deque[int] = deque()  # what had been sent before each that is not answered yet
        self._proof: asyncio.Future[None] | None = None
        self._first = b""
        self._requests: list[bytes] = []  # what leaves together, at the end of this turn of the loop
        self._loop = asyncio.get_running_loop()
        self.opened_at = self.used_at = self._heard_at = self._loop.time()
        self.closed = False
        """Whether the tunnel can be used no longer."""
        self.pairs = 0
        """How many pairs are promised or open."""
        self.carried = 0
        """How many bytes have passed, in both directions, since it had no pair."""
        self.on_lost: Callable[[Tunnel, str], None] | None = None

    @classmethod
    async def open(
        cls,
        client: Client,
        protocol: type[SpdyTunnel | ChannelTunnel],
        path: str,
        port: int,
        answer_within: float = ANSWER_TIMEOUT,
    ) -> Tunnel:
        """Upgrade a fresh connection at `path`; raises as `Client.upgrade` does."""
        query = {"ports": str(port)} if protocol is ChannelTunnel else {}
        upgraded = await client.upgrade(path, query, protocol.handshake(), answer_within)
        tunnel = cls(upgraded.stream, protocol())
        upgraded.stream.hand_over(tunnel)
        tunnel._first = upgraded.first
        if tunnel.half_close:
            tunnel._begin()
        return tunnel

    def _begin(self) -> None:
        """Begin to read. With protocol B the pod may speak at once, so somebody must listen before."""
        first, self._first = self._first, b""
        if first:
            self.on_data(memoryview(first))
        self._stream.resume()

    async def prove(self, within: float) -> None:
        """Return when the server has answered a ping; else the tunnel is closed.

        Raises
        ------
        ProtocolError
            If it does not answer within that many seconds.
        """
        self._proof = self._loop.create_future()
        self.ask()
        try:
            async with asyncio.timeout(within):
                await self._proof
        except TimeoutError:
            self.break_off("the server does not answer")
            raise ProtocolError(
                f"the server says that it speaks {self._protocol.name}, and does not"
            ) from None
        except BaseException:
            self.break_off("it is not wanted any more")
            raise
        finally:
            self._proof = None

    @property
    def usable(self) -> bool:
        """Whether another pair can be opened."""
        return not self.closed and self._protocol.reusable

    @property
    def stopped(self) -> bool:
        """Whether nothing is taken from the server, because a pair keeps too much."""
        return bool(self._stopping)

    @property
    def stale(self) -> bool:
        """Whether the server has not been heard for so long that the connection may be gone."""
        return self._loop.time() - self._heard_at > _STALE

    @property
    def half_close(self) -> bool:
        """Whether the end of the client's data can be passed on alone."""
        return self._protocol.half_close

    @property
    def unsent(self) -> int:
        """How many bytes wait for the server to take them."""
        return self._stream.unsent

    def promise(self) -> Pair:
        """Return a pair that may be opened; it counts from now on, until `let_go`."""
        if not self.pairs:
            self.carried = 0
        self.pairs += 1
        return Pair(self)

    def let_go(self, pair: Pair) -> None:
        """Forget a pair; nothing happens where that is done already."""
        if pair.over:
            return
        pair.over = True
        self.pairs -= 1
        self._pairs.pop(pair.number, None)
        self.used_at = self._loop.time()
        self.let_flow(pair)

    def open_pair(self, pair: Pair, port: int, first: memoryview | None) -> None:
        """Connect `pair` to `port` of the pod; `first` is sent along."""
        self.used_at = self._loop.time()
        if self.closed:
            # It broke on its way to the one who opens the pair, and nobody was there to be told.
            self._loop.call_soon(self._lose_pair, pair, "the tunnel broke before it was used")
            return
        pair.number, request = self._protocol.open(port, first or b"")
        self._pairs[pair.number] = pair
        self._sent += len(first or b"")
        if self.pairs > 1:
            # Others are about to follow, and one message spares both ends some work.
            if not self._requests:
                self._loop.call_soon(self._write)
            self._requests.append(request)
        else:
            self._write(request)
        if not self._protocol.half_close:
            self._begin()

    def send(self, pair: Pair, data: memoryview) -> None:
        """Send `data` to the pod."""
        self._sent += len(data)
        self.carried += len(data)
        self._write(*self._protocol.send(pair.number, data))

    def finish_pair(self, pair: Pair) -> None:
        """Tell the server that the client sends nothing more."""
        self._write(self._protocol.finish(pair.number))

    def abandon_pair(self, pair: Pair) -> None:
        """Let go of a pair after everything sent has reached the pod; drop what the pod still says."""
        self.let_go(pair)
        self._write(self._protocol.abandon(pair.number))

    def reset_pair(self, pair: Pair) -> None:
        """Let go of a pair at once."""
        self.let_go(pair)
        self._write(self._protocol.reset(pair.number))

    def _stop_for(self, pair: Pair, untaken: int) -> None:
        self._stopping.setdefault(pair, (self._loop.time(), untaken))
        self._stream.pause()

    def let_flow(self, pair: Pair) -> None:
        """Let the pods go on, unless another pair still keeps too much."""
        if self._stopping.pop(pair, None) is not None and not self._stopping:
            self._stream.resume()

    def _end_who_stops_others(self, patience: float) -> None:
        """End the pairs whose clients have taken nothing for long, if others wait behind them."""
        now = self._loop.time()
        for pair, (since, before) in list(self._stopping.items()):
            untaken = pair.handler.untaken
            if untaken < before:
                self._stopping[pair] = now, untaken
            elif self.pairs > 1 and now - since >= patience:
                self.reset_pair(pair)
                pair.handler.pair_failed(_IN_THE_WAY.format(patience))

    def ping(self, patience: float) -> Pulse:
        """Ask for a sign of life; return what is to be thought of the one that was asked for the last time.

        A pair whose client has taken nothing for `patience` seconds, while others wait behind it, is ended.
        A tunnel that is stopped is not asked: its answer would wait behind the data. In the other direction
        it is the same: while a pod does not read what it is sent, nobody reads the ping behind it.
        """
        if self._stopping:
            self._pinged_at = None
            self._end_who_stops_others(patience)
            return Pulse.ALIVE
        if self._is_asked:
            if self._sent - self._taken < _MUCH or self._stream.delivers is False:
                return Pulse.GONE
            return Pulse.DOUBTFUL
        self.ask()
        return Pulse.ALIVE

    @property
    def _is_asked(self) -> bool:
        return self._pinged_at is not None and self._heard_at < self._pinged_at

    def ask(self) -> None:
        """Ask for a sign of life, on which the next `ping` judges."""
        if not self.closed and not self._is_asked:
            self._pinged_at = self._loop.time()
            self._pings.append(self._sent)
            self._write(self._protocol.ping())

    def close(self) -> None:
        """Say goodbye, and close when everything sent has left and the server has closed too."""
        if not self.closed:
            self._write(self._protocol.close())
            self.closed = True
            self._stream.linger()

    def break_off(self, text: str) -> None:
        """Close a tunnel that does not work any more, and tell its users."""
        self._stream.reset()
        self._report_loss(text)

    def on_data(self, data: memoryview) -> None:
        """Take bytes from the server."""
        self._heard_at = self._loop.time()
        self.carried += len(data)
        try:
            events = self._protocol.receive(data)
        except ProtocolError as error:
            self.break_off(f"the server broke the tunnel's protocol: {error}")
            return
        if self._protocol.outgoing:
            answers = bytes(self._protocol.outgoing)
            self._protocol.outgoing.clear()
            self._write(answers)
        for event in events:
            if isinstance(event, Received):
                self._deliver(event.pair, event.parts)
            else:
                self._apply(event)

    def _deliver(self, number: int, parts: list[memoryview]) -> None:
        pair = self._pairs.get(number)
        if pair is None:
            return
        pair.handler.pair_received(parts)
        untaken = pair.handler.untaken
        if untaken > (_KEPT // self.pairs if self.pairs > 1 else 0) and not pair.over:
            self._stop_for(pair, untaken)

    def _apply(self, event: object) -> None:
        if isinstance(event, Accepted | Ended | Failed):
            pair = self._pairs.get(event.pair)
            if pair is None:
                return
            if isinstance(event, Accepted):
                pair.handler.pair_accepted()
                return
            self.let_go(pair)
            if isinstance(event, Ended):
                pair.handler.pair_ended()
            else:
                pair.handler.pair_failed(event.text)
        elif isinstance(event, Ponged):
            if self._pings:
                self._taken = self._pings.popleft()
            if self._proof is not None and not self._proof.done():
                self._proof.set_result(None)
        else:
            self.break_off(getattr(event, "text", ""))

    def on_end(self) -> None:
        """Take note that the server closed the connection."""
        self.break_off("the server closed the tunnel")

    def on_loss(self, error: OSError) -> None:
        """Take note that the connection broke."""
        self._report_loss(f"the tunnel broke: {error.strerror or error}")

    def on_drain(self) -> None:
        """Take note that everything unsent has left."""
        for pair in list(self._pairs.values()):
            if not pair.over:
                pair.handler.pair_drained()

    def _write(self, *parts: Buffer) -> None:
        if self._requests:
            parts = (b"".join(self._requests), *parts)
            self._requests.clear()
        if any(parts):
            self._stream.write(*parts)

    def _lose_pair(self, pair: Pair, text: str) -> None:
        if not pair.over:
            self.let_go(pair)
            pair.handler.pair_lost(text)

    def _report_loss(self, text: str) -> None:
        self.closed = True
        if self._proof is not None and not self._proof.done():
            self._proof.set_exception(ProtocolError(text))
        for pair in list(self._pairs.values()):
            self._lose_pair(pair, text)
        if self.on_lost is not None:
            on_lost, self.on_lost = self.on_lost, None
            on_lost(self, text)
