"""SPDY in binary messages of a WebSocket, framed like those of a real API server.

The API server makes a message of each read from the node: of a TLS record, at most 16 KiB. It sends a large
message as two frames, the data and an empty final frame; each frame head and each payload is a TLS record. For a
client, that is much more work than a few large messages. The sandbox does the same, so that measurements with it
are close to those on a real cluster.

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
"""Bytes of a message that fit into gorilla's buffer of 4 KiB, after the space for the frame head."""
_LARGE: Final = 2 * 4096
"""Largest message in bytes that gorilla sends through its buffer."""
_CONTINUATION, _BINARY, _FIN = 0x00, 0x02, 0x80


def frames(data: memoryview) -> list[bytes | memoryview]:
    """Return the frames that carry `data`, in the units in which they are written to the connection."""
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
    """A WebSocket that is read by aiohttp and written here; a text message or an error ends it.

    Raise `ClientGone` if the client has left.
    """

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        if request.transport is None:
            raise ClientGone
        self._transport = request.transport
        self._handler = request.protocol
        self._socket = socket
        # Cleared while the socket's buffer is full.
        self._writable = asyncio.Event()
        self._writable.set()
        # aiohttp cannot send such frames, and has no notification when there is room: stand in front of its protocol.
        self._transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Pass the bytes to aiohttp (asyncio calls this)."""
        self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        """Notify aiohttp (asyncio calls this)."""
        self._handler.eof_received()
        return None  # asyncio has no half-close in TLS

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify aiohttp, and wake writers (asyncio calls this)."""
        self._writable.set()
        self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        """Make writers wait (asyncio calls this)."""
        self._writable.clear()
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Wake writers (asyncio calls this)."""
        self._writable.set()
        self._handler.resume_writing()

    async def receive(self) -> bytes:
        """Return the bytes of the next message, empty at the end."""
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
