"""The state of the panel, and the thread that keeps it up to date and sends it to the browser.

    browser ── message ──▶ `receive`, in any thread ──▶ a command, in its own thread ─┐
                                  └────────────────────────────────────────────────────┼─▶ inbox ─▶ the thread ─▶ browser
    a poll of the sources, in its own thread ──────────────────────────────────────────┤
    the clock ─────────────────────────────────────────────────────────────────────────┘

All state belongs to the thread; other threads only put functions into its inbox. Commands and requests to the cluster, which
may wait, run in short-lived threads, so a slow server delays nothing else. Watchers of pods and services
live as long as a view is visible (`watcher`). Without a visible view or a recent click, nothing is requested and nothing is
sent. Each view reports that it is visible, and repeats that periodically, so that a
browser that disappears is forgotten. Background changes are sent at most twice a second, replies at once (`rate_limiter`), and
only changes are sent.

While a cell computes, each switch of threads waits for the interpreter lock. So a command starts in
the thread that receives it, and the switch interval is shorter until it has a reply (`gil_switch_interval`).
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sspcloud_magics import fork_hooks, platforms, session
from sspcloud_magics.errors import (
    CertificateNotTrusted,
    KubeconfigInvalid,
    NotLoggedIn,
    ServerUnreachable,
    SspcloudError,
    TokenExpired,
)
from sspcloud_magics.printable import printable_values
from sspcloud_magics.secret import Secret
from sspcloud_magics.widgets import commands, local_state, reply_parts, snapshots
from sspcloud_magics.widgets.diff_queue import DiffQueue, Snapshot
from sspcloud_magics.widgets.gil_switch_interval import GilSwitchInterval
from sspcloud_magics.widgets.rate_limiter import RateLimiter
from sspcloud_magics.widgets.watcher import ResourceWatcher

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster

LEASE = 40.0
"""Seconds without a message after which a view counts as closed; views send one every 15."""

ATTENTION = 10.0
"""Seconds after a click for which the user counts as present: the result may move the panel out of sight."""

AGAIN = 4.0
"""Seconds before the next poll after an error."""

REPLIES = ("order/", "answer/", "who")
"""Prefixes of the keys that show the result of a command; after a change of identity the user waits for ``who``."""

KEPT = 100
"""Number of commands whose outcomes are kept."""

KEPT_REPLIES = 8
"""Number of commands whose replies are kept."""

FATAL = (NotLoggedIn, KubeconfigInvalid, TokenExpired, ServerUnreachable, CertificateNotTrusted)
"""Errors after which all other requests to the cluster would fail too."""

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


@dataclass(slots=True)
class _Polled:
    """The snapshots of the polled sources, and the times of their next polls, for one identity."""

    cluster: Cluster | None = None
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)


class Controller:
    """The state of the panel, and its thread; a kernel needs only one.

    Parameters
    ----------
    send
        Sends a message to the browser: ``{"whole": snapshot}``, or ``{"part": snapshot}``, where None stands for a
        deleted key.
    pace
        The rate limiter of the updates.
    lease
        Seconds without a message after which a view counts as closed.
    """

    def __init__(
        self, send: Callable[[dict[str, Any]], None], *, pace: RateLimiter | None = None, lease: float = LEASE
    ) -> None:
        self._send = send
        self._lease = lease
        # Functions for the thread to call; `_wake` guards the inbox, `_thread`, `_closing` and `_running`.
        self._inbox: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        # Started by the first message.
        self._thread: threading.Thread | None = None
        self._closing = False
        # Set at the end of a poll, for `poll_once`.
        self._poll_done = threading.Event()
        # The keys of the commands that are running.
        self._running: set[str] = set()
        self._switch_interval = GilSwitchInterval()
        # Only the thread uses the attributes below.
        self._queue = DiffQueue()
        # The visible views, with the times until which they count as visible.
        self._views: dict[str, float] = {}
        # Until this time the user counts as present.
        self._attended_until = 0.0
        self._polled = _Polled()
        # The token of the running poll, and whether another poll must follow.
        self._poll_token: object = None
        self._is_stale = False
        # The outcomes and the replies of commands, by their keys.
        self._outcomes: dict[str, dict[str, Any]] = {}
        self._replies: dict[str, Snapshot] = {}
        self._watchers: dict[str, ResourceWatcher] = {}
        self._pace = pace or RateLimiter()
        # Whether a reply is to be sent, and whether a new view needs the whole snapshot.
        self._owes_reply = False
        self._owes_whole = False
        fork_hooks.register(self)

    def reset_in_child(self) -> None:
        """Close the controller in a forked child: its threads and the browser belong to the parent."""
        self._wake = threading.Condition()
        self._thread, self._closing = None, True
        self._poll_done = threading.Event()
        self._running, self._watchers = set(), {}

    @property
    def snapshot(self) -> Mapping[str, Any]:
        """The current snapshot."""
        return self._queue.snapshot

    def receive(self, message: object) -> None:
        """Accept a message of the browser without waiting; a malformed message is ignored.

        Parameters
        ----------
        message
            ``{"do": "look", "view": ID, "seen": bool, "new": bool}``, or a command (`commands`) with the ``key`` of
            its button and an ``id``.
        """
        if not isinstance(message, dict) or not isinstance(message.get("do"), str):
            return
        if isinstance(message.get("script"), str):
            # From here on, no traceback and no log can show it.
            message = {**message, "script": Secret(message["script"])}
        if message["do"] == "look":
            self._post(lambda: self._note_view(message))
        else:
            self._begin_command(message)

    def poll_once(self, timeout: float) -> None:
        """Poll all sources, and return when they have answered, or after `timeout` seconds."""
        if self._closing:
            return
        self._poll_done.clear()
        self._post(self._poll_now)
        self._poll_done.wait(timeout)

    def close(self) -> None:
        """Stop the thread and the watchers."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._switch_interval.end()
        for watcher in self._watchers.values():
            watcher.close()
            watcher.join()

    def _post(self, function: Callable[[], None]) -> None:
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
                if not (self._running or self._inbox or self._owes_reply):
                    self._switch_interval.end()

    @property
    def _is_watched(self) -> bool:
        """Whether a view is visible, or the user waits for the result of a command."""
        return bool(self._views or self._running) or time.monotonic() < self._attended_until

    def _pause(self) -> float | None:
        """Return the time until the next turn without a message; None while no one watches."""
        if not self._is_watched:
            return None
        return max(self._pace.wait(time.monotonic(), reply=self._owes_reply), self._pace.pace / 10)

    def _turn(self) -> None:
        now = time.monotonic()
        self._views = {view: until for view, until in self._views.items() if until > now}
        if self._is_watched:
            self._begin_poll()
        self._update_watchers()
        self._queue.update(self._collect())
        if self._owes_whole:
            self._owes_whole = False
            self._owes_reply = False
            self._send({"whole": printable_values(self._queue.take_all())})
        elif self._is_watched and self._pace.wait(now, reply=self._owes_reply) <= 0:
            part = self._queue.next_part()
            self._pace.count(now)
            self._owes_reply = self._owes_reply and self._queue.has_pending(REPLIES)
            if part:
                self._send({"part": printable_values(part)})

    def _collect(self) -> Snapshot:
        snapshot: Snapshot = {"account": {"page": platforms.current().account_page}}
        for part in (*self._polled.snapshots.values(), *self._replies.values()):
            snapshot |= part
        for watcher in self._watchers.values():
            snapshot |= watcher.snapshot
        snapshot |= {f"order/{key}": outcome for key, outcome in self._outcomes.items()}
        return snapshot | local_state.forwards() | local_state.connections()

    def _update_watchers(self) -> None:
        """Start or close the watchers: they run while the panel is watched, after the server has accepted the identity."""
        cluster = self._polled.cluster
        if cluster is None or self._polled.snapshots.get("who", {}).get("look/who") is not True:
            for watcher in self._watchers.values():
                watcher.close()
            self._watchers = {}
            return
        for name in snapshots.WATCHED:
            before: ResourceWatcher | None = self._watchers.get(name)
            if before is not None and not (self._is_watched and before.cluster is cluster):
                before.close()
            if self._is_watched and (before is None or before.is_closed):
                # Show the last known objects until the first list has arrived.
                known = before.snapshot if before is not None and before.cluster is cluster else {}
                self._watchers[name] = ResourceWatcher(cluster, name, known)

    def _note_view(self, message: dict[str, Any]) -> None:
        view = str(message.get("view"))[:64]
        self._views.pop(view, None)
        if message.get("seen"):
            self._views[view] = time.monotonic() + self._lease
        if message.get("new"):
            self._owes_whole = True

    # Commands.

    def _begin_command(self, message: dict[str, Any]) -> None:
        """Start a command, unless one with the same key is running."""
        key = str(message.get("key"))[:200]
        with self._wake:
            if self._closing:
                return
            self._switch_interval.begin()
            self._post(lambda: self._note_command(key, message))
            is_new = key not in self._running
            self._running.add(key)
        if is_new:
            self._start_thread("sspcloud-order", lambda: self._run_command(key, message))

    def _note_command(self, key: str, message: dict[str, Any]) -> None:
        now = time.monotonic()
        self._attended_until = now + ATTENTION
        self._outcomes.pop(key, None)
        self._outcomes[key] = {"id": str(message.get("id"))[:64], "state": "pending"}
        # The button already shows that the command is pending: if it ends soon, one update is enough.
        self._pace.hold(now)

    def _run_command(self, key: str, message: dict[str, Any]) -> None:
        outcome: dict[str, Any] = {"state": "done"}
        parts: list[str] = []
        try:
            reply = commands.run_command(message)
            if reply is not None:
                parts = reply_parts.split_reply(reply)
                outcome["pieces"] = len(parts)
        except Exception as error:  # noqa: BLE001 - the panel shows it next to the button
            if not isinstance(error, SspcloudError):
                # Without its message, which may hold pasted text.
                where = "".join(traceback.format_tb(error.__traceback__))
                _log.error("a command failed: %s\n%s", type(error).__name__, where)
            outcome = {"state": "failed", "error": snapshots.describe_error(error)}
        poll = outcome["state"] == "failed" or message["do"] not in commands.WITHOUT_CLUSTER_CHANGES
        self._post(lambda: self._end_command(key, outcome, parts, poll=poll))

    def _end_command(self, key: str, outcome: dict[str, Any], parts: list[str], *, poll: bool) -> None:
        with self._wake:
            self._running.discard(key)
        self._attended_until = time.monotonic() + ATTENTION
        self._owes_reply = True
        # The id of the last click: the same command may have been sent again while it ran.
        command_id = self._outcomes.get(key, {}).get("id", "")
        self._outcomes[key] = {"id": command_id, **outcome}
        self._replies.pop(key, None)
        if parts:
            self._replies[key] = reply_parts.make_snapshot(key, command_id, parts)
        for old in list(self._replies)[:-KEPT_REPLIES]:
            del self._replies[old]
        for old in [each for each in self._outcomes if each not in self._running][: -KEPT or None]:
            del self._outcomes[old]
        if poll:
            self._poll_now()

    # Polling.

    def _poll_now(self) -> None:
        self._polled.due.clear()
        # The answers of a running poll may be older than the change.
        self._is_stale = self._poll_token is not None
        self._begin_poll()

    def _begin_poll(self) -> None:
        """Poll the sources that are due, in another thread; one poll at a time for an identity."""
        cluster = session.recent_use().cluster
        if cluster is not self._polled.cluster and not self._is_finding:
            # The results of a poll as the previous identity will be ignored.
            self._polled, self._poll_token, self._is_stale = _Polled(cluster), None, False
        if self._poll_token is not None:
            return
        now = time.monotonic()
        due = [name for name in ("sandbox", *snapshots.SOURCES) if self._polled.due.get(name, 0.0) <= now]
        if due:
            self._poll_token = token = object()
            self._start_thread("sspcloud-look", lambda: self._poll(token, cluster, due))

    @property
    def _is_finding(self) -> bool:
        """Whether a running poll is finding the cluster."""
        return self._polled.cluster is None and self._poll_token is not None

    def _poll(self, token: object, cluster: Cluster | None, due: list[str]) -> None:
        try:
            self._post_result(token, "sandbox", snapshots.sandbox())
            cluster = cluster or session.current_cluster()
            self._post(lambda: self._note_cluster(token, cluster))
            for name in [each for each in snapshots.SOURCES if each in due]:
                self._post_result(token, name, self._ask(name, cluster))
        except Exception as error:  # noqa: BLE001 - the panel shows it
            for name in snapshots.SOURCES:
                result = {"look/who": snapshots.describe_error(error)} if name == "who" else {}
                self._post_result(token, name, result, AGAIN)
        finally:
            self._post(lambda: self._end_poll(token))

    @staticmethod
    def _ask(name: str, cluster: Cluster) -> Snapshot:
        try:
            return snapshots.SOURCES[name].ask(cluster) | {f"look/{name}": True}
        except FATAL:
            raise
        except SspcloudError as error:
            return {f"look/{name}": snapshots.describe_error(error)}

    def _post_result(self, token: object, name: str, result: Snapshot, again: float | None = None) -> None:
        self._post(lambda: self._note_result(token, name, result, again))

    def _note_cluster(self, token: object, cluster: Cluster) -> None:
        if token is self._poll_token and self._polled.cluster is None:
            self._polled.cluster = cluster

    def _note_result(self, token: object, name: str, result: Snapshot, again: float | None) -> None:
        if token is not self._poll_token:
            return  # the identity has changed since
        if name == "who" and result != self._polled.snapshots.get(name):
            self._owes_reply |= time.monotonic() < self._attended_until
        self._polled.snapshots[name] = result
        every = snapshots.SOURCES[name].every if name in snapshots.SOURCES else AGAIN
        self._polled.due[name] = time.monotonic() + (again or every)

    def _end_poll(self, token: object) -> None:
        if token is not self._poll_token:
            return
        self._poll_token = None
        is_stale, self._is_stale = self._is_stale, False
        if is_stale:
            self._poll_now()
        else:
            self._poll_done.set()

    @staticmethod
    def _start_thread(name: str, function: Callable[[], None]) -> None:
        threading.Thread(target=function, name=name, daemon=True).start()
