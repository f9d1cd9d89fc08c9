"""TCP connections with `read`, `write` and bounded buffers.

In the cluster, each pod has its own address and the ports of its image. In reality, its programs listen on
loopback ports chosen by the kernel, to which `connect` leads. Unlike asyncio's streams, a `Connection` delivers
the bytes that arrived before a reset before it raises the error, and passes on bytes without joining them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import deque
from typing import Final, cast

READ_AHEAD: Final = 1024 * 1024
"""Bytes that are buffered per connection, besides one read of the socket, before the sender must wait."""

TLS_SHUTDOWN: Final = 1.0
"""Seconds that a peer has to answer the closing alert of TLS."""


class DialError(Exception):
    """A pod cannot be connected to; the message is containerd's."""


class Connection(asyncio.Protocol):
    """A stream of bytes each way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        # Bytes that were received and not read yet, and their number.
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        # Whether the peer has closed its direction, and the error that broke the connection.
        self._ended = False
        self._error: Exception | None = None
        # The waiting call of `read`.
        self._reader: asyncio.Future[None] | None = None
        # Cleared while the socket's buffer is full.
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio calls this)."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Buffer bytes (asyncio calls this)."""
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered >= READ_AHEAD:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Note a half-close, and keep the other direction open (asyncio calls this)."""
        self._ended = True
        self._wake()
        return self._transport.get_extra_info("sslcontext") is None  # asyncio has no half-close in TLS

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake reader and writers (asyncio calls this)."""
        self._ended = True
        self._error = exc
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        """Make writers wait (asyncio calls this)."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Wake writers (asyncio calls this)."""
        self._writable.set()

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end.

        Raise `OSError` if the connection broke, after all bytes before that were read.
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
        if self._buffered >= READ_AHEAD > self._buffered - len(data) and not self._ended:
            self._transport.resume_reading()
        self._buffered -= len(data)
        return data

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, and wait while the peer reads none; raise `OSError` if the connection is broken."""
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
        """Close the connection after sending all written bytes; unread bytes are lost."""
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once; unsent bytes are lost."""
        self._transport.abort()

    def reset_on_close(self) -> None:
        """Make any later close of this connection a reset."""
        # RFC 9293, 3.10.5: an abort sends RST; sockets do so for a linger time of zero.
        self._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Switch to TLS as the server; raise `OSError` if the handshake fails."""
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(
            self._transport, self, context, server_side=True, ssl_shutdown_timeout=TLS_SHUTDOWN
        )
        if transport is None:
            raise ConnectionResetError("the client left during the handshake")
        self._transport = transport

    @property
    def closed(self) -> bool:
        """Whether the connection is closed or closing."""
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
