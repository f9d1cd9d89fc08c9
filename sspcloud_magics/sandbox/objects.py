"""Accessors to objects: names, labels and owners."""

from __future__ import annotations

from collections.abc import Iterable

from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import NotFound, Obj, Store


def find(store: Store, resource: Resource, namespace: str, name: str) -> Obj | None:
    """Return an object, None if it does not exist."""
    try:
        return store.get(resource, namespace, name)
    except NotFound:
        return None


def name_of(obj: Obj) -> str:
    """Return an object's name."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: Obj) -> str:
    """Return an object's namespace, empty for cluster-scoped kinds."""
    return str(obj["metadata"].get("namespace", ""))


def labels_of(obj: Obj) -> dict[str, str]:
    """Return an object's labels."""
    return obj["metadata"].get("labels") or {}


def controller_of(obj: Obj) -> Obj | None:
    """Return the owner reference to the controller of an object, None if it has none."""
    references: Iterable[Obj] = obj["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def list_controlled(objects: Iterable[Obj], owner: Obj) -> list[Obj]:
    """Return those of `objects` that `owner` controls."""
    uid = owner["metadata"]["uid"]
    return [obj for obj in objects if (controller_of(obj) or {}).get("uid") == uid]
