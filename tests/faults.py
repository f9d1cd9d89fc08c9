"""A network that misbehaves on purpose: a TCP proxy between a client and a server, with faults to switch on.

    with FaultProxy("127.0.0.1", 6443) as proxy:
        ...                            # use proxy.port instead of 6443
        proxy.faults = Faults(latency=0.05, slice=7)
        proxy.reset_all()              # every connection ends with a TCP reset
        proxy.faults = Faults(black_hole=True)   # packets vanish: no FIN, no RST

Faults apply to bytes that arrive from then on. The proxy passes TLS through untouched: it knows nothing of what it
carries.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong.

    Parameters
    ----------
    latency
        Seconds that every chunk waits.
    slice
        The most bytes that are passed on at once; 0 for no limit. Sizes are random up to it.
    bandwidth
        Bytes a second in each direction of each connection; 0 for no limit.
    black_hole
        Bytes are read and vanish; nothing is passed on, nothing is closed.
    refuse
        New connections are accepted and reset at once.
    close_after
        Reset a connection after so many bytes from the server; 0 for never.
    cut_handshake
        The same for connections that are opened from now on only: in the middle of TLS, or of the upgrade.
    """

    latency: float = 0.0
    slice: int = 0
    bandwidth: int = 0
    black_hole: bool = False
    refuse: bool = False
    close_after: int = 0
    cut_handshake: int = 0


@dataclass(eq=False)
class _Link:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    forgotten: bool = False
    limit: int = 0

    def reset(self) -> None:
        for writer in (self.client, self.server):
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    link = writer.get_extra_info("socket")
    if link is not None:
        with contextlib.suppress(OSError):
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class FaultProxy:
    """A proxy to ``host:port`` on a thread of its own; `port` is where it listens."""

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        self.faults = Faults()
        self.accepted = 0
        self._spoken = 0
        self._speaks = threading.Condition()
        self.port = 0
        self._target = (host, port)
        self._random = random.Random(seed)
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def open_links(self) -> int:
        """How many connections are open through the proxy."""
        return len(self._links)

    def reset_all(self) -> int:
        """End every connection with a TCP reset; return how many there were."""

        async def reset() -> int:
            links = tuple(self._links)
            for link in links:
                link.reset()
            return len(links)

        return self._call(reset())

    def forget_all(self, *, but: Collection[int] = ()) -> None:
        """Swallow what comes on the connections of now, for ever, as a router that lost its table does.

        `but` are the proxy's own ports, as the server sees them, of connections that it remembers.
        """

        async def forget() -> None:
            for link in self._links:
                link.forgotten = link.server.get_extra_info("sockname")[1] not in but

        self._call(forget())

    def wait_for_client(self, times: int) -> None:
        """Return when clients have spoken that often from now on, and were heard."""
        with self._speaks:
            wanted = self._spoken + times
            assert self._speaks.wait_for(lambda: self._spoken >= wanted, 30)

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=1 << 16)
        return self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for link in tuple(self._links):
            link.reset()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # A transport closes its socket in one of the loop's next rounds; a connection that was being accepted has no task yet.
        known = asyncio.get_running_loop()._transports  # type: ignore[attr-defined]
        async with asyncio.timeout(10):
            while found := [transport for transport in list(known.values()) if transport._sock is not None]:
                for transport in found:
                    transport.abort()
                await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.faults.refuse:
            _reset(writer)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target, limit=1 << 16)
        except OSError:
            _reset(writer)
            return
        link = _Link(writer, server_writer, limit=self.faults.cut_handshake)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pump(link, reader, server_writer, from_server=False),
                self._pump(link, server_reader, writer, from_server=True),
            )
        except (OSError, asyncio.CancelledError):
            link.reset()
        finally:
            self._links.discard(link)
            for end in (writer, server_writer):
                end.close()

    def _note_passed(self, *, from_server: bool) -> None:
        if not from_server:
            with self._speaks:
                self._spoken += 1
                self._speaks.notify_all()

    async def _pump(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_server: bool
    ) -> None:
        passed = 0
        while data := await reader.read(1 << 16):
            faults = self.faults
            if faults.black_hole or link.forgotten:
                continue
            if faults.latency:
                await asyncio.sleep(faults.latency)
            limit = link.limit or faults.close_after
            if from_server and limit:
                data = data[: max(0, limit - passed)]
            step = faults.slice or max(1, len(data))
            start = 0
            while start < len(data) and not writer.is_closing():
                size = self._random.randint(1, step) if faults.slice else step
                writer.write(data[start : start + size])
                start += size
                if faults.slice:
                    await asyncio.sleep(0)
            if faults.bandwidth:
                await asyncio.sleep(len(data) / faults.bandwidth)
            await writer.drain()
            self._note_passed(from_server=from_server)
            passed += len(data)
            if from_server and limit and passed >= limit:
                link.reset()
                return
        if not (self.faults.black_hole or link.forgotten):
            with contextlib.suppress(OSError):
                writer.write_eof()
