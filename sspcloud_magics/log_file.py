"""The log: what the kernel and its helper process do, in a file that is written when you ask for it.

``SSPCLOUD_LOG=debug`` or ``%config SSPCloud.log = "debug"`` begins it; without them nothing is written. Everything goes
through the loggers below ``sspcloud_magics``. The helper process sends its records to the kernel, which writes
one file, in order, that its user alone may read.

A message holds names, states and numbers. It holds no statement, no answer of a server and no credential; and what is a
`Secret` anywhere in the process is taken out of each line again before it is written.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
import warnings
from collections.abc import Mapping
from contextlib import suppress
from logging import FileHandler
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from sspcloud_magics import fork_hooks
from sspcloud_magics.printable import printable
from sspcloud_magics.secret import HIDDEN, hide
from sspcloud_magics.user_files import state_folder

VARIABLE = "SSPCLOUD_LOG"
LEVELS = ("debug", "info", "warning")
SIZE = 4 << 20
"""In bytes; a file of this size is kept as ``NAME.1``, and another begun."""
KEPT = 5
"""How many files of former kernels are kept."""

ROOT = logging.getLogger("sspcloud_magics")
# Without it Python writes warnings to the standard error of a program that has no logging.
ROOT.addHandler(logging.NullHandler())

# Tokens and passwords that are in no `Secret`, as in a text that a library has made.
_LOOKS_SECRET = re.compile(
    r"eyJ[\w-]{8,}(?:\.[\w-]*)*|(?i:(?<=bearer )|(?<=basic ))\S+|(?<=://)[^/@\s]*:[^/@\s]*(?=@)"
    r"|(?i:(?<=password=)|(?<=token=)|(?<=secret=))\S+"
)
_Trouble: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class _Formatter(logging.Formatter):
    """One line a record: when, how important, which process, where, what."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname:<7} {origin} {name}: {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        record.origin = getattr(record, "origin", f"kernel {record.process} {record.threadName}")
        return "\n".join(printable(line) for line in without_secrets(super().format(record)).splitlines())

    def formatException(self, ei: _Trouble) -> str:  # noqa: N802 - logging's name
        # Without its message, which may quote what was being done.
        kind, _, trace = ei
        return f"{kind.__name__ if kind else ''}\n{''.join(traceback.format_tb(trace))}".rstrip()


# The handler that writes the file; None where none is written.
_file: FileHandler | None = None


def set_level(level: str) -> None:
    """Write the log from this level on; an empty level ends it. Where it cannot be written, warn.

    Parameters
    ----------
    level
        One of `LEVELS`, or empty.
    """
    global _file  # noqa: PLW0603 - of the process
    if _file is not None and not level:
        ROOT.removeHandler(_file)
        _file.close()
        _file = None
    if level and _file is None:
        # Here, since the log is off at nearly every start, and the helper never writes it.
        from sspcloud_magics.log_handler import PrivateFile  # noqa: PLC0415

        try:
            folder = state_folder() / "logs"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _forget_former(folder)
            _file = PrivateFile(folder / f"kernel-{os.getpid()}.log", SIZE)
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home directory
            reason = (isinstance(error, OSError) and error.strerror) or error
            warnings.warn(f"No log can be written: {reason}.", stacklevel=2)
            return
        _file.setFormatter(_Formatter())
        ROOT.addHandler(_file)
    # Handlers of others, such as those of logging.basicConfig(), would write records with their secrets, and into the cell.
    ROOT.propagate = not level
    ROOT.setLevel(level.upper() if level else logging.NOTSET)


def level_of(environ: Mapping[str, str] = os.environ) -> str:
    """Return the level that the environment asks for; any word but a level or a no is ``debug``.

    Examples
    --------
    >>> [level_of({"SSPCLOUD_LOG": said}) for said in ("", "0", "info", "1")]
    ['', '', 'info', 'debug']
    """
    said = environ.get(VARIABLE, "").strip().lower()
    if said in LEVELS:
        return said
    return "" if said in ("", "0", "no", "off", "false") else "debug"


def path() -> Path | None:
    """Return the file that is written; None where there is none."""
    return Path(_file.baseFilename) if _file is not None else None


def level() -> int:
    """Return the number of the level that is written; 0 where nothing is."""
    return ROOT.level


def without_secrets(text: str) -> str:
    """Return a text without any `Secret` of this process, and without what looks like one.

    Examples
    --------
    >>> without_secrets("Authorization: Bearer abc")
    'Authorization: Bearer ●●●●●●'
    """
    return _LOOKS_SECRET.sub(HIDDEN, hide(text))


def _forget_former(folder: Path) -> None:
    """Remove the oldest files of former kernels, not of those that still run."""
    former: list[tuple[float, Path]] = []
    for file in folder.glob("kernel-*.log*"):
        number = file.name.removeprefix("kernel-").partition(".")[0]
        with suppress(OSError):
            if not (number.isdigit() and _is_running(int(number))):
                former.append((file.stat().st_mtime, file))
    for _, file in sorted(former)[:-KEPT]:
        with suppress(OSError):
            file.unlink()


def _is_running(number: int) -> bool:
    # Not by psutil, which the helper does not load. Windows removes no file that a process has open.
    if os.name == "nt":
        return False
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # another user's
    return True


def _begin_in_child() -> None:
    """Write nothing into the parent's file."""
    global _file  # noqa: PLW0603 - of the process
    if _file is not None:
        ROOT.removeHandler(_file)
        _file = None
        ROOT.propagate = True
        ROOT.setLevel(logging.NOTSET)


fork_hooks.in_child(_begin_in_child)
