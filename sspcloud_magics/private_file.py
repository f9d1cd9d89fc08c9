"""Files that no other user may read: one that is replaced as a whole, and one for a library that takes no text."""

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
    """Write a file as a whole or not at all: another process reads the old or the new content.

    Parameters
    ----------
    file, content
        Which, and what it holds then.
    sync
        Wait until the disk has it, so that a crash of the machine leaves the old or the new content as well.

    Raises
    ------
    OSError
        If it cannot be written; the old content stays.
    """
    # mkstemp makes it 0600, and its name is no other process'.
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
    """Return a file that holds a text and that only this process reads, and what removes it.

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
