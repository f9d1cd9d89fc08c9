"""The sandbox's web servers: their sockets, and the restart of the API server.

A real API server accepts requests before it has read the RBAC rules: for a moment it forbids everything to all
users but ``system:masters``, and ``/readyz`` fails. `ApiServer.restart` imitates that: connections break, pods
keep running.

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

# Seconds between the end and the restart of an API server: about the delay of a real kubelet.
DOWN_SECONDS = 1.0
# Seconds in which a restarted server forbids everything; on a real cluster they were measured as 0.12 s and more.
STARTING_SECONDS = 0.5

# Seconds that requests have to end when a server stops; aiohttp waits twice. Watches and forwards use all of it.
SHUTDOWN_SECONDS = 0.2


class ApiServer:
    """An API server that keeps its port across restarts.

    `build`: makes the application; its argument is set when the RBAC rules have been read. `port`: the file
    that stores the port.
    """

    def __init__(
        self, build: Callable[[asyncio.Event], web.Application], context: ssl.SSLContext, port: Path
    ) -> None:
        self._build = build
        self._context = context
        self._port = port
        # The running server, None while it is down.
        self._runner: web.AppRunner | None = None
        # Held during a restart, so that restarts follow each other.
        self._restarting = asyncio.Lock()
        # Its address, empty until the first start.
        self.url = ""

    async def start(self, *, ready: bool = True) -> asyncio.Event:
        """Listen; return the event to set when the RBAC rules have been read, which `ready` does at once."""
        rbac_ready = asyncio.Event()
        if ready:
            rbac_ready.set()
        sockets = open_sockets(self._port)
        self.url = f"https://127.0.0.1:{sockets[0].getsockname()[1]}"
        self._runner = await serve(self._build(rbac_ready), self._context, sockets)
        return rbac_ready

    async def stop(self) -> None:
        """Stop; requests have `SHUTDOWN_SECONDS` to end."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def restart(self) -> None:
        """Reset every connection, and start again a moment later."""
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
            rbac_ready = await self.start(ready=False)
            await asyncio.sleep(STARTING_SECONDS)
            rbac_ready.set()


async def serve(app: web.Application, context: ssl.SSLContext, sockets: list[socket.socket]) -> web.AppRunner:
    """Serve an application on `sockets` until the runner's ``cleanup`` is called."""
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    for each in sockets:
        await web.SockSite(runner, each, ssl_context=context).start()
    return runner


def open_sockets(remembered: Path) -> list[socket.socket]:
    """Return sockets that listen on 127.0.0.1 and, if the machine has IPv6, on ::1.

    The port is the one stored in the file `remembered`, unless another program has taken it.
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
    with contextlib.suppress(OSError):  # IPv6 is disabled, or the port is in use there
        sockets.append(socket.create_server(("::1", port), family=socket.AF_INET6, backlog=512))
    return sockets
