"""Paths and encodings of the files that users write."""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import suppress
from pathlib import Path


def user_path(text: str | Path) -> Path:
    """Expand ``~`` in a path; the home of a user who does not exist stays unexpanded.

    Examples
    --------
    >>> user_path("~no-such-user/config").parts
    ('~no-such-user', 'config')
    """
    # Path.expanduser raises a RuntimeError for a user who does not exist.
    return Path(os.path.expanduser(text))  # noqa: PTH111


def short_path(path: Path) -> str:
    """Return a path for display, without the folders that name a user or a machine.

    Examples
    --------
    >>> short_path(Path.home() / ".kube/config"), short_path(Path("/srv/bob/config"))
    ('~/.kube/config', '…/config')
    """
    with suppress(ValueError, RuntimeError):  # outside of the home, or there is none
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    return f"…/{path.name}"


def state_folder() -> Path:
    """Return the folder for the state files of this package."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local"
    else:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(base) / "sspcloud-magics"


def decode(content: bytes) -> str:
    r"""Decode a file as UTF-8, or as UTF-16 with a byte order mark, which PowerShell writes.

    Raises
    ------
    UnicodeDecodeError
        If it is neither.

    Examples
    --------
    >>> decode(b"\xff\xfeo\0k\0"), decode(b"\xef\xbb\xbfok")
    ('ok', 'ok')
    """
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig")
