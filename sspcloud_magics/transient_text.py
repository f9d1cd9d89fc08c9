"""Text that is shown while work runs and erased at its end: a line of a terminal, or an output of a notebook.

A notebook shows text on the error stream as a coloured band, which stays when the text is erased. An output of its own
leaves nothing behind. If no person watches, nothing is shown: a program that runs a notebook would save it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from html import escape
from typing import Any, TextIO

from sspcloud_magics.audience import has_terminal, is_watched
from sspcloud_magics.printable import printable


class TerminalLine:
    """A line of a terminal that carriage returns overwrite.

    Parameters
    ----------
    stream
        The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # The text on the line.
        self._shown = ""

    def show(self, words: str) -> None:
        """Replace the text."""
        words = printable(words, one_line=True)
        self._write(words.ljust(len(self._shown)))
        self._shown = words

    def wipe(self) -> None:
        """Erase the text."""
        if self._shown:
            self.show("")
            self._write("")

    def _write(self, line: str) -> None:
        # The stream may be closed, or its terminal gone: the work goes on.
        with suppress(OSError, ValueError):
            self._stream.write(f"\r{line}")
            self._stream.flush()


class NotebookOutput:
    """An output of a notebook that later text replaces."""

    def __init__(self) -> None:
        # IPython's handle of the output, created by the first display.
        self._handle: Any = None

    def show(self, words: str) -> None:
        """Replace the text."""
        words = printable(words, one_line=True)
        html = f'<div style="color:var(--jp-ui-font-color2, #808080);font-size:90%">{escape(words)}</div>'
        self._send({"text/plain": words, "text/html": html})

    def wipe(self) -> None:
        """Replace the output by one without content, which takes no space."""
        if self._handle is not None:
            self._send({})

    def _send(self, bundle: dict[str, str]) -> None:
        if self._handle is None:
            from IPython.display import display  # noqa: PLC0415 - there is IPython if there is a notebook

            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]  # IPython's
        else:
            self._handle.update(bundle, raw=True)


def open_transient_text() -> TerminalLine | NotebookOutput | None:
    """Return the place for transient text; None if no person watches, or there is neither notebook nor terminal."""
    if not is_watched():
        return None
    ipython = sys.modules.get("IPython.core.getipython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is not None:
        return NotebookOutput()
    return TerminalLine(sys.stderr) if has_terminal() else None
