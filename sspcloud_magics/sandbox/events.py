"""The Events of the scheduler, the kubelet and the controllers, for ``kubectl describe``.

A repeated event increases a count, as in a real recorder. The oldest events are deleted; a real cluster
deletes them after an hour.
"""

from __future__ import annotations

from typing import Final

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.store import Obj, Store, now

# Number of events that are kept.
KEPT: Final = 500


def record_event(
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

    `component`, `host`: the reporting component and its node. `field`: the part of the object concerned.
    """
    metadata, moment = obj["metadata"], now()
    events = store.peek_all(kinds.EVENTS)
    same = (metadata["uid"], field, reason, message)
    for event in events:
        about = event.get("involvedObject") or {}
        if (about.get("uid"), about.get("fieldPath", ""), event.get("reason"), event.get("message")) == same:
            store.update(event | {"count": event["count"] + 1, "lastTimestamp": moment})
            return
    if len(events) >= KEPT:  # a tenth at once, so that not every new event has to sort them
        events.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        for old in events[: KEPT // 10]:
            store.delete(kinds.EVENTS, old["metadata"]["namespace"], old["metadata"]["name"])
    involved = {name: metadata[name] for name in ("namespace", "name", "uid", "resourceVersion")}
    involved |= {"kind": obj["kind"], "apiVersion": obj["apiVersion"]}
    # The order by name is the order of recording: the times are whole seconds and cannot tell.
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
