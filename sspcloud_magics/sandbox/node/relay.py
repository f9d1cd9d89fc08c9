"""The node's end of a port-forward, as in containerd: between a stream of the client and a port of the pod.

It imitates containerd where clients notice it: when one direction ends, it waits at most one second for the
other, then closes both. It never passes on a half-close to the program in the pod. A response to a half-closed
request is therefore cut off after a second.

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
"""Seconds that one direction has to end after the other, as in containerd."""
# Bytes that Go's io.Copy reads at once.
_COPY: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The sandbox of a pod in the container runtime."""

    id: str  # 64 hexadecimal digits
    netns: str  # path of its network namespace
    # Connects to a port of the pod; raises `OSError` if nothing listens there, `DialError` if the pod is gone.
    dial: Callable[[int], Awaitable[Connection]]
    grace: float = GRACE


def kubelet_words(port: int, sandbox: Sandbox, error: str) -> str:
    """Return the kubelet's message for the error stream."""
    return f"error forwarding port {port} to pod {sandbox.id}, uid : {error}"


def make_refusal(port: int, sandbox: Sandbox) -> str:
    """Return containerd's error for a port of a pod on which nothing listens."""
    return _in_namespace(
        sandbox,
        f'failed to connect to localhost:{port} inside namespace "{sandbox.id}", '
        f"IPv4: dial tcp4 127.0.0.1:{port}: connect: connection refused "
        f"IPv6 dial tcp6 [::1]:{port}: connect: connection refused ",
    )


def _in_namespace(sandbox: Sandbox, error: str) -> str:
    return f'failed to execute portforward in network namespace "{sandbox.netns}": {error}'


Send: TypeAlias = Callable[[bytes], Awaitable[None]]


def cut_into_copies(data: bytes) -> Iterator[memoryview]:
    """Split bytes of a pod into the units of Go's ``io.Copy``, which become frames or messages."""
    view = memoryview(data)
    for start in range(0, len(view), _COPY):
        yield view[start : start + _COPY]


class Forwarding:
    """One connection of a client to a port of a pod.

    `feed` and `feed_eof` take the client's bytes. `run` passes the pod's bytes to `send`, which returns when there
    is room for more.
    """

    def __init__(self, sandbox: Sandbox, port: int, send: Send) -> None:
        self._sandbox = sandbox
        self._port = port
        self._send = send
        # The connection to the pod, None before it is open and after its end.
        self._connection: Connection | None = None
        # Set when the pod was dialled, successfully or not.
        self._dialled = asyncio.Event()
        # Set when the client sends no more, or the pod reads no more.
        self._upload_ended = asyncio.Event()
        # Ends the download after the grace period; None outside the download.
        self._limit: asyncio.Timeout | None = None

    async def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Pass bytes to the pod and wait for room; drop them after the end of the upload."""
        if self._connection is None:
            await self._dialled.wait()
        if self._connection is None or self._upload_ended.is_set():
            return
        try:
            await self._connection.write(data)
        except OSError:
            self.feed_eof()  # the download gets the same error, and reports it

    def feed_eof(self) -> None:
        """End the upload: the client sends no more."""
        if not self._upload_ended.is_set():
            self._upload_ended.set()
            if self._limit is not None:
                self._limit.reschedule(asyncio.get_running_loop().time() + self._sandbox.grace)

    async def run(self) -> str | None:
        """Carry bytes until the connection has ended; return the kubelet's message if it failed."""
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
            return make_refusal(self._port, self._sandbox)
        local_port = connection.local_port
        self._connection = connection
        self._dialled.set()
        try:
            broken = await self._download(connection)
            if not self._upload_ended.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._sandbox.grace):
                        await self._upload_ended.wait()
        finally:
            self._connection = None
            if self._upload_ended.is_set():
                connection.close()
            else:
                connection.abort()
        if broken is None:
            return None
        ends = f"127.0.0.1:{local_port}->127.0.0.1:{self._port}"
        verb, trouble = "read", "connection reset by peer"
        if isinstance(broken, BrokenPipeError):
            verb, trouble = "write", "broken pipe"
        return _in_namespace(self._sandbox, f"{verb} tcp4 {ends}: {verb}: {trouble}")

    async def _download(self, connection: Connection) -> OSError | None:
        """Carry the pod's bytes until their end, or `Sandbox.grace` after the end of the upload; return an error."""
        broken = None
        try:
            left = self._sandbox.grace if self._upload_ended.is_set() else None
            async with asyncio.timeout(left) as self._limit:
                while data := await connection.read():
                    await self._send(data)
        except ClientGone:
            pass
        except OSError as error:
            if not (self._limit and self._limit.expired()):
                broken = error
        finally:
            self._limit = None
        return broken


class ClientGone(Exception):
    """The client has left."""
