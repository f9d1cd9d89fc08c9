"""Display of a login command's messages while it waits for the user, such as a code to type on a web page.

They are transient text (`sspcloud_magics.transient_text`): commands also print credentials, so the notebook, errors
and the log keep none of the messages. Nothing appears if the command ends within `QUIET` seconds, or if no person
watches. Secrets are only found in complete lines, so an incomplete line is shown when the command pauses.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections import deque
from collections.abc import Iterable
from typing import IO

from sspcloud_magics.audience import has_terminal
from sspcloud_magics.log_file import without_secrets
from sspcloud_magics.printable import printable
from sspcloud_magics.secret import HIDDEN
from sspcloud_magics.transient_text import open_transient_text

QUIET = 1.0
"""For how many seconds nothing is shown: a command that has a valid token is done by then."""

PAUSE = 0.2
"""Seconds without output after which an incomplete line is shown: then it is a prompt for the user."""

# The number of lines that are shown, joined to one, and its maximum width outside of a terminal, in characters.
_LINES, _WIDEST = 4, 600
# In bytes; the URL of a login page takes some hundred. Longer lines, and output without line ends, are dropped.
_LONGEST_LINE = 4096
_CHUNK = 1 << 16
# After so many changes the display stops: a command with so much output does not wait for a person.
_MOST_CHANGES = 100
# Longer words than a person reads or types may be tokens without a known form.
_LONG_WORD = re.compile(r"\S{41,}")
_URL = re.compile(r"(.{0,40}?https?://[^?#]*)(.*)", re.IGNORECASE)
_LONG_VALUE = re.compile(r"[^?#&;=]{41,}")


class LoginPrompt:
    """A line with the messages of a command, from `QUIET` seconds after its start until `close`.

    Parameters
    ----------
    command
        The name of the command.
    stderr
        Its standard error, which this object reads to the end and closes.
    quiet
        The seconds before anything is shown.
    pause
        Seconds without output after which an incomplete line is shown.
    """

    def __init__(
        self, command: str, stderr: IO[bytes], *, quiet: float = QUIET, pause: float = PAUSE
    ) -> None:
        self._command = command
        self._stderr = stderr
        self._quiet = quiet
        self._pause = pause
        # The last complete lines, without secrets; the incomplete line; and whether it is dropped until its end.
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._rest = b""
        self._is_too_long = False
        # The text on display, and the number of its changes.
        self._shown = ""
        self._changes = 0
        # Whether there is new output, and whether that has a complete line; `_follow` resets both.
        self._has_news = False
        self._has_line = False
        # Set by `close`.
        self._is_over = False
        # Guards all of the above, and wakes `_follow`.
        self._news = threading.Condition()
        threading.Thread(target=self._read, name="sspcloud-login-prompt", daemon=True).start()
        self._place = open_transient_text()
        if self._place is not None:
            threading.Thread(target=self._follow, name="sspcloud-login-line", daemon=True).start()

    def close(self) -> None:
        """Erase the line."""
        with self._news:
            self._is_over = True
            self._news.notify_all()
            if self._place is not None:
                self._place.wipe()

    def _read(self) -> None:
        with self._stderr as stderr:
            # `os.read` returns the available bytes without waiting for more.
            while chunk := os.read(stderr.fileno(), _CHUNK):
                with self._news:
                    self._take(chunk)
                    self._has_news = True
                    self._news.notify_all()

    def _take(self, chunk: bytes) -> None:
        *ended, rest = (self._rest + chunk).split(b"\n")
        for line in map(_visible_part, ended):
            if not self._is_too_long and len(line) <= _LONGEST_LINE and (words := _clean(line)):
                self._lines.append(words)
                self._has_line = True
            self._is_too_long = False
        rest = _visible_part(rest)
        self._is_too_long = self._is_too_long or len(rest) > _LONGEST_LINE
        self._rest = b"" if self._is_too_long else rest

    def _follow(self) -> None:
        with self._news:
            self._news.wait_for(lambda: self._is_over, self._quiet)
            while not self._is_over and self._changes < _MOST_CHANGES:
                if self._has_line:
                    self._show(self._lines)
                self._has_news = self._has_line = False
                if not self._wait_for_news(self._pause if self._rest else None):
                    self._show(filter(None, [*self._lines, _clean(self._rest)]))
                    self._wait_for_news(None)

    def _wait_for_news(self, seconds: float | None) -> bool:
        return self._news.wait_for(lambda: self._is_over or self._has_news, seconds)

    def _show(self, lines: Iterable[str]) -> None:
        # Remove secrets once more: one may be split over two lines.
        words = printable(without_secrets(" ".join(lines)), one_line=True)
        if words and self._place is not None:
            beginning, width = f"{self._command}: ", _width()
            line = (beginning + words[max(0, len(beginning) + len(words) - width) :])[:width]
            if line != self._shown:
                self._changes += 1
                self._place.show(line)
                self._shown = line


def _width() -> int:
    """Return the maximum width of the line: a wrapped line of a terminal cannot be erased."""
    return min(_WIDEST, shutil.get_terminal_size().columns - 1) if has_terminal() else _WIDEST


def _visible_part(line: bytes) -> bytes:
    """Return the part after the last carriage return, except one at the end, as of CRLF."""
    return line[line.rfind(b"\r", 0, -1) + 1 :]


def _clean(line: bytes) -> str:
    return _LONG_WORD.sub(_hide, without_secrets(line.decode(errors="replace").strip()))


def _hide(found: re.Match[str]) -> str:
    url = _URL.fullmatch(found.group())
    return url[1] + _LONG_VALUE.sub(HIDDEN, url[2]) if url else HIDDEN
