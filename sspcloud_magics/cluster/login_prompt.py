"""What a login command says while it waits for a person, such as the code to type on a page.

It is shown on one line, which is wiped away at the end: a notebook keeps nothing of it, and nothing of it is in an error or in the
log, since commands print credentials, too. A command that is done within `QUIET` seconds is not heard at all, nor one that
no person watches.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import IO

from sspcloud_magics.audience import is_watched
from sspcloud_magics.log_file import without_secrets
from sspcloud_magics.printable import printable

QUIET = 1.0
"""For how many seconds nothing is shown: a command that has a valid token is done by then."""

_LINES, _LONGEST = 4, 600
# A command that says so much does not wait for a person.
_MOST_SHOWN = 100


class LoginPrompt:
    """Shows what a command says, from its first word after `QUIET` seconds until `close`.

    Parameters
    ----------
    command
        The command's name.
    said
        Its standard error, which is read to its end and closed here.
    """

    def __init__(self, command: str, said: IO[bytes]) -> None:
        self._command = command
        self._said = said
        self._lines: deque[str] = deque(maxlen=_LINES)
        # What stands on the line, and how often that has changed.
        self._shown = ""
        self._changes = 0
        self._is_heard = False
        # A notebook that a machine runs keeps what is wiped away, and so does the log of a pipeline.
        self._is_watched = is_watched()
        self._is_over = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(QUIET, self._begin)
        self._timer.daemon = True
        self._timer.start()
        threading.Thread(target=self._read, name="sspcloud-login-prompt", daemon=True).start()

    def close(self) -> None:
        """Wipe away what is shown."""
        self._timer.cancel()
        with self._lock:
            self._is_over = True
            if self._shown:
                self._write(" " * len(self._shown) + "\r")

    def _begin(self) -> None:
        with self._lock:
            self._is_heard = True
            self._show()

    def _read(self) -> None:
        # A limit for a line, since a command may print without end.
        with self._said as said:
            while line := said.readline(_LONGEST):
                with self._lock:
                    self._lines.append(line.decode(errors="replace").strip())
                    self._show()

    def _show(self) -> None:
        words = " ".join(filter(None, self._lines))[-_LONGEST:]
        if (
            words
            and self._is_heard
            and self._is_watched
            and not self._is_over
            and self._changes < _MOST_SHOWN
        ):
            self._changes += 1
            line = f"{self._command}: {printable(without_secrets(words), one_line=True)}"
            self._write(line.ljust(len(self._shown)))
            self._shown = line

    @staticmethod
    def _write(line: str) -> None:
        sys.stderr.write(f"\r{line}")
        sys.stderr.flush()
