"""The client side of the WebSocket protocol (RFC 6455): handshake and framing.

Payloads are not assembled into messages, which would copy a download once more. The decoder passes on each slice as it
arrives, and reports where a message begins and ends.

The API server sends at most 16 KiB per message, in two frames: one with the data, and an empty one that ends the
message. So a gibibyte has more than a hundred thousand frames, and the cost of each frame matters.
(Source: ``TunnelingConnection`` in client-go, which the server uses too; gorilla's ``messageWriter``.)
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from functools import partial
from typing import TypeAlias

from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.protocols.handshake import Handshake
from sspcloud_magics.tunnel.protocols.masking import apply_mask

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTROL_LIMIT = 125
_LONGEST_HEAD = 10
_EMPTY_END = b"\x80\x00"
WORTH_A_PART = 8 * 1024
"""From this number of bytes on, another part is cheaper than another copy."""


class Opcode(IntEnum):
    """The type of a frame (RFC 6455, section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_CONTINUATION, _FIRST_CONTROL = int(Opcode.CONTINUATION), int(Opcode.CLOSE)
_CONTROLS = frozenset(int(opcode) for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG))


class Boundary(Enum):
    """The beginning of a binary or text message, or the end of a message."""

    BINARY = auto()
    TEXT = auto()
    END = auto()


# Looking up an enum member costs as much as all other work for a frame.
_BEGINS = {int(Opcode.BINARY): Boundary.BINARY, int(Opcode.TEXT): Boundary.TEXT}
_END = Boundary.END


@dataclass(slots=True)
class Ping:
    """The server asks for a `Pong` with the same payload."""

    payload: bytes


@dataclass(slots=True)
class Pong:
    """The server answers a ping."""

    payload: bytes


@dataclass(slots=True)
class Close:
    """The server closes; `code` is 1005 where it gave none."""

    code: int
    reason: str


FrameEvent: TypeAlias = memoryview | Boundary | Ping | Pong | Close
"""A slice of a message's payload, a boundary, or a control frame."""


def handshake(subprotocol: str) -> Handshake:
    """Return the request for a WebSocket with `subprotocol` (section 4.1)."""
    key = base64.b64encode(os.urandom(16)).decode()
    headers = (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", subprotocol),
    )
    return Handshake("GET", headers, partial(check_handshake, key=key, subprotocol=subprotocol), key)


def check_handshake(headers: Mapping[str, str], key: str, subprotocol: str) -> None:
    """Check the headers of a ``101 Switching Protocols`` (section 4.1), with names in lower case.

    Raises
    ------
    ProtocolError
        If the server did not accept this handshake, or did not choose `subprotocol`.
    """
    if headers.get("upgrade", "").lower() != "websocket":
        raise ProtocolError("the server switched to another protocol than WebSocket")
    digest = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
    if headers.get("sec-websocket-accept", "").strip() != base64.b64encode(digest).decode():
        raise ProtocolError("the server did not accept this WebSocket handshake")
    if headers.get("sec-websocket-protocol", "").strip() != subprotocol:
        raise ProtocolError(f"the server did not choose the subprotocol {subprotocol}")


def encode_frame(opcode: Opcode, *parts: bytes | bytearray | memoryview) -> bytes:
    """Return a masked frame with a whole message (section 5.2)."""
    payload = b"".join(parts) if len(parts) > 1 else parts[0] if parts else b""
    mask = os.urandom(4)
    return _head(opcode, len(payload), mask) + apply_mask(payload, mask)


def encode_message(prefix: bytes, payload: memoryview) -> tuple[bytes, ...]:
    """Return a masked binary frame with `prefix` and `payload`, in parts to avoid copies."""
    if len(payload) < WORTH_A_PART:
        return (encode_frame(Opcode.BINARY, prefix, payload),)
    mask = os.urandom(4)
    turn = len(prefix) % 4
    head = _head(Opcode.BINARY, len(prefix) + len(payload), mask)
    return head + apply_mask(prefix, mask), apply_mask(payload, mask[turn:] + mask[:turn])


def _head(opcode: Opcode, size: int, mask: bytes) -> bytes:
    if size < 126:
        return struct.pack("!BB4s", 0x80 | opcode, 0x80 | size, mask)
    if size < 65536:
        return struct.pack("!BBH4s", 0x80 | opcode, 0x80 | 126, size, mask)
    return struct.pack("!BBQ4s", 0x80 | opcode, 0x80 | 127, size, mask)


def encode_close() -> bytes:
    """Return a close frame (section 5.5.1)."""
    return encode_frame(Opcode.CLOSE, (1000).to_bytes(2, "big"))


class FrameDecoder:
    """Decodes the server's bytes into `FrameEvent`; its memory is bounded by one control frame."""

    def __init__(self) -> None:
        # An incomplete header.
        self._head = b""
        # Of the current frame: whether its header was read, the payload bytes that are missing, the opcode, the FIN bit.
        self._inside = False
        self._left = 0
        self._opcode = 0
        self._final = True
        self._in_message = False
        # The payload of a control frame so far.
        self._control = bytearray()
        # Whether the server has sent a close frame.
        self._closed = False

    def receive(self, data: memoryview) -> list[FrameEvent]:
        """Decode `data`; the views in the events are valid as long as `data` is.

        A `ProtocolError` means that the server violates the protocol; the decoder cannot be used afterwards.
        """
        events: list[FrameEvent] = []
        position, size = 0, len(data)
        while not self._closed:
            if not self._inside:
                position = self._read_head(data, position, events)
                if not self._inside:
                    break
            end = min(position + self._left, size)
            if end > position:
                if self._opcode < _FIRST_CONTROL:
                    events.append(data[position:end])
                else:
                    self._control += data[position:end]
            self._left -= end - position
            position = end
            if self._left:
                break
            self._inside = False
            if self._opcode >= _FIRST_CONTROL:
                events.append(self._control_event())
                continue
            if not self._final and data[position : position + 2] == _EMPTY_END:
                # The general path would cost as much as the 16 KiB before.
                position += 2
                self._final = True
            if self._final:
                self._in_message = False
                events.append(_END)
        return events

    def _read_head(self, data: memoryview, position: int, events: list[FrameEvent]) -> int:
        """Begin a frame, or buffer its incomplete header; return the position after it."""
        known = len(self._head)
        head = self._head + bytes(data[position : position + _LONGEST_HEAD - known])
        wanted = 2
        if len(head) >= 2:
            left = head[1] & 0x7F
            if left >= 126:
                wanted = 4 if left == 126 else _LONGEST_HEAD
                left = int.from_bytes(head[2:wanted], "big")
        if len(head) < wanted:
            self._head = head
            return len(data)
        self._head = b""
        self._left = left
        self._begin_frame(head[0], head[1], events)
        return position + wanted - known

    def _begin_frame(self, first: int, second: int, events: list[FrameEvent]) -> None:
        opcode = first & 0x0F
        final = first >= 0x80
        if first & 0x70:
            raise ProtocolError("a WebSocket frame uses an extension that was not agreed on")
        if second & 0x80:
            raise ProtocolError("the server sent a masked WebSocket frame")
        if opcode == _CONTINUATION:
            if not self._in_message:
                raise ProtocolError("a WebSocket continuation frame comes outside of a message")
        elif opcode in _BEGINS:
            if self._in_message:
                raise ProtocolError("a WebSocket message begins inside another")
            self._in_message = True
            events.append(_BEGINS[opcode])
        elif opcode not in _CONTROLS:
            raise ProtocolError(f"a WebSocket frame has the unknown opcode {opcode}")
        elif not final or self._left > _CONTROL_LIMIT:
            raise ProtocolError("a WebSocket control frame is fragmented or too long")
        if self._left >> 63:
            raise ProtocolError("a WebSocket frame has an impossible length")
        self._opcode, self._final, self._inside = opcode, final, True

    def _control_event(self) -> FrameEvent:
        payload = bytes(self._control)
        del self._control[:]
        if self._opcode == Opcode.PING:
            return Ping(payload)
        if self._opcode == Opcode.PONG:
            return Pong(payload)
        self._closed = True  # section 5.5.1: data after a close frame is ignored
        if not payload:
            return Close(1005, "")
        if len(payload) < 2:
            raise ProtocolError("a WebSocket close frame is cut off")
        try:
            return Close(int.from_bytes(payload[:2], "big"), payload[2:].decode())
        except UnicodeDecodeError:
            raise ProtocolError("the reason of a WebSocket close frame is not UTF-8") from None
