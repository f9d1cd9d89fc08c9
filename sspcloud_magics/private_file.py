"""Files that only their user can read: atomic replacement, and temporary files for libraries that take only paths."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path


def replace_file(file: Path, content: bytes, *, sync: bool = False) -> None:
    """Replace a file atomically: other processes read the old or the new content.

    Parameters
    ----------
    file, content
        The file and its new content.
    sync
        Wait for the disk, so that even a crash of the machine leaves the old or the new content.

    Raises
    ------
    OSError
        If it cannot be written; the old content stays.
    """
    # mkstemp creates the file with mode 0600, under a name that no other process uses.
    handle, scratch = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(handle, "wb") as written:  # noqa: PTH123 - a descriptor
            written.write(content)
            if sync:
                written.flush()
                os.fsync(written.fileno())
        Path(scratch).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(scratch).unlink()
        raise


def private_file(text: str) -> tuple[Path, Callable[[], None]]:
    """Write a text to a private temporary file; return its path, and a function that removes it.

    On Linux the file is in memory, so that even a killed process leaves nothing behind. Elsewhere it is in a directory
    that only its owner can enter.
    """
    # Python builds for old systems lack memfd_create, and some kernels refuse it.
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
