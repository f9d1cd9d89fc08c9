"""SPDY in the binary messages of a WebSocket, in the shape in which a real API server sends it.

What the API server has read from the node at once, a record of TLS and so 16 KiB at most, it makes a message. A large one leaves
as two frames, the data and an empty one that ends the message; and each head, the data and the end are records of TLS of
their own. For a client that is much more work than a few large messages would be, so a practice cluster
that sent those would say little of what it costs on a real one.

Source: k8s.io/apiserver/pkg/util/proxy/streamtunnel.go, k8s.io/client-go/tools/portforward/tunneling_connection.go,
gorilla/websocket (``messageWriter``), crypto/tls.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final

from aiohttp import WSMsgType, web

from sspcloud_magics.sandbox.node.relay import ClientGone

_RECORD: Final = 16 * 1024
_BUFFER: Final = 4096 - 14
"""Bytes of a message that fit into gorilla's buffer of 4 KiB, behind the room for a head."""
_LARGE: Final = 2 * 4096
"""Bytes beyond which gorilla does not take a message through its buffer."""
_CONTINUATION, _BINARY, _FIN = 0x00, 0x02, 0x80


def frames(data: memoryview) -> list[bytes | memoryview]:
    """Return the frames that carry `data`, as what is written to the connection at once each time."""
    found: list[bytes | memoryview] = []
    for start in range(0, len(data), _RECORD):
        message = data[start : start + _RECORD]
        if len(message) > _LARGE:
            found += (_head(_BINARY, len(message)), message, _head(_FIN | _CONTINUATION, 0))
            continue
        opcode = _BINARY
        for begin in range(0, len(message), _BUFFER):
            part = message[begin : begin + _BUFFER]
            fin = _FIN if begin + _BUFFER >= len(message) else 0
            found.append(_head(opcode | fin, len(part)) + part)
            opcode = _CONTINUATION
    return found


def _head(first: int, size: int) -> bytes:
    return struct.pack("!BBH", first, 126, size) if size > 125 else struct.pack("!BB", first, size)


class WebSocketCarrier(asyncio.Protocol):
    """A WebSocket that aiohttp has opened and reads, and to which we write; a text message ends it, as any error does.

    Raise `ClientGone` if the client has left.
    """

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        if request.transport is None:
            raise ClientGone
        self._transport = request.transport
        self._handler = request.protocol
        self._socket = socket
        self._writable = asyncio.Event()
        self._writable.set()
        # aiohttp makes whole messages only, and tells nobody when there is room: so we stand before it, and hear the same.
        self._transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Let aiohttp read it (asyncio calls this)."""
        self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        """Let aiohttp know (asyncio calls this)."""
        self._handler.eof_received()
        return None  # TLS knows no half-close here

    def connection_lost(self, exc: Exception | None) -> None:
        """Let aiohttp know, and whoever waits for room (asyncio calls this)."""
        self._writable.set()
        self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        """Make writers wait (asyncio calls this)."""
        self._writable.clear()
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Let writers go on (asyncio calls this)."""
        self._writable.set()
        self._handler.resume_writing()

    async def receive(self) -> bytes:
        """Return the bytes of the next message; none at the end."""
        while True:
            message = await self._socket.receive()
            if message.type is not WSMsgType.BINARY:
                return b""
            if message.data:
                data: bytes = message.data
                return data

    async def send(self, data: bytes) -> None:
        """Send bytes and wait for room; raise `ClientGone` if the client has left."""
        if self._transport.is_closing():
            raise ClientGone
        self._transport.writelines(frames(memoryview(data)))
        await self._writable.wait()
