"""The client's half of the WebSocket protocol (RFC 6455): the handshake's headers, and the framing.

Payloads are not gathered into messages: a download would be copied once more for nothing. The decoder
hands on each slice as it comes and says where a message begins and ends.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.protocols.masking import apply_mask

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTROL_LIMIT = 125
# From here on, another part is cheaper than another copy.
_WORTH_A_PART = 8 * 1024


class Opcode(IntEnum):
    """What a frame carries (RFC 6455, section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_OPCODES = {int(opcode): opcode for opcode in Opcode}


@dataclass(slots=True)
class Payload:
    """A slice of a message: `begins` and `ends` say whether it is its first and its last."""

    data: memoryview
    begins: bool
    ends: bool
    text: bool


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


FrameEvent: TypeAlias = Payload | Ping | Pong | Close


def new_key() -> str:
    """Return a fresh value for ``Sec-WebSocket-Key``."""
    return base64.b64encode(os.urandom(16)).decode()


def handshake_headers(key: str, subprotocol: str) -> list[tuple[str, str]]:
    """Return the headers that ask a server for a WebSocket with `subprotocol` (section 4.1)."""
    return [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", subprotocol),
    ]


def check_handshake(headers: Mapping[str, str], key: str, subprotocol: str) -> None:
    """Check the headers of a ``101 Switching Protocols`` (section 4.1); names in lower case.

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
    """Return one masked frame that holds a whole message (section 5.2)."""
    payload = b"".join(parts) if len(parts) > 1 else parts[0] if parts else b""
    mask = os.urandom(4)
    return _head(opcode, len(payload), mask) + apply_mask(payload, mask)


def encode_message(prefix: bytes, payload: memoryview) -> tuple[bytes, ...]:
    """Return one masked binary frame that holds `prefix` and `payload`, in parts that spare copies."""
    if len(payload) < _WORTH_A_PART:
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


def encode_close(code: int = 1000) -> bytes:
    """Return a close frame (section 5.5.1)."""
    return encode_frame(Opcode.CLOSE, code.to_bytes(2, "big"))


class FrameDecoder:
    """Turns the bytes of a server into `FrameEvent`; its memory is bounded by one control frame."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._inside = False  # a payload's bytes come next, and not a header's
        self._left = 0
        self._opcode = Opcode.BINARY
        self._final = True
        self._begins = False
        self._message: Opcode | None = None  # the opcode of the message whose continuation is awaited
        self._control = bytearray()
        self._closed = False

    def receive(self, data: memoryview) -> list[FrameEvent]:
        """Return what `data` brings; the views in it are valid as long as `data` is.

        Raises
        ------
        ProtocolError
            If the server breaks the protocol. The decoder cannot be used afterwards.
        """
        events: list[FrameEvent] = []
        position, size = 0, len(data)
        while not self._closed:
            if not self._inside:
                position = self._read_head(data, position)
                if not self._inside:
                    break
            taken = min(self._left, size - position)
            self._left -= taken
            end = position + taken
            if self._opcode >= Opcode.CLOSE:
                self._control += data[position:end]
                if not self._left:
                    events.append(self._control_event())
            elif taken or not self._left:
                ends = self._final and not self._left
                events.append(Payload(data[position:end], self._begins, ends, self._message is Opcode.TEXT))
                self._begins = False
                if ends:
                    self._message = None
            position = end
            if self._left:
                break
            self._inside = False
        return events

    def _read_head(self, data: memoryview, position: int) -> int:
        """Read as much of a header as there is; return the position behind it."""
        head = self._head
        while True:
            wanted = 2 if len(head) < 2 else 2 + {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
            missing = wanted - len(head)
            if not missing:
                break
            piece = data[position : position + missing]
            if not piece:
                return position
            head += piece
            position += len(piece)
        self._left = int.from_bytes(head[2:], "big") if len(head) > 2 else head[1] & 0x7F
        first, second = head[0], head[1]
        del head[:]
        self._begin_frame(first, second)
        return position

    def _begin_frame(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        self._final = bool(first & 0x80)
        if first & 0x70:
            raise ProtocolError("a WebSocket frame uses an extension that was not agreed on")
        if opcode not in _OPCODES:
            raise ProtocolError(f"a WebSocket frame has the unknown opcode {opcode}")
        if second & 0x80:
            raise ProtocolError("the server sent a masked WebSocket frame")
        self._opcode = _OPCODES[opcode]
        if opcode >= Opcode.CLOSE:
            if not self._final or self._left > _CONTROL_LIMIT:
                raise ProtocolError("a WebSocket control frame is fragmented or too long")
        elif opcode == Opcode.CONTINUATION:
            if self._message is None:
                raise ProtocolError("a WebSocket continuation frame continues nothing")
        else:
            if self._message is not None:
                raise ProtocolError("a WebSocket message begins inside another")
            if self._left >> 63:
                raise ProtocolError("a WebSocket frame has an impossible length")
            self._message = self._opcode
            self._begins = True
        self._inside = True

    def _control_event(self) -> FrameEvent:
        payload = bytes(self._control)
        del self._control[:]
        if self._opcode is Opcode.PING:
            return Ping(payload)
        if self._opcode is Opcode.PONG:
            return Pong(payload)
        self._closed = True  # section 5.5.1: nothing that follows a close frame counts
        if not payload:
            return Close(1005, "")
        if len(payload) < 2:
            raise ProtocolError("a WebSocket close frame is cut off")
        try:
            return Close(int.from_bytes(payload[:2], "big"), payload[2:].decode())
        except UnicodeDecodeError:
            raise ProtocolError("the reason of a WebSocket close frame is not UTF-8") from None
