"""The kernel's side of JupyterLab's side panel: the widget to show, and the summary for the status bar.

The plugin opens a comm to `TARGET`, with the language that you chose in JupyterLab and the browser's first language. A
kernel with the extension replies in the handler of the comm, with the panel's model, the language and a summary, and
again whenever these change. A kernel without the extension closes the comm, as
Jupyter does for any unknown target. This module sends no requests and starts no thread: forwards, the panel and the
end of a cell trigger updates.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from sspcloud_magics import fork_hooks, i18n, session
from sspcloud_magics.errors import SspcloudError

TARGET = "sspcloud_magics"
MOST = 16
"""Maximum number of comms; a closed page leaves its comm behind, and the oldest is dropped."""

_SOURCES = {"jupyterlab": i18n.Source.JUPYTERLAB, "browser": i18n.Source.BROWSER}
LONGEST_TAG = 40
TROUBLED = ("reconnecting", "failed")


class _Links:
    """The open comms of plugins."""

    def __init__(self) -> None:
        # Guards all of the below.
        self._lock = threading.Lock()
        # The comms, in the order of their opening, with the last message to each.
        self._sent: dict[Any, dict[str, Any]] = {}
        # End the subscriptions to forwards and to the language, which last while there are comms.
        self._unwatch: list[Callable[[], None]] = []
        # The numbers of the last refresh that has started, and of the last one that was sent.
        self._last_begun = self._last_sent = 0
        fork_hooks.register(self)

    def reset_in_child(self) -> None:
        """Drop the comms in a forked child: they belong to the parent."""
        self._lock = threading.Lock()
        self._sent, self._unwatch = {}, []

    def add(self, comm: Any) -> None:
        with self._lock:
            for oldest in list(self._sent)[: -MOST + 1]:
                del self._sent[oldest]
            if not self._sent:
                self._unwatch = [
                    session.watch_forwards(self.refresh),
                    i18n.on_change(lambda _language: self.refresh()),
                ]
            self._sent[comm] = {}
        self.refresh()

    def forget(self, comm: Any) -> None:
        with self._lock:
            self._sent.pop(comm, None)
            if not self._sent:
                self._end_subscriptions()

    def refresh(self) -> None:
        """Send the summary to each comm if it has changed, unless a later refresh has already sent one."""
        with self._lock:
            if not self._sent:
                return
            self._last_begun += 1
            turn = self._last_begun
        # Without the lock: the session has locks of its own, and calls back while it holds some of them.
        message = {"model_id": _model_id(), "language": i18n.current(), **summary()}
        with self._lock:
            if turn < self._last_sent:
                return
            self._last_sent = turn
            for comm, last in self._sent.items():
                if last != message:
                    self._sent[comm] = message
                    comm.send(message)

    def close(self) -> None:
        with self._lock:
            comms, self._sent = list(self._sent), {}
            self._end_subscriptions()
        for comm in comms:
            comm.close()

    def _end_subscriptions(self) -> None:
        while self._unwatch:
            self._unwatch.pop()()


_links = _Links()
refresh = _links.refresh


def listen() -> None:
    """Accept comms of the plugin."""
    import comm  # noqa: PLC0415 - IPython in a terminal does not need it

    comm.get_comm_manager().register_target(TARGET, _on_open)


def stop_listening() -> None:
    """Refuse and close comms of the plugin; open panels show that."""
    import comm  # noqa: PLC0415 - as above

    comm.get_comm_manager().targets.pop(TARGET, None)
    _links.close()


def after_cell(_result: object) -> None:
    """Send changes of the summary; IPython calls this after each cell."""
    refresh()


def _on_open(comm: Any, message: object) -> None:
    from sspcloud_magics.widgets import widget  # noqa: PLC0415 - at first use

    note_languages(message)
    comm.on_msg(note_languages)
    widget.reply_on_requesting_shell(comm)
    widget.observers.add(refresh)
    comm.on_close(lambda _message: _links.forget(comm))
    _links.add(comm)


def note_languages(message: Any) -> None:
    """Choose the languages that a message of the plugin reports: your choice in JupyterLab, and the browser's."""
    try:
        reported = message["content"]["data"]["languages"]
        chosen = {source: reported[name] for name, source in _SOURCES.items()}
    except (KeyError, TypeError):
        return  # a plugin from before this message
    for source, language in chosen.items():
        if isinstance(language, str) and len(language) <= LONGEST_TAG:
            i18n.choose(source, language)


def _model_id() -> str:
    from sspcloud_magics.widgets.widget import get_panel  # noqa: PLC0415 - at first use

    return str(get_panel().model_id)


def summary() -> dict[str, Any]:
    """Return the data of the status bar: the numbers of open and of troubled forwards, and the login's expiry (seconds).

    With several connections, also the current database, which a new SQL cell must name.
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
        ends = cluster.expiry().ends
    except SspcloudError:
        return None  # the next use of the cluster raises the error
    return None if ends is None else int(ends.timestamp())
