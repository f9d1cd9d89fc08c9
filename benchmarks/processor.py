"""The CPU time of other processes: in nanoseconds if the system reports them, else from psutil."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import psutil

_NANOSECONDS = 1e-9


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Return the CPU seconds of the processes; a process that has ended counts as 0."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += _precise(process.pid) or sum(process.cpu_times()[:2])
    return total


def _precise(pid: int) -> float:
    """Return the scheduler's figure for the live threads of a process; 0 if the system has none."""
    total = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(file.read_text().split()[0])
    return total * _NANOSECONDS


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]
