"""The handler of the log: one file that stays small. It is loaded when a log is asked for, and not at each start."""

from __future__ import annotations

import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path


class PrivateFile(RotatingFileHandler):
    """Writes records into a file that its user alone may read.

    Parameters
    ----------
    file
        The file.
    size
        In bytes; a file of this size is kept as ``NAME.1``, and another begun.
    """

    def __init__(self, file: Path, size: int) -> None:
        super().__init__(file, maxBytes=size, backupCount=1, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        def opener(path: str, flags: int) -> int:
            return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)

        # Never truncated: RotatingFileHandler moves what is full.
        return open(self.baseFilename, "a", encoding=self.encoding, opener=opener)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Drop a record that cannot be written, as on a full disk: the work goes on."""
