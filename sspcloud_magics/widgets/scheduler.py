"""Scheduling of snapshots: when the cluster is polled, and when changes are sent to the browser.

    `receive` of the panel ──▶ a command, in a thread of its own (`runner`) ─┐
    a poll, in a thread of its own (`poller`) ───────────────────────────────┼─▶ inbox ─▶ the thread ─▶ browser
    the clock ───────────────────────────────────────────────────────────────┘

All state belongs to the thread; other threads only put functions into its inbox. Watchers of pods and services live as
long as a view is visible (`watcher`). Without a visible view or a recent click, nothing is requested and nothing is sent.
Each view reports that it is visible, and repeats that periodically, so that a browser that disappears is forgotten.
Background changes are sent at most twice a second, in updates of at most 2 kB; replies at once, as one message each.

While a cell computes, each switch of threads waits for the interpreter lock. So the switch interval is shorter while a
command runs (`gil_switch_interval`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from sspcloud_magics import fork_hooks, i18n, platforms
from sspcloud_magics.printable import printable_values
from sspcloud_magics.widgets import local_state
from sspcloud_magics.widgets.diff_queue import DiffQueue
from sspcloud_magics.widgets.gil_switch_interval import GilSwitchInterval
from sspcloud_magics.widgets.poller import Poller
from sspcloud_magics.widgets.protocol import KernelMessage, Language, Platform, ReplyMessage, Snapshot
from sspcloud_magics.widgets.rate_limiter import RateLimiter
from sspcloud_magics.widgets.watcher import Watchers

LEASE = 40.0
"""Seconds without a message after which a view counts as closed; views send one every 15."""

ATTENTION = 10.0
"""Seconds after a click for which the user counts as present: the result may move the panel out of sight."""

URGENT = ("command/", "who")
"""Prefixes of the keys that show the result of a command; after a change of identity the user waits for ``who``."""

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class SnapshotScheduler:
    """The snapshots of the panel, and the thread that sends them; a kernel needs only one.

    Parameters
    ----------
    send
        Sends a message to the browser.
    outcomes
        Returns the snapshots of the commands.
    pace
        The rate limiter of the updates.
    lease
        Seconds without a message after which a view counts as closed.
    """

    def __init__(
        self,
        send: Callable[[KernelMessage], None],
        outcomes: Callable[[], Snapshot],
        *,
        pace: RateLimiter | None = None,
        lease: float = LEASE,
    ) -> None:
        self._send = send
        self._outcomes = outcomes
        self._lease = lease
        # Functions for the thread to call; `_wake` guards the inbox, `_thread`, `_closing` and `_running`.
        self._inbox: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        # Started by the first message.
        self._thread: threading.Thread | None = None
        self._closing = False
        # The number of commands that are running.
        self._running = 0
        self._switch_interval = GilSwitchInterval()
        # Only the thread uses the attributes below.
        self._queue = DiffQueue()
        # The visible views, with the times until which they count as visible.
        self._views: dict[str, float] = {}
        # Until this time the user counts as present.
        self._attended_until = 0.0
        self._poller = Poller(self.post, self._note_identity)
        self._watchers = Watchers()
        self._pace = pace or RateLimiter()
        # Replies to send; whether a result is to be sent at once; whether a new view needs all snapshots.
        self._replies: list[ReplyMessage] = []
        self._owes_result = False
        self._owes_all = False
        fork_hooks.register(self)

    def reset_in_child(self) -> None:
        """Close the scheduler in a forked child: its threads and the browser belong to the parent."""
        self._wake = threading.Condition()
        self._thread, self._closing = None, True
        self._poller = Poller(self.post)
        self._running, self._watchers = 0, Watchers()

    @property
    def snapshot(self) -> Mapping[str, Any]:
        """The current snapshots."""
        return self._queue.snapshot

    def note_view(self, view: str, *, is_visible: bool, is_new: bool) -> None:
        """Record whether a view is visible; send all snapshots to a new one."""
        self.post(lambda: self._note_view(view, is_visible=is_visible, is_new=is_new))

    def begin_command(self) -> None:
        """Record that a command starts: the user is present, and threads switch faster."""
        with self._wake:
            if self._closing:
                return
            self._running += 1
            self._switch_interval.begin()
        self.post(self.attend)

    def end_command(self, reply: ReplyMessage | None, *, changes_cluster: bool) -> None:
        """Send the outcome of a command at once, after its reply; poll if it changes the cluster."""
        self.post(lambda: self._note_end(reply, changes_cluster=changes_cluster))

    def attend(self) -> None:
        """Count the user as present; runs in the thread."""
        now = time.monotonic()
        self._attended_until = now + ATTENTION
        # The button already shows that the command is pending: if it ends soon, one update is enough.
        self._pace.hold(now)

    def refresh(self) -> None:
        """Poll all sources, if anyone watches: after a change of language, for instance."""
        self.post(lambda: self._poller.poll_now() if self._is_watched else None)

    def poll_once(self, timeout: float) -> None:
        """Poll all sources, and return when they have answered, or after `timeout` seconds."""
        if self._closing:
            return
        self._poller.done.clear()
        self.post(self._poller.poll_now)
        self._poller.done.wait(timeout)

    def close(self) -> None:
        """Stop the thread and the watchers."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._switch_interval.end()
        self._watchers.close()

    def post(self, function: Callable[[], None]) -> None:
        """Call a function in the thread."""
        with self._wake:
            if self._closing:
                return
            self._inbox.append(function)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sspcloud-panel", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._inbox or self._closing, self._pause())
                if self._closing:
                    return
                functions = list(self._inbox)
                self._inbox.clear()
            try:
                for function in functions:
                    function()
                self._turn()
            except Exception:  # noqa: BLE001 - the thread must survive an error
                _log.exception("a turn of the panel failed")
            with self._wake:
                if not (self._running or self._inbox or self._owes_result):
                    self._switch_interval.end()

    @property
    def _is_watched(self) -> bool:
        """Whether a view is visible, or the user waits for the result of a command."""
        return bool(self._views or self._running) or time.monotonic() < self._attended_until

    def _pause(self) -> float | None:
        """Return the time until the next turn without a message; None while no one watches."""
        if not self._is_watched:
            return None
        return max(self._pace.wait(time.monotonic(), reply=self._owes_result), self._pace.pace / 10)

    def _turn(self) -> None:
        now = time.monotonic()
        self._views = {view: until for view, until in self._views.items() if until > now}
        if self._is_watched:
            self._poller.poll_due()
        self._watchers.update(self._poller.accepted_cluster, is_watched=self._is_watched)
        self._queue.update(self._collect())
        while self._replies:
            self._send(printable_values(self._replies.pop(0)))
        if self._owes_all:
            self._owes_all = self._owes_result = False
            self._send({"type": "snapshot", "values": printable_values(self._queue.take_all())})
        elif self._is_watched and self._pace.wait(now, reply=self._owes_result) <= 0:
            part = self._queue.next_part()
            self._pace.count(now)
            self._owes_result = self._owes_result and self._queue.has_pending(URGENT)
            if part:
                self._send({"type": "changes", "values": printable_values(part)})

    def _collect(self) -> Snapshot:
        known = platforms.current()
        language: Language = {"chosen": i18n.get_choice(i18n.Source.SETTING)}
        platform: Platform = {
            "account": known.account_page,
            "services": known.services_page,
            "groups": known.groups,
        }
        return {
            "platform": platform,
            "language": language,
            **self._poller.snapshot,
            **self._watchers.snapshot,
            **self._outcomes(),
            **local_state.forwards(),
            **local_state.connections(),
        }

    def _note_view(self, view: str, *, is_visible: bool, is_new: bool) -> None:
        self._views.pop(view, None)
        if is_visible:
            self._views[view] = time.monotonic() + self._lease
        self._owes_all |= is_new

    def _note_end(self, reply: ReplyMessage | None, *, changes_cluster: bool) -> None:
        with self._wake:
            self._running -= 1
        self._attended_until = time.monotonic() + ATTENTION
        self._owes_result = True
        if reply is not None:
            self._replies.append(reply)
        if changes_cluster:
            self._poller.poll_now()

    def _note_identity(self) -> None:
        self._owes_result |= time.monotonic() < self._attended_until
