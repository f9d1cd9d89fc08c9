"""``python -m sspcloud_magics.tunnel``: the helper process, which speaks `ipc` on its standard pipes.

Two small threads keep the pipes away from the event loop: one reads commands (a pipe cannot be watched by
the loop on every system), one writes events (a kernel that does not read must not stop the bytes). The end of
standard input is the order to end. Interrupting a cell is no affair of this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO

from sspcloud_magics import log_file
from sspcloud_magics.tunnel.engine import Engine
from sspcloud_magics.tunnel.ipc import (
    Command,
    Event,
    ForwardCounters,
    Logged,
    Ready,
    SetLog,
    decode,
    encode,
)
from sspcloud_magics.tunnel.suspend_detector import SuspendDetector, clock

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

_log = logging.getLogger("sspcloud_magics.tunnel")
_PARENT_INTERVAL = 0.5
# What is told again and again, and the log, need not pile up while the kernel does not read.
_MOST_WAITING = 100
_MOST_RECORDS_WAITING = 10_000


class _ToKernel(logging.Handler):
    """Sends records to the kernel, which writes them into its file."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        super().__init__()
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        text = log_file.without_secrets(record.getMessage())
        self._emit(Logged(record.levelno, record.name, text, record.created))


def main(
    make: Callable[[Callable[[Event], None]], Engine] = Engine, clock: Callable[[], float] = clock
) -> None:
    """Run until the kernel closes the pipe, or is gone.

    Parameters
    ----------
    make
        Makes the engine, of what it calls with each event.
    clock
        Tells whether the machine has slept.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _allow_many_sockets()
    # What is imported lives as long as this process. To walk through it, as the garbage collector would now and then, stops
    # every connection for 2 ms.
    gc.freeze()
    commands, events = sys.stdin.buffer, sys.stdout.buffer
    loop = asyncio.SelectorEventLoop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_serve(commands, events, make, clock))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        # The reading thread may hang in the pipe; there is nothing left to clean up.
        os._exit(0)


def _allow_many_sockets() -> None:
    """Raise the limit of open files as far as an ordinary process may: a connection takes two."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(
    commands: BinaryIO,
    events: BinaryIO,
    make: Callable[[Callable[[Event], None]], Engine],
    clock: Callable[[], float],
) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    waiting: queue.SimpleQueue[Event | None] = queue.SimpleQueue()

    def emit(event: Event) -> None:
        most = {ForwardCounters: _MOST_WAITING, Logged: _MOST_RECORDS_WAITING}.get(type(event))
        if most is None or waiting.qsize() < most:
            waiting.put(event)

    engine = make(emit)
    log_file.ROOT.addHandler(_ToKernel(emit))

    def handle(command: Command | Event | None) -> None:
        if command is None:
            over.set()
        elif isinstance(command, SetLog):
            log_file.ROOT.setLevel(command.level)
        else:
            engine.handle(command)

    def tell(command: Command | Event | None) -> None:
        # Once the loop is closed, the process is about to end.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(handle, command)

    reader = threading.Thread(target=_read, args=(commands, tell), name="commands", daemon=True)
    writer = threading.Thread(target=_write, args=(events, waiting), name="events", daemon=True)
    waiting.put(Ready(os.getpid()))
    reader.start()
    writer.start()
    parent, sleep = os.getppid(), SuspendDetector(clock)
    while not over.is_set() and os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PARENT_INTERVAL):
                await over.wait()
        if sleep.has_slept(_PARENT_INTERVAL):
            _log.info("the machine has slept")
            engine.woke()
    engine.close()
    waiting.put(None)
    await asyncio.sleep(0)
    writer.join(timeout=0.2)


def _read(commands: BinaryIO, tell: Callable[[Command | Event | None], None]) -> None:
    for line in commands:
        try:
            command = decode(line)
        except ValueError as error:
            print(error, file=sys.stderr)  # noqa: T201 - the kernel keeps what the helper says last
            continue
        tell(command)
    tell(None)


def _write(events: BinaryIO, waiting: queue.SimpleQueue[Event | None]) -> None:
    # When the kernel is gone, the end of the commands says so to the rest.
    with contextlib.suppress(OSError):
        while (event := waiting.get()) is not None:
            events.write(encode(event))
            if waiting.empty():
                events.flush()
        events.flush()


if __name__ == "__main__":
    main()
