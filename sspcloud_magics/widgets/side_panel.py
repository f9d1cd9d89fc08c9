"""The kernel's end of JupyterLab's side panel: which widget to show, and what the status bar says.

The plugin opens a comm to `TARGET`; whoever has loaded the extension answers on it, inside its handler, with the
panel's model and a summary, and again whenever these change. A kernel that has not loaded it closes the comm, as
Jupyter does for any target that nobody knows. Nothing is asked of the cluster here, and no thread is started: what
changes is told by the forwards, by the panel, and by the end of a cell.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from sspcloud_magics import fork_hooks, session
from sspcloud_magics.errors import SspcloudError

TARGET = "sspcloud_magics"
MOST = 16
"""How many plugins are told; a page that was closed leaves its comm behind, and the oldest is forgotten."""

TROUBLED = ("reconnecting", "failed")


class _Links:
    """The comms of the plugins that asked, and what each was told last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[Any, dict[str, Any]] = {}
        self._unwatch: Callable[[], None] = lambda: None
        self._begun = self._said = 0
        fork_hooks.begin_again(self)

    def begin_in_child(self) -> None:
        """Tell nothing in a forked child: the comms are the parent's."""
        self._lock = threading.Lock()
        self._told = {}
        self._unwatch = lambda: None

    def add(self, comm: Any) -> None:
        with self._lock:
            for oldest in list(self._told)[: -MOST + 1]:
                del self._told[oldest]
            if not self._told:
                self._unwatch = session.watch_forwards(self.refresh)
            self._told[comm] = {}
        self.refresh()

    def forget(self, comm: Any) -> None:
        with self._lock:
            self._told.pop(comm, None)
            if not self._told:
                self._unwatch()

    def refresh(self) -> None:
        """Tell what has changed; what was found before something newer was told is not."""
        with self._lock:
            if not self._told:
                return
            self._begun += 1
            turn = self._begun
        # Without the lock: what is asked has locks of its own, and calls back under some of them.
        message = {"model_id": _model_id(), **summary()}
        with self._lock:
            if turn < self._said:
                return
            self._said = turn
            for comm, told in self._told.items():
                if told != message:
                    self._told[comm] = message
                    comm.send(message)

    def close(self) -> None:
        with self._lock:
            comms, self._told = list(self._told), {}
            self._unwatch()
        for comm in comms:
            comm.close()


_links = _Links()
refresh = _links.refresh


def listen() -> None:
    """Answer the plugin from now on."""
    import comm  # noqa: PLC0415 - a terminal has no use for it before

    comm.get_comm_manager().register_target(TARGET, _on_open)


def fall_silent() -> None:
    """Answer no longer; the panels that are open say so."""
    import comm  # noqa: PLC0415 - as above

    comm.get_comm_manager().targets.pop(TARGET, None)
    _links.close()


def after_cell(_result: object) -> None:
    """Tell what a cell has changed; IPython calls this after each cell."""
    refresh()


def _on_open(comm: Any, _message: object) -> None:
    from sspcloud_magics.widgets import widget  # noqa: PLC0415 - at first use

    widget.answer_on_the_shell_that_asks(comm)
    widget.observers.add(refresh)
    comm.on_close(lambda _message: _links.forget(comm))
    _links.add(comm)


def _model_id() -> str:
    from sspcloud_magics.widgets.widget import the_panel  # noqa: PLC0415 - at first use

    return str(the_panel().model_id)


def summary() -> dict[str, Any]:
    """Return what the status bar says: open forwards, those in trouble, and when the login ends (seconds).

    And what a new cell of SQL needs to name: the current database, where several are connected.
    """
    connections = session.open_connections()
    states = [str(each.state) for each in session.open_forwards()]
    return {
        "forwards": len(states),
        "troubled": sum(state in TROUBLED for state in states),
        "ends": _login_ends(),
        "database": connections[-1].database.path if len(connections) > 1 else None,
    }


def _login_ends() -> int | None:
    cluster = session.recent_use().cluster
    if cluster is None:
        return None
    try:
        ends = cluster.validity().ends
    except SspcloudError:
        return None  # whoever needs the cluster is told why
    return None if ends is None else int(ends.timestamp())
