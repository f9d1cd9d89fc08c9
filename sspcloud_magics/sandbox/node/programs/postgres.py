"""PostgreSQL: the real server on an existing data directory, behind a front that speaks TLS.

The server's binaries are built without TLS, which a pod of a CloudNativePG cluster offers. The server therefore
listens on a Unix socket only, and the front on the pod's port: it answers ``SSLRequest`` with the certificate of
the operator, and passes on the plain protocol. Like a real server, it resets the connection when the client ends
a TLS session, because the client's closing alert comes too late to be read.

The front also serves the ports 8000 (health) and 9187 (metrics) of a CloudNativePG instance.

Source: PostgreSQL documentation, 54.2.10 "SSL Session Encryption", 54.7 "Message Formats".
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import ssl
import struct
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil

from sspcloud_magics.sandbox import postgres
from sspcloud_magics.sandbox.node.connection import Connection
from sspcloud_magics.sandbox.node.programs.pod import Pod, run, say

PORT: Final = 5432
HEALTH_PORT: Final = 8000
METRICS_PORT: Final = 9187

SSL_REQUEST: Final = struct.pack(">II", 8, 80877103)
GSS_REQUEST: Final = struct.pack(">II", 8, 80877104)
TERMINATE: Final = b"X\0\0\0\4"
READY: Final = b"database system is ready to accept connections"
STOP_SECONDS: Final = 5.0
"""Seconds for a fast shutdown, before an immediate one."""


class Incoming(Connection):
    """A client's connection, served in its own task."""

    def __init__(
        self, serve: Callable[[Connection], Coroutine[Any, Any, None]], tasks: set[asyncio.Task[None]]
    ) -> None:
        super().__init__()
        self._serve = serve
        self._tasks = tasks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to serve (asyncio calls this)."""
        super().connection_made(transport)
        task = asyncio.create_task(self._serve(self))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Client(Incoming):
    """A connection to the database's port, which detects the end of a TLS session."""

    # Whether TLS is on; set by `Front`.
    secure = False
    # The last bytes that were received.
    _last = b""

    @property
    def terminated(self) -> bool:
        """Whether the client has sent Terminate in a TLS session."""
        return self.secure and self._last == TERMINATE

    def data_received(self, data: bytes) -> None:
        """Take bytes (asyncio calls this); after Terminate in a TLS session, closing is a reset."""
        self._last = (self._last + data[-len(TERMINATE) :])[-len(TERMINATE) :]
        if self.terminated:
            self.reset_on_close()
        super().data_received(data)


class Front:
    """Proxy in front of the server.

    `context`: the TLS context with the certificate, None to refuse TLS.
    """

    def __init__(self, server_socket: str, context: ssl.SSLContext | None) -> None:
        self._server_socket = server_socket
        self._context = context

    async def serve(self, client: Connection) -> None:
        """Serve a client's connection."""
        assert isinstance(client, Client)  # noqa: S101 - the listener makes no others
        server: Connection | None = None
        try:
            first = await self._negotiate(client)
            if first:
                loop = asyncio.get_running_loop()
                _, server = await loop.create_unix_connection(Connection, self._server_socket)
                await server.write(first)
                await _pump(client, server)
        except OSError:
            pass  # one end broke the connection: close the other
        finally:
            if client.terminated:
                client.abort()  # without a closing alert, which the client would not read
            else:
                client.close()
            if server is not None:
                server.close()

    async def _negotiate(self, client: Client) -> bytes:
        """Answer requests for encryption; return the first bytes for the server, empty at the end."""
        while True:
            first = await _at_least(client, 8)
            if first == SSL_REQUEST and self._context is not None and not client.secure:
                await client.write(b"S")
                await client.start_tls(self._context)
                client.secure = True
            elif first in {SSL_REQUEST, GSS_REQUEST}:
                await client.write(b"N")
            elif first[:1] == b"\0":
                return first
            else:  # also direct TLS (PostgreSQL 17), which most servers of the catalogue do not support
                return b""


async def _at_least(client: Connection, size: int) -> bytes:
    """Return at least `size` bytes, or none at the end."""
    data = await client.read()
    while data and len(data) < size:
        more = await client.read()
        if not more:
            return b""
        data += more
    return data


async def _pump(client: Connection, server: Connection) -> None:
    """Copy in both directions until the server ends the connection."""

    async def upload() -> None:
        try:
            while data := await client.read():
                await server.write(data)
        except OSError:
            server.abort()  # the server ends the session, with its transaction and its locks
        else:
            server.write_eof()

    uploading = asyncio.create_task(upload())
    try:
        while data := await server.read():
            await client.write(data)
    finally:
        uploading.cancel()
        await asyncio.gather(uploading, return_exceptions=True)


def _context(tls: Mapping[str, str] | None) -> ssl.SSLContext | None:
    if not tls:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(tls["key"] + "\n" + tls["certificate"])
        file.flush()
        context.load_cert_chain(file.name)
    return context


async def _http(client: Connection) -> None:
    """Answer one request for health or metrics."""
    with contextlib.suppress(OSError):
        request = b""
        while b"\r\n\r\n" not in request and len(request) < 16384 and (more := await client.read()):
            request += more
        found = request.startswith((b"GET /healthz ", b"GET /readyz ", b"GET /metrics "))
        status, body = (b"200 OK", b"OK\n") if found else (b"404 Not Found", b"404 page not found\n")
        head = b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        await client.write(head % (status, len(body)) + body)
    client.close()


def _die_with_parent() -> None:
    """Let Linux end this process with its parent: a killed front cannot stop the server."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGQUIT)


async def run_server(
    command: Sequence[str],
    data: Path,
    stopping: asyncio.Event,
    announce: Callable[[], Awaitable[None]],
    *,
    sign: bytes,
    stops: Sequence[signal.Signals],
    env: Mapping[str, str] | None = None,
) -> int:
    """Run a database server until it ends or the node stops it, and return the exit code.

    `announce` runs once the server's log has the `sign`; `stops` are the signals that end the server, one after the other.
    """
    server = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=data,
        env=env,
        preexec_fn=_die_with_parent,
        **postgres.identity(),
    )
    ready = asyncio.Event()
    logging = asyncio.create_task(_log(server, ready, sign))
    ended = asyncio.create_task(server.wait())
    waiting = [asyncio.create_task(ready.wait()), asyncio.create_task(stopping.wait())]
    await asyncio.wait({ended, *waiting}, return_when=asyncio.FIRST_COMPLETED)
    if ready.is_set() and not stopping.is_set():
        await announce()
        await asyncio.wait({ended, waiting[1]}, return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        for number in stops:
            with contextlib.suppress(ProcessLookupError):
                server.send_signal(number)
            if (await asyncio.wait({ended}, timeout=STOP_SECONDS))[0]:
                break
    await logging
    return 0 if stopping.is_set() else ended.result() or 1


async def _log(server: asyncio.subprocess.Process, ready: asyncio.Event, sign: bytes) -> None:
    """Copy the server's log, and set `ready` when the server accepts connections."""
    assert server.stdout is not None  # noqa: S101 - it was asked for
    while line := await server.stdout.readline():
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        if sign in line:
            ready.set()


def _unlock(data: Path) -> None:
    """Remove the lock file of a killed server if another program has its process ID, or the file is empty.

    Postgres removes the file itself if no process has that ID; otherwise it would refuse to start.
    """
    lock = data / "postmaster.pid"
    with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
        words = lock.read_text().split()
        if not words or not _serves(psutil.Process(int(words[0])), data):
            lock.unlink()


def _serves(process: psutil.Process, data: Path) -> bool:
    try:
        return str(data) in process.cmdline()
    except psutil.AccessDenied:  # another user's
        return False


async def main() -> int:
    """Run the server until it ends or the node stops it."""
    stopping = asyncio.Event()
    pod = await Pod.join(stopping.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    data, sockets = Path(pod.config["data"]), Path(pod.config["run"])
    if not (data / "PG_VERSION").exists():
        say(f'postgres: could not access the data directory "{data}": it is not initialised')
        return 2
    postgres.give(sockets)
    _unlock(data)
    settings = {"listen_addresses": "", "unix_socket_directories": str(sockets), "port": str(PORT)}
    tasks: set[asyncio.Task[None]] = set()

    async def announce() -> None:
        front = Front(f"{sockets}/.s.PGSQL.{PORT}", _context(pod.config.get("tls")))
        listeners: list[tuple[int, type[Incoming], Callable[[Connection], Coroutine[Any, Any, None]]]] = [
            (HEALTH_PORT, Incoming, _http),
            (METRICS_PORT, Incoming, _http),
            (PORT, Client, front.serve),  # the last: once it is announced, the others are open too
        ]
        for port, protocol, serve in listeners:
            listening = await asyncio.get_running_loop().create_server(
                partial(protocol, serve, tasks), "127.0.0.1", 0
            )
            pod.announce(port, listening.sockets[0])

    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return await run_server(
        [str(postgres.binaries() / "postgres"), "-D", str(data), *options],
        data,
        stopping,
        announce,
        sign=READY,
        stops=(signal.SIGINT, signal.SIGQUIT),  # fast, then immediate shutdown
    )


if __name__ == "__main__":
    run(main)
