"""Without IPython, a person watches a terminal, but not a file or the log of a pipeline."""

from __future__ import annotations

import subprocess
import sys

from sspcloud_magics.audience import is_watched

ASK = "from sspcloud_magics.audience import is_watched; print(is_watched())"


def test_pipeline_is_not_watched() -> None:
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_no_error_stream_is_not_watched(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython.core.getipython", None)
    monkeypatch.setattr("sys.stderr", None)
    assert not is_watched()


def test_terminal_is_watched(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython.core.getipython", None)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert is_watched()
