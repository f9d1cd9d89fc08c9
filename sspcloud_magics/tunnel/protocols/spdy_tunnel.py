"""Protocols A and C: port-forward pairs over SPDY.

A pair is two streams with the same ``requestid``: first the error stream, which we half-close at once,
then the data stream, whose number names the pair here. The server dials the pod when it has both. It
ends a pair by closing both streams; a text on the error stream says that it failed, and since
Kubernetes 1.32 resets follow it. (Sources: ``portforward`` in client-go and in the kubelet.)

A tunnel carries as many pairs as one likes, and has no flow control between them: which of them share one, and
what becomes of a pair that does not read, is the engine's care. A pair that was abandoned may linger on the server for a second;
what still arrives for it is dropped.

With protocol C, `SpdyTunnel`, the connection itself speaks SPDY; with A, `SpdyOverWebSocket`, SPDY is the bytes of a
WebSocket's messages, for proxies that let nothing else through. (Source: KEP-4006.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from sspcloud_magics.tunnel.protocols import spdy, websocket
from sspcloud_magics.tunnel.protocols.events import (
    Accepted,
    Ended,
    Failed,
    Ponged,
    ProtocolError,
    Received,
    TunnelClosed,
    TunnelEvent,
)
from sspcloud_magics.tunnel.protocols.handshake import Handshake
from sspcloud_magics.tunnel.protocols.websocket import (
    WORTH_A_PART,
    Opcode,
    encode_close,
    encode_frame,
    encode_message,
)

Buffer: TypeAlias = bytes | memoryview

STREAMS = "portforward.k8s.io"
SUBPROTOCOL = "SPDY/3.1+portforward.k8s.io"
_TEXT_LIMIT = 64 * 1024
_LAST_STREAM = 0x7FFFFFF0
_TEXT = websocket.Boundary.TEXT


@dataclass(slots=True)
class _Pair:
    """One connection to the pod; its number is that of its data stream."""

    number: int
    error_stream: int
    text: bytearray = field(default_factory=bytearray)
    data_ended: bool = False
    error_ended: bool = False
    finished: bool = False
    abandoned: bool = False


class SpdyTunnel:
    """One tunnel of protocol C.

    What a method returns is to be sent. After `receive`, `outgoing` holds answers that are to be sent too.

    Examples
    --------
    >>> tunnel = SpdyTunnel()
    >>> pair, request = tunnel.open(5432)
    >>> tunnel.pairs
    1
    """

    name = "spdy"
    half_close = True
    """Whether our end of a pair can be closed on its own."""

    def __init__(self) -> None:
        self._spdy = spdy.FrameDecoder()
        self._headers = spdy.HeaderEncoder()
        self._next_stream = 1
        self._next_ping = 1
        self._data: dict[int, _Pair] = {}
        self._errors: dict[int, _Pair] = {}
        self._closing = False
        self.outgoing = bytearray()

    @classmethod
    def handshake(cls) -> Handshake:
        """Return the request that opens such a tunnel."""
        return spdy.handshake(STREAMS)

    def _message(self, *frames: Buffer) -> bytes:
        """Return `frames` as they are sent."""
        return b"".join(frames)

    @property
    def pairs(self) -> int:
        """How many pairs the server still knows."""
        return len(self._data)

    @property
    def reusable(self) -> bool:
        """Whether another pair can be opened."""
        return not self._closing and self._next_stream < _LAST_STREAM

    def open(self, port: int, first: bytes | memoryview = b"") -> tuple[int, bytes]:
        """Open a pair to `port` of the pod, and say `first`; return its number and the one message to send."""
        error, data = self._next_stream, self._next_stream + 2
        self._next_stream += 4
        headers = {"streamtype": "error", "port": str(port), "requestid": str(data // 4)}
        frames: list[Buffer] = [
            self._headers.syn_stream(error, headers, fin=True),
            self._headers.syn_stream(data, {**headers, "streamtype": "data"}),
        ]
        if first:
            frames += (spdy.data_head(data, len(first)), first)
        pair = _Pair(data, error)
        self._data[data] = pair
        self._errors[error] = pair
        return data, self._message(*frames)

    def send(self, pair: int, payload: memoryview) -> tuple[Buffer, ...]:
        """Return what carries `payload` (at most 16 MiB) to the pod, in parts."""
        head = spdy.data_head(pair, len(payload))
        # Each part is a record of TLS.
        return (head, payload) if len(payload) > WORTH_A_PART else (head + payload,)

    def finish(self, pair: int) -> bytes:
        """Close our end of a pair; what the pod sends still arrives."""
        known = self._data.get(pair)
        if known is None or known.finished:
            return b""
        known.finished = True
        return self._message(spdy.data_head(pair, 0, fin=True))

    def abandon(self, pair: int) -> bytes:
        """Close our end of a pair, and drop what still comes from it; the bytes sent before arrive."""
        known = self._data.get(pair)
        if known is not None:
            known.abandoned = True
        return self.finish(pair)

    def reset(self, pair: int) -> bytes:
        """End a pair at once, in both directions."""
        known = self._data.get(pair)
        if known is None:
            return b""
        known.abandoned = known.finished = True
        # The server says nothing more on a stream that was reset, not even its end.
        self._end_data(known, [])
        return self._message(spdy.encode_reset(pair))

    def ping(self) -> bytes:
        """Return a message that the server answers (`Ponged`)."""
        number, self._next_ping = self._next_ping, (self._next_ping + 2) & 0x7FFFFFFF
        return self._message(spdy.encode_ping(number))

    def close(self) -> bytes:
        """Return what says that the tunnel is over."""
        self._closing = True
        return spdy.encode_goaway()

    def receive(self, data: memoryview) -> list[TunnelEvent]:
        """Return what `data` brings; the views in it are valid as long as `data` is.

        Raises
        ------
        ProtocolError
            If the server breaks the protocol. The tunnel cannot be used afterwards.
        """
        return self._receive((data,))

    def _receive(self, slices: Iterable[memoryview]) -> list[TunnelEvent]:
        events: list[TunnelEvent] = []
        for event in self._spdy.receive(slices):
            self._apply(event, events)
        return events

    def _apply(self, event: spdy.FrameEvent, events: list[TunnelEvent]) -> None:
        if isinstance(event, spdy.Data):
            self._apply_data(event, events)
        elif isinstance(event, spdy.StreamOpened):
            self._apply_stream(event, events)
        elif isinstance(event, spdy.Reset):
            pair = self._data.get(event.stream) or self._errors.get(event.stream)
            if pair is not None:
                text = _text(pair) or "the server reset the connection"
                self._forget(pair, events, Failed(pair.number, text))
        elif isinstance(event, spdy.Ping):
            # The draft, section 2.6.5: the parity says who asked.
            if event.number % 2:
                events.append(Ponged())
            else:
                self.outgoing += self._message(spdy.encode_ping(event.number))
        else:
            self._closing = True
            events.append(TunnelClosed("the server takes no further connections on this tunnel"))

    def _apply_data(self, event: spdy.Data, events: list[TunnelEvent]) -> None:
        if (pair := self._data.get(event.stream)) is not None:
            if event.parts and not pair.abandoned:
                events.append(Received(event.stream, event.parts))
            if event.fin:
                self._end_data(pair, events)
        elif (pair := self._errors.get(event.stream)) is not None:
            for part in event.parts:
                pair.text += part[: _TEXT_LIMIT - len(pair.text)]
            if event.fin:
                self._end_error(pair, events)

    def _apply_stream(self, event: spdy.StreamOpened, events: list[TunnelEvent]) -> None:
        if event.frame is spdy.FrameType.SYN_STREAM:
            self.outgoing += self._message(spdy.encode_reset(event.stream, status=3))
            return
        if (pair := self._data.get(event.stream)) is not None:
            if event.frame is spdy.FrameType.SYN_REPLY and not pair.abandoned:
                events.append(Accepted(pair.number))
            if event.fin:
                self._end_data(pair, events)
        elif (pair := self._errors.get(event.stream)) is not None and event.fin:
            self._end_error(pair, events)

    def _end_data(self, pair: _Pair, events: list[TunnelEvent]) -> None:
        pair.data_ended = True
        if pair.error_ended:
            self._forget(pair, events, Ended(pair.number))

    def _end_error(self, pair: _Pair, events: list[TunnelEvent]) -> None:
        pair.error_ended = True
        if pair.text:
            self._forget(pair, events, Failed(pair.number, _text(pair)))
        elif pair.data_ended:
            self._forget(pair, events, Ended(pair.number))

    def _forget(self, pair: _Pair, events: list[TunnelEvent], last: Ended | Failed) -> None:
        del self._data[pair.number]
        del self._errors[pair.error_stream]
        if not pair.finished:
            # Close our end too, or the server keeps the stream for the life of the tunnel.
            farewell = (
                spdy.data_head(pair.number, 0, fin=True)
                if isinstance(last, Ended)
                else spdy.encode_reset(pair.number)
            )
            self.outgoing += self._message(farewell)
        if not pair.abandoned:
            events.append(last)


def _text(pair: _Pair) -> str:
    return pair.text.decode(errors="replace").strip()


class SpdyOverWebSocket(SpdyTunnel):
    """One tunnel of protocol A."""

    name = "spdy over websocket"

    def __init__(self) -> None:
        super().__init__()
        self._frames = websocket.FrameDecoder()

    @classmethod
    def handshake(cls) -> Handshake:
        """Return the request that opens such a tunnel."""
        return websocket.handshake(SUBPROTOCOL)

    def _message(self, *frames: Buffer) -> bytes:
        return encode_frame(Opcode.BINARY, *frames)

    def send(self, pair: int, payload: memoryview) -> tuple[Buffer, ...]:
        """Return the message that carries `payload` (at most 16 MiB) to the pod, in parts."""
        return encode_message(spdy.data_head(pair, len(payload)), payload)

    def close(self) -> bytes:
        """Return the message that closes the tunnel."""
        self._closing = True
        return encode_close()

    def receive(self, data: memoryview) -> list[TunnelEvent]:
        """Return what `data` brings; the views in it are valid as long as `data` is.

        Raises
        ------
        ProtocolError
            If the server breaks the protocol. The tunnel cannot be used afterwards.
        """
        slices: list[memoryview] = []
        closed: list[TunnelEvent] = []
        for frame in self._frames.receive(data):
            if isinstance(frame, memoryview):
                slices.append(frame)
            elif isinstance(frame, websocket.Ping):
                self.outgoing += encode_frame(Opcode.PONG, frame.payload)
            elif isinstance(frame, websocket.Close):
                self._closing = True
                closed.append(TunnelClosed(frame.reason or f"the server closed the tunnel ({frame.code})"))
            elif frame is _TEXT:
                raise ProtocolError("the server sent text where SPDY is binary")
        return self._receive(slices) + closed
