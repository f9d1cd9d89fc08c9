"""The garbage collector: it deletes objects whose last owner is gone.

There are three kinds of deletion. *Background*: the owner is gone at once, and its dependents follow.
*Foreground*: the owner is terminating with the finalizer ``foregroundDeletion`` until its blocking dependents are
gone. *Orphan*: the API server has removed the owner references.

Source: "Owners and Dependents" and "Garbage Collection" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Iterator

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers.loop import Controller, Key
from sspcloud_magics.sandbox.controllers.writes import delete_pod
from sspcloud_magics.sandbox.objects import find, name_of, namespace_of
from sspcloud_magics.sandbox.pods import is_terminating
from sspcloud_magics.sandbox.resources import RESOURCES, Resource, by_kind
from sspcloud_magics.sandbox.store import Change, Obj, Store

FOREGROUND = "foregroundDeletion"


def keys(store: Store, change: Change) -> Iterator[Key]:
    """Yield the objects affected by a change: the object, its dependents, and owners that wait for its end."""
    if change.resource == kinds.EVENTS:  # they own nothing, and many are deleted at once
        return
    obj = change.object
    uid = obj["metadata"]["uid"]
    if change.type == "DELETED":
        for resource, dependent in dependents(store, uid):
            yield resource, namespace_of(dependent), name_of(dependent)
        for reference in obj["metadata"].get("ownerReferences") or ():
            owner = _resource(reference)
            if owner:
                yield owner, namespace_of(obj) if owner.namespaced else "", reference["name"]
    elif obj["metadata"].get("ownerReferences") or is_terminating(obj):
        yield change.resource, namespace_of(obj), name_of(obj)


def dependents(store: Store, uid: str) -> list[tuple[Resource, Obj]]:
    """Return the objects with an owner of that UID."""
    return [
        (resource, obj)
        for resource in RESOURCES
        for obj in store.peek_all(resource)
        if any(one["uid"] == uid for one in obj["metadata"].get("ownerReferences") or ())
    ]


def reconcile(store: Store, key: Key) -> None:
    """Advance the deletion of an object, or delete it if all its owners are gone."""
    resource, namespace, name = key
    assert isinstance(resource, Resource)  # noqa: S101 - `keys` yields no others
    obj = find(store, resource, str(namespace), str(name))
    if obj is None:
        return
    if is_terminating(obj):
        _let_go(store, resource, obj)
        return
    references = obj["metadata"].get("ownerReferences") or []
    left = [reference for reference in references if _exists(store, obj, reference)]
    if references and not left:
        remove(store, resource, obj)
    elif len(left) < len(references):
        obj["metadata"]["ownerReferences"] = left
        store.update(obj)


def remove(store: Store, resource: Resource, obj: Obj) -> None:
    """Delete an object in the background; pods are stopped first."""
    if resource == kinds.PODS:
        delete_pod(store, obj)
    else:
        store.delete(resource, namespace_of(obj), name_of(obj))


def _let_go(store: Store, resource: Resource, obj: Obj) -> None:
    finalizers = obj["metadata"].get("finalizers") or []
    owned = dependents(store, obj["metadata"]["uid"])
    if FOREGROUND in finalizers:
        for kind, dependent in owned:
            if not is_terminating(dependent):
                remove(store, kind, dependent)
        owned = dependents(store, obj["metadata"]["uid"])
        if not any(_blocks(dependent, obj) for _, dependent in owned):
            finalizers = [one for one in finalizers if one != FOREGROUND]
    if finalizers == (obj["metadata"].get("finalizers") or []):
        return
    if finalizers:
        obj["metadata"]["finalizers"] = finalizers
        store.update(obj)
    elif resource == kinds.PODS:
        obj["metadata"].pop("finalizers")
        store.update(obj)  # the node ends it
    else:
        store.delete(resource, namespace_of(obj), name_of(obj))


def _blocks(dependent: Obj, owner: Obj) -> bool:
    return any(
        one["uid"] == owner["metadata"]["uid"] and one.get("blockOwnerDeletion")
        for one in dependent["metadata"].get("ownerReferences") or ()
    )


def _exists(store: Store, dependent: Obj, reference: Obj) -> bool:
    resource = _resource(reference)
    if resource is None:
        return True  # a kind that the sandbox does not have: assume that the owner exists
    namespace = namespace_of(dependent) if resource.namespaced else ""
    owner = find(store, resource, namespace, reference["name"])
    return owner is not None and owner["metadata"]["uid"] == reference["uid"]


def _resource(reference: Obj) -> Resource | None:
    try:
        return by_kind(reference["apiVersion"], reference["kind"])
    except KeyError:
        return None


CONTROLLER = Controller("garbage collector", keys, reconcile)
