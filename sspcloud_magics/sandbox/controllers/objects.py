"""The vocabulary of controllers: kinds, owners, selectors, and what is true of a pod."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.api.admission import complete_pod, give_cluster_ip
from sspcloud_magics.sandbox.api.defaults import set_defaults
from sspcloud_magics.sandbox.api.quota import check_quota
from sspcloud_magics.sandbox.api.status import ApiError
from sspcloud_magics.sandbox.controllers.loop import Key, Keys, Reconcile
from sspcloud_magics.sandbox.events import tell
from sspcloud_magics.sandbox.manifests import read_manifest
from sspcloud_magics.sandbox.pods import pod_over
from sspcloud_magics.sandbox.resources import Resource, by_kind
from sspcloud_magics.sandbox.store import Change, NotFound, Obj, Store, now


def find(store: Store, resource: Resource, namespace: str, name: str) -> Obj | None:
    """Return an object, or None where there is none."""
    try:
        return store.get(resource, namespace, name)
    except NotFound:
        return None


def name_of(obj: Obj) -> str:
    """Return an object's name."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: Obj) -> str:
    """Return an object's namespace, empty where it has none."""
    return str(obj["metadata"].get("namespace", ""))


def labels_of(obj: Obj) -> dict[str, str]:
    """Return an object's labels."""
    return obj["metadata"].get("labels") or {}


def new_object(resource: Resource, namespace: str, name: str, **metadata: Any) -> Obj:
    """Return an object that has a name, and nothing but metadata yet."""
    metadata = {"name": name, "namespace": namespace, **metadata}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def owner_reference(owner: Obj) -> Obj:
    """Return what an object that `owner` makes carries in its ``ownerReferences``."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Obj) -> Obj | None:
    """Return the reference to the object that controls this one."""
    references: Iterable[Obj] = obj["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def controlled_by(objects: Iterable[Obj], owner: Obj) -> list[Obj]:
    """Return those of `objects` that `owner` controls."""
    uid = owner["metadata"]["uid"]
    return [obj for obj in objects if (controller_of(obj) or {}).get("uid") == uid]


def pod_ready(pod: Obj) -> bool:
    """Return whether a pod is ready for traffic."""
    return condition(pod, "Ready") == "True"


def is_bound(claim: Obj) -> bool:
    """Return whether a claim has its volume."""
    return (claim.get("status") or {}).get("phase") == "Bound"


def terminating(obj: Obj) -> bool:
    """Return whether an object is being deleted."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def active(pods: Iterable[Obj]) -> list[Obj]:
    """Return the pods that count as replicas: neither at their end nor being deleted."""
    return [pod for pod in pods if not pod_over(pod) and not terminating(pod)]


def condition(obj: Obj, kind: str) -> str | None:
    """Return the status of one of an object's conditions."""
    for found in (obj.get("status") or {}).get("conditions") or ():
        if found["type"] == kind:
            return str(found["status"])
    return None


def set_condition(status: Obj, kind: str, value: str, reason: str, message: str, **more: str) -> None:
    """Put a condition into a status; the time moves only when its value does."""
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
    """Write an object's status where it changed."""
    if (obj.get("status") or {}) != status:
        obj["status"] = status
        store.update(obj)


def delete_pod(store: Store, pod: Obj) -> None:
    """Ask the node to stop a pod, as a deletion through the API does."""
    if terminating(pod):
        return
    fresh = store.get(kinds.PODS, namespace_of(pod), name_of(pod))
    if fresh["metadata"]["uid"] != pod["metadata"]["uid"] or terminating(fresh):
        return
    fresh["metadata"]["deletionTimestamp"] = now()
    fresh["metadata"]["deletionGracePeriodSeconds"] = fresh["spec"].get("terminationGracePeriodSeconds", 30)
    store.update(fresh)


def make_owned(store: Store, owner: Obj, obj: Obj) -> Obj:
    """Create a pod (or another object) for its owner, and tell about it in the owner's events.

    Raise `ApiError` if it is refused, which the events tell as well.
    """
    component = f"{owner['kind'].lower()}-controller"
    title = f"create {obj['kind']} {name_of(obj)} in {owner['kind']} {name_of(owner)}"
    ordered = owner["kind"] == "StatefulSet"
    try:
        made = create(store, obj)
    except ApiError as error:
        words = f"{title} failed error: {error}" if ordered else f"Error creating: {error}"
        tell(store, owner, "FailedCreate", words, component=component, warning=True)
        raise
    words = f"{title} successful" if ordered else f"Created pod: {name_of(obj)}"
    tell(store, owner, "SuccessfulCreate", words, component=component)
    return made


def delete_owned(store: Store, owner: Obj, pod: Obj) -> None:
    """Delete a pod for its owner, and tell about it in the owner's events."""
    if terminating(pod):
        return
    delete_pod(store, pod)
    title = f"delete Pod {name_of(pod)} in {owner['kind']} {name_of(owner)} successful"
    words = title if owner["kind"] == "StatefulSet" else f"Deleted pod: {name_of(pod)}"
    tell(store, owner, "SuccessfulDelete", words, component=f"{owner['kind'].lower()}-controller")


def pod_from(template: Obj, owner: Obj, name: str, **labels: str) -> Obj:
    """Return the pod that a template describes, owned and controlled by `owner`."""
    described = template.get("metadata") or {}
    labels = {**(described.get("labels") or {}), **labels}
    pod = new_object(
        kinds.PODS, namespace_of(owner), name, labels=labels, ownerReferences=[owner_reference(owner)]
    )
    if described.get("annotations"):
        pod["metadata"]["annotations"] = dict(described["annotations"])
    return pod | {"spec": template["spec"]}


def concerned(owners: Resource, owned: Resource) -> Keys:
    """Return what yields the owner that a change concerns: the object itself, or what controls it."""

    def keys(_store: Store, change: Change) -> Iterator[tuple[str, str]]:
        obj = change.object
        if change.resource == owners:
            yield namespace_of(obj), name_of(obj)
        elif change.resource == owned and (found := controller_of(obj)) and found["kind"] == owners.kind:
            yield namespace_of(obj), found["name"]

    return keys


def reconcile_kind(resource: Resource) -> Callable[[Callable[[Store, Obj], float | None]], Reconcile]:
    """Make of a function that takes an object further one that is called with its key, while it is not to go."""

    def decorate(function: Callable[[Store, Obj], float | None]) -> Reconcile:
        def reconcile(store: Store, key: Key) -> float | None:
            obj = find(store, resource, *map(str, key))
            return None if obj is None or terminating(obj) else function(store, obj)

        return reconcile

    return decorate


def create(store: Store, obj: Obj) -> Obj:
    """Create an object as the API server would have: completed, with the addresses it needs, within the quota.

    Raise `ApiError` if it is refused.
    """
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
    """Create the objects of a manifest with these values in it."""
    for obj in read_manifest(manifest, **values):
        create(store, obj)
