"""The state of the panel, and the one thread that keeps it true and tells the browser.

    browser ── message ──▶ `receive`, on whatever thread ─▶ an order, on its own ─┐
                                   └──────────────────────────────────────────────┼─▶ inbox ─▶ the thread ─▶ outbox ─▶ browser
    a round of looks, on its own ─────────────────────────────────────────────────┤
    the clock ────────────────────────────────────────────────────────────────────┘

All state belongs to the thread; others only put functions into its inbox. What may wait (an order, the cluster)
runs on a short-lived thread of its own, so a slow server delays nothing else; pods and services are watched by
threads that live as long as a view is visible (`watcher`). Nothing is asked and nothing is
sent while no view is visible and no click is fresh: each view in a browser says when it is seen, and again every now and then, so that a
browser that vanishes is forgotten. News go out twice a second at most, what became of a click at once (`rate_limiter`), and
nothing where nothing changed.

While a cell computes, each change of thread costs the time for which Python's lock is held. So a click's order begins on
the thread that brings it, and the lock is given on more often until it is answered (`gil_switch_interval`).
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

from sspcloud_magics import fork_hooks, session
from sspcloud_magics.cluster.platform import ACCOUNT_PAGE
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
from sspcloud_magics.widgets.diff_queue import DiffQueue, Facts
from sspcloud_magics.widgets.gil_switch_interval import GilSwitchInterval
from sspcloud_magics.widgets.rate_limiter import RateLimiter
from sspcloud_magics.widgets.watcher import ResourceWatcher

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster

LEASE = 40.0
"""Seconds after which a view that says nothing is taken for gone; it speaks every 15."""

ATTENTION = 10.0
"""Seconds for which whoever has clicked is taken to look on: what a click brings may move the panel out of sight."""

AGAIN = 4.0
"""Seconds after which a cluster that could not be asked is tried again."""

ANSWERS = ("order/", "answer/", "who")
"""The kinds of facts that tell what became of a click; whoever becomes somebody else waits to read who that is."""

KEPT = 100
"""How many outcomes of orders are remembered."""

KEPT_ANSWERS = 8
"""And how many of their answers."""

HOPELESS = (NotLoggedIn, KubeconfigInvalid, TokenExpired, ServerUnreachable, CertificateNotTrusted)
"""What makes every other question to the cluster pointless."""

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


@dataclass(slots=True)
class _Answers:
    """What the cluster said, and when it is to be asked again."""

    cluster: Cluster | None = None
    facts: dict[str, Facts] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)


class Controller:
    """The panel's state, and its thread; one is enough for a kernel.

    Parameters
    ----------
    send
        Tells the browser: ``{"whole": facts}``, or ``{"part": facts}`` where None stands for a fact that is gone.
    pace
        When it may be told again.
    lease
        Seconds after which a view that says nothing is taken for gone.
    """

    def __init__(
        self, send: Callable[[dict[str, Any]], None], *, pace: RateLimiter | None = None, lease: float = LEASE
    ) -> None:
        self._send = send
        self._lease = lease
        self._inbox: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._looked = threading.Event()
        self._running: set[str] = set()  # the keys of the orders; under the lock, as the inbox is
        self._hurry = GilSwitchInterval()
        # From here on the thread's own.
        self._outbox = DiffQueue()
        self._views: dict[str, float] = {}
        self._attended_until = 0.0
        self._answers = _Answers()
        self._round: object = None
        self._stale = False
        self._outcomes: dict[str, dict[str, Any]] = {}
        self._found: dict[str, Facts] = {}
        self._followers: dict[str, ResourceWatcher] = {}
        self._pace = pace or RateLimiter()
        self._owes_answer = False
        self._whole_wanted = False
        fork_hooks.begin_again(self)

    def begin_in_child(self) -> None:
        """End in a forked child: its thread, its followers and the browser are the parent's."""
        self._wake = threading.Condition()
        self._thread, self._closing = None, True
        self._looked = threading.Event()
        self._running, self._followers = set(), {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is true, as far as it was asked."""
        return self._outbox.facts

    def receive(self, message: object) -> None:
        """Take a message of the browser's; never waits. What makes no sense is ignored.

        Parameters
        ----------
        message
            ``{"do": "look", "view": ID, "seen": bool, "new": bool}``, or an order (`commands`) with the ``key`` of
            its button and an ``id``.
        """
        if not isinstance(message, dict) or not isinstance(message.get("do"), str):
            return
        if isinstance(message.get("script"), str):
            # Nothing that may be shown or logged from here on can hold it.
            message = {**message, "script": Secret(message["script"])}
        if message["do"] == "look":
            self._post(lambda: self._take_look(message))
        else:
            self._begin_order(message)

    def look_once(self, timeout: float) -> None:
        """Ask the cluster, and return when it has answered, or after `timeout` seconds."""
        if self._closing:
            return
        self._looked.clear()
        self._post(self._look_anew)
        self._looked.wait(timeout)

    def close(self) -> None:
        """End the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._hurry.end()
        for follower in self._followers.values():
            follower.close()
            follower.join()

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
            except Exception:  # noqa: BLE001 - the panel's thread outlives a fault; the next turn begins anew
                _log.exception("a turn of the panel failed")
            with self._wake:
                if not (self._running or self._inbox or self._owes_answer):
                    self._hurry.end()

    @property
    def _is_watched(self) -> bool:
        """Whether somebody looks, or waits for what a click brings."""
        return bool(self._views or self._running) or time.monotonic() < self._attended_until

    def _pause(self) -> float | None:
        """How long to sleep where no message comes; for ever where nobody looks."""
        if not self._is_watched:
            return None
        return max(self._pace.wait(time.monotonic(), answer=self._owes_answer), self._pace.pace / 10)

    def _turn(self) -> None:
        now = time.monotonic()
        self._views = {view: until for view, until in self._views.items() if until > now}
        if self._is_watched:
            self._begin_round()
        self._follow()
        self._outbox.want(self._facts())
        if self._whole_wanted:
            self._whole_wanted = False
            self._owes_answer = False
            self._send({"whole": printable_values(self._outbox.whole())})
        elif self._is_watched and self._pace.wait(now, answer=self._owes_answer) <= 0:
            part = self._outbox.part()
            self._pace.count(now)
            self._owes_answer = self._owes_answer and self._outbox.owes(ANSWERS)
            if part:
                self._send({"part": printable_values(part)})

    def _facts(self) -> Facts:
        facts: Facts = {"account": {"page": ACCOUNT_PAGE}}
        for answer in (*self._answers.facts.values(), *self._found.values()):
            facts |= answer
        for follower in self._followers.values():
            facts |= follower.facts
        facts |= {f"order/{key}": outcome for key, outcome in self._outcomes.items()}
        return facts | local_state.forwards() | local_state.connections()

    def _follow(self) -> None:
        """Watch while somebody looks, as the identity that the server has accepted."""
        cluster = self._answers.cluster
        if cluster is None or self._answers.facts.get("who", {}).get("look/who") is not True:
            for follower in self._followers.values():
                follower.close()
            self._followers = {}
            return
        for name in snapshots.FOLLOWED:
            before: ResourceWatcher | None = self._followers.get(name)
            if before is not None and not (self._is_watched and before.cluster is cluster):
                before.close()
            if self._is_watched and (before is None or before.is_closed):
                # What was seen last is true enough until the first list is there.
                known = before.facts if before is not None and before.cluster is cluster else {}
                self._followers[name] = ResourceWatcher(cluster, name, known)

    # Who looks.

    def _take_look(self, message: dict[str, Any]) -> None:
        view = str(message.get("view"))[:64]
        self._views.pop(view, None)
        if message.get("seen"):
            self._views[view] = time.monotonic() + self._lease
        if message.get("new"):
            self._whole_wanted = True

    # Orders.

    def _begin_order(self, message: dict[str, Any]) -> None:
        """Carry out an order, unless its like is being carried out; on the thread that brings it."""
        key = str(message.get("key"))[:200]
        with self._wake:
            if self._closing:
                return
            self._hurry.begin()
            self._post(lambda: self._take_order(key, message))
            is_new = key not in self._running
            self._running.add(key)
        if is_new:
            self._aside("sspcloud-order", lambda: self._carry_out(key, message))

    def _take_order(self, key: str, message: dict[str, Any]) -> None:
        now = time.monotonic()
        self._attended_until = now + ATTENTION
        self._outcomes.pop(key, None)
        self._outcomes[key] = {"id": str(message.get("id"))[:64], "state": "pending"}
        # Whoever has clicked sees that anyway; what is done soon is told once, when it is done.
        self._pace.hold(now)

    def _carry_out(self, key: str, message: dict[str, Any]) -> None:
        outcome: dict[str, Any] = {"state": "done"}
        found: list[str] = []
        try:
            answer = commands.carry_out(message)
            if answer is not None:
                found = reply_parts.pieces(answer)
                outcome["pieces"] = len(found)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told beside the button
            if not isinstance(error, SspcloudError):
                # Without its text, which may hold what somebody has pasted.
                where = "".join(traceback.format_tb(error.__traceback__))
                _log.error("an order failed: %s\n%s", type(error).__name__, where)
            outcome = {"state": "failed", "error": snapshots.trouble(error)}
        anew = outcome["state"] == "failed" or message["do"] not in commands.WITHOUT_TRACE
        self._post(lambda: self._take_outcome(key, outcome, found, anew=anew))

    def _take_outcome(self, key: str, outcome: dict[str, Any], found: list[str], *, anew: bool) -> None:
        with self._wake:
            self._running.discard(key)
        self._attended_until = time.monotonic() + ATTENTION
        self._owes_answer = True
        # The order may have been given again meanwhile: it is answered too.
        order_id = self._outcomes.get(key, {}).get("id", "")
        self._outcomes[key] = {"id": order_id, **outcome}
        self._found.pop(key, None)
        if found:
            self._found[key] = reply_parts.facts(key, order_id, found)
        for old in list(self._found)[:-KEPT_ANSWERS]:
            del self._found[old]
        for old in [each for each in self._outcomes if each not in self._running][: -KEPT or None]:
            del self._outcomes[old]
        if anew:
            self._look_anew()

    # Looks.

    def _look_anew(self) -> None:
        self._answers.due.clear()
        # What is being asked at this moment may have been answered before.
        self._stale = self._round is not None
        self._begin_round()

    def _begin_round(self) -> None:
        """Ask what is due, on a thread that may wait; one round at a time for an identity."""
        cluster = session.recent_use().cluster
        if cluster is not self._answers.cluster and not self._is_finding:
            # A round that still asks as somebody else is left to itself.
            self._answers, self._round, self._stale = _Answers(cluster), None, False
        if self._round is not None:
            return
        now = time.monotonic()
        due = [name for name in ("sandbox", *snapshots.LOOKS) if self._answers.due.get(name, 0.0) <= now]
        if due:
            self._round = token = object()
            self._aside("sspcloud-look", lambda: self._ask(token, cluster, due))

    @property
    def _is_finding(self) -> bool:
        """Whether a round is about to find out who one is."""
        return self._answers.cluster is None and self._round is not None

    def _ask(self, token: object, cluster: Cluster | None, due: list[str]) -> None:
        again: float | None = None
        try:
            self._answer(token, "sandbox", snapshots.sandbox())
            cluster = cluster or session.current_cluster()
            self._post(lambda: self._take_cluster(token, cluster))
            for name in [each for each in snapshots.LOOKS if each in due]:
                self._answer(token, name, self._look(name, cluster))
        except Exception as error:  # noqa: BLE001 - told in the panel
            again = AGAIN
            for name in snapshots.LOOKS:
                self._answer(
                    token, name, {"look/who": snapshots.trouble(error)} if name == "who" else {}, again
                )
        finally:
            self._post(lambda: self._end_round(token))

    @staticmethod
    def _look(name: str, cluster: Cluster) -> Facts:
        try:
            return snapshots.LOOKS[name].ask(cluster) | {f"look/{name}": True}
        except HOPELESS:
            raise
        except SspcloudError as error:
            return {f"look/{name}": snapshots.trouble(error)}

    def _answer(self, token: object, name: str, facts: Facts, again: float | None = None) -> None:
        self._post(lambda: self._take_answer(token, name, facts, again))

    def _take_cluster(self, token: object, cluster: Cluster) -> None:
        if token is self._round and self._answers.cluster is None:
            self._answers.cluster = cluster

    def _take_answer(self, token: object, name: str, facts: Facts, again: float | None) -> None:
        if token is not self._round:
            return  # somebody has become somebody else meanwhile
        if name == "who" and facts != self._answers.facts.get(name):
            self._owes_answer |= time.monotonic() < self._attended_until
        self._answers.facts[name] = facts
        every = snapshots.LOOKS[name].every if name in snapshots.LOOKS else AGAIN
        self._answers.due[name] = time.monotonic() + (again or every)

    def _end_round(self, token: object) -> None:
        if token is not self._round:
            return
        self._round = None
        stale, self._stale = self._stale, False
        if stale:
            self._look_anew()
        else:
            self._looked.set()

    @staticmethod
    def _aside(name: str, function: Callable[[], None]) -> None:
        threading.Thread(target=function, name=name, daemon=True).start()
