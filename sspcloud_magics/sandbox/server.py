"""The server process: one sandbox from its first signal handler to its last pod."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import signal
import sys
from pathlib import Path

import uvloop

from sspcloud_magics.sandbox import daemon
from sspcloud_magics.sandbox.cluster import SandboxCluster


def serve(home: Path, *, ready_fd: int | None = None, with_parent: bool = False) -> None:
    """Run the sandbox at `home` until SIGTERM, SIGINT or, with its parent, the end of standard input.

    Parameters
    ----------
    home
        Its directory.
    ready_fd
        A file descriptor that gets one line when the sandbox is ready.
    with_parent
        Whether to end when standard input closes.

    Raises
    ------
    SandboxError
        If a sandbox runs there already, or it cannot start.
    """
    daemon.prepare(home)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    with (home / "lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise daemon.SandboxError(
                f"A sandbox runs already at {home}.", mend="sspcloud-sandbox stop"
            ) from None
        (home / "server.json").unlink(missing_ok=True)
        uvloop.run(_serve(home, ready_fd, with_parent))


async def _serve(home: Path, ready_fd: int | None, with_parent: bool) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    if with_parent:
        # Nothing is ever written to it: readable means closed.
        loop.add_reader(sys.stdin.fileno(), ended.set)
    cluster = SandboxCluster(home)
    restarts: set[asyncio.Task[None]] = set()

    def restart_api_server() -> None:
        task = asyncio.create_task(cluster.restart_api_server())
        restarts.add(task)
        task.add_done_callback(restarts.discard)

    loop.add_signal_handler(signal.SIGUSR1, restart_api_server)
    starting = asyncio.create_task(cluster.start())
    waiting = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return
        await starting
        # What lives as long as we do is not looked through again: that would stop everybody for a tenth of a second.
        gc.collect()
        gc.freeze()
        daemon.announce(home, cluster.url, cluster.issuer_url)
        if ready_fd is None:
            print(daemon.status(home), "Ctrl-C ends it.", flush=True)
        else:
            with contextlib.suppress(BrokenPipeError), os.fdopen(ready_fd, "w") as ready:
                ready.write(cluster.url + "\n")
        await waiting
    finally:
        loop.remove_reader(sys.stdin.fileno()) if with_parent else None
        waiting.cancel()
        starting.cancel()
        for task in restarts:
            task.cancel()
        await asyncio.gather(starting, waiting, *restarts, return_exceptions=True)
        (home / "server.json").unlink(missing_ok=True)
        await cluster.stop()
