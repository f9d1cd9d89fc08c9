"""Detect whether a person watches the output: text that is erased at the end is only for them."""

from __future__ import annotations

import sys
from typing import Any


def is_watched() -> bool:
    """Whether a person watches the output of this process.

    A program that executes notebooks tells the kernel that it does not answer input requests; it would save erased text too.
    Without IPython, a person watches if the error stream is a terminal, rather than a file or the log of a pipeline.
    """
    shell = _find_shell()
    return has_terminal() if shell is None else not _is_run_by_program(shell)


def is_saved_unseen() -> bool:
    """Whether a program executes the notebook, to save or convert it, so no person clicks in its outputs."""
    shell = _find_shell()
    return shell is not None and _is_run_by_program(shell)


def _is_run_by_program(shell: Any) -> bool:
    kernel = getattr(shell, "kernel", None)  # IPython in a terminal has no kernel
    return not getattr(kernel, "_allow_stdin", True)


def _find_shell() -> Any:
    ipython = sys.modules.get("IPython.core.getipython")  # do not import IPython only to ask
    return ipython.get_ipython() if ipython is not None else None


def has_terminal() -> bool:
    """Whether the error stream is a terminal. Without a console, as under pythonw, the stream is None."""
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()
