"""A connected socket on the event loop, plain or under TLS: chunks in, buffers out.

asyncio's transports would copy what cannot be sent at once and decide on their own how much they keep.
Here the one who feeds a stream sees exactly what is unsent (`Stream.unsent`) and pauses the source, so
that the memory of a connection is bounded by one chunk in each direction. All streams of the process
receive into the same buffer, because a receiver uses up each chunk before it returns.

A receiver must not call back into reading: `resume` only arms the loop again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import sys
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Protocol, TypeAlias

if sys.platform == "linux":
    import fcntl
    import termios

Buffer: TypeAlias = bytes | bytearray | memoryview

CHUNK = 512 * 1024
_RECORD = 16 * 1024
_CIPHERTEXT = memoryview(bytearray(CHUNK))
# What one read of a socket decrypts to, with the record before it of which only a part had come.
_CHUNK = memoryview(bytearray(CHUNK + _RECORD))
# POSIX lets a system call take 1,024 buffers, or fewer; Windows' sockets take one.
_MOST_PARTS = 512 if hasattr(socket.socket, "sendmsg") else 1
_SMALL = 4 * 1024
_LAST_WORDS = 5.0
# tcpi_probes, tcpi_unacked, tcpi_last_ack_recv.
_TCP_INFO = struct.Struct("=3xB20xI28xI")
_MOST_PROBES = 3
_LONGEST_SILENCE_MS = 10_000
_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


def _delivers(sock: socket.socket) -> bool | None:
    """Return whether TCP gets anything through to the peer.

    A peer that does not read leaves nothing unacknowledged: it has closed its window, and answers each
    probe of it. One that is gone answers nothing. (Source: ``struct tcp_info``, tcp(7).)
    """
    if sys.platform != "linux":
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:
        return None
    probes, unacknowledged, silent_ms = _TCP_INFO.unpack(info)
    return not (probes > _MOST_PROBES or (unacknowledged and silent_ms > _LONGEST_SILENCE_MS))


def _count_unacknowledged(sock: socket.socket) -> int:
    """Return how many bytes the kernel keeps until the peer's has acknowledged them, the end included; 0 where that is not told.

    Source: ``TIOCOUTQ``, tcp(7).
    """
    count = bytearray(4)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            sock.getpeername()  # fails where the connection is gone, with whatever the kernel kept
            fcntl.ioctl(sock, termios.TIOCOUTQ, count)
    return int.from_bytes(count, sys.byteorder)


class Receiver(Protocol):
    """Whom a stream tells what happens on it."""

    def on_data(self, data: memoryview) -> None:
        """Use up `data`, which is valid during the call only."""

    def on_end(self) -> None:
        """Take note that the peer sends nothing more."""

    def on_loss(self, error: OSError) -> None:
        """Take note that the connection is broken; the stream is closed already."""

    def on_drain(self) -> None:
        """Take note that everything unsent has left."""


class Stream:
    """A connected, non-blocking TCP socket.

    Parameters
    ----------
    sock
        The socket; the stream closes it.
    loop
        A loop with readers and writers (any selector loop).
    """

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        sock.setblocking(False)
        self._sock = sock
        # Of a socket that is not registered yet, the loop would compose a description, to throw it away.
        self._descriptor = sock.fileno()
        self._loop = loop
        self._receiver: Receiver | None = None
        self._reading = False
        self._unsent: deque[memoryview] = deque()
        self.unsent = 0
        """How many bytes wait for the peer to take them."""
        self._shutting = False
        self._closing: asyncio.TimerHandle | None = None
        self.closed = False

    @property
    def socket(self) -> socket.socket:
        """The socket underneath."""
        return self._sock

    @property
    def delivers(self) -> bool | None:
        """Whether the peer's kernel still acknowledges what was sent; None where that is not told."""
        return None if self.closed else _delivers(self._sock)

    @property
    def undelivered(self) -> int:
        """How many bytes have not reached the peer yet; those with the kernel are counted where it tells."""
        return 0 if self.closed else self.unsent + _count_unacknowledged(self._sock)

    def start(self, receiver: Receiver) -> None:
        """Begin to read."""
        self._receiver = receiver
        self.resume()

    def hand_over(self, receiver: Receiver) -> None:
        """Let another receiver take what comes from now on."""
        self._receiver = receiver

    def pause(self) -> None:
        """Stop reading until `resume`."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._descriptor)

    def take(self) -> memoryview | None:
        """Return what has arrived before reading began, valid until anything else is read; None if nothing has."""
        try:
            size = self._sock.recv_into(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            self._loop.call_soon(self._lose, error)
            return None
        return _CHUNK[:size] if size else None  # an end is met again when reading begins

    def resume(self) -> None:
        """Read on."""
        if not self._reading and not self.closed:
            self._reading = True
            self._loop.add_reader(self._descriptor, self._readable)

    def write(self, *parts: Buffer) -> None:
        """Send `parts`; what the socket does not take now is kept and sent later."""
        if self.closed:
            return
        sent = 0 if self._unsent else self._send(parts)
        if sent == sum(map(len, parts)):
            return
        waiting = bool(self._unsent)
        for part in parts:
            if sent >= len(part):
                sent -= len(part)
                continue
            # Only bytes stay as they are; any other buffer is about to be used again.
            rest = memoryview(part)[sent:]
            self._keep(rest if isinstance(part, bytes) else memoryview(bytes(rest)))
            sent = 0
        if self._unsent and not waiting and not self.closed:
            self._loop.add_writer(self._descriptor, self._writable)

    def _keep(self, rest: memoryview) -> None:
        self.unsent += len(rest)
        if self._unsent and len(self._unsent[-1]) + len(rest) < _SMALL:
            # A part costs 200 bytes of its own: many small ones would be many times what they hold.
            rest = memoryview(bytes(self._unsent.pop()) + rest)
        self._unsent.append(rest)

    def _send(self, parts: Sequence[Buffer]) -> int:
        """Send what the socket takes of `parts`; return how many bytes."""
        if len(parts) > _MOST_PARTS:
            parts = (b"".join(parts),)
        try:
            return self._sock.send(parts[0]) if len(parts) == 1 else self._sock.sendmsg(parts)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._loop.call_soon(self._lose, error)
            return sum(map(len, parts))

    def shutdown(self) -> None:
        """Tell the peer that nothing more comes, once everything unsent has left."""
        self._shutting = True
        if not self._unsent:
            self._shut()

    def _shut(self) -> None:
        if not self.closed:
            # The peer may be gone already; reading will tell.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)

    def linger(self) -> None:
        """Send what is left and the end, and close when the peer has closed too, or after a while.

        To close with bytes unread would reset the connection, and the peer may lose what it has not read yet.
        """
        if not self.closed and self._closing is None:
            self._receiver = _NullReceiver(self)
            self._closing = self._loop.call_later(_LAST_WORDS, self.close)
            self.shutdown()
            self.resume()

    def close(self) -> None:
        """Close the socket; what is unsent is dropped."""
        if self.closed:
            return
        self.closed = True
        if self._closing is not None:
            self._closing.cancel()
        self.pause()
        self._loop.remove_writer(self._descriptor)
        self._unsent.clear()
        self.unsent = 0
        self._sock.close()
        # They know each other: without this, a closed tunnel and its 400 KiB of TLS wait for the garbage
        # collector, which counts objects and not bytes.
        self._receiver = None

    def reset(self) -> None:
        """Close so that the peer sees an error, and not an end (RST instead of FIN)."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.close()

    def _lose(self, error: OSError) -> None:
        if not self.closed:
            receiver = self._receiver
            self.close()
            if receiver is not None:
                receiver.on_loss(error)

    def _writable(self) -> None:
        parts = list(islice(self._unsent, _MOST_PARTS))
        try:
            sent = self._sock.send(parts[0]) if len(parts) == 1 else self._sock.sendmsg(parts)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        self.unsent -= sent
        while sent:
            part = self._unsent.popleft()
            if sent < len(part):
                self._unsent.appendleft(part[sent:])
            sent = max(0, sent - len(part))
        if not self._unsent:
            self._loop.remove_writer(self._descriptor)
            if self._shutting:
                self._shut()
            if self._receiver is not None:
                self._receiver.on_drain()

    def _readable(self) -> None:
        try:
            size = self._sock.recv_into(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        assert self._receiver is not None  # noqa: S101 - reading begins in `start`
        if size:
            self._receiver.on_data(_CHUNK[:size])
        else:
            self.pause()
            self._receiver.on_end()


class _NullReceiver:
    """The receiver of a stream to which nobody listens any more."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def on_data(self, data: memoryview) -> None:
        pass

    def on_end(self) -> None:
        self._stream.close()

    def on_loss(self, error: OSError) -> None:
        pass

    def on_drain(self) -> None:
        pass


class TlsStream(Stream):
    """A TLS client connection over a connected socket.

    The records are decrypted in memory rather than by an `ssl.SSLSocket`: that costs OpenSSL two system
    calls a record, this one for up to 512 KiB.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext,
        server_hostname: str,
        session: ssl.SSLSession | None,
    ) -> None:
        super().__init__(sock, loop)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname, session=session
        )
        self._handshake: asyncio.Future[None] | None = None
        self._drain_planned = False
        self._over = False

    @property
    def session(self) -> ssl.SSLSession | None:
        """What the next connection to the same server can resume; known once something was received."""
        return self._tls.session

    async def handshake(self) -> None:
        """Do the TLS handshake; its last message leaves with the first bytes that are written.

        Raises
        ------
        ssl.SSLError, OSError
            If it fails.
        """
        self._handshake = self._loop.create_future()
        self._reading = True
        self._loop.add_reader(self._descriptor, self._shake_on)
        self._shake()
        try:
            await self._handshake
        finally:
            self.pause()

    def _receive(self) -> int | None:
        """Take what has arrived, still encrypted; return how much, 0 at the end, None where there is nothing."""
        try:
            size = self._sock.recv_into(_CIPHERTEXT)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            self._lose(error)
            return None
        if size:
            self._incoming.write(_CIPHERTEXT[:size])
        return size

    def _shake_on(self) -> None:
        size = self._receive()
        if size:
            self._shake()
        elif size == 0:
            self._lose(ConnectionResetError("the server closed the connection during the TLS handshake"))

    def _shake(self) -> None:
        assert self._handshake is not None  # noqa: S101 - made by the only caller
        if self._handshake.done():
            return
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            super().write(self._outgoing.read())
        except ssl.SSLError as error:
            super().write(self._outgoing.read())  # the alert says why; the server may want to know
            self._handshake.set_exception(error)
        else:
            self._handshake.set_result(None)

    def _lose(self, error: OSError) -> None:
        if self._handshake is not None and not self._handshake.done():
            self._handshake.set_exception(error)
        super()._lose(error)

    def resume(self) -> None:
        """Read on; what was received and not yet decrypted comes first."""
        super().resume()
        # The handshake, or the chunk during which the receiver paused, may have left something.
        if not self._drain_planned and not self.closed:
            self._drain_planned = True
            self._loop.call_soon(self._drain_later)

    def write(self, *parts: Buffer) -> None:
        """Encrypt and send `parts`; what the socket does not take now is kept and sent later."""
        if self.closed or self._shutting:
            return
        for part in parts:
            if part:
                self._tls.write(part)
        super().write(self._outgoing.read())

    def shutdown(self) -> None:
        """Tell the peer that nothing more comes, once everything unsent has left."""
        # OpenSSL takes what is still to be decrypted then for a mistake of the peer.
        if not (self.closed or self._shutting or self._incoming.pending):
            with contextlib.suppress(ssl.SSLError):  # it asks for the peer's answer, which comes when it may
                self._tls.unwrap()
            super().write(self._outgoing.read())
        super().shutdown()

    def _drain_later(self) -> None:
        self._drain_planned = False
        if not self.closed and self._reading:
            self._drain()

    def _readable(self) -> None:
        size = self._receive()
        if size is None:
            return
        if size == 0:
            self._incoming.write_eof()
        self._drain()

    def _drain(self) -> None:
        """Decrypt what there is, until nothing is left or the receiver pauses."""
        assert self._receiver is not None  # noqa: S101 - reading begins in `start`
        more = True
        while more and self._reading:
            size, more = self._decrypt()
            if size:
                self._receiver.on_data(_CHUNK[:size])
        if self._over and self._reading:
            self.pause()
            self._receiver.on_end()
        if self._outgoing.pending and not self.closed:
            super().write(self._outgoing.read())  # TLS 1.3 may have asked for a new key

    def _decrypt(self) -> tuple[int, bool]:
        """Fill the chunk; return its size, and whether there may be more."""
        size, chunk = 0, _CHUNK
        read, incoming = self._tls.read, self._incoming
        try:
            while size < len(chunk):
                got: int = read(len(chunk) - size, chunk[size:])  # type: ignore[assignment]
                if not got:  # as newer versions of OpenSSL say the end
                    self._over = True
                    return size, False
                size += got
                if not (incoming.pending or incoming.eof or self._tls.pending()):
                    return size, False  # to be told so by an exception costs more
        except ssl.SSLWantReadError:
            return size, False
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._over = True
            return size, False
        except ssl.SSLError as error:
            self._lose(error)
            return 0, False
        return size, True
