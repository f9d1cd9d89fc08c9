"""Polling of the cluster for the panel: sources at their intervals, one poll at a time.

A poll runs in a thread of its own, since the server may be slow; its results come back through `post`. All other
functions belong to the scheduler's thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sspcloud_magics import session
from sspcloud_magics.errors import (
    CertificateNotTrusted,
    KubeconfigInvalid,
    NotLoggedIn,
    ServerUnreachable,
    SspcloudError,
    TokenExpired,
)
from sspcloud_magics.widgets import snapshots
from sspcloud_magics.widgets.protocol import Snapshot

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster

AGAIN = 4.0
"""Seconds before the next poll after an error."""

FATAL = (NotLoggedIn, KubeconfigInvalid, TokenExpired, ServerUnreachable, CertificateNotTrusted)
"""Errors after which all other requests to the cluster would fail too."""


@dataclass(slots=True)
class _Polled:
    """The snapshots of the polled sources, and the times of their next polls, for one identity."""

    cluster: Cluster | None = None
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)


class Poller:
    """The polls, and their latest snapshots.

    Parameters
    ----------
    post
        Calls a function in the scheduler's thread.
    on_identity
        Called when the identity, or the error instead of it, has changed.
    """

    def __init__(
        self, post: Callable[[Callable[[], None]], None], on_identity: Callable[[], None] = lambda: None
    ) -> None:
        self._post = post
        self._on_identity = on_identity
        self._polled = _Polled()
        # The token of the running poll, and whether another poll must follow.
        self._token: object = None
        self._is_stale = False
        # Set at the end of a poll that is not stale.
        self.done = threading.Event()

    @property
    def snapshot(self) -> Snapshot:
        """The latest snapshots of all sources."""
        return {key: value for part in self._polled.snapshots.values() for key, value in part.items()}

    @property
    def accepted_cluster(self) -> Cluster | None:
        """The cluster, if its server has accepted the identity."""
        is_accepted = self._polled.snapshots.get("who", {}).get("source/who") is True
        return self._polled.cluster if is_accepted else None

    def poll_now(self) -> None:
        """Poll all sources, also those that are not due."""
        self._polled.due.clear()
        # The answers of a running poll may be older than the change.
        self._is_stale = self._token is not None
        self.poll_due()

    def poll_due(self) -> None:
        """Poll the sources that are due, unless a poll runs."""
        cluster = session.recent_use().cluster
        if cluster is not self._polled.cluster and not self._is_finding:
            # The results of a poll as the previous identity will be ignored.
            self._polled, self._token, self._is_stale = _Polled(cluster), None, False
        if self._token is not None:
            return
        now = time.monotonic()
        due = [name for name in ("sandbox", *snapshots.SOURCES) if self._polled.due.get(name, 0.0) <= now]
        if due:
            self._token = token = object()
            threading.Thread(
                target=self._poll, args=(token, cluster, due), name="sspcloud-poll", daemon=True
            ).start()

    @property
    def _is_finding(self) -> bool:
        """Whether a running poll is finding the cluster."""
        return self._polled.cluster is None and self._token is not None

    def _poll(self, token: object, cluster: Cluster | None, due: list[str]) -> None:
        try:
            self._post_result(token, "sandbox", snapshots.sandbox())
            cluster = cluster or session.current_cluster()
            self._post(lambda: self._note_cluster(token, cluster))
            for name in [each for each in snapshots.SOURCES if each in due]:
                self._post_result(token, name, self._ask(name, cluster))
        except Exception as error:  # noqa: BLE001 - the panel shows it
            for name in snapshots.SOURCES:
                result = {"source/who": snapshots.describe_error(error)} if name == "who" else {}
                self._post_result(token, name, result, AGAIN)
        finally:
            self._post(lambda: self._end(token))

    @staticmethod
    def _ask(name: str, cluster: Cluster) -> Snapshot:
        try:
            return snapshots.SOURCES[name].ask(cluster) | {f"source/{name}": True}
        except FATAL:
            raise
        except SspcloudError as error:
            return {f"source/{name}": snapshots.describe_error(error)}

    def _post_result(self, token: object, name: str, result: Snapshot, again: float | None = None) -> None:
        self._post(lambda: self._note_result(token, name, result, again))

    def _note_cluster(self, token: object, cluster: Cluster) -> None:
        if token is self._token and self._polled.cluster is None:
            self._polled.cluster = cluster

    def _note_result(self, token: object, name: str, result: Snapshot, again: float | None) -> None:
        if token is not self._token:
            return  # the identity has changed since
        if name == "who" and result != self._polled.snapshots.get(name):
            self._on_identity()
        self._polled.snapshots[name] = result
        every = snapshots.SOURCES[name].every if name in snapshots.SOURCES else AGAIN
        self._polled.due[name] = time.monotonic() + (again or every)

    def _end(self, token: object) -> None:
        if token is not self._token:
            return
        self._token = None
        is_stale, self._is_stale = self._is_stale, False
        if is_stale:
            self.poll_now()
        else:
            self.done.set()
