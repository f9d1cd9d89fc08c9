"""Pods and services as facts that the API server keeps true by itself: a watch each, while somebody looks.

A follower is one thread that reads one watch and rebuilds one mapping of facts; the board reads the mapping
whenever it has its turn, and closes the follower when nobody looks any more or somebody is somebody else. What
may not be watched is listed now and then (`cluster.requests.watching`); what fails is told as the section's trouble and
tried again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sspcloud_magics.errors import Forbidden, SspcloudError
from sspcloud_magics.widgets import snapshots
from sspcloud_magics.widgets.diff_queue import Facts

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.cluster.requests.watch import Watch

AGAIN = 4.0
REFUSED_AGAIN = 30.0
"""Seconds after which a list that failed, or was forbidden, is asked for again."""

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class ResourceWatcher:
    """One kind of object in one's namespace, as facts.

    Parameters
    ----------
    cluster
        Where, and as whom.
    name
        One of `snapshots.FOLLOWED`.
    known
        What is taken for true until the first list is there.
    """

    def __init__(self, cluster: Cluster, name: str, known: Mapping[str, Any]) -> None:
        self.cluster = cluster
        self._name = name
        self._objects: Facts = {}
        self._told = dict(known)
        self._closing = threading.Event()
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._run, name=f"sspcloud-panel-{name}", daemon=True)
        self._thread.start()

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is known now; another mapping after each change."""
        return self._told

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing.is_set()

    def close(self) -> None:
        """End it; its thread ends a moment later."""
        self._closing.set()
        if self._watch is not None:
            self._watch.close()

    def join(self) -> None:
        """Wait for the end of its thread."""
        self._thread.join()

    def _run(self) -> None:
        from sspcloud_magics.cluster.requests.watch import Watch  # noqa: PLC0415 - at first use

        resource, prefix, fact = snapshots.FOLLOWED[self._name]
        while not self._closing.is_set():
            self._watch = Watch(self.cluster, resource())
            if self._closing.is_set():
                return
            pause = AGAIN
            try:
                for change in self._watch.changes():
                    self._take(change, prefix, fact)
            except SspcloudError as error:
                self._told = {f"look/{self._name}": snapshots.trouble(error)}
                pause = REFUSED_AGAIN if isinstance(error, Forbidden) else AGAIN
            except Exception as error:  # noqa: BLE001 - whatever the server sends, it is asked again
                _log.exception("what the server sent could not be read")
                self._told = {f"look/{self._name}": snapshots.trouble(error)}
            self._closing.wait(pause)

    def _take(
        self,
        change: Mapping[str, dict[str, Any] | None] | None,
        prefix: str,
        fact: Callable[[dict[str, Any]], Facts],
    ) -> None:
        if change is None:
            self._objects = {}
            return
        gone = {f"{prefix}{name}" for name, item in change.items() if item is None}
        fresh: Facts = {}
        for name, item in change.items():
            if item is not None:
                try:
                    fresh[f"{prefix}{name}"] = fact(item)
                except Exception:  # noqa: BLE001 - one odd object must not hide the others
                    _log.exception("an object could not be read")
        self._objects = {key: value for key, value in self._objects.items() if key not in gone} | fresh
        self._told = self._objects | {f"look/{self._name}": True}
