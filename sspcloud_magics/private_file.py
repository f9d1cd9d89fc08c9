"""A file for a library that takes no text: only this process reads it, and nothing of it is left behind."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path


def private_file(text: str) -> tuple[Path, Callable[[], None]]:
    """Return a file that holds a text, and what removes it.

    On Linux it is in memory, so that not even a process that is killed leaves it behind. Elsewhere it is in a directory
    that only its owner can enter.
    """
    # Pythons that were built for old systems have no memfd_create, and some kernels refuse it.
    if sys.platform == "linux" and hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        with suppress(OSError):
            return _in_memory(text)
    directory = Path(tempfile.mkdtemp(prefix="sspcloud-"))  # 0700
    made = directory / "text.pem"
    made.touch(0o600)
    made.write_text(text, encoding="utf-8")
    return made, partial(shutil.rmtree, directory, ignore_errors=True)


if sys.platform == "linux":

    def _in_memory(text: str) -> tuple[Path, Callable[[], None]]:
        descriptor = os.memfd_create("sspcloud")
        try:
            with open(descriptor, "w", encoding="utf-8", closefd=False) as file:
                file.write(text)
        except BaseException:
            os.close(descriptor)
            raise
        return Path(f"/proc/self/fd/{descriptor}"), partial(os.close, descriptor)
