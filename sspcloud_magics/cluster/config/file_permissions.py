"""Warnings about configuration files that other users can write.

A user who can write a kubeconfig can choose the server that receives the credentials, and a command that runs as you.
kubectl uses such a file silently. This package uses it too, but warns once, with the command that corrects its permissions.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sspcloud_magics.i18n import N_, _


@dataclass(frozen=True, slots=True)
class FileWarning:
    """A warning about a file."""

    what: str  # the problem, in one sentence
    hint: str  # the command that corrects it

    def __str__(self) -> str:
        return _("{what} (to correct it: {hint})", what=self.what, hint=self.hint)


# The kinds of files with their articles, because a noun has a gender in other languages.
_FILES = {
    "kubeconfig": N_("the kubeconfig {file}"),
    "command": N_("the login command {file}"),
    "script": N_("the login script {file}"),
    "token": N_("the token file {file}"),
}


def find_warnings(files: Iterable[tuple[str, Path]]) -> tuple[FileWarning, ...]:
    """Return a warning for each file that others can write, without duplicates.

    Parameters
    ----------
    files
        The kind of each file, a key of `_FILES`, and its path; files that cannot be read are skipped.
    """
    return tuple(
        dict.fromkeys(warning for kind, file in files if (warning := _check(kind, file)) is not None)
    )


def _check(kind: str, file: Path) -> FileWarning | None:
    try:
        status, folder = file.stat(), file.resolve().parent
        folder_mode = folder.stat().st_mode
    except OSError:
        return None
    if os.name != "posix":
        return None  # on Windows the mode bits have no meaning
    if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and not _is_private(status)):
        return FileWarning(
            _("Other users can write {file}, and so act as you.", file=_(_FILES[kind], file=file)),
            _chmod(file),
        )
    if folder_mode & stat.S_IWOTH and not folder_mode & stat.S_ISVTX:
        return FileWarning(
            _(
                "Other users can replace {file}: they can write its directory.",
                file=_(_FILES[kind], file=file),
            ),
            _chmod(folder),
        )
    return None


def _chmod(path: Path) -> str:
    return f"chmod go-w {shlex.quote(str(path))}"  # not translated: a command


def _is_private(status: os.stat_result) -> bool:
    """Whether the owner is the only member of the file's group, as on systems with a private group for each user."""
    import grp  # noqa: PLC0415 - only on POSIX systems
    import pwd  # noqa: PLC0415

    try:
        owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return group.gr_name == owner and set(group.gr_mem) <= {owner}
