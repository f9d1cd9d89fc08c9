"""Container logs: one file per run, in the format of the container runtime interface.

A line is ``2026-11-23T06:00:00.000000001Z stdout F text``. The logs of the last two runs of a container are kept.

Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime/logs.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

KEPT_RUNS: Final = 2


class LogsUnavailable(Exception):
    """There is no such log; the message is the kubelet's."""


class Log:
    """The log of one run of a container."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        # Set, and replaced by a new event, with each line and at the end.
        self._grown = asyncio.Event()
        self.closed = False

    def write(self, line: bytes) -> None:
        """Append a line, with or without its line break."""
        nanoseconds = time.time_ns()
        moment = datetime.fromtimestamp(nanoseconds // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        head = f"{moment}.{nanoseconds % 10**9:09d}Z stdout F ".encode()
        self._file.write(head + line.rstrip(b"\r\n") + b"\n")
        self._tell_readers()

    def close(self) -> None:
        """End the log of a run."""
        self.closed = True
        self._file.close()
        self._tell_readers()

    async def wait_for_growth(self, size: int) -> None:
        """Wait until the file is longer than `size` bytes, or the run has ended."""
        while not self.closed and self.path.stat().st_size <= size:
            await self._grown.wait()

    def _tell_readers(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()


class LogKeeper:
    """The logs of one container."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # The logs that are kept, the current one last, and the number of all runs.
        self._runs: deque[Log] = deque()
        self._count = 0

    def begin(self) -> Log:
        """Return the log of a new run, and delete all but the last two."""
        log = Log(self._folder / f"{self._count}.log")
        self._count += 1
        self._runs.append(log)
        if len(self._runs) > KEPT_RUNS:
            self._runs.popleft().path.unlink(missing_ok=True)
        return log

    def run(self, *, previous: bool) -> Log | None:
        """Return the log of the current run or the one before it."""
        wanted = 2 if previous else 1
        return self._runs[-wanted] if len(self._runs) >= wanted else None


async def read(
    log: Log,
    *,
    follow: bool = False,
    tail_lines: int | None = None,
    since: datetime | None = None,
    timestamps: bool = False,
) -> AsyncIterator[bytes]:
    """Yield the lines of a log.

    `tail_lines`: number of existing lines to start with, counted from the end; None for all.
    """
    oldest = None
    if since is not None:
        oldest = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").encode()
    with log.path.open("rb") as file:
        lines = (line for line in file if oldest is None or line >= oldest)
        begin = list(lines) if tail_lines is None else list(deque(lines, maxlen=tail_lines))
        if begin:
            yield b"".join(_show_line(line, timestamps=timestamps) for line in begin)
        while follow:
            await log.wait_for_growth(file.tell())
            more = file.readlines()
            if more:
                yield b"".join(_show_line(line, timestamps=timestamps) for line in more)
            elif log.closed:
                return


def _show_line(line: bytes, *, timestamps: bool) -> bytes:
    moment, _stream, _tag, text = line.split(b" ", 3)
    return moment + b" " + text if timestamps else text
