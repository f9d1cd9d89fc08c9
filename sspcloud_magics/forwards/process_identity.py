"""The identity of a process, which another process can use later to check whether it still runs.

The system reuses a pid, but not together with the same start time.
"""

from __future__ import annotations

import os
import platform

import psutil


def get_start_time() -> int:
    """Return the start time of this process, in seconds since the epoch."""
    return int(psutil.Process().create_time())


def is_running(pid: int, started: int) -> bool:
    """Return whether the process with this pid and start time still runs; a zombie does not."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) <= 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def get_identity() -> str:
    """Return an identity of this process that is unique across machines."""
    return f"{platform.node()}/{os.getpid()}/{get_start_time()}"


def has_ended(identity: str) -> bool:
    """Return whether the process of an identity is known to have ended; False for one of another machine."""
    machine, _, rest = identity.partition("/")
    pid, _, started = rest.partition("/")
    is_known = machine == platform.node() and pid.isdecimal() and started.isdecimal()
    return is_known and not is_running(int(pid), int(started))
