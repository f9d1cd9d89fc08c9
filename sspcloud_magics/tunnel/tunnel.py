"""One upgraded connection to the API server, with the stream pairs that are open on it.

A tunnel drives a sans-IO protocol over a stream, and reports events to the handlers of the pairs and to the pool (`on_lost`).

There is no flow control within a tunnel: to stop one pair is to stop all. A pair that is alone stops its tunnel at the
first byte that its client does not read, which is the back-pressure of its own connection. Pairs that share a tunnel may
buffer `_KEPT` bytes together, as much as on tunnels of their own. A pair that buffers more stops the others too. If its
client then reads nothing for `Timings.reader_timeout`, the pair is ended, so that the others can continue.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from sspcloud_magics.i18n import _
from sspcloud_magics.i18n.system_reasons import system_reason
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

_log = logging.getLogger(__name__)

# Seconds of silence after which a tunnel may be gone.
_STALE = 1.0
# Bytes. The buffers on the way to a pod take this much even if the pod reads nothing, so a ping behind it arrives.
_MUCH = 64 * 1024
# Bytes that all pairs of a shared tunnel may buffer together for clients that do not read.
_KEPT = 8 * 1024 * 1024


class Pulse(Enum):
    """The result of a ping."""

    ALIVE = auto()
    DOUBTFUL = auto()
    """Much was sent, and nothing came back: the pod may not read, or the server may be gone."""
    GONE = auto()


class PairHandler(Protocol):
    """The handler of an open pair's events.

    No event follows after `pair_ended`, `pair_failed` or `pair_lost`, nor after the pair was abandoned or reset.
    """

    @property
    def untaken(self) -> int:
        """The number of bytes from the pod that the handler still buffers; see `Pair.resume`."""

    def pair_accepted(self) -> None:
        """Handle the server's acceptance: it dials the pod."""

    def pair_received(self, parts: list[memoryview]) -> None:
        """Consume `parts`, which are valid only during the call."""

    def pair_drained(self) -> None:
        """Continue sending: everything unsent has left."""

    def pair_ended(self) -> None:
        """Handle the end of the pod's data, without an error."""

    def pair_failed(self, text: str) -> None:
        """Handle the end of the pair with the error `text`."""

    def pair_lost(self, text: str) -> None:
        """Handle the loss of the tunnel with the pair on it."""


class Pair:
    """A stream pair: one connection to the pod through a tunnel. Created by `Tunnel.acquire`, and opened once."""

    __slots__ = ("handler", "number", "over", "tunnel")

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel
        # The number and the handler are set by `open`; `Tunnel.release` sets `over`.
        self.number = 0
        self.handler: PairHandler
        self.over = False

    def open(self, port: int, handler: PairHandler, first: memoryview | None = None) -> None:
        """Connect to `port` of the pod; the request includes the data `first`."""
        self.handler = handler
        self.tunnel.open_pair(self, port, first)

    def send(self, data: memoryview) -> None:
        """Send `data` to the pod."""
        self.tunnel.send(self, data)

    def resume(self) -> None:
        """Resume the pod's data: the handler buffers nothing any more."""
        self.tunnel.resume_for(self)

    def finish(self) -> None:
        """Close the client's direction."""
        self.tunnel.finish_pair(self)

    def abandon(self) -> None:
        """End the pair: sent data still reaches the pod, and the pod's further data is dropped."""
        self.tunnel.abandon_pair(self)

    def reset(self) -> None:
        """End the pair at once."""
        self.tunnel.reset_pair(self)


class Tunnel:
    """An open tunnel to one pod.

    Parameters
    ----------
    stream
        The connection after the upgrade.
    protocol
        The negotiated protocol.
    """

    def __init__(self, stream: Stream, protocol: SpdyTunnel | ChannelTunnel) -> None:
        self._stream = stream
        self._protocol = protocol
        # The open pairs, by number.
        self._pairs: dict[int, Pair] = {}
        # The pairs that buffer too much: since when their clients have read nothing, and how many bytes they buffer.
        self._blocking: dict[Pair, tuple[float, int]] = {}
        self._pinged_at: float | None = None
        # Bytes of data sent in all, and sent before the last answered ping.
        self._sent = self._taken = 0
        # For each unanswered ping, the bytes sent before it.
        self._pings: deque[int] = deque()
        # Resolved by the first answer to a ping; see `prove`.
        self._proof: asyncio.Future[None] | None = None
        # Data that arrived with the answer to the upgrade.
        self._first = b""
        # Requests that are sent together, at the end of this iteration of the event loop.
        self._requests: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self.opened_at = self.used_at = self._heard_at = self._loop.time()
        self.closed = False
        """Whether the tunnel has closed or broken."""
        self.pairs = 0
        """The number of acquired pairs, open or not."""
        self.carried = 0
        """The number of bytes, in both directions, since the tunnel last had no pair."""
        self.on_lost: Callable[[Tunnel, str], None] | None = None
        """Called once with the reason when the tunnel breaks; set by the pool."""

    @classmethod
    async def open(
        cls,
        client: Client,
        protocol: type[SpdyTunnel | ChannelTunnel],
        path: str,
        port: int,
        answer_within: float = ANSWER_TIMEOUT,
    ) -> Tunnel:
        """Upgrade a new connection at `path`; raises as `Client.upgrade` does."""
        query = {"ports": str(port)} if protocol is ChannelTunnel else {}
        upgraded = await client.upgrade(path, query, protocol.handshake(), answer_within)
        tunnel = cls(upgraded.stream, protocol())
        upgraded.stream.hand_over(tunnel)
        tunnel._first = upgraded.first
        if tunnel.half_close:
            tunnel._begin()
        return tunnel

    def _begin(self) -> None:
        """Begin to read. With `channels` the pod may send data at once, so a handler must exist."""
        first, self._first = self._first, b""
        if first:
            self.on_data(memoryview(first))
        self._stream.resume()

    async def prove(self, within: float) -> None:
        """Wait until the server answers a ping; after a timeout, close the tunnel and raise `ProtocolError`."""
        self._proof = self._loop.create_future()
        self.ask()
        try:
            async with asyncio.timeout(within):
                await self._proof
        except TimeoutError:
            self.break_off(_("the server does not answer"))
            raise ProtocolError(
                f"the server accepted {self._protocol.name}, but does not answer in it"
            ) from None
        except BaseException:
            self.break_off(_("it is no longer needed"))
            raise
        finally:
            self._proof = None

    @property
    def usable(self) -> bool:
        """Whether another pair can be opened."""
        return not self.closed and self._protocol.reusable

    @property
    def stopped(self) -> bool:
        """Whether reading from the server is paused, because a pair buffers too much."""
        return bool(self._blocking)

    @property
    def stale(self) -> bool:
        """Whether the server has been silent for so long that the connection may be gone."""
        return self._loop.time() - self._heard_at > _STALE

    @property
    def half_close(self) -> bool:
        """Whether the client's direction can be closed alone."""
        return self._protocol.half_close

    @property
    def unsent(self) -> int:
        """The number of bytes that wait to be sent to the server."""
        return self._stream.unsent

    def acquire(self) -> Pair:
        """Return a new pair, which counts until `release`."""
        if not self.pairs:
            self.carried = 0
        self.pairs += 1
        return Pair(self)

    def release(self, pair: Pair) -> None:
        """Release a pair; idempotent."""
        if pair.over:
            return
        pair.over = True
        self.pairs -= 1
        self._pairs.pop(pair.number, None)
        self.used_at = self._loop.time()
        self.resume_for(pair)

    def open_pair(self, pair: Pair, port: int, first: memoryview | None) -> None:
        """Connect `pair` to `port` of the pod; the request includes the data `first`."""
        self.used_at = self._loop.time()
        if self.closed:
            # The tunnel broke between `acquire` and `open`, when the pair had no handler.
            self._loop.call_soon(self._lose_pair, pair, _("the tunnel broke before it was used"))
            return
        pair.number, request = self._protocol.open(port, first or b"")
        self._pairs[pair.number] = pair
        self._sent += len(first or b"")
        if self.pairs > 1:
            # More requests are about to follow, and a single message saves work on both ends.
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
        """Close the client's direction of a pair."""
        self._write(self._protocol.finish(pair.number))

    def abandon_pair(self, pair: Pair) -> None:
        """End a pair: sent data still reaches the pod, and the pod's further data is dropped."""
        self.release(pair)
        self._write(self._protocol.abandon(pair.number))

    def reset_pair(self, pair: Pair) -> None:
        """End a pair at once."""
        self.release(pair)
        self._write(self._protocol.reset(pair.number))

    def _pause_for(self, pair: Pair, untaken: int) -> None:
        self._blocking.setdefault(pair, (self._loop.time(), untaken))
        self._stream.pause()

    def resume_for(self, pair: Pair) -> None:
        """Resume reading, unless another pair still buffers too much."""
        if self._blocking.pop(pair, None) is not None and not self._blocking:
            self._stream.resume()

    def _end_blocking_pairs(self, reader_timeout: float) -> None:
        """End the pairs whose clients have read nothing for `reader_timeout` seconds, if others wait behind them."""
        now = self._loop.time()
        for pair, (since, before) in list(self._blocking.items()):
            untaken = pair.handler.untaken
            if untaken < before:
                self._blocking[pair] = now, untaken
            elif self.pairs > 1 and now - since >= reader_timeout:
                self.reset_pair(pair)
                pair.handler.pair_lost(_describe_slow_reader(reader_timeout))

    def ping(self, reader_timeout: float) -> Pulse:
        """Send a ping, unless the last one is still unanswered; return what that says about the tunnel.

        A pair whose client has read nothing for `reader_timeout` seconds, while others wait behind it, is ended.
        A paused tunnel gets no ping, because the answer would wait behind the data. It is the same in the other
        direction: while a pod does not read its data, the ping behind that data is not read either.
        """
        if self._blocking:
            self._pinged_at = None
            self._end_blocking_pairs(reader_timeout)
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
        """Send a ping now, whose answer the next `ping` checks."""
        if not self.closed and not self._is_asked:
            self._pinged_at = self._loop.time()
            self._pings.append(self._sent)
            self._write(self._protocol.ping())

    def close(self) -> None:
        """Close in the protocol, then the connection, once everything is sent and the server has closed too."""
        if not self.closed:
            self._write(self._protocol.close())
            self.closed = True
            self._stream.linger()

    def break_off(self, text: str) -> None:
        """Reset a tunnel that no longer works, and report its loss."""
        self._stream.reset()
        self._report_loss(text)

    def on_data(self, data: memoryview) -> None:
        """Process bytes from the server."""
        self._heard_at = self._loop.time()
        self.carried += len(data)
        try:
            events = self._protocol.receive(data)
        except ProtocolError as error:
            _log.info("tunnel %x: the server violated the protocol: %s", id(self), error)
            self.break_off(_("the server violated the tunnel's protocol: {error}", error=error))
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
            self._pause_for(pair, untaken)

    def _apply(self, event: object) -> None:
        if isinstance(event, Accepted | Ended | Failed):
            pair = self._pairs.get(event.pair)
            if pair is None:
                return
            if isinstance(event, Accepted):
                pair.handler.pair_accepted()
                return
            self.release(pair)
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
            self._close_for(getattr(event, "text", ""))

    def on_end(self) -> None:
        """Report that the server closed the connection."""
        self._close_for("")

    def _close_for(self, text: str) -> None:
        """Break off, because the server closed the tunnel, with its reason if it gave one."""
        _log.debug("tunnel %x: the server closed it", id(self))
        if text:
            self.break_off(_("the server closed the tunnel: {reason}", reason=text))
        else:
            self.break_off(_("the server closed the tunnel"))

    def on_loss(self, error: OSError) -> None:
        """Report that the connection broke."""
        _log.debug("tunnel %x: broke: %s", id(self), type(error).__name__)
        self._report_loss(_("the tunnel broke: {reason}", reason=system_reason(error).rstrip(".")))

    def on_drain(self) -> None:
        """Let the pairs send again."""
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
            self.release(pair)
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


def _describe_slow_reader(timeout: float) -> str:
    return _(
        "its client read nothing for {seconds} seconds, while other connections waited behind it on the same tunnel",
        seconds=round(timeout),
    )
