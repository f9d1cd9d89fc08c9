"""One TCP connection as two calls, `read` and `write`, with bounded memory.

Every pod believes that it has an address of its own, and listens on the ports that its image is known for.
In truth its programs listen on loopback ports of this machine that the kernel chose, and `connect` leads to one of
those. Unlike asyncio's streams, a `Connection` delivers what arrived before a reset before it raises the error, and hands
bytes on as they came, without gathering them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import deque
from typing import Final, cast

READ_AHEAD: Final = 1024 * 1024
"""Bytes of one connection that wait here at most, beside one read of the socket, before the sender has to."""


TLS_FAREWELL: Final = 1.0
"""Seconds that a peer has to answer the closing of TLS."""


class DialError(Exception):
    """No connection to the port of a pod; the text is containerd's."""


class Connection(asyncio.Protocol):
    """A stream of bytes each way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio calls this)."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes (asyncio calls this)."""
        self._chunks.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= READ_AHEAD:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Take note of a half-close, and keep the other half (asyncio calls this)."""
        self._ended = True
        self._wake()
        return self._transport.get_extra_info("sslcontext") is None  # TLS knows no half-close here

    def connection_lost(self, exc: Exception | None) -> None:
        """End (asyncio calls this)."""
        self._ended = True
        self._error = exc
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        """Make writers wait (asyncio calls this)."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on (asyncio calls this)."""
        self._writable.set()

    async def read(self) -> bytes:
        """Return the next bytes; none at the end.

        Raise `OSError` if the connection broke, once all that came before is read.
        """
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = self._chunks.popleft()
        if self._waiting_bytes >= READ_AHEAD > self._waiting_bytes - len(data) and not self._ended:
            self._transport.resume_reading()
        self._waiting_bytes -= len(data)
        return data

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, and wait while the program takes none; raise `OSError` if the connection is broken."""
        if self._error is not None:
            raise self._error
        self._transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()

    def write_eof(self) -> None:
        """Half-close the connection."""
        if not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """Close the connection; what was written is still sent, what was not read is lost."""
        self._transport.close()

    def abort(self) -> None:
        """Close the connection and forget what was not sent."""
        self._transport.abort()

    def reset_on_close(self) -> None:
        """Let the end of this connection be a reset, whenever it comes and whoever asks for it."""
        # RFC 9293, 3.10.5: an abort sends RST; a zero linger time is how sockets spell it.
        self._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on in TLS, as the server; raise `OSError` if the handshake fails."""
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(
            self._transport, self, context, server_side=True, ssl_shutdown_timeout=TLS_FAREWELL
        )
        if transport is None:
            raise ConnectionResetError("the client left in the handshake")
        self._transport = transport

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._transport.is_closing()

    @property
    def local_port(self) -> int:
        """The port of this end."""
        name = self._transport.get_extra_info("sockname")
        return int(name[1]) if name else 0

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


async def connect(port: int) -> Connection:
    """Connect to a loopback port of this machine; raise `OSError` if nothing listens there."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection
