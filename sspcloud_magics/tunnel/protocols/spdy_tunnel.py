"""The protocols `spdy` and `spdy_websocket`: port-forward stream pairs over SPDY.

A pair is two streams with the same ``requestid``: first the error stream, whose client side is closed at once, then the
data stream, whose number identifies the pair here. The server dials the pod once it has both. It ends a pair by closing
both streams. A text on the error stream reports a failure, and since Kubernetes 1.32 resets follow it.
(Sources: ``portforward`` in client-go and in the kubelet.)

A tunnel carries any number of pairs, without flow control between them. The engine decides which pairs share a tunnel,
and handles a pair that does not read. An abandoned pair may stay open on the server for a second; its data is dropped.

With `SpdyTunnel`, the connection itself speaks SPDY. With `SpdyOverWebSocket`, SPDY is the payload of a WebSocket's
messages, for proxies that let nothing else through. (Source: KEP-4006.)
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
    # The server's error text so far.
    text: bytearray = field(default_factory=bytearray)
    # Whether the server has ended the data stream and the error stream, and whether we have ended the data stream.
    data_ended: bool = False
    error_ended: bool = False
    finished: bool = False
    # Whether further events are dropped.
    abandoned: bool = False


class SpdyTunnel:
    """A tunnel of the protocol `spdy`.

    The caller sends the bytes that a method returns and, after `receive`, those in `outgoing`.

    Examples
    --------
    >>> tunnel = SpdyTunnel()
    >>> pair, request = tunnel.open(5432)
    >>> tunnel.pairs
    1
    """

    name = "spdy"
    half_close = True
    """Whether the client's direction of a pair can be closed alone."""

    def __init__(self) -> None:
        self._spdy = spdy.FrameDecoder()
        self._headers = spdy.HeaderEncoder()
        # The numbers of the next stream and ping: a client's are odd.
        self._next_stream = 1
        self._next_ping = 1
        # The open pairs, by their data streams and by their error streams.
        self._data: dict[int, _Pair] = {}
        self._errors: dict[int, _Pair] = {}
        # Whether either end has closed the tunnel for further pairs.
        self._closing = False
        self.outgoing = bytearray()
        """Answers to the server, to be sent and cleared after `receive`."""

    @classmethod
    def handshake(cls) -> Handshake:
        """Return the request that opens a tunnel."""
        return spdy.handshake(STREAMS)

    def _message(self, *frames: Buffer) -> bytes:
        """Return `frames` as bytes to send."""
        return b"".join(frames)

    @property
    def pairs(self) -> int:
        """The number of pairs that are open on the server."""
        return len(self._data)

    @property
    def reusable(self) -> bool:
        """Whether another pair can be opened."""
        return not self._closing and self._next_stream < _LAST_STREAM

    def open(self, port: int, first: bytes | memoryview = b"") -> tuple[int, bytes]:
        """Open a pair to `port` of the pod, and send `first`; return its number and the message to send."""
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
        """Return `payload` (at most 16 MiB) as a frame, in parts."""
        head = spdy.data_head(pair, len(payload))
        # Each part becomes a TLS record.
        return (head, payload) if len(payload) > WORTH_A_PART else (head + payload,)

    def finish(self, pair: int) -> bytes:
        """Close the client's direction of a pair; the pod's data still arrives."""
        known = self._data.get(pair)
        if known is None or known.finished:
            return b""
        known.finished = True
        return self._message(spdy.data_head(pair, 0, fin=True))

    def abandon(self, pair: int) -> bytes:
        """Close the client's direction of a pair, and drop the pod's further data; sent data still arrives."""
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
        # The server sends nothing more on a stream that was reset, not even its end.
        self._end_data(known, [])
        return self._message(spdy.encode_reset(pair))

    def ping(self) -> bytes:
        """Return a message that the server answers (`Ponged`)."""
        number, self._next_ping = self._next_ping, (self._next_ping + 2) & 0x7FFFFFFF
        return self._message(spdy.encode_ping(number))

    def close(self) -> bytes:
        """Return the message that closes the tunnel."""
        self._closing = True
        return spdy.encode_goaway()

    def receive(self, data: memoryview) -> list[TunnelEvent]:
        """Decode `data`; the views in the events are valid as long as `data` is.

        A `ProtocolError` means that the server violates the protocol; the tunnel cannot be used afterwards.
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
            # Section 2.6.5 of the draft: the client's pings have odd numbers.
            if event.number % 2:
                events.append(Ponged())
            else:
                self.outgoing += self._message(spdy.encode_ping(event.number))
        else:
            self._closing = True
            events.append(TunnelClosed("the server accepts no further connections on this tunnel"))

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
            # Close the client's direction too, or the server keeps the stream for the life of the tunnel.
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
    """A tunnel of the protocol `spdy_websocket`."""

    name = "spdy_websocket"

    def __init__(self) -> None:
        super().__init__()
        self._frames = websocket.FrameDecoder()

    @classmethod
    def handshake(cls) -> Handshake:
        """Return the request that opens a tunnel."""
        return websocket.handshake(SUBPROTOCOL)

    def _message(self, *frames: Buffer) -> bytes:
        return encode_frame(Opcode.BINARY, *frames)

    def send(self, pair: int, payload: memoryview) -> tuple[Buffer, ...]:
        """Return `payload` (at most 16 MiB) as a message, in parts."""
        return encode_message(spdy.data_head(pair, len(payload)), payload)

    def close(self) -> bytes:
        """Return the message that closes the tunnel."""
        self._closing = True
        return encode_close()

    def receive(self, data: memoryview) -> list[TunnelEvent]:
        """Decode `data`; the views in the events are valid as long as `data` is.

        A `ProtocolError` means that the server violates the protocol; the tunnel cannot be used afterwards.
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
                raise ProtocolError("the server sent a text message, but SPDY is binary")
        return self._receive(slices) + closed
