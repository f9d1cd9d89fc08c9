"""The memory and the disk that DuckDB may use: a part of the kernel's own limit, and a folder that is removed."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

import psutil

SHARE = 0.6
"""The part of the limit for DuckDB; pandas and Python need the rest."""

# The limit of a container, version 2 and version 1 of control groups.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_limit(files: tuple[str, ...] = _LIMITS) -> int:
    """Return the memory that this process may use, in bytes: the container's limit, or the machine's memory."""
    total = psutil.virtual_memory().total
    for file in files:
        try:
            limit = int(Path(file).read_text("ascii"))
        except (OSError, ValueError):  # no such file, or "max"
            continue
        return min(limit, total)
    return total


def temporary_folder(owner: object) -> str:
    """Create a private folder for what does not fit into memory; it is removed with its owner, or at exit."""
    folder = tempfile.mkdtemp(prefix="sspcloud-duckdb-")
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder
