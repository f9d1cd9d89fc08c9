"""Snapshots of pods and services, updated by a watch of each while the panel is visible.

A watcher is a thread that reads a watch and rebuilds a snapshot. The scheduler reads the snapshot
in its turns, and closes the watcher when no view is visible, or the identity changes. Without the permission to watch,
the objects are listed periodically (`cluster.requests.watch`). An error becomes the snapshot of the section, and the
watcher tries again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sspcloud_magics.errors import Forbidden, SspcloudError
from sspcloud_magics.widgets import snapshots
from sspcloud_magics.widgets.protocol import Pod, Service, Snapshot

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.cluster.requests.watch import Watch

AGAIN = 4.0
REFUSED_AGAIN = 30.0
"""Seconds before the next try after an error, and after a list that is forbidden."""

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class ResourceWatcher:
    """Snapshots of the objects of a resource type in your namespace.

    Parameters
    ----------
    cluster
        The cluster.
    name
        One of `snapshots.WATCHED`.
    known
        The snapshot to use until the first list has arrived.
    """

    def __init__(self, cluster: Cluster, name: str, known: Mapping[str, Any]) -> None:
        self.cluster = cluster
        self._name = name
        # The objects of the current list and watch.
        self._objects: Snapshot = {}
        # What the scheduler reads: the objects and the state of the section, or an error. Replaced, never changed.
        self._snapshot = dict(known)
        self._closing = threading.Event()
        # The running watch, or the last one.
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._run, name=f"sspcloud-panel-{name}", daemon=True)
        self._thread.start()

    @property
    def snapshot(self) -> Mapping[str, Any]:
        """The current snapshot; a new mapping after each change."""
        return self._snapshot

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing.is_set()

    def close(self) -> None:
        """Close the watch; the thread ends shortly after."""
        self._closing.set()
        if self._watch is not None:
            self._watch.close()

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    def _run(self) -> None:
        from sspcloud_magics.cluster.requests.watch import Watch  # noqa: PLC0415 - at first use

        resource, prefix, convert = snapshots.WATCHED[self._name]
        while not self._closing.is_set():
            self._watch = Watch(self.cluster, resource())
            if self._closing.is_set():
                return
            pause = AGAIN
            try:
                for change in self._watch.changes():
                    self._apply(change, prefix, convert)
            except SspcloudError as error:
                self._snapshot = {f"source/{self._name}": snapshots.describe_error(error)}
                pause = REFUSED_AGAIN if isinstance(error, Forbidden) else AGAIN
            except Exception as error:  # noqa: BLE001 - try again, whatever the server has sent
                _log.exception("the watch of %s failed", self._name)
                self._snapshot = {f"source/{self._name}": snapshots.describe_error(error)}
            self._closing.wait(pause)

    def _apply(
        self,
        change: Mapping[str, dict[str, Any] | None] | None,
        prefix: str,
        convert: Callable[[dict[str, Any]], Pod | Service],
    ) -> None:
        if change is None:
            self._objects = {}
            return
        deleted = {f"{prefix}{name}" for name, item in change.items() if item is None}
        changed: Snapshot = {}
        for name, item in change.items():
            if item is not None:
                try:
                    changed[f"{prefix}{name}"] = convert(item)
                except Exception:  # noqa: BLE001 - a malformed object must not hide the others
                    _log.exception("an object of %s could not be read", self._name)
        self._objects = {key: value for key, value in self._objects.items() if key not in deleted} | changed
        self._snapshot = self._objects | {f"source/{self._name}": True}


class Watchers:
    """The watchers of all `snapshots.WATCHED`; used by one thread."""

    def __init__(self) -> None:
        self._watchers: dict[str, ResourceWatcher] = {}

    @property
    def snapshot(self) -> Snapshot:
        """The snapshots of all watched objects."""
        return {key: value for each in self._watchers.values() for key, value in each.snapshot.items()}

    def update(self, cluster: Cluster | None, *, is_watched: bool) -> None:
        """Run the watchers while the panel is watched, and its server has accepted the identity."""
        if cluster is None:
            for watcher in self._watchers.values():
                watcher.close()
            self._watchers = {}
            return
        for name in snapshots.WATCHED:
            before = self._watchers.get(name)
            if before is not None and not (is_watched and before.cluster is cluster):
                before.close()
            if is_watched and (before is None or before.is_closed):
                # Show the last known objects until the first list has arrived.
                known = before.snapshot if before is not None and before.cluster is cluster else {}
                self._watchers[name] = ResourceWatcher(cluster, name, known)

    def close(self) -> None:
        """Stop the watchers, and wait for their threads."""
        for watcher in self._watchers.values():
            watcher.close()
            watcher.join()
