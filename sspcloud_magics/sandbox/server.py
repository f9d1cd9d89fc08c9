"""The server process: one sandbox from its first signal handler to its last pod."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop

from sspcloud_magics.sandbox import daemon
from sspcloud_magics.sandbox.cluster import SandboxCluster


def serve(home: Path, *, ready_fd: int | None = None, with_parent: bool = False) -> None:
    """Run the sandbox at `home` until SIGTERM, SIGINT or, with its parent, the end of standard input.

    `ready_fd`: a file descriptor that gets one line when the sandbox is ready. `with_parent`: whether to end
    when standard input closes. Raise `SandboxError` if a sandbox runs there already, or it cannot start.
    """
    daemon.prepare(home)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    with (home / "lock").open("wb") as lock, _report_start(home, ready_fd) as tell:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise daemon.SandboxError(
                f"A sandbox runs already at {home}.", hint="sspcloud-sandbox stop"
            ) from None
        (home / "server.json").unlink(missing_ok=True)
        if with_parent and daemon.snapshot_file(home).exists():
            raise daemon.SandboxError(
                f"{home} keeps what was done in a sandbox, and one that ends with its parent keeps nothing.",
                hint="name another --home",
            )
        uvloop.run(_serve(home, tell, with_parent))


@contextlib.contextmanager
def _report_start(home: Path, ready_fd: int | None) -> Iterator[Callable[[dict[str, str]], None]]:
    """Give what tells how the start went: the process that waits for it, or the terminal."""

    def tell(words: dict[str, str]) -> None:
        if ready_fd is None and "server" in words:
            print(daemon.status(home), "Ctrl-C ends it.", flush=True)
        elif ready_fd is not None:
            with contextlib.suppress(OSError), os.fdopen(ready_fd, "w") as ready:
                ready.write(json.dumps(words) + "\n")

    try:
        yield tell
    except daemon.SandboxError as error:
        tell({"what": error.what, "why": error.why, "hint": error.hint})
        raise


async def _serve(home: Path, tell: Callable[[dict[str, str]], None], with_parent: bool) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    if with_parent:
        # Nothing is ever written to it: readable means closed.
        loop.add_reader(sys.stdin.fileno(), ended.set)
    cluster = SandboxCluster(home, keep=not with_parent)
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
        tell({"server": cluster.url})
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
