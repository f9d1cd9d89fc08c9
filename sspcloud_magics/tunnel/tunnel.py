"""One upgraded connection to the API server, and the pair that is open on it.

It drives a sans-IO tunnel over a stream, and tells the holder of the open pair (`PairHandler`) and the
pool (`on_lost`) what happens. It is used by one local connection at a time, so pausing it is the
back-pressure of that connection and of no other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from sspcloud_magics.tunnel.http import Client
from sspcloud_magics.tunnel.protocols.channels import ChannelTunnel
from sspcloud_magics.tunnel.protocols.events import (
    Accepted,
    Ended,
    Failed,
    Ponged,
    ProtocolError,
    Received,
)
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyTunnel
from sspcloud_magics.tunnel.stream import Stream

_STALE = 1.0
# Less than this, the buffers on the way to a pod take even if it reads nothing, and the ping behind it arrives.
_MUCH = 64 * 1024


class Pulse(Enum):
    """What a ping has found out about a tunnel."""

    ALIVE = auto()
    DOUBTFUL = auto()
    """It took much and says nothing: its pod may not read, or the server may be gone."""
    GONE = auto()


class PairHandler(Protocol):
    """Who holds the open pair. After `pair_ended`, `pair_failed` or `pair_lost` nothing more comes."""

    def pair_accepted(self) -> None:
        """Take note that the server dials the pod."""

    def pair_received(self, parts: list[memoryview]) -> None:
        """Use up `parts`, which are valid during the call only."""

    def pair_drained(self) -> None:
        """Take note that everything sent has left."""

    def pair_ended(self) -> None:
        """Take note that the pod has closed, without an error."""

    def pair_failed(self, text: str) -> None:
        """Take note that the server ended the pair, in its words."""

    def pair_lost(self, text: str) -> None:
        """Take note that the tunnel broke with the pair on it."""


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
        self._handler: PairHandler | None = None
        self._pair = 0
        self._pinged_at: float | None = None
        self._paused = False
        self._sent = self._taken = 0  # bytes of data in all, and those before a ping that was answered
        self._pings: deque[int] = deque()  # what had been sent before each that is not answered yet
        self._first = b""
        self._loop = asyncio.get_running_loop()
        self.opened_at = self.used_at = self._heard_at = self._loop.time()
        self.closed = False
        """Whether the tunnel can be used no longer."""
        self.on_lost: Callable[[Tunnel, str], None] | None = None

    @classmethod
    async def open(
        cls, client: Client, protocol: type[SpdyTunnel | ChannelTunnel], path: str, port: int
    ) -> Tunnel:
        """Upgrade a fresh connection at `path`; raises as `Client.upgrade` does."""
        query = {"ports": str(port)} if protocol is ChannelTunnel else {}
        upgraded = await client.upgrade(path, query, protocol.subprotocol)
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
            self.received(memoryview(first))
        self._stream.resume()

    @property
    def reusable(self) -> bool:
        """Whether another pair can be opened now."""
        return not self.closed and self._handler is None and self._protocol.reusable

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

    @property
    def paused(self) -> bool:
        """Whether the holder of the pair has stopped the flow from the pod."""
        return self._paused

    def open_pair(self, port: int, handler: PairHandler, first: memoryview | None = None) -> None:
        """Connect to `port` of the pod, for `handler`; `first` is sent along."""
        self._handler = handler
        self.used_at = self._loop.time()
        if self.closed:
            # It broke on its way to the one who opens the pair, and nobody was there to be told.
            self._loop.call_soon(self._report_loss, "the tunnel broke before it was used")
            return
        self._pair, request = self._protocol.open(port)
        parts = self._protocol.send(self._pair, first) if first else ()
        self._sent += len(first or b"")
        if request or parts:
            self._stream.write(request, *parts)
        if not self._protocol.half_close:
            self._begin()

    def send(self, data: memoryview) -> None:
        """Send `data` to the pod."""
        self._sent += len(data)
        self._stream.write(*self._protocol.send(self._pair, data))

    def finish_pair(self) -> None:
        """Tell the server that the client sends nothing more."""
        self._write(self._protocol.finish(self._pair))

    def abandon_pair(self) -> None:
        """Let go of the pair after everything sent has reached the pod; drop what the pod still says."""
        self._detach()
        self._write(self._protocol.abandon(self._pair))

    def reset_pair(self) -> None:
        """Let go of the pair at once."""
        self._detach()
        self._write(self._protocol.reset(self._pair))

    def pause(self) -> None:
        """Stop the flow from the pod."""
        self._paused = True
        self._stream.pause()

    def resume(self) -> None:
        """Let the pod go on."""
        self._paused = False
        self._stream.resume()

    def ping(self) -> Pulse:
        """Ask for a sign of life; return what is to be thought of the one that was asked for the last time.

        A tunnel that is paused is not asked: its answer would wait behind the data. In the other direction
        it is the same: while a pod does not read what it is sent, nobody reads the ping behind it.
        """
        if self._paused:
            self._pinged_at = None
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

    def received(self, data: memoryview) -> None:
        """Take bytes from the server."""
        self._heard_at = self._loop.time()
        try:
            events = self._protocol.receive(data)
        except ProtocolError as error:
            self.break_off(f"the server broke the tunnel's protocol: {error}")
            return
        if self._protocol.outgoing:
            answers = bytes(self._protocol.outgoing)
            self._protocol.outgoing.clear()
            self._write(answers)
        parts: list[memoryview] = []
        for event in events:
            if isinstance(event, Received):
                if event.pair == self._pair:
                    parts.append(event.data)
                continue
            if parts:
                self._deliver(parts)
                parts = []
            self._apply(event)
        if parts:
            self._deliver(parts)

    def _deliver(self, parts: list[memoryview]) -> None:
        if self._handler is not None:
            self._handler.pair_received(parts)

    def _apply(self, event: object) -> None:
        if isinstance(event, Accepted | Ended | Failed):
            if event.pair != self._pair or self._handler is None:
                return
            handler = self._handler
            if isinstance(event, Accepted):
                handler.pair_accepted()
                return
            self._detach()
            if isinstance(event, Ended):
                handler.pair_ended()
            else:
                handler.pair_failed(event.text)
        elif isinstance(event, Ponged):
            if self._pings:
                self._taken = self._pings.popleft()
        else:
            self.break_off(getattr(event, "text", ""))

    def ended(self) -> None:
        """Take note that the server closed the connection."""
        self.break_off("the server closed the tunnel")

    def lost(self, error: OSError) -> None:
        """Take note that the connection broke."""
        self._report_loss(f"the tunnel broke: {error.strerror or error}")

    def drained(self) -> None:
        """Take note that everything unsent has left."""
        if self._handler is not None:
            self._handler.pair_drained()

    def _write(self, message: bytes) -> None:
        if message:
            self._stream.write(message)

    def _detach(self) -> None:
        self._handler = None
        self.used_at = self._loop.time()
        if self._paused:
            self.resume()

    def _report_loss(self, text: str) -> None:
        self.closed = True
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.pair_lost(text)
        if self.on_lost is not None:
            on_lost, self.on_lost = self.on_lost, None
            on_lost(self, text)
