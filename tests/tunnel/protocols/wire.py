"""The server's side of the protocols, written from the RFC and the draft, independently of the client."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from sspcloud_magics.spdy_dictionary import SPDY_DICTIONARY
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyOverWebSocket, SpdyTunnel


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, first: int = 0, mask: bool = False
) -> bytes:
    """A WebSocket frame of a server; `first` and `mask` can violate the protocol."""
    head = bytes([(0x80 if fin else 0) | first | opcode])
    size = len(payload)
    bit = 0x80 if mask else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", size)
    return head + payload


def unmask(data: bytes) -> list[tuple[int, bytes]]:
    """Decode a client's frames into opcodes and payloads."""
    found = []
    while data:
        opcode, size, position = data[0] & 15, data[1] & 127, 2
        assert data[0] & 0x80, "a client's frames are whole messages"
        assert data[1] & 0x80, "a client's frames are masked"
        if size == 126:
            size, position = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, position = int.from_bytes(data[2:10], "big"), 10
        mask = data[position : position + 4]
        payload = data[position + 4 : position + 4 + size]
        assert len(payload) == size
        found.append((opcode, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))))
        data = data[position + 4 + size :]
    return found


def control(kind: int, body: bytes, flags: int = 0, version: int = 0x8003) -> bytes:
    return struct.pack("!HHI", version, kind, flags << 24 | len(body)) + body


def data(stream: int, payload: bytes = b"", *, fin: bool = False) -> bytes:
    return struct.pack("!II", stream, (0x01000000 if fin else 0) | len(payload)) + payload


class SpdyPeer:
    """The header compression of an end."""

    def __init__(self) -> None:
        self._out = zlib.compressobj(9, zlib.DEFLATED, 15, 8, zlib.Z_DEFAULT_STRATEGY, SPDY_DICTIONARY)
        self._in = zlib.decompressobj(zdict=SPDY_DICTIONARY)

    def block(self, headers: Iterable[tuple[str, str]] = ()) -> bytes:
        headers = list(headers)
        plain = struct.pack("!I", len(headers))
        for name, value in headers:
            for text in (name.encode(), value.encode()):
                plain += struct.pack("!I", len(text)) + text
        return self.compress(plain)

    def compress(self, plain: bytes) -> bytes:
        return self._out.compress(plain) + self._out.flush(zlib.Z_SYNC_FLUSH)

    def reply(self, stream: int, *, fin: bool = False) -> bytes:
        return control(2, struct.pack("!I", stream) + self.block(), 1 if fin else 0)

    def read_syn(self, body: bytes) -> tuple[int, dict[str, str]]:
        """Decode the body of a client's SYN_STREAM into the stream's number and its headers."""
        plain = self._in.decompress(body[10:])
        (count,), position = struct.unpack_from("!I", plain), 4
        texts = []
        for _ in range(2 * count):
            (size,) = struct.unpack_from("!I", plain, position)
            texts.append(plain[position + 4 : position + 4 + size].decode())
            position += 4 + size
        assert position == len(plain)
        return int.from_bytes(body[:4], "big"), dict(zip(texts[::2], texts[1::2], strict=True))


def spdy_frames(stream: bytes) -> list[tuple[Any, ...]]:
    """Decode a client's SPDY frames: ("data", stream, flags, payload) or ("control", type, flags, body)."""
    found: list[tuple[Any, ...]] = []
    while stream:
        first, second = struct.unpack_from("!II", stream)
        size = second & 0xFFFFFF
        body = stream[8 : 8 + size]
        assert len(body) == size
        if first >> 31:
            assert first >> 16 == 0x8003
            found.append(("control", first & 0xFFFF, second >> 24, body))
        else:
            found.append(("data", first, second >> 24, body))
        stream = stream[8 + size :]
    return found


@dataclass(frozen=True)
class Carriage:
    """A transport for SPDY: creates a tunnel, encodes the server's bytes, and decodes the client's."""

    tunnel: type[SpdyTunnel]
    pack: Callable[[bytes], bytes]
    unpack: Callable[[bytes], bytes]


def _binary(sent: bytes) -> bytes:
    found = unmask(sent)
    assert all(opcode == 2 for opcode, _ in found)
    return b"".join(payload for _, payload in found)


CARRIAGES = {
    "bare": Carriage(SpdyTunnel, bytes, bytes),
    "over websocket": Carriage(SpdyOverWebSocket, lambda said: frame(2, said), _binary),
}


def slices(stream: bytes, cuts: Iterable[int]) -> list[memoryview]:
    """Cut `stream` at the positions `cuts` (modulo its length)."""
    places = sorted({cut % (len(stream) + 1) for cut in cuts} | {0, len(stream)})
    return [memoryview(stream)[a:b] for a, b in itertools.pairwise(places)]


cuts = st.lists(st.integers(min_value=0, max_value=1 << 20), max_size=40)


def everything(receive: Callable[[memoryview], list[Any]], pieces: Iterable[memoryview]) -> list[Any]:
    """Feed the pieces; copy the views, which are valid only during a call."""
    found: list[Any] = []
    for piece in pieces:
        buffer = bytearray(piece)
        for event in receive(memoryview(buffer)):
            if hasattr(event, "parts"):
                event.parts = [b"".join(event.parts)] if event.parts else []
            found.append(bytes(event) if isinstance(event, memoryview) else event)
        buffer[:] = b"\xee" * len(buffer)  # what a real receive buffer does to a view that was kept
    return found
