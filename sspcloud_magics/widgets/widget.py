"""The panel as one anywidget: the board behind it, the view in ``static/`` before it, built from ``labextension/``.

State goes one way, in custom messages: the browser says hello, is told everything once, and then what changes.
Its clicks come back as messages too; it never sets a trait. So a hundred pods cost what changes among them, and
nothing of the cluster is saved with the notebook.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from sspcloud_magics import fork_hooks
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.widgets import static_fallback
from sspcloud_magics.widgets.controller import Controller

STATIC = Path(__file__).parent / "static"
LANGUAGES = ("en", "fr")
observers: set[Callable[[], None]] = set()
"""Called after each message to the view: a click may have changed what they show too, as the status bar does."""
FIRST_LOOK = 3.0
"""Seconds that the first display waits for the cluster, so that its text form says who one is."""


class Panel(anywidget.AnyWidget):
    """The panel: who one is, what runs, what is open, and buttons for it.

    Parameters
    ----------
    language
        ``en`` or ``fr``; empty leaves it to JupyterLab's language, then the kernel's, then the browser's.
    """

    _esm = (STATIC / "panel.js").read_text(encoding="utf-8")
    _css = (STATIC / "panel.css").read_text(encoding="utf-8")
    language = traitlets.Unicode("").tag(sync=True)
    kernel_language = traitlets.Unicode("").tag(sync=True)

    def __init__(self, language: str = "") -> None:
        super().__init__(language=language, kernel_language=get_language())
        answer_on_the_shell_that_asks(self.comm)
        self.board = Controller(self._tell)
        self.on_msg(lambda _widget, message, _buffers: self.board.receive(message))

    def _tell(self, message: dict[str, Any]) -> None:
        self.send(message)
        for observe in tuple(observers):
            observe()

    def close(self) -> None:
        """End the panel, and its thread."""
        board: Controller | None = getattr(self, "board", None)
        if board is not None:
            board.close()
        super().close()

    def __repr__(self) -> str:
        return static_fallback.text(self.board.facts)

    def _repr_mimebundle_(self, **choice: Any) -> Any:
        self.board.look_once(FIRST_LOOK)
        bundle: Any = super()._repr_mimebundle_(**choice)
        data, metadata = bundle
        return {
            **data,
            "text/plain": repr(self),
            "text/html": static_fallback.html(self.board.facts),
        }, metadata


def answer_on_the_shell_that_asks(comm: Any) -> None:
    """Keep clicks on the subshell on which JupyterLab sends them, so that they do not wait for a long cell.

    ipykernel 7.4 sends messages of a comm to the shell that last published on it, and takes a thread such as the
    board's for the main shell, which a running cell occupies. Other releases keep to the shell by themselves. The attribute is private; a test in a real
    JupyterLab says when it stops to work.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = None  # noqa: SLF001


def get_language() -> str:
    """Return the language that the kernel's environment names, where it is one of the panel's."""
    said = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    language = re.split(r"[_.@]", said)[0].lower()
    return language if language in LANGUAGES else ""


_lock = threading.Lock()
_panel: Panel | None = None


def _begin_in_child() -> None:
    global _lock  # noqa: PLW0603 - a thread that the child does not have may hold it
    _lock = threading.Lock()


fork_hooks.in_child(_begin_in_child)


def the_panel(language: str | None = None) -> Panel:
    """Return the panel of this process; each display of it is one more view of the same.

    Raises
    ------
    UsageProblem
        If the process was forked: JupyterLab speaks with its parent.
    """
    global _panel  # noqa: PLW0603 - one for a process, as there is one session
    if fork_hooks.is_child():
        raise UsageProblem(
            "A process that was forked has no panel: JupyterLab speaks with its parent.",
            hint="%sspcloud in a cell of the notebook",
        )
    with _lock:
        if _panel is None or _panel.comm is None:
            _panel = Panel(language or "")
        elif language is not None:
            _panel.language = language
        return _panel
