"""The helper process, ``python -m sspcloud_magics.tunnel``, which speaks `ipc` on its standard streams.

Two small threads separate the pipes from the event loop: one reads commands, because an event loop cannot watch a
pipe on every system; one writes events, because a kernel that does not read must not block the bytes. The process
ends at the end of its standard input, and ignores the interrupts of cells.
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

from sspcloud_magics import i18n, log_file
from sspcloud_magics.tunnel.engine import Engine
from sspcloud_magics.tunnel.ipc import (
    Command,
    Event,
    ForwardCounters,
    Logged,
    Ready,
    SetLanguage,
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
# Seconds between checks whether the kernel still runs and the machine has slept.
_PARENT_INTERVAL = 0.5
# While the kernel does not read, further counters and log records are dropped beyond these queue lengths.
_MAX_COUNTERS = 100
_MAX_RECORDS = 10_000


class _KernelHandler(logging.Handler):
    """Sends log records to the kernel, which writes them to its file."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        super().__init__()
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        text = log_file.without_secrets(record.getMessage())
        self._emit(Logged(record.levelno, record.name, text, record.created))


def main(
    make: Callable[[Callable[[Event], None]], Engine] = Engine, clock: Callable[[], float] = clock
) -> None:
    """Run until the kernel closes the pipe, or has died.

    Parameters
    ----------
    make
        Creates the engine from the function that it calls with each event.
    clock
        The clock of the `SuspendDetector`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _allow_many_sockets()
    # Imported objects live as long as this process. A garbage collection that visits them stops every connection for 2 ms.
    gc.freeze()
    commands, events = sys.stdin.buffer, sys.stdout.buffer
    loop = asyncio.SelectorEventLoop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_serve(commands, events, make, clock))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        # The reading thread may block on the pipe; nothing is left to clean up.
        os._exit(0)


def _allow_many_sockets() -> None:
    """Raise the limit of open files to the hard limit: a connection needs two."""
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
        limit = {ForwardCounters: _MAX_COUNTERS, Logged: _MAX_RECORDS}.get(type(event))
        if limit is None or waiting.qsize() < limit:
            waiting.put(event)

    engine = make(emit)
    log_file.ROOT.addHandler(_KernelHandler(emit))

    def handle(command: Command | Event | None) -> None:
        if command is None:
            over.set()
        elif isinstance(command, SetLog):
            log_file.ROOT.setLevel(command.level)
        elif isinstance(command, SetLanguage):
            i18n.choose(i18n.Source.SETTING, command.language)
        else:
            engine.handle(command)

    def enqueue(command: Command | Event | None) -> None:
        # Once the loop is closed, the process is about to end.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(handle, command)

    reader = threading.Thread(target=_read, args=(commands, enqueue), name="commands", daemon=True)
    writer = threading.Thread(target=_write, args=(events, waiting), name="events", daemon=True)
    waiting.put(Ready(os.getpid()))
    reader.start()
    writer.start()
    parent, detector = os.getppid(), SuspendDetector(clock)
    while not over.is_set() and os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PARENT_INTERVAL):
                await over.wait()
        if detector.has_slept(_PARENT_INTERVAL):
            _log.info("the machine has slept")
            engine.resume_after_sleep()
    engine.close()
    waiting.put(None)
    await asyncio.sleep(0)
    writer.join(timeout=0.2)


def _read(commands: BinaryIO, enqueue: Callable[[Command | Event | None], None]) -> None:
    for line in commands:
        try:
            command = decode(line)
        except ValueError as error:
            print(error, file=sys.stderr)  # noqa: T201 - the kernel reports the last line
            continue
        enqueue(command)
    enqueue(None)


def _write(events: BinaryIO, waiting: queue.SimpleQueue[Event | None]) -> None:
    # If the kernel has died, the end of the commands ends the process.
    with contextlib.suppress(OSError):
        while (event := waiting.get()) is not None:
            events.write(encode(event))
            if waiting.empty():
                events.flush()
        events.flush()


if __name__ == "__main__":
    main()
