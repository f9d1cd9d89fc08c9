"""Deployments: a ReplicaSet for each version of the pod template, and rolling updates.

A ReplicaSet is called ``NAME-<hash of the template>`` and its pods ``NAME-<hash>-xxxxx``: the name of a replaced
pod cannot be predicted. The current ReplicaSet is the one with the Deployment's template.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers.loop import Controller, reconcile_kind, yield_owner
from sspcloud_magics.sandbox.controllers.writes import create, new_object, owner_reference, set_condition
from sspcloud_magics.sandbox.events import record_event
from sspcloud_magics.sandbox.names import template_hash
from sspcloud_magics.sandbox.objects import list_controlled, name_of, namespace_of
from sspcloud_magics.sandbox.store import Obj, Store

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"


def same_template(template: Obj, of_replica_set: Obj) -> bool:
    """Return whether a ReplicaSet has this template, apart from its hash label."""
    other = copy.deepcopy(of_replica_set)
    (other.get("metadata", {}).get("labels") or {}).pop(HASH, None)
    return _plain(other) == _plain(template)


@dataclass(frozen=True, slots=True)
class Rollout:
    """The desired numbers of pods of the new ReplicaSet and of each old one, by name."""

    new: int
    old: dict[str, int]


def rollout(deployment: Obj, new: Obj | None, old: list[Obj]) -> Rollout:
    """Return the next step of an update.

    `new`: the current ReplicaSet, None if it does not exist yet.
    """
    wanted = deployment["spec"].get("replicas", 1)
    strategy = deployment["spec"].get("strategy") or {}
    new_size = _size(new) if new else 0
    old_sizes = {name_of(one): _size(one) for one in old}
    if strategy.get("type") == "Recreate":
        gone = all((one.get("status") or {}).get("replicas", 0) == 0 for one in old)
        return Rollout(wanted if gone else new_size, dict.fromkeys(old_sizes, 0))
    rolling = strategy.get("rollingUpdate") or {}
    surge = _share(rolling.get("maxSurge", "25%"), wanted, math.ceil)
    unavailable = _share(rolling.get("maxUnavailable", "25%"), wanted, math.floor)
    if surge == unavailable == 0:
        unavailable = 1
    room = wanted + surge - new_size - sum(old_sizes.values())
    target = wanted if new_size >= wanted else min(wanted, new_size + max(room, 0))
    # Remove unavailable pods first, then as many available ones as maxUnavailable allows.
    spare = sum(_available(one) for one in [*old, *([new] if new else [])]) - (wanted - unavailable)
    for one in old:
        dead = max(_size(one) - _available(one), 0)
        removed = min(_size(one), dead + max(min(_size(one) - dead, spare), 0))
        spare -= max(removed - dead, 0)
        old_sizes[name_of(one)] -= removed
    return Rollout(target, old_sizes)


@reconcile_kind(kinds.DEPLOYMENTS)
def reconcile(store: Store, deployment: Obj) -> None:
    """Reconcile a Deployment."""
    namespace = namespace_of(deployment)
    owned = list_controlled(store.list_objects(kinds.REPLICA_SETS, namespace), deployment)
    template = deployment["spec"]["template"]
    new = next((one for one in owned if same_template(template, one["spec"]["template"])), None)
    old = [one for one in owned if new is None or name_of(one) != name_of(new)]
    revisions = [_revision(one) for one in owned]
    if new is None:
        new = create(store, _replica_set(deployment, max(revisions, default=0) + 1))
        owned.append(new)
    elif old and _revision(new) < max(revisions):
        new["metadata"].setdefault("annotations", {})[REVISION] = str(max(revisions) + 1)
        new = store.update(new)
    if not deployment["spec"].get("paused"):
        step = rollout(deployment, new, old)
        _scale(store, deployment, new, step.new)
        for one in old:
            _scale(store, deployment, one, step.old[name_of(one)])
    _report(
        store, deployment, new, list_controlled(store.list_objects(kinds.REPLICA_SETS, namespace), deployment)
    )


def _replica_set(deployment: Obj, revision: int) -> Obj:
    template = copy.deepcopy(deployment["spec"]["template"])
    digest = template_hash(template)
    template.setdefault("metadata", {}).setdefault("labels", {})[HASH] = digest
    selector = copy.deepcopy(deployment["spec"]["selector"])
    selector.setdefault("matchLabels", {})[HASH] = digest
    about = {
        "labels": dict(template["metadata"]["labels"]),
        "annotations": {REVISION: str(revision)},
        "ownerReferences": [owner_reference(deployment)],
    }
    made = new_object(
        kinds.REPLICA_SETS, namespace_of(deployment), f"{name_of(deployment)}-{digest}", **about
    )
    spec = {"replicas": 0, "selector": selector, "template": template}
    return {**made, "spec": spec, "status": {"replicas": 0}}


def _scale(store: Store, deployment: Obj, replica_set: Obj, size: int) -> None:
    fresh = store.get(kinds.REPLICA_SETS, namespace_of(replica_set), name_of(replica_set))
    before, fresh["spec"]["replicas"] = _size(fresh), size
    store.update(fresh)
    if size != before:
        change = (
            f"Scaled {'up' if size > before else 'down'} replica set {name_of(fresh)} from {before} to {size}"
        )
        record_event(store, deployment, "ScalingReplicaSet", change, component="deployment-controller")


def _report(store: Store, deployment: Obj, new: Obj, owned: list[Obj]) -> None:
    wanted = deployment["spec"].get("replicas", 1)
    updated = next((_count(one, "replicas") for one in owned if name_of(one) == name_of(new)), 0)
    replicas = sum(_count(one, "replicas") for one in owned)
    ready = sum(_available(one) for one in owned)
    status: Obj = {"observedGeneration": deployment["metadata"].get("generation", 1)}
    counts = {
        "replicas": replicas,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(wanted - ready, 0),
    }
    status |= {name: count for name, count in counts.items() if count}
    status["conditions"] = copy.deepcopy(_conditions(deployment))
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    needed = wanted - _share(rolling.get("maxUnavailable", "25%"), wanted, math.floor)
    enough = ready >= needed
    reason = f"MinimumReplicas{'Available' if enough else 'Unavailable'}"
    message = f"Deployment {'has' if enough else 'does not have'} minimum availability."
    set_condition(status, "Available", str(enough), reason, message)
    done = updated == replicas == wanted and ready >= wanted
    reason = "NewReplicaSetAvailable" if done else "ReplicaSetUpdated"
    verb = "has successfully progressed" if done else "is progressing"
    set_condition(status, "Progressing", "True", reason, f'ReplicaSet "{name_of(new)}" {verb}.')
    refused = [found for one in owned for found in _conditions(one) if found["type"] == "ReplicaFailure"]
    status["conditions"] = [c for c in status["conditions"] if c["type"] != "ReplicaFailure"] + refused[:1]
    deployment["metadata"].setdefault("annotations", {})[REVISION] = str(_revision(new))
    store.update(deployment | {"status": status})


def _conditions(obj: Obj) -> list[Obj]:
    return (obj.get("status") or {}).get("conditions") or []


def _size(replica_set: Obj) -> int:
    return int(replica_set["spec"].get("replicas", 1))


def _count(replica_set: Obj, name: str) -> int:
    return int((replica_set.get("status") or {}).get(name, 0))


def _available(replica_set: Obj) -> int:
    return _count(replica_set, "availableReplicas")


def _revision(replica_set: Obj) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, 0))


def _share(value: int | str, whole: int, rounded: Callable[[float], int]) -> int:
    if isinstance(value, int):
        return value
    return rounded(whole * int(value.rstrip("%")) / 100)


def _plain(template: Obj) -> Obj:
    """Return a template without empty metadata, so that equivalent templates are equal."""
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    return {"metadata": metadata, "spec": template.get("spec")}


CONTROLLER = Controller("deployment", yield_owner(kinds.DEPLOYMENTS, kinds.REPLICA_SETS), reconcile)
