"""Which process of this machine made something, so that a later one can ask whether it still runs.

A process id alone is given away again; with the moment of its start it is not.
"""

from __future__ import annotations

import os
import platform

import psutil


def get_start_time() -> int:
    """Return when this process started, in seconds since the epoch."""
    return int(psutil.Process().create_time())


def runs(pid: int, started: int) -> bool:
    """Return whether the process of that id, which started then, still runs; one that nobody has waited for yet does not."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) <= 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def mark() -> str:
    """Return what tells this process from all others, on this machine and elsewhere."""
    return f"{platform.node()}/{os.getpid()}/{get_start_time()}"


def is_gone(marked: str) -> bool:
    """Return whether the process of a `mark` has ended; of another machine's, nobody here can tell."""
    machine, _, rest = marked.partition("/")
    pid, _, begun = rest.partition("/")
    known = machine == platform.node() and pid.isdecimal() and begun.isdecimal()
    return known and not runs(int(pid), int(begun))
