"""The default cluster roles and bindings, and the controller for aggregated roles.

``view``, ``edit`` and ``admin`` are aggregated: they have the rules of all cluster roles with the label
``rbac.authorization.k8s.io/aggregate-to-…``.

Source: Kubernetes' bootstrap policy; "Aggregated ClusterRoles" in its RBAC reference.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.manifests import read_manifest
from sspcloud_magics.sandbox.store import AlreadyExists, Change, Obj, Store


def install_bootstrap_policy(store: Store) -> Callable[[], None]:
    """Create the missing default roles and bindings, and keep aggregated roles up to date from now on.

    Return a function that ends the updates.
    """
    for obj in read_manifest("bootstrap"):
        metadata = obj["metadata"]
        metadata["labels"] = {"kubernetes.io/bootstrapping": "rbac-defaults", **metadata.get("labels", {})}
        metadata["annotations"] = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
        with contextlib.suppress(AlreadyExists):
            store.create(obj)
    _aggregate(store)

    def on_change(change: Change) -> None:
        if change.resource is kinds.CLUSTER_ROLES:
            _aggregate(store)

    return store.subscribe(on_change)


def _aggregate(store: Store) -> None:
    roles = store.peek_all(kinds.CLUSTER_ROLES)
    for role in roles:
        if not role.get("aggregationRule"):
            continue
        selectors = role["aggregationRule"].get("clusterRoleSelectors") or ()
        rules: list[Obj] = []
        for other in roles:
            labels = other["metadata"].get("labels") or {}
            chosen = any((s.get("matchLabels") or {}).items() <= labels.items() for s in selectors)
            if chosen and other["metadata"]["name"] != role["metadata"]["name"]:
                rules.extend(rule for rule in other.get("rules") or () if rule not in rules)
        if rules != (role.get("rules") or []):
            # The subscription calls this function again, which then finds no difference.
            store.update({**role, "rules": rules})
            return _aggregate(store)
    return None
