"""A connected socket on the event loop, plain or with TLS: chunks in, buffers out.

asyncio's transports would copy data that cannot be sent at once, and decide themselves how much to buffer. Here the
producer sees exactly how much is unsent (`Stream.unsent`) and pauses the source, so that the memory of a connection is
bounded by one chunk in each direction. All streams of the process receive into the same buffer, because a receiver
consumes each chunk before it returns.

A receiver is never called from within `resume`, which only arms the event loop again.
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

from sspcloud_magics.i18n import _

if sys.platform == "linux":
    import fcntl
    import termios

Buffer: TypeAlias = bytes | bytearray | memoryview

# Bytes of one read of a socket, and of a full TLS record.
CHUNK = 512 * 1024
_RECORD = 16 * 1024
_CIPHERTEXT = memoryview(bytearray(CHUNK))
# Room for the plaintext of one read, plus a record that had arrived only in part before.
_CHUNK = memoryview(bytearray(CHUNK + _RECORD))
# POSIX allows 1,024 buffers per system call, or fewer; Windows' sockets take one.
_MAX_PARTS = 512 if hasattr(socket.socket, "sendmsg") else 1
# Bytes; unsent parts are joined up to this size.
_SMALL = 4 * 1024
# Seconds for the peer to close after our end.
_LINGER_TIMEOUT = 5.0
# tcpi_probes, tcpi_unacked, tcpi_last_ack_recv.
_TCP_INFO = struct.Struct("=3xB20xI28xI")
# Beyond these limits, a peer counts as gone: unanswered window probes; milliseconds since the last acknowledgement.
_MAX_PROBES = 3
_MAX_SILENCE_MS = 10_000
_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


def _delivers(sock: socket.socket) -> bool | None:
    """Return whether TCP still reaches the peer; None if that is unknown.

    A peer that does not read leaves nothing unacknowledged: it has closed its window, and answers each window
    probe. A peer that is gone answers nothing. (Source: ``struct tcp_info``, tcp(7).)
    """
    if sys.platform != "linux":
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:
        return None
    probes, unacknowledged, silent_ms = _TCP_INFO.unpack(info)
    return not (probes > _MAX_PROBES or (unacknowledged and silent_ms > _MAX_SILENCE_MS))


def _count_unacknowledged(sock: socket.socket) -> int:
    """Return the number of sent bytes that the peer has not acknowledged, the FIN included; 0 if that is unknown.

    Source: ``TIOCOUTQ``, tcp(7).
    """
    count = bytearray(4)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            sock.getpeername()  # fails if the connection is gone, and its unacknowledged data with it
            fcntl.ioctl(sock, termios.TIOCOUTQ, count)
    return int.from_bytes(count, sys.byteorder)


class Receiver(Protocol):
    """The handler of a stream's events."""

    def on_data(self, data: memoryview) -> None:
        """Consume `data`, which is valid only during the call."""

    def on_end(self) -> None:
        """Handle the end of the peer's data."""

    def on_loss(self, error: OSError) -> None:
        """Handle the loss of the connection; the stream is already closed."""

    def on_drain(self) -> None:
        """Continue sending: everything unsent has left."""


class Stream:
    """A connected, non-blocking TCP socket.

    Parameters
    ----------
    sock
        The socket; the stream closes it.
    loop
        An event loop with readers and writers (any selector loop).
    """

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        sock.setblocking(False)
        self._sock = sock
        # Given a socket that is not registered yet, the event loop would format a message only to discard it.
        self._descriptor = sock.fileno()
        self._loop = loop
        self._receiver: Receiver | None = None
        self._reading = False
        # The parts that wait to be sent.
        self._unsent: deque[memoryview] = deque()
        self.unsent = 0
        """The number of bytes that wait to be sent."""
        # Whether `shutdown` was called.
        self._shutting = False
        # Closes the stream when the peer does not; set by `linger`.
        self._closing: asyncio.TimerHandle | None = None
        self.closed = False

    @property
    def socket(self) -> socket.socket:
        """The underlying socket."""
        return self._sock

    @property
    def delivers(self) -> bool | None:
        """Whether the peer's kernel still acknowledges data; None if that is unknown."""
        return None if self.closed else _delivers(self._sock)

    @property
    def undelivered(self) -> int:
        """The number of bytes that have not reached the peer, including those in the kernel, if it reports them."""
        return 0 if self.closed else self.unsent + _count_unacknowledged(self._sock)

    def start(self, receiver: Receiver) -> None:
        """Begin to read."""
        self._receiver = receiver
        self.resume()

    def hand_over(self, receiver: Receiver) -> None:
        """Replace the receiver."""
        self._receiver = receiver

    def pause(self) -> None:
        """Stop reading until `resume`."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._descriptor)

    def take(self) -> memoryview | None:
        """Return the data that arrived before reading began, valid until the next read; None if there is none."""
        try:
            size = self._sock.recv_into(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            self._loop.call_soon(self._lose, error)
            return None
        return _CHUNK[:size] if size else None  # an end is seen again when reading begins

    def resume(self) -> None:
        """Start or resume reading."""
        if not self._reading and not self.closed:
            self._reading = True
            self._loop.add_reader(self._descriptor, self._readable)

    def write(self, *parts: Buffer) -> None:
        """Send `parts`; buffer what the socket does not accept at once, and send it later."""
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
            # Only bytes are immutable; any other buffer is about to be reused.
            rest = memoryview(part)[sent:]
            self._keep(rest if isinstance(part, bytes) else memoryview(bytes(rest)))
            sent = 0
        if self._unsent and not waiting and not self.closed:
            self._loop.add_writer(self._descriptor, self._writable)

    def _keep(self, rest: memoryview) -> None:
        self.unsent += len(rest)
        if self._unsent and len(self._unsent[-1]) + len(rest) < _SMALL:
            # Each part has an overhead of 200 bytes, which would be many times the data of small ones.
            rest = memoryview(bytes(self._unsent.pop()) + rest)
        self._unsent.append(rest)

    def _send(self, parts: Sequence[Buffer]) -> int:
        """Send as much of `parts` as the socket accepts; return the number of bytes."""
        if len(parts) > _MAX_PARTS:
            parts = (b"".join(parts),)
        try:
            return self._sock.send(parts[0]) if len(parts) == 1 else self._sock.sendmsg(parts)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._loop.call_soon(self._lose, error)
            return sum(map(len, parts))

    def shutdown(self) -> None:
        """Close the writing side once everything unsent has left."""
        self._shutting = True
        if not self._unsent:
            self._shut()

    def _shut(self) -> None:
        if not self.closed:
            # The peer may be gone already; reading will show it.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)

    def linger(self) -> None:
        """Send the rest, close the writing side, and close when the peer has closed too, or after a timeout.

        Closing with unread bytes would reset the connection, and the peer might lose data that it has not read yet.
        """
        if not self.closed and self._closing is None:
            self._receiver = _NullReceiver(self)
            self._closing = self._loop.call_later(_LINGER_TIMEOUT, self.close)
            self.shutdown()
            self.resume()

    def close(self) -> None:
        """Close the socket, and drop unsent data."""
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
        # Break the reference cycle. Otherwise a closed tunnel and its 400 KiB of TLS state wait for the garbage
        # collector, which counts objects and not bytes.
        self._receiver = None

    def reset(self) -> None:
        """Close with RST instead of FIN, so that the peer sees an error."""
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
        parts = list(islice(self._unsent, _MAX_PARTS))
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
    """The receiver of a stream that lingers: it drops all data."""

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

    The records are decrypted in memory, not by an `ssl.SSLSocket`, which needs two system calls per record; this class
    needs one for up to 512 KiB.
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
        # Done when the handshake has ended; None before it begins.
        self._handshake: asyncio.Future[None] | None = None
        # Whether `_drain_later` is scheduled.
        self._drain_planned = False
        # Whether the peer has ended its data.
        self._over = False

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session that the next connection to the same server can resume; set once data was received."""
        return self._tls.session

    async def handshake(self) -> None:
        """Do the TLS handshake, or raise `ssl.SSLError` or `OSError`; its last message is sent with the first written bytes."""
        self._handshake = self._loop.create_future()
        self._reading = True
        self._loop.add_reader(self._descriptor, self._shake_on)
        self._shake()
        try:
            await self._handshake
        finally:
            self.pause()

    def _receive(self) -> int | None:
        """Read encrypted data; return its size, 0 at the end, None if there is none."""
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
            self._lose(
                ConnectionResetError(0, _("the server closed the connection during the TLS handshake"))
            )

    def _shake(self) -> None:
        assert self._handshake is not None  # noqa: S101 - set by `handshake`
        if self._handshake.done():
            return
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            super().write(self._outgoing.read())
        except ssl.SSLError as error:
            super().write(self._outgoing.read())  # the alert, which tells the server why
            self._handshake.set_exception(error)
        else:
            self._handshake.set_result(None)

    def _lose(self, error: OSError) -> None:
        if self._handshake is not None and not self._handshake.done():
            self._handshake.set_exception(error)
        super()._lose(error)

    def resume(self) -> None:
        """Start or resume reading; data that was received and not yet decrypted comes first."""
        super().resume()
        # The handshake, or the chunk during which the receiver paused, may have left something.
        if not self._drain_planned and not self.closed:
            self._drain_planned = True
            self._loop.call_soon(self._drain_later)

    def write(self, *parts: Buffer) -> None:
        """Encrypt and send `parts`; buffer what the socket does not accept at once, and send it later."""
        if self.closed or self._shutting:
            return
        for part in parts:
            if part:
                self._tls.write(part)
        super().write(self._outgoing.read())

    def shutdown(self) -> None:
        """Close the writing side once everything unsent has left."""
        # With data left to decrypt, OpenSSL would report a protocol error of the peer.
        if not (self.closed or self._shutting or self._incoming.pending):
            with contextlib.suppress(ssl.SSLError):  # it wants the peer's answer, which may come later
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
        """Decrypt received data until nothing is left or the receiver pauses."""
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
            super().write(self._outgoing.read())  # the answer to a key update of TLS 1.3

    def _decrypt(self) -> tuple[int, bool]:
        """Decrypt into the chunk; return its size, and whether there may be more."""
        size, chunk = 0, _CHUNK
        read, incoming = self._tls.read, self._incoming
        try:
            while size < len(chunk):
                got: int = read(len(chunk) - size, chunk[size:])  # type: ignore[assignment]
                if not got:  # the end, in newer versions of OpenSSL
                    self._over = True
                    return size, False
                size += got
                if not (incoming.pending or incoming.eof or self._tls.pending()):
                    return size, False  # cheaper than the exception that another `read` would raise
        except ssl.SSLWantReadError:
            return size, False
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._over = True
            return size, False
        except ssl.SSLError as error:
            self._lose(error)
            return 0, False
        return size, True
