"""The handler of the log file. A module of its own, because `logging.handlers` is imported only when the log is on."""

from __future__ import annotations

import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path


class PrivateFile(RotatingFileHandler):
    """Rotating file handler whose files only the user can read.

    Parameters
    ----------
    size
        Size in bytes at which the file is renamed to ``NAME.1`` and a new one started.
    """

    def __init__(self, file: Path, size: int) -> None:
        super().__init__(file, maxBytes=size, backupCount=1, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        def opener(path: str, flags: int) -> int:
            return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)

        # "a" in every case: RotatingFileHandler renames a full file before it opens the next.
        return open(self.baseFilename, "a", encoding=self.encoding, opener=opener)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Drop a record that cannot be written, such as on a full disk, without a message in the cell."""
