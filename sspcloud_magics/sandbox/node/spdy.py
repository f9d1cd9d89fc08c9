"""The server's part of SPDY/3 in port-forwarding, without I/O.

It supports what Kubernetes needs: streams opened by the client, data, half-close, reset and ping. There is no
flow control: Kubernetes' servers ignore ``WINDOW_UPDATE`` too. All header blocks of a direction share one zlib
stream, so frames must be sent in the order in which they were created.

`Connection.receive` turns bytes into events; the other methods return bytes to send.

Source: SPDY Protocol, Draft 3, 2.2 to 2.6.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from sspcloud_magics.spdy_dictionary import SPDY_DICTIONARY

SYN_STREAM: Final = 1
SYN_REPLY: Final = 2
RST_STREAM: Final = 3
PING: Final = 6
GOAWAY: Final = 7

FIN: Final = 0x01
CANCEL: Final = 5

MAX_CONTROL_FRAME: Final = 64 * 1024
"""Bytes of a control frame, which holds a few short headers; a longer one is an attack or not SPDY."""
# Bytes of a decompressed header block.
MAX_HEADERS: Final = 256 * 1024

Buffer: TypeAlias = bytes | bytearray | memoryview


class ProtocolError(Exception):
    """The peer does not speak SPDY/3; the connection must be closed."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer has opened a stream; `fin`: it sends no data on it."""

    stream: int
    headers: Mapping[str, str]
    fin: bool


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Data of a stream: a view of the received bytes, valid until the next call."""

    stream: int
    data: Buffer
    fin: bool


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The peer has reset a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping of the peer; answer it with `Connection.pong`."""

    id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The peer opens no more streams."""


Event: TypeAlias = StreamOpened | DataReceived | StreamReset | Ping | GoAway


class Connection:
    """The server's end of one SPDY/3 connection."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zdict=SPDY_DICTIONARY)
        self._deflate = zlib.compressobj(zdict=SPDY_DICTIONARY)
        # The head (8 bytes) of an incomplete frame, with the body of a control frame.
        self._head = bytearray()
        # The stream of an incomplete data frame, the missing bytes, and whether it ends the stream.
        self._data_stream = 0
        self._data_left = 0
        self._data_fin = False

    def receive(self, data: Buffer) -> Iterator[Event]:
        """Yield the events in the bytes; the data of a frame is passed on in parts, as it arrives.

        Raise `ProtocolError` if they are not SPDY/3.
        """
        view = memoryview(data)
        at = 0
        end = len(view)
        while at < end:
            if self._data_left:
                part = view[at : at + self._data_left]
                at += len(part)
                self._data_left -= len(part)
                yield DataReceived(self._data_stream, part, self._data_fin and not self._data_left)
                continue
            at = self._gather(view, at, 8)
            if len(self._head) < 8:
                return
            length = int.from_bytes(self._head[5:8], "big")
            if self._head[0] & 0x80:
                if length > MAX_CONTROL_FRAME:
                    raise ProtocolError(f"a control frame of {length} bytes")
                at = self._gather(view, at, 8 + length)
                if len(self._head) < 8 + length:
                    return
                frame = bytes(self._head)
                self._head.clear()
                yield from self._control(frame)
                continue
            self._data_stream = int.from_bytes(self._head[:4], "big")
            self._data_fin = bool(self._head[4] & FIN)
            self._data_left = length
            self._head.clear()
            if not length:
                yield DataReceived(self._data_stream, b"", self._data_fin)

    def _gather(self, view: memoryview, at: int, size: int) -> int:
        """Fill the head up to `size` bytes, and return the position after them."""
        part = view[at : at + max(0, size - len(self._head))]
        self._head += part
        return at + len(part)

    def _control(self, frame: bytes) -> Iterator[Event]:
        version, kind = struct.unpack_from(">HH", frame)
        if version != 0x8003:
            raise ProtocolError(f"version {version & 0x7FFF} of SPDY")
        fields = _FIXED.get(kind)
        if fields is None:  # SETTINGS, HEADERS, WINDOW_UPDATE …: port-forwarding ignores them
            return
        if len(frame) < 8 + fields:
            raise ProtocolError(f"a control frame of type {kind} with {len(frame) - 8} bytes")
        value = int.from_bytes(frame[8:12], "big") & 0x7FFFFFFF
        if kind == SYN_STREAM:
            yield StreamOpened(value, self._headers(frame[18:]), bool(frame[4] & FIN))
        elif kind == SYN_REPLY:
            self._headers(frame[12:])  # only updates the state of the compression
        elif kind == RST_STREAM:
            yield StreamReset(value)
        elif kind == PING:
            if value % 2:  # 2.6.5: IDs of the client are odd; an even one answers a ping of the server
                yield Ping(value)
        else:
            yield GoAway()

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, MAX_HEADERS)
            if self._inflate.unconsumed_tail or self._inflate.eof:
                raise ProtocolError("a header block that is too long, or the last one")
            (count,) = struct.unpack_from(">I", plain)
            at = 4
            words = []
            for _ in range(2 * count):
                (length,) = struct.unpack_from(">I", plain, at)
                word = plain[at + 4 : at + 4 + length]
                if len(word) < length:
                    raise ProtocolError("a header block that is cut short")
                words.append(word.decode("latin-1"))
                at += 4 + length
        except (zlib.error, struct.error) as error:
            raise ProtocolError(f"a header block that cannot be read: {error}") from None
        return dict(zip(words[::2], words[1::2], strict=True))

    def reply(self, stream: int) -> bytes:
        """Accept a stream, with no headers."""
        block = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return struct.pack(">HHII", 0x8003, SYN_REPLY, 4 + len(block), stream) + block

    @staticmethod
    def data_head(stream: int, length: int, *, fin: bool = False) -> bytes:
        """Return the head of a data frame with `length` bytes, at most 16 MiB - 1."""
        return struct.pack(">II", stream, fin << 24 | length)

    @staticmethod
    def reset(stream: int) -> bytes:
        """Reset a stream."""
        return struct.pack(">HHIII", 0x8003, RST_STREAM, 8, stream, CANCEL)

    @staticmethod
    def pong(ping: int) -> bytes:
        """Answer a ping."""
        return struct.pack(">HHII", 0x8003, PING, 4, ping)


_FIXED: Final = {SYN_STREAM: 10, SYN_REPLY: 4, RST_STREAM: 8, PING: 4, GOAWAY: 4}
"""The minimum length of the body, by frame type."""
