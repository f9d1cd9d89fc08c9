"""SPDY/3.1 framing, as far as port-forwarding needs it.

Header blocks are compressed with one zlib stream per direction for the life of the connection. So every block must be
decompressed, even in frames that are ignored, and blocks must be sent in the order in which they were compressed.
(Source: the SPDY Protocol, draft 3.1, sections 2.2 and 2.6.)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import TypeAlias

from sspcloud_magics.spdy_dictionary import SPDY_DICTIONARY
from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.protocols.handshake import Handshake

FIN = 0x01
CANCEL = 5
_NAME = "SPDY/3.1"
_STREAMS_HEADER = "X-Stream-Protocol-Version"
_VERSION = 0x8003
_HEAD_SIZE = 8
_STREAM_MASK = 0x7FFFFFFF
_CONTROL_LIMIT = 64 * 1024
_HEADERS_LIMIT = 256 * 1024


class FrameType(IntEnum):
    """The control frames that are handled; others are skipped."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    PING = 6
    GOAWAY = 7
    HEADERS = 8


_FRAMES = {int(frame): frame for frame in FrameType}
# The number of bytes before the header block.
_HEADERS_OFFSET = {FrameType.SYN_STREAM: 10, FrameType.SYN_REPLY: 4, FrameType.HEADERS: 4}
_FIXED_SIZE = {FrameType.RST_STREAM: 8, FrameType.PING: 4, FrameType.GOAWAY: 8}


@dataclass(slots=True)
class Data:
    """Data of a stream, in the slices in which it arrived; `fin` marks the end."""

    stream: int
    parts: list[memoryview]
    fin: bool = False


@dataclass(slots=True)
class StreamOpened:
    """The server opens a stream, accepts one of ours, or adds headers to one."""

    frame: FrameType
    stream: int
    headers: dict[str, str]
    fin: bool


@dataclass(slots=True)
class Reset:
    """The server resets a stream."""

    stream: int
    status: int


@dataclass(slots=True)
class Ping:
    """A ping of the server (even number), or the answer to one of ours (odd number)."""

    number: int


@dataclass(slots=True)
class GoAway:
    """The server accepts no further streams."""

    status: int


FrameEvent: TypeAlias = Data | StreamOpened | Reset | Ping | GoAway


def handshake(streams: str) -> Handshake:
    """Return the request for SPDY, with `streams` as the protocol of its streams."""
    headers = (
        ("Upgrade", _NAME),
        ("Connection", "Upgrade"),
        (_STREAMS_HEADER, streams),
        ("Content-Length", "0"),
    )
    return Handshake("POST", headers, partial(_check_handshake, streams))


def _check_handshake(streams: str, headers: Mapping[str, str]) -> None:
    if headers.get("upgrade", "").lower() != _NAME.lower():
        raise ProtocolError("the server switched to another protocol than SPDY")
    if headers.get(_STREAMS_HEADER.lower(), "").strip() != streams:
        raise ProtocolError(f"the server did not choose {streams}")


def data_head(stream: int, size: int, *, fin: bool = False) -> bytes:
    """Return the eight-byte header of a frame with `size` bytes of data."""
    return struct.pack("!II", stream, (FIN << 24 if fin else 0) | size)


def _control(kind: FrameType, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("!HHI", _VERSION, kind, flags << 24 | len(body)) + body


def encode_reset(stream: int, status: int = CANCEL) -> bytes:
    """Return a frame that resets a stream."""
    return _control(FrameType.RST_STREAM, struct.pack("!II", stream, status))


def encode_ping(number: int) -> bytes:
    """Return a ping, or the answer to one."""
    return _control(FrameType.PING, struct.pack("!I", number))


def encode_goaway() -> bytes:
    """Return a frame that ends the connection; the server has opened no stream."""
    return _control(FrameType.GOAWAY, struct.pack("!II", 0, 0))


class HeaderEncoder:
    """Compresses header blocks; the frames must be sent in the order in which they were encoded."""

    def __init__(self) -> None:
        # Level 1 and a small window: a block has a few dozen bytes, and each connection has an encoder.
        self._zlib = zlib.compressobj(1, zlib.DEFLATED, 11, 4, zlib.Z_DEFAULT_STRATEGY, SPDY_DICTIONARY)

    def syn_stream(self, stream: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        """Return a frame that opens a stream."""
        pieces = [struct.pack("!I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                pieces += [struct.pack("!I", len(text)), text]
        block = self._zlib.compress(b"".join(pieces)) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
        return _control(
            FrameType.SYN_STREAM, struct.pack("!IIBB", stream, 0, 0, 0) + block, FIN if fin else 0
        )


class FrameDecoder:
    """Decodes the server's bytes into `FrameEvent`; its memory is bounded by one control frame."""

    def __init__(self) -> None:
        # An incomplete header.
        self._head = b""
        # Of the current frame: whether its header was read, the bytes of its body that are missing, and its flags.
        self._inside = False
        self._left = 0
        self._flags = 0
        # The stream of the current data frame, or 0 and the type and the body so far of a control frame.
        self._stream = 0
        self._type = 0
        self._body = bytearray()
        self._zlib = zlib.decompressobj(zdict=SPDY_DICTIONARY)

    def receive(self, slices: Iterable[memoryview]) -> list[FrameEvent]:
        """Decode `slices`; the views in the events are valid as long as the slices are.

        A `ProtocolError` means that the server violates the protocol; the decoder cannot be used afterwards.
        """
        events: list[FrameEvent] = []
        for data in slices:
            self._receive_slice(data, events)
        return events

    def _receive_slice(self, data: memoryview, events: list[FrameEvent]) -> None:
        position, size = 0, len(data)
        while True:
            if not self._inside:
                position = self._read_head(data, position)
                if not self._inside:
                    return
            end = min(position + self._left, size)
            self._left -= end - position
            if self._stream:
                self._take_data(data[position:end], events)
            else:
                self._body += data[position:end]
                if not self._left and (event := self._control_event()) is not None:
                    events.append(event)
            position = end
            if self._left:
                return
            self._inside = False

    def _take_data(self, piece: memoryview, events: list[FrameEvent]) -> None:
        fin = bool(self._flags & FIN) and not self._left
        if not (piece or fin):
            return
        last = events[-1] if events else None
        if not isinstance(last, Data) or last.stream != self._stream or last.fin:
            last = Data(self._stream, [])
            events.append(last)
        if piece:
            last.parts.append(piece)
        last.fin = fin

    def _read_head(self, data: memoryview, position: int) -> int:
        """Begin a frame, or buffer its incomplete header; return the position after it."""
        known = len(self._head)
        head = self._head + bytes(data[position : position + _HEAD_SIZE - known])
        if len(head) < _HEAD_SIZE:
            self._head = head
            return len(data)
        self._head = b""
        self._begin_frame(head)
        return position + _HEAD_SIZE - known

    def _begin_frame(self, head: bytes) -> None:
        first, second = struct.unpack("!II", head)
        self._flags, self._left = second >> 24, second & 0xFFFFFF
        if first >> 31:
            if first >> 16 != _VERSION:
                raise ProtocolError(f"the server speaks version {first >> 16 & 0x7FFF} of SPDY, and not 3")
            if self._left > _CONTROL_LIMIT:
                raise ProtocolError(f"the server sent a control frame of {self._left} bytes")
            self._stream, self._type = 0, first & 0xFFFF
        else:
            if not first:
                raise ProtocolError("the server sent data on stream 0")
            self._stream = first
        self._inside = True

    def _control_event(self) -> FrameEvent | None:
        body = bytes(self._body)
        del self._body[:]
        kind = self._type
        if kind in _HEADERS_OFFSET:
            offset = _HEADERS_OFFSET[_FRAMES[kind]]
            if len(body) < offset:
                raise ProtocolError(f"a SPDY frame of type {kind} is cut off")
            stream = int.from_bytes(body[:4], "big") & _STREAM_MASK
            headers = self._read_headers(body[offset:])
            return StreamOpened(_FRAMES[kind], stream, headers, bool(self._flags & FIN))
        if kind not in _FIXED_SIZE:
            return None  # SETTINGS, WINDOW_UPDATE and the additions of newer drafts need no action
        if len(body) != _FIXED_SIZE[_FRAMES[kind]]:
            raise ProtocolError(f"a SPDY frame of type {kind} has {len(body)} bytes")
        number = int.from_bytes(body[:4], "big")
        if kind == FrameType.PING:
            return Ping(number)
        status = int.from_bytes(body[4:], "big")
        return Reset(number & _STREAM_MASK, status) if kind == FrameType.RST_STREAM else GoAway(status)

    def _read_headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._zlib.decompress(block, _HEADERS_LIMIT)
        except zlib.error as error:
            raise ProtocolError(f"a SPDY header block cannot be decompressed: {error}") from None
        if self._zlib.unconsumed_tail:
            raise ProtocolError("a SPDY header block is too large")
        try:
            return _parse_headers(plain)
        except (struct.error, UnicodeDecodeError):
            raise ProtocolError("a SPDY header block is malformed") from None


def _parse_headers(plain: bytes) -> dict[str, str]:
    position = 4

    def text() -> str:
        nonlocal position
        (size,) = struct.unpack_from("!I", plain, position)
        position += 4 + size
        if position > len(plain):
            raise struct.error("a string is cut off")
        return plain[position - size : position].decode()

    (count,) = struct.unpack_from("!I", plain)
    headers: dict[str, str] = {}
    for _ in range(count):
        name = text()
        headers[name] = text()
    return headers
