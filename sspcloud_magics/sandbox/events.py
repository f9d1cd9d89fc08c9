"""Events: what the scheduler, the kubelet and the controllers tell about an object, for ``kubectl describe``.

The same event again raises its count, as a real recorder does. Old ones go, as they do from a cluster after an hour.
"""

from __future__ import annotations

from typing import Final

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.store import Obj, Store, now

KEPT: Final = 500


def tell(
    store: Store,
    obj: Obj,
    reason: str,
    message: str,
    *,
    component: str,
    warning: bool = False,
    field: str = "",
    host: str = "",
) -> None:
    """Record an event.

    `component`, `host`: who tells, and on which node. `field`: the part of the object that it is about.
    """
    metadata, moment = obj["metadata"], now()
    events = store.peek_all(kinds.EVENTS)
    same = (metadata["uid"], field, reason, message)
    for event in events:
        about = event.get("involvedObject") or {}
        if (about.get("uid"), about.get("fieldPath", ""), event.get("reason"), event.get("message")) == same:
            store.update(event | {"count": event["count"] + 1, "lastTimestamp": moment})
            return
    if len(events) >= KEPT:  # several at once, so that not every new event looks for the oldest
        events.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        for old in events[: KEPT // 10]:
            store.delete(kinds.EVENTS, old["metadata"]["namespace"], old["metadata"]["name"])
    involved = {name: metadata[name] for name in ("namespace", "name", "uid", "resourceVersion")}
    involved |= {"kind": obj["kind"], "apiVersion": obj["apiVersion"]}
    # Sorted by name they stand in the order in which they were told, though their times are whole seconds.
    name = f"{metadata['name']}.{store.version:016x}"
    store.create(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": involved | ({"fieldPath": field} if field else {}),
            "reason": reason,
            "message": message,
            "source": {"component": component} | ({"host": host} if host else {}),
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "type": "Warning" if warning else "Normal",
            "eventTime": None,
            "reportingComponent": component,
            "reportingInstance": host,
        }
    )
