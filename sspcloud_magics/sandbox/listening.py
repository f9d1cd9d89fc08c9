"""The sandbox's web servers: where they listen, and how the API server is killed and started again.

An API server that starts serves before it has read the rights: for a moment it refuses everything to everybody but
``system:masters``, and ``/readyz`` says so. `ApiServer.restart` shows that: pods run on, every connection breaks.

Source: https://kubernetes.io/docs/reference/using-api/health-checks/
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from sspcloud_magics.sandbox.certificates import write_private

# A node's kubelet starts it again after about as long; the refusals were measured to last 0.12 s and more.
DOWN_SECONDS = 1.0
STARTING_SECONDS = 0.5

# How long requests have to end when a server stops, twice: watches and forwards, which do not end, would take all of it.
SHUTDOWN_SECONDS = 0.2


class ApiServer:
    """Listens at one port, which it keeps.

    `build`: makes the application; what it is given says whether the rights have been read. `port`: the file
    in which the port is remembered.
    """

    def __init__(
        self, build: Callable[[asyncio.Event], web.Application], context: ssl.SSLContext, port: Path
    ) -> None:
        self._build = build
        self._context = context
        self._port = port
        self._runner: web.AppRunner | None = None
        self._restarting = asyncio.Lock()
        self.url = ""

    async def start(self, *, ready: bool = True) -> asyncio.Event:
        """Listen; return what is to be set when the rights have been read."""
        rights_read = asyncio.Event()
        if ready:
            rights_read.set()
        sockets = open_sockets(self._port)
        self.url = f"https://127.0.0.1:{sockets[0].getsockname()[1]}"
        self._runner = await serve(self._build(rights_read), self._context, sockets)
        return rights_read

    async def stop(self) -> None:
        """End it; connections have a moment to end in order."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def restart(self) -> None:
        """Kill it, so that every connection is reset, and start it again a moment later."""
        async with self._restarting:
            runner = self._runner
            if runner is None or runner.server is None:
                return
            for site in list(runner.sites):
                await site.stop()
            for handler in list(runner.server.connections):
                if handler.transport is not None:
                    handler.transport.abort()
            await self.stop()
            await asyncio.sleep(DOWN_SECONDS)
            rights_read = await self.start(ready=False)
            await asyncio.sleep(STARTING_SECONDS)
            rights_read.set()


async def serve(app: web.Application, context: ssl.SSLContext, sockets: list[socket.socket]) -> web.AppRunner:
    """Serve an application on `sockets`, until ``cleanup`` of what is returned."""
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    for each in sockets:
        await web.SockSite(runner, each, ssl_context=context).start()
    return runner


def open_sockets(remembered: Path) -> list[socket.socket]:
    """Return what listens on the port of this home: 127.0.0.1, and ::1 where the machine has it.

    The port is the same at each start as long as nobody else has taken it meanwhile.
    """
    try:
        port = int(json.loads(remembered.read_text()))
    except (OSError, ValueError):
        port = 0
    try:
        first = socket.create_server(("127.0.0.1", port), backlog=512)
    except OSError:
        first = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = first.getsockname()[1]
    write_private(remembered, str(port).encode())
    sockets = [first]
    with contextlib.suppress(OSError):  # IPv6 is switched off, or somebody has that port there
        sockets.append(socket.create_server(("::1", port), family=socket.AF_INET6, backlog=512))
    return sockets
