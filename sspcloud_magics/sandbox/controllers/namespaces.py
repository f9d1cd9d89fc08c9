"""Namespaces: each gets a service account and the cluster's CA, and is deleted with all its objects.

A deleted namespace is ``Terminating`` until its last object is gone; pods have their grace period.
"""

from __future__ import annotations

from collections.abc import Iterator

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers.garbage import remove
from sspcloud_magics.sandbox.controllers.loop import Controller, Key
from sspcloud_magics.sandbox.controllers.writes import new_object
from sspcloud_magics.sandbox.objects import find, name_of, namespace_of
from sspcloud_magics.sandbox.pods import is_terminating
from sspcloud_magics.sandbox.resources import RESOURCES
from sspcloud_magics.sandbox.store import Change, Store

ROOT_CA = "kube-root-ca.crt"


def keys(store: Store, change: Change) -> Iterator[Key]:
    """Yield the namespaces affected by a change."""
    if change.resource == kinds.NAMESPACES:
        yield (name_of(change.object),)
    elif change.type == "DELETED" and namespace_of(change.object):
        namespace = find(store, kinds.NAMESPACES, "", namespace_of(change.object))
        if namespace and (
            is_terminating(namespace) or change.resource in (kinds.SERVICE_ACCOUNTS, kinds.CONFIG_MAPS)
        ):
            yield (name_of(namespace),)


def controller(ca: str) -> Controller:
    """Return the controller of namespaces, which publishes `ca` in each of them."""

    def reconcile(store: Store, key: Key) -> None:
        name = str(key[0])
        namespace = find(store, kinds.NAMESPACES, "", name)
        if namespace is None:
            return
        if is_terminating(namespace):
            _empty(store, name)
            return
        phase = {"phase": "Active"}
        if namespace.get("status") != phase:
            store.update(namespace | {"status": phase})
        if find(store, kinds.SERVICE_ACCOUNTS, name, "default") is None:
            store.create(new_object(kinds.SERVICE_ACCOUNTS, name, "default"))
        if find(store, kinds.CONFIG_MAPS, name, ROOT_CA) is None:
            store.create({**new_object(kinds.CONFIG_MAPS, name, ROOT_CA), "data": {"ca.crt": ca}})

    return Controller("namespace", keys, reconcile)


def _empty(store: Store, name: str) -> None:
    # The reversed table has owners before their dependents: a workload is deleted before it can replace its pods.
    for resource in reversed(RESOURCES):
        if resource.namespaced:
            for obj in store.list_objects(resource, name):
                if not is_terminating(obj):
                    remove(store, resource, obj)
    left = any(store.peek_all(resource, name) for resource in RESOURCES if resource.namespaced)
    namespace = store.get(kinds.NAMESPACES, "", name)
    if left:
        namespace["status"] = {"phase": "Terminating"}
        store.update(namespace)
    else:
        store.delete(kinds.NAMESPACES, "", name)
