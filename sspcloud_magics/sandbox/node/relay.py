"""The far end of a port-forward: what containerd does between a stream of the client and a port of the pod.

Its habits are kept, since they decide what a client lives to see: when one direction ends it waits one second
at most for the other, then closes both, and it never passes a half-close on to the program in the pod. So
the reply to a request that was half-closed is cut after a second.

Source: containerd, internal/cri/server/sandbox_portforward_linux.go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from sspcloud_magics.sandbox.node.connection import Connection, DialError

GRACE: Final = 1.0
"""Seconds that the second direction has when the first has ended."""
_COPY: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod as its container runtime knows it.

    Parameters
    ----------
    id
        Of the pod's sandbox: 64 hexadecimal digits.
    netns
        Path of its network namespace.
    dial
        Connects to a port of the pod; raises `OSError` if nothing listens there, `DialError` if the pod is gone.
    """

    id: str
    netns: str
    dial: Callable[[int], Awaitable[Connection]]


def kubelet_words(port: int, sandbox: Sandbox, error: str) -> str:
    """Return how the kubelet puts a failure on the error stream."""
    return f"error forwarding port {port} to pod {sandbox.id}, uid : {error}"


def refused(port: int, sandbox: Sandbox) -> str:
    """Return containerd's words when nothing listens on a port of a pod."""
    return _in_namespace(
        sandbox,
        f'failed to connect to localhost:{port} inside namespace "{sandbox.id}", '
        f"IPv4: dial tcp4 127.0.0.1:{port}: connect: connection refused "
        f"IPv6 dial tcp6 [::1]:{port}: connect: connection refused ",
    )


def _in_namespace(sandbox: Sandbox, error: str) -> str:
    return f'failed to execute portforward in network namespace "{sandbox.netns}": {error}'


Send: TypeAlias = Callable[[bytes], Awaitable[None]]


def copied(data: bytes) -> Iterator[memoryview]:
    """Cut what a pod said into what Go's ``io.Copy`` carries at once: that is what a frame or a message holds."""
    view = memoryview(data)
    for start in range(0, len(view), _COPY):
        yield view[start : start + _COPY]


class Forwarding:
    """One connection of a client, carried to a port of a pod.

    The client's bytes come by `feed` and `feed_eof`; the pod's go out through `send` while `run` runs.

    Parameters
    ----------
    sandbox, port
        Where to.
    send
        Takes the pod's bytes, and returns when there is room for more.
    """

    def __init__(self, sandbox: Sandbox, port: int, send: Send) -> None:
        self._sandbox = sandbox
        self._port = port
        self._send = send
        self._connection: Connection | None = None
        self._dialled = asyncio.Event()
        self._upload_ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Pass bytes to the pod and wait for room; bytes that nobody takes any more are dropped."""
        if self._connection is None:
            await self._dialled.wait()
        if self._connection is None or self._upload_ended.done():
            return
        try:
            await self._connection.write(data)
        except OSError:
            self.feed_eof()  # reading meets the same error, and reports it

    def feed_eof(self) -> None:
        """Note that the client sends no more."""
        if not self._upload_ended.done():
            self._upload_ended.set_result(None)

    async def run(self) -> str | None:
        """Carry bytes until the connection is over; return the kubelet's words if it failed."""
        try:
            error = await self._run()
        finally:
            self.feed_eof()
            self._dialled.set()
        return error and kubelet_words(self._port, self._sandbox, error)

    async def _run(self) -> str | None:
        try:
            connection = await self._sandbox.dial(self._port)
        except DialError as gone:
            return str(gone)
        except OSError:
            return refused(self._port, self._sandbox)
        ends = f"127.0.0.1:{connection.local_port}->127.0.0.1:{self._port}"
        self._connection = connection
        self._dialled.set()
        download = asyncio.create_task(self._download(connection))
        both = {download, self._upload_ended}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(both, timeout=GRACE)
        finally:
            # Nothing is awaited before all is closed: a cancellation may come at every await, and twice.
            download.cancel()
            self._connection = None
            if self._upload_ended.done():
                connection.close()
            else:
                connection.abort()
        (broken,) = await asyncio.gather(download, return_exceptions=True)
        if isinstance(broken, BrokenPipeError):
            return _in_namespace(self._sandbox, f"write tcp4 {ends}: write: broken pipe")
        if isinstance(broken, OSError):
            return _in_namespace(self._sandbox, f"read tcp4 {ends}: read: connection reset by peer")
        return None

    async def _download(self, connection: Connection) -> None:
        with contextlib.suppress(ClientGone):
            while data := await connection.read():
                await self._send(data)


class ClientGone(Exception):
    """Nobody takes the pod's bytes any more."""
