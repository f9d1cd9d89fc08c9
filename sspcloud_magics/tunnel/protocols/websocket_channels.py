"""The protocol `channels`: ``v4.channel.k8s.io``, for servers that refuse SPDY.

The first byte of a message is its channel: 0 for the data in both directions, 1 for the server's error text. The first
two bytes of the server on each channel are the port. The server dials the pod as soon as the WebSocket is open, so a
tunnel serves a single connection and cannot be opened ahead. There is no half-close: the server's close frame is the
end of the data. (Source: ``portforward/websocket.go`` of the kubelet.)
"""

from __future__ import annotations

from sspcloud_magics.tunnel.protocols import websocket
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
from sspcloud_magics.tunnel.protocols.websocket import Opcode, encode_close, encode_frame, encode_message

SUBPROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR, _UNKNOWN = 0, 1, -1
_PORT_SIZE = 2
_TEXT_LIMIT = 64 * 1024
_NORMAL = (1000, 1005)
_PAIR = 1


class ChannelTunnel:
    """A tunnel of the protocol `channels`, with a single pair and the interface of `SpdyTunnel`."""

    name = "channels"
    half_close = False

    def __init__(self) -> None:
        self._frames = websocket.FrameDecoder()
        # The channel of the current message; unknown before its first byte.
        self._channel = _DATA
        # The bytes of the port that are still to come, on each channel.
        self._port_left = [_PORT_SIZE, _PORT_SIZE]
        # The server's error text so far.
        self._text = bytearray()
        # Whether the pair was opened; whether the server has closed; whether further events are dropped; whether
        # a close frame was sent.
        self._opened = self._over = self._abandoned = self._closing = False
        self.outgoing = bytearray()

    @classmethod
    def handshake(cls) -> Handshake:
        """Return the request that opens a tunnel."""
        return websocket.handshake(SUBPROTOCOL)

    @property
    def pairs(self) -> int:
        """The number of pairs that are open on the server."""
        return int(self._opened and not self._over)

    @property
    def reusable(self) -> bool:
        """Whether the single pair can be opened."""
        return not (self._opened or self._over or self._closing)

    def open(self, port: int, first: bytes | memoryview = b"") -> tuple[int, bytes]:  # noqa: ARG002 - the request has the port
        """Use the pair that the server opened with the tunnel, and send `first`; return its number and the message to send."""
        self._opened = True
        return _PAIR, b"".join(self.send(_PAIR, memoryview(first))) if first else b""

    def send(self, pair: int, payload: memoryview) -> tuple[bytes, ...]:  # noqa: ARG002 - there is only one
        """Return `payload` as a message, in parts."""
        return encode_message(b"\x00", payload)

    def finish(self, pair: int) -> bytes:
        """End the pair, because this protocol has no half-close."""
        return self.abandon(pair)

    def abandon(self, pair: int) -> bytes:  # noqa: ARG002 - there is only one
        """Close the tunnel, and drop further data."""
        if self._abandoned:
            return b""
        self._abandoned = True
        return self.close()

    reset = abandon

    def ping(self) -> bytes:
        """Return a message that the server answers (`Ponged`)."""
        return encode_frame(Opcode.PING, b"")

    def close(self) -> bytes:
        """Return the message that closes the tunnel."""
        if self._closing:
            return b""
        self._closing = True
        return encode_close()

    def receive(self, data: memoryview) -> list[TunnelEvent]:
        """Decode `data`; the views in the events are valid as long as `data` is.

        A `ProtocolError` means that the server violates the protocol; the tunnel cannot be used afterwards.
        """
        events: list[TunnelEvent] = []
        for frame in self._frames.receive(data):
            if isinstance(frame, memoryview):
                self._receive_slice(frame, events)
            elif isinstance(frame, websocket.Boundary):
                self._cross(frame)
            elif isinstance(frame, websocket.Ping):
                self.outgoing += encode_frame(Opcode.PONG, frame.payload)
            elif isinstance(frame, websocket.Pong):
                events.append(Ponged())
            else:
                self._receive_close(frame, events)
        return events

    def _cross(self, boundary: websocket.Boundary) -> None:
        if boundary is websocket.Boundary.TEXT:
            raise ProtocolError("the server sent a text message, but the channels are binary")
        if boundary is websocket.Boundary.BINARY:
            self._channel = _UNKNOWN
        elif self._channel == _UNKNOWN:
            raise ProtocolError("the server sent a message without a channel")

    def _receive_slice(self, data: memoryview, events: list[TunnelEvent]) -> None:
        if self._channel == _UNKNOWN:
            self._channel = data[0]
            data = data[1:]
            if self._channel not in (_DATA, _ERROR):
                raise ProtocolError(f"the server sent a message on the unknown channel {self._channel}")
        data = self._skip_port(data, events)
        if not data or self._abandoned:
            return
        if self._channel == _ERROR:
            self._text += data[: _TEXT_LIMIT - len(self._text)]
        elif events and isinstance(last := events[-1], Received):
            last.parts.append(data)
        else:
            events.append(Received(_PAIR, [data]))

    def _skip_port(self, data: memoryview, events: list[TunnelEvent]) -> memoryview:
        """Return `data` without bytes of the port, with which each channel begins."""
        left = self._port_left[self._channel] if data else 0
        skipped = min(left, len(data))
        if skipped:
            self._port_left[self._channel] -= skipped
            if left == skipped and self._channel == _DATA:
                events.append(Accepted(_PAIR))
        return data[skipped:]

    def _receive_close(self, frame: websocket.Close, events: list[TunnelEvent]) -> None:
        self._over = True
        if not self._closing:
            self.outgoing += self.close()
        if not self._abandoned:
            text = self._text.decode(errors="replace").strip()
            if not text and frame.code not in _NORMAL:
                text = frame.reason or f"the server closed the tunnel ({frame.code})"
            events.append(Failed(_PAIR, text) if text else Ended(_PAIR))
        events.append(TunnelClosed("the connection is over"))
