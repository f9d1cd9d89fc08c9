"""What a login command says while it waits for a person, such as the code to type on a page.

It is shown on one line, which is wiped away at the end: a notebook keeps nothing of it, and nothing of it is in an error or in the
log, since commands print credentials, too. A command that is done within `QUIET` seconds is not heard at all, nor one that
no person watches. Only whole lines are looked through for secrets, so a line without an end is shown once the command pauses.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import IO

from sspcloud_magics.audience import has_terminal, is_watched
from sspcloud_magics.log_file import without_secrets
from sspcloud_magics.printable import printable
from sspcloud_magics.secret import HIDDEN

QUIET = 1.0
"""For how many seconds nothing is shown: a command that has a valid token is done by then."""

PAUSE = 0.2
"""After how many seconds without news a line that has no end is shown: it is a question then."""

_LINES, _WIDEST = 4, 600
# In bytes: the URL of a login page takes some hundred. A longer line is dropped, and so is output without line ends.
_LONGEST_LINE = 4096
_CHUNK = 1 << 16
# A command that says so much does not wait for a person.
_MOST_SHOWN = 100
# No word that a person reads or types is so long; a token without a known form may be.
_LONG_WORD = re.compile(r"\S{41,}")
_URL = re.compile(r"(.{0,40}?https?://[^?#]*)(.*)", re.IGNORECASE)
_LONG_VALUE = re.compile(r"[^?#&;=]{41,}")


class LoginPrompt:
    """Shows what a command says, from its first word after `QUIET` seconds until `close`.

    Parameters
    ----------
    command
        The command's name.
    said
        Its standard error, which is read to its end and closed here.
    quiet
        The seconds before anything is shown.
    pause
        After how many seconds without news a line that has no end is shown.
    """

    def __init__(self, command: str, said: IO[bytes], *, quiet: float = QUIET, pause: float = PAUSE) -> None:
        self._command = command
        self._said = said
        self._quiet = quiet
        self._pause = pause
        # The last whole lines, without secrets; the line that has no end yet; and whether it is dropped until its end.
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._rest = b""
        self._is_too_long = False
        # What stands on the line, and how often that has changed.
        self._shown = ""
        self._changes = 0
        # Whether the command has said something, or even a whole line, that is not looked at yet.
        self._has_news = False
        self._has_line = False
        self._is_over = False
        self._news = threading.Condition()
        threading.Thread(target=self._read, name="sspcloud-login-prompt", daemon=True).start()
        # A notebook that a machine runs keeps what is wiped away, and so does the log of a pipeline.
        if is_watched():
            threading.Thread(target=self._follow, name="sspcloud-login-line", daemon=True).start()

    def close(self) -> None:
        """Wipe away what is shown."""
        with self._news:
            self._is_over = True
            self._news.notify_all()
            if self._shown:
                self._write(" " * len(self._shown) + "\r")

    def _read(self) -> None:
        with self._said as said:
            # What is there, without a wait for more.
            while chunk := os.read(said.fileno(), _CHUNK):
                with self._news:
                    self._take(chunk)
                    self._has_news = True
                    self._news.notify_all()

    def _take(self, chunk: bytes) -> None:
        *ended, rest = (self._rest + chunk).split(b"\n")
        for line in map(_current, ended):
            if not self._is_too_long and len(line) <= _LONGEST_LINE and (words := _clean(line)):
                self._lines.append(words)
                self._has_line = True
            self._is_too_long = False
        rest = _current(rest)
        self._is_too_long = self._is_too_long or len(rest) > _LONGEST_LINE
        self._rest = b"" if self._is_too_long else rest

    def _follow(self) -> None:
        with self._news:
            self._news.wait_for(lambda: self._is_over, self._quiet)
            while not self._is_over and self._changes < _MOST_SHOWN:
                if self._has_line:
                    self._show(self._lines)
                self._has_news = self._has_line = False
                if not self._wait_for_news(self._pause if self._rest else None):
                    self._show(filter(None, [*self._lines, _clean(self._rest)]))
                    self._wait_for_news(None)

    def _wait_for_news(self, seconds: float | None) -> bool:
        return self._news.wait_for(lambda: self._is_over or self._has_news, seconds)

    def _show(self, lines: Iterable[str]) -> None:
        # Again without secrets: one may begin on a line and go on on the next.
        words = printable(without_secrets(" ".join(lines)), one_line=True)
        if words:
            beginning, width = f"{self._command}: ", _width()
            line = (beginning + words[max(0, len(beginning) + len(words) - width) :])[:width]
            if line != self._shown:
                self._changes += 1
                self._write(line.ljust(len(self._shown)))
                self._shown = line

    @staticmethod
    def _write(line: str) -> None:
        # The stream may be closed, or gone with its terminal: the command is ended even so.
        if sys.stderr is not None:
            with suppress(OSError, ValueError):
                sys.stderr.write(f"\r{line}")
                sys.stderr.flush()


def _width() -> int:
    """Return how long the line may be: a terminal does not wipe away what it has wrapped."""
    return min(_WIDEST, shutil.get_terminal_size().columns - 1) if has_terminal() else _WIDEST


def _current(line: bytes) -> bytes:
    """Return what follows the last carriage return, which begins a line again; a line feed may follow one at the end."""
    return line[line.rfind(b"\r", 0, -1) + 1 :]


def _clean(line: bytes) -> str:
    return _LONG_WORD.sub(_hide, without_secrets(line.decode(errors="replace").strip()))


def _hide(found: re.Match[str]) -> str:
    url = _URL.fullmatch(found.group())
    return url[1] + _LONG_VALUE.sub(HIDDEN, url[2]) if url else HIDDEN
