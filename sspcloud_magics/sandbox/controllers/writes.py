"""Writes of the controllers: objects as the API server completes them, owners, status and events."""

from __future__ import annotations

import copy
from typing import Any

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.api.admission import complete_pod, give_cluster_ip
from sspcloud_magics.sandbox.api.defaults import set_defaults
from sspcloud_magics.sandbox.api.quota import check_quota
from sspcloud_magics.sandbox.api.status import ApiError
from sspcloud_magics.sandbox.events import record_event
from sspcloud_magics.sandbox.manifests import read_manifest
from sspcloud_magics.sandbox.objects import name_of, namespace_of
from sspcloud_magics.sandbox.pods import is_terminating
from sspcloud_magics.sandbox.resources import Resource, by_kind
from sspcloud_magics.sandbox.store import Obj, Store, now


def new_object(resource: Resource, namespace: str, name: str, **metadata: Any) -> Obj:
    """Return an object with only metadata."""
    metadata = {"name": name, "namespace": namespace, **metadata}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def owner_reference(owner: Obj) -> Obj:
    """Return the entry of ``ownerReferences`` for objects that `owner` controls."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def create(store: Store, obj: Obj) -> Obj:
    """Create an object with the defaults, admission and quota of the API server; raise `ApiError` if it is refused."""
    obj = copy.deepcopy(obj)
    resource = by_kind(obj["apiVersion"], obj["kind"])
    set_defaults(resource, obj)
    if resource == kinds.PODS:
        complete_pod(store, namespace_of(obj), obj)
    elif resource == kinds.SERVICES:
        give_cluster_ip(store, obj)
    check_quota(store, obj)
    return store.create(obj)


def install(store: Store, manifest: str, /, **values: str | int) -> None:
    """Create the objects of a manifest, with `values` in place of its variables."""
    for obj in read_manifest(manifest, **values):
        create(store, obj)


def set_condition(status: Obj, kind: str, value: str, reason: str, message: str, **more: str) -> None:
    """Set a condition in a status; its transition time changes only with its value."""
    conditions: list[Obj] = status.setdefault("conditions", [])
    old = next((found for found in conditions if found["type"] == kind), None)
    new = {"type": kind, "status": value, "reason": reason, "message": message, **more}
    if old is None:
        conditions.append(new | {"lastTransitionTime": now()})
    else:
        new["lastTransitionTime"] = old["lastTransitionTime"] if old["status"] == value else now()
        old.clear()
        old.update(new)


def set_status(store: Store, obj: Obj, status: Obj) -> None:
    """Write an object's status if it has changed."""
    if (obj.get("status") or {}) != status:
        obj["status"] = status
        store.update(obj)


def delete_pod(store: Store, pod: Obj) -> None:
    """Mark a pod as terminating, so that the node stops and deletes it."""
    if is_terminating(pod):
        return
    fresh = store.get(kinds.PODS, namespace_of(pod), name_of(pod))
    if fresh["metadata"]["uid"] != pod["metadata"]["uid"] or is_terminating(fresh):
        return
    fresh["metadata"]["deletionTimestamp"] = now()
    fresh["metadata"]["deletionGracePeriodSeconds"] = fresh["spec"].get("terminationGracePeriodSeconds", 30)
    store.update(fresh)


def make_owned(store: Store, owner: Obj, obj: Obj) -> Obj:
    """Create a pod for its owner, and record an event of the owner.

    Raise `ApiError` if it is refused, which is recorded too.
    """
    component = f"{owner['kind'].lower()}-controller"
    title = f"create {obj['kind']} {name_of(obj)} in {owner['kind']} {name_of(owner)}"
    ordered = owner["kind"] == "StatefulSet"
    try:
        made = create(store, obj)
    except ApiError as error:
        words = f"{title} failed error: {error}" if ordered else f"Error creating: {error}"
        record_event(store, owner, "FailedCreate", words, component=component, warning=True)
        raise
    words = f"{title} successful" if ordered else f"Created pod: {name_of(obj)}"
    record_event(store, owner, "SuccessfulCreate", words, component=component)
    return made


def delete_owned(store: Store, owner: Obj, pod: Obj) -> None:
    """Delete a pod for its owner, and record an event of the owner."""
    if is_terminating(pod):
        return
    delete_pod(store, pod)
    title = f"delete Pod {name_of(pod)} in {owner['kind']} {name_of(owner)} successful"
    words = title if owner["kind"] == "StatefulSet" else f"Deleted pod: {name_of(pod)}"
    record_event(store, owner, "SuccessfulDelete", words, component=f"{owner['kind'].lower()}-controller")


def pod_from(template: Obj, owner: Obj, name: str, **labels: str) -> Obj:
    """Return a pod from a template, controlled by `owner`."""
    described = template.get("metadata") or {}
    labels = {**(described.get("labels") or {}), **labels}
    pod = new_object(
        kinds.PODS, namespace_of(owner), name, labels=labels, ownerReferences=[owner_reference(owner)]
    )
    if described.get("annotations"):
        pod["metadata"]["annotations"] = dict(described["annotations"])
    return pod | {"spec": template["spec"]}
