"""The server process of a sandbox."""

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

from sspcloud_magics.i18n import _
from sspcloud_magics.sandbox import daemon
from sspcloud_magics.sandbox.cluster import SandboxCluster


def serve(home: Path, *, ready_fd: int | None = None, with_parent: bool = False) -> None:
    """Run the sandbox at `home` until SIGTERM, SIGINT or SIGHUP.

    `ready_fd`: a file descriptor that gets one line when the sandbox is ready. `with_parent`: also stop when
    standard input closes, and save nothing. Raise `SandboxError` if a sandbox already runs there, or it cannot
    start.
    """
    daemon.prepare(home)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    with (home / "lock").open("wb") as lock, _report_start(home, ready_fd) as report:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise daemon.SandboxError(
                _("A sandbox is already running at {home}.", home=home),
                hint="sspcloud-sandbox stop",  # not translated: a command
            ) from None
        (home / "server.json").unlink(missing_ok=True)
        if with_parent and daemon.snapshot_file(home).exists():
            raise daemon.SandboxError(
                _("{home} holds the data of a sandbox, which --with-parent would not save.", home=home),
                hint=_("choose another directory with --home"),
            )
        uvloop.run(_serve(home, report, with_parent))


@contextlib.contextmanager
def _report_start(home: Path, ready_fd: int | None) -> Iterator[Callable[[dict[str, str]], None]]:
    """Give a function that reports the result of the start: to the process that waits for it, or on the terminal."""

    def report(result: dict[str, str]) -> None:
        if ready_fd is None and "server" in result:
            print(daemon.status(home), _("Press Ctrl-C to stop it."), flush=True)
        elif ready_fd is not None:
            with contextlib.suppress(OSError), os.fdopen(ready_fd, "w") as ready:
                ready.write(json.dumps(result) + "\n")

    try:
        yield report
    except daemon.SandboxError as error:
        report({"what": error.what, "why": error.why, "hint": error.hint})
        raise


async def _serve(home: Path, report: Callable[[dict[str, str]], None], with_parent: bool) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    if with_parent:
        # The parent never writes: readable means closed.
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
        # Exempt the objects that live as long as the process from collections, which would pause it for 0.1 s.
        gc.collect()
        gc.freeze()
        daemon.announce(home, cluster.url, cluster.issuer_url)
        report({"server": cluster.url})
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
