"""The log file of the kernel and its helper process, written only on request.

``SSPCLOUD_LOG=debug`` or ``%config SSPCloud.log = "debug"`` starts it; otherwise nothing is written. All records pass
the loggers below ``sspcloud_magics``. The helper process sends its records to the kernel, which writes
one file, in order, that only its user can read.

A message holds names, states and numbers, but no SQL, no response of a server and no credential. As a second barrier,
the value of every `Secret` in the process is removed from each line before it is written.
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
from sspcloud_magics.i18n import _
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.printable import printable
from sspcloud_magics.secret import HIDDEN, hide
from sspcloud_magics.user_files import state_folder

VARIABLE = "SSPCLOUD_LOG"
LEVELS = ("debug", "info", "warning")
SIZE = 4 << 20
"""Size in bytes at which the file is renamed to ``NAME.1`` and a new one started."""
KEPT = 5
"""Number of files of earlier kernels that are kept."""

ROOT = logging.getLogger("sspcloud_magics")
# Without a handler, Python prints warnings to standard error in a program that does not configure logging.
ROOT.addHandler(logging.NullHandler())

# Tokens and passwords outside of a `Secret`, such as in the message of a library.
_LOOKS_SECRET = re.compile(
    r"eyJ[\w-]{8,}(?:\.[\w-]*)*|(?i:(?<=bearer )|(?<=basic ))\S+|(?<=://)[^/@\s]*:[^/@\s]*(?=@)"
    r"|(?i:(?<=password=)|(?<=token=)|(?<=secret=))\S+"
)
_Trouble: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class _Formatter(logging.Formatter):
    """Format of a record: one line with time, level, process, logger and message."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname:<7} {origin} {name}: {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        here = f"kernel {record.process} {record.threadName}"  # not translated: a log
        record.origin = getattr(record, "origin", here)
        return "\n".join(printable(line) for line in without_secrets(super().format(record)).splitlines())

    def formatException(self, ei: _Trouble) -> str:  # noqa: N802 - logging's name
        # Without the message, which may quote SQL or the response of a server.
        kind, _error, trace = ei
        return f"{kind.__name__ if kind else ''}\n{''.join(traceback.format_tb(trace))}".rstrip()


# The handler that writes the file; None while the log is off. `set_level` changes it.
_file: FileHandler | None = None


def set_level(level: str) -> None:
    """Write the log from this level on, or warn if the file cannot be written.

    Parameters
    ----------
    level
        One of `LEVELS`; an empty level stops the log.
    """
    global _file  # noqa: PLW0603 - of the process
    if _file is not None and not level:
        ROOT.removeHandler(_file)
        _file.close()
        _file = None
    if level and _file is None:
        # Imported late: the log is nearly always off, and the helper process never writes it.
        from sspcloud_magics.log_handler import PrivateFile  # noqa: PLC0415

        try:
            folder = state_folder() / "logs"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_old_files(folder)
            _file = PrivateFile(folder / f"kernel-{os.getpid()}.log", SIZE)
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home directory
            reason = system_reason(error).rstrip(".") if isinstance(error, OSError) else error
            warnings.warn(_("No log can be written: {reason}.", reason=reason), stacklevel=2)
            return
        _file.setFormatter(_Formatter())
        ROOT.addHandler(_file)
    # Other handlers, such as that of logging.basicConfig(), would print records with their secrets, and into the cell.
    ROOT.propagate = not level
    ROOT.setLevel(level.upper() if level else logging.NOTSET)


def level_of(environ: Mapping[str, str] = os.environ) -> str:
    """Return the level that the environment asks for; a value that is no level and not false means ``debug``.

    Examples
    --------
    >>> [level_of({"SSPCLOUD_LOG": value}) for value in ("", "0", "info", "1")]
    ['', '', 'info', 'debug']
    """
    value = environ.get(VARIABLE, "").strip().lower()
    if value in LEVELS:
        return value
    return "" if value in ("", "0", "no", "off", "false") else "debug"


def path() -> Path | None:
    """Return the path of the log file; None while the log is off."""
    return Path(_file.baseFilename) if _file is not None else None


def level() -> int:
    """Return the level as `logging` numbers it; 0 while the log is off."""
    return ROOT.level


def without_secrets(text: str) -> str:
    """Return a text without the values of this process's secrets, and without anything that looks like a secret.

    Examples
    --------
    >>> without_secrets("Authorization: Bearer abc")
    'Authorization: Bearer ●●●●●●'
    """
    return _LOOKS_SECRET.sub(HIDDEN, hide(text))


def _remove_old_files(folder: Path) -> None:
    """Remove the oldest files of earlier kernels, but not of kernels that still run."""
    former: list[tuple[float, Path]] = []
    for file in folder.glob("kernel-*.log*"):
        number = file.name.removeprefix("kernel-").partition(".")[0]
        with suppress(OSError):
            if not (number.isdigit() and _is_running(int(number))):
                former.append((file.stat().st_mtime, file))
    for _time, file in sorted(former)[:-KEPT]:
        with suppress(OSError):
            file.unlink()


def _is_running(number: int) -> bool:
    # Without psutil, which the helper process does not load. Windows refuses to remove a file that a process has open.
    if os.name == "nt":
        return False
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it runs, as another user
    return True


def _reset_in_child() -> None:
    """Stop the log in a forked child: the file belongs to the parent."""
    global _file  # noqa: PLW0603 - of the process
    if _file is not None:
        ROOT.removeHandler(_file)
        _file = None
        ROOT.propagate = True
        ROOT.setLevel(logging.NOTSET)


fork_hooks.call_in_child(_reset_in_child)
