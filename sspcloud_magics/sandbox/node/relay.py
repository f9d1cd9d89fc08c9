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
"""containerd's `Sandbox.grace`."""
_COPY: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod as its container runtime knows it."""

    id: str  # of the pod's sandbox: 64 hexadecimal digits
    netns: str  # path of its network namespace
    # Connects to a port of the pod; raises `OSError` if nothing listens there, `DialError` if the pod is
    # gone.
    dial: Callable[[int], Awaitable[Connection]]
    grace: float = GRACE  # seconds that the second direction has when the first has ended


def kubelet_words(port: int, sandbox: Sandbox, error: str) -> str:
    """Return how the kubelet puts a failure on the error stream."""
    return f"error forwarding port {port} to pod {sandbox.id}, uid : {error}"


def make_refusal(port: int, sandbox: Sandbox) -> str:
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


def cut_into_copies(data: bytes) -> Iterator[memoryview]:
    """Cut what a pod said into what Go's ``io.Copy`` carries at once: that is what a frame or a message holds."""
    view = memoryview(data)
    for start in range(0, len(view), _COPY):
        yield view[start : start + _COPY]


class Forwarding:
    """One connection of a client, carried to a port of a pod.

    The client's bytes come by `feed` and `feed_eof`; the pod's go out through `send` while `run` runs.

    `send`: takes the pod's bytes, and returns when there is room for more.
    """

    def __init__(self, sandbox: Sandbox, port: int, send: Send) -> None:
        self._sandbox = sandbox
        self._port = port
        self._send = send
        self._connection: Connection | None = None
        self._dialled = asyncio.Event()
        self._upload_ended = asyncio.Event()
        self._limit: asyncio.Timeout | None = None

    async def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Pass bytes to the pod and wait for room; bytes that nobody takes any more are dropped."""
        if self._connection is None:
            await self._dialled.wait()
        if self._connection is None or self._upload_ended.is_set():
            return
        try:
            await self._connection.write(data)
        except OSError:
            self.feed_eof()  # reading meets the same error, and reports it

    def feed_eof(self) -> None:
        """Note that the client sends no more."""
        if not self._upload_ended.is_set():
            self._upload_ended.set()
            if self._limit is not None:
                self._limit.reschedule(asyncio.get_running_loop().time() + self._sandbox.grace)

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
        """Carry the pod's bytes to their end, or until `Sandbox.grace` after the client's; return what broke them off."""
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
    """Nobody takes the pod's bytes any more."""
