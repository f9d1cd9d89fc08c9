"""Files that decide who one is and what is run, and that others may write.

The author of a kubeconfig decides to which server the credentials go, and which command is run to get them. kubectl obeys
such a file without a word; here it is obeyed, too, and told once, with the command that ends it.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_EVERYBODY, _GROUP = stat.S_IWOTH, stat.S_IWGRP


@dataclass(frozen=True, slots=True)
class FileWarning:
    """What a person should know of a file.

    Parameters
    ----------
    what
        What is so, in one sentence.
    hint
        The command that ends it.
    """

    what: str
    hint: str

    def __str__(self) -> str:
        return f"{self.what} ({self.hint} ends it)"


def remarks(files: Iterable[tuple[str, Path]]) -> tuple[FileWarning, ...]:
    """Return what is to be said of those files that others may write, each once.

    Parameters
    ----------
    files
        What each is, in words, and where; those that cannot be looked at are passed over.
    """
    found = dict.fromkeys(remark for kind, file in files if (remark := _remark(kind, file)) is not None)
    return tuple(found)


def _remark(kind: str, file: Path) -> FileWarning | None:
    try:
        status, folder = file.stat(), file.resolve().parent
        folder_mode = folder.stat().st_mode
    except OSError:
        return None
    if os.name != "posix":
        return None  # the bits say nothing there
    if status.st_mode & _EVERYBODY or (status.st_mode & _GROUP and not _is_private(status)):
        return FileWarning(f"Others may write the {kind} {file}, and act as you with it.", _chmod(file))
    if folder_mode & _EVERYBODY and not folder_mode & stat.S_ISVTX:
        return FileWarning(
            f"Others may replace the {kind} {file}: they may write its directory.", _chmod(folder)
        )
    return None


def _chmod(path: Path) -> str:
    return f"chmod go-w {shlex.quote(str(path))}"


def _is_private(status: os.stat_result) -> bool:
    """Whether the file's group is its owner alone, as where each user has a group of their name."""
    import grp  # noqa: PLC0415 - it is on POSIX systems only
    import pwd  # noqa: PLC0415

    try:
        owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return group.gr_name == owner and set(group.gr_mem) <= {owner}
