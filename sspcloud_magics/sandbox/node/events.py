"""Events: what the scheduler and the kubelet tell about a pod, for ``kubectl describe``.

The same event again raises its count, as a real recorder does. Old ones go, as they do from a cluster after an hour.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from sspcloud_magics.sandbox.resources import by_plural
from sspcloud_magics.sandbox.store import NotFound, Obj, Store, now

EVENTS: Final = by_plural("", "events")
KEPT: Final = 500


class Recorder:
    """Writes events into the store.

    Parameters
    ----------
    store
        Where to.
    host
        The node's name.
    """

    def __init__(self, store: Store, host: str) -> None:
        self._store = store
        self._host = host
        self._known: dict[tuple[str, str, str], str] = {}
        self._last = 0
        self._order: deque[tuple[tuple[str, str, str], str]] = deque()

    def tell(
        self,
        pod: Obj,
        reason: str,
        message: str,
        *,
        warning: bool = False,
        container: str = "",
        component: str = "kubelet",
    ) -> None:
        """Record an event of a pod.

        Parameters
        ----------
        pod
            The Pod that it is about.
        reason, message
            The kubelet's words.
        warning
            Whether its type is ``Warning``.
        container
            The container that it is about.
        component
            Who tells.
        """
        metadata = pod["metadata"]
        key = (metadata["uid"], reason, message)
        moment = now()
        name = self._known.get(key)
        if name is not None:
            try:
                event = self._store.get(EVENTS, metadata["namespace"], name)
            except NotFound:
                pass
            else:
                self._store.update(event | {"count": event["count"] + 1, "lastTimestamp": moment})
                return
        # Sorted by name they stand in the order in which they were told, though their times are whole seconds.
        self._last = max(self._last + 1, time.time_ns())
        name = f"{metadata['name']}.{self._last:x}"
        involved = {
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "apiVersion": "v1",
            "resourceVersion": metadata["resourceVersion"],
        }
        if container:
            involved["fieldPath"] = f"spec.containers{{{container}}}"
        source = {"component": component} | ({"host": self._host} if component == "kubelet" else {})
        self._store.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": metadata["namespace"]},
                "involvedObject": involved,
                "reason": reason,
                "message": message,
                "source": source,
                "firstTimestamp": moment,
                "lastTimestamp": moment,
                "count": 1,
                "type": "Warning" if warning else "Normal",
                "eventTime": None,
                "reportingComponent": component,
                "reportingInstance": source.get("host", ""),
            }
        )
        self._known[key] = name
        self._order.append((key, metadata["namespace"]))
        if len(self._order) > KEPT:
            self._forget()

    def _forget(self) -> None:
        key, namespace = self._order.popleft()
        name = self._known.pop(key, None)
        if name is not None:
            try:
                self._store.delete(EVENTS, namespace, name)
            except NotFound:
                return
