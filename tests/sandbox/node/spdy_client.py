"""A client's end of SPDY/3 for tests: it makes frames, and takes the server's apart."""

from __future__ import annotations

import struct
import zlib

from sspcloud_magics.spdy_dictionary import SPDY_DICTIONARY

Frame = tuple[str, int, bytes, bool]


class SpdyClient:
    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=SPDY_DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=SPDY_DICTIONARY)
        self._pending = b""

    def open(self, stream: int, headers: dict[str, str], *, fin: bool = False) -> bytes:
        plain = struct.pack(">I", len(headers))
        for word in (word for pair in headers.items() for word in pair):
            plain += struct.pack(">I", len(word)) + word.encode()
        block = self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        body = struct.pack(">IIBB", stream, 0, 0, 0) + block
        return struct.pack(">HHI", 0x8003, 1, fin << 24 | len(body)) + body

    def pair(self, request: str, port: int, stream: int) -> bytes:
        """Open an error and a data stream, as kubectl does: `stream` and `stream + 2`."""
        headers = {"port": str(port), "requestid": request}
        return (
            self.open(stream, {"streamtype": "error", **headers})
            + self.data(stream, b"", fin=True)
            + self.open(stream + 2, {"streamtype": "data", **headers})
        )

    @staticmethod
    def data(stream: int, data: bytes, *, fin: bool = False) -> bytes:
        return struct.pack(">II", stream, fin << 24 | len(data)) + data

    @staticmethod
    def reset(stream: int) -> bytes:
        return struct.pack(">HHIII", 0x8003, 3, 8, stream, 5)

    @staticmethod
    def ping(number: int) -> bytes:
        return struct.pack(">HHII", 0x8003, 6, 4, number)

    def frames(self, data: bytes) -> list[Frame]:
        """Return the frames that are complete: kind, stream, payload, FIN."""
        self._pending += data
        found: list[Frame] = []
        while len(self._pending) >= 8:
            length = int.from_bytes(self._pending[5:8], "big")
            if len(self._pending) < 8 + length:
                break
            head, body = self._pending[:8], self._pending[8 : 8 + length]
            self._pending = self._pending[8 + length :]
            fin = bool(head[4] & 1)
            if not head[0] & 0x80:
                found.append(("data", int.from_bytes(head[:4], "big"), body, fin))
                continue
            kind = {2: "reply", 3: "reset", 6: "ping"}[int.from_bytes(head[2:4], "big")]
            if kind == "reply":
                assert self._inflate.decompress(body[4:]) == bytes(4)
                body = body[:4]
            found.append((kind, int.from_bytes(body[:4], "big"), body[4:], fin))
        return found
