"""The panel as an anywidget, between the controller and the view in ``static/``, which is built from ``labextension/``.

State flows in one direction, in custom messages: a new view gets the whole snapshot once, then the changes.
Clicks return as messages too; the browser never sets a trait. So a hundred pods cost only their changes, and
the notebook saves nothing of the cluster.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from sspcloud_magics import fork_hooks, i18n
from sspcloud_magics.audience import is_saved_unseen
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.widgets import static_fallback
from sspcloud_magics.widgets.controller import Controller
from sspcloud_magics.widgets.protocol import KernelMessage

STATIC = Path(__file__).parent / "static"
MIME = "application/vnd.sspcloud.panel+json"
"""Marks the output for JupyterLab's plugin, which shows the text of a saved panel without a kernel."""
observers: set[Callable[[], None]] = set()
"""Called after each message to the view: the status bar may have to show the same change."""
FIRST_POLL = 3.0
"""Seconds that a display waits for the cluster, so that its text form has the identity."""


class Panel(anywidget.AnyWidget):
    """The panel: your identity, pods, services and databases, forwards and connections, with buttons."""

    _esm = (STATIC / "panel.js").read_text(encoding="utf-8")
    _css = (STATIC / "panel.css").read_text(encoding="utf-8")
    # The language of the kernel's messages, which the panel follows.
    language = traitlets.Unicode("").tag(sync=True)
    # The panel as text, for a page without a kernel: what the output of the last cell shows as `text/plain`.
    static_text = traitlets.Unicode("").tag(sync=True)
    # The id of the comm: the page asks the kernel for it to know whether its messages still arrive.
    comm_id = traitlets.Unicode("").tag(sync=True)

    def __init__(self) -> None:
        super().__init__(language=i18n.current())
        self.comm_id = self.model_id
        # A page that closes its model closes the panel: the next display makes another one.
        self.comm.on_close(lambda _message: self.close())
        reply_on_requesting_shell(self.comm)
        self.controller = Controller(self._send_message)
        self._end_following = i18n.on_change(self._follow_language)
        self.on_msg(lambda _widget, message, _buffers: self.controller.receive(message))

    def _send_message(self, message: KernelMessage) -> None:
        self.send(message)
        for observe in tuple(observers):
            observe()

    def _follow_language(self, language: str) -> None:
        self.language = language
        # Errors in the snapshots are sentences of the kernel.
        self.controller.scheduler.refresh()

    def close(self) -> None:
        """Close the panel and its controller."""
        getattr(self, "_end_following", lambda: None)()
        controller: Controller | None = getattr(self, "controller", None)
        if controller is not None:
            controller.close()
        super().close()

    def __repr__(self) -> str:
        return static_fallback.text(self.controller.snapshot)

    def _repr_mimebundle_(self, **choice: Any) -> Any:
        self.controller.poll_once(FIRST_POLL)
        bundle: Any = super()._repr_mimebundle_(**choice)
        data, metadata = bundle
        self.static_text = repr(self)
        static = {"text/plain": repr(self), "text/html": static_fallback.html(self.controller.snapshot)}
        # A converter prefers the widget to the text, and shows a blank if its reader has no network.
        return (static if is_saved_unseen() else {**data, MIME: {}, **static}), metadata


def reply_on_requesting_shell(comm: Any) -> None:
    """Keep clicks on the subshell to which JupyterLab sends them, so that they do not wait for a long cell.

    ipykernel 7.4 sends messages of a comm to the shell that last published on it, and counts a thread such as the
    controller's as the main shell, which a running cell occupies. Other releases use the right shell. The attribute
    is private; a test in a real JupyterLab shows if it stops working.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = None  # noqa: SLF001


# Guards the creation of the panel.
_lock = threading.Lock()
_panel: Panel | None = None


def _reset_in_child() -> None:
    global _lock  # noqa: PLW0603 - a thread of the parent may hold it
    _lock = threading.Lock()


fork_hooks.call_in_child(_reset_in_child)


def get_panel() -> Panel:
    """Return the panel of this process; all its displays are views of the same panel.

    Raises
    ------
    UsageProblem
        If the process was forked: JupyterLab communicates with its parent.
    """
    global _panel  # noqa: PLW0603 - one per process, as there is one session
    _refuse_several_visitors()
    if fork_hooks.is_child():
        raise UsageProblem(
            _("A forked process has no panel: JupyterLab communicates with its parent."),
            hint=_("%sspcloud in a cell of the notebook"),
        )
    with _lock:
        if _panel is None or _panel.comm is None:
            _panel = Panel()
        return _panel


def _refuse_several_visitors() -> None:
    """Refuse to show one identity to all visitors of an app of marimo, which are threads of one process."""
    marimo: Any = sys.modules.get("marimo")  # an app has imported it
    if marimo is not None and marimo.running_in_notebook() and marimo.app_meta().mode == "run":
        problem = UsageProblem(
            _("The panel does not work in an app of marimo."),
            why=_(
                "All visitors of the app share one process, so they would share one login and its connections."
            ),
            hint=_("marimo edit FILE   runs the notebook for you alone"),
        )
        # Visitors see no exception: the page would be blank. This ends the cell and shows them the reason.
        marimo.stop(True, marimo.callout(marimo.plain_text(str(problem)), kind="warn"))
