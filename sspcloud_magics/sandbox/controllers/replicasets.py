"""ReplicaSets: the desired number of pods, named ``NAME-xxxxx``.

Surplus pods are deleted in the order of kube-controller-manager: first those that are not ready, then the
youngest. Matching pods without a controller are adopted.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.api.status import ApiError
from sspcloud_magics.sandbox.controllers.loop import (
    RETRY_SECONDS,
    Controller,
    Key,
    reconcile_kind,
    yield_owner,
)
from sspcloud_magics.sandbox.controllers.writes import (
    delete_owned,
    make_owned,
    owner_reference,
    pod_from,
    set_condition,
    set_status,
)
from sspcloud_magics.sandbox.labels import selects
from sspcloud_magics.sandbox.names import suffix
from sspcloud_magics.sandbox.objects import controller_of, labels_of, list_controlled, name_of, namespace_of
from sspcloud_magics.sandbox.pods import active, is_terminating, pod_ready
from sspcloud_magics.sandbox.store import Change, Obj, Store

_of_pods = yield_owner(kinds.REPLICA_SETS, kinds.PODS)


def keys(store: Store, change: Change) -> Iterator[Key]:
    """Yield the ReplicaSets affected by a change."""
    yield from _of_pods(store, change)
    if change.resource == kinds.PODS and controller_of(change.object) is None:
        for found in store.peek_all(kinds.REPLICA_SETS, namespace_of(change.object)):
            if selects(found["spec"]["selector"], labels_of(change.object)):
                yield namespace_of(found), name_of(found)


def surplus(pods: list[Obj], wanted: int) -> list[Obj]:
    """Return the pods to delete so that `wanted` remain."""
    ranked = sorted(pods, key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)
    ranked.sort(key=pod_ready)
    return ranked[: max(len(pods) - wanted, 0)]


def status(owner: Obj, pods: list[Obj]) -> Obj:
    """Return the status of a ReplicaSet with these pods."""
    ready = sum(pod_ready(pod) for pod in pods)
    found: Obj = {"replicas": len(pods), "observedGeneration": owner["metadata"].get("generation", 1)}
    if pods:
        found["fullyLabeledReplicas"] = len(pods)
    if ready:
        found |= {"readyReplicas": ready, "availableReplicas": ready}
    return found


@reconcile_kind(kinds.REPLICA_SETS)
def reconcile(store: Store, owner: Obj) -> float | None:
    """Reconcile a ReplicaSet; retry later if a pod was refused."""
    namespace, name = namespace_of(owner), name_of(owner)
    _adopt(store, owner)
    pods = active(list_controlled(store.peek_all(kinds.PODS, namespace), owner))
    wanted = owner["spec"].get("replicas", 1)
    refusal = ""
    try:
        for _ in range(wanted - len(pods)):
            make_owned(store, owner, pod_from(owner["spec"]["template"], owner, f"{name}-{suffix()}"))
    except ApiError as error:
        refusal = str(error)
    for pod in surplus(pods, wanted):
        delete_owned(store, owner, pod)
    pods = active(list_controlled(store.peek_all(kinds.PODS, namespace), owner))
    found = status(owner, pods)
    if refusal:
        found["conditions"] = copy.deepcopy((owner.get("status") or {}).get("conditions") or [])
        set_condition(found, "ReplicaFailure", "True", "FailedCreate", refusal)
    set_status(store, owner, found)
    return RETRY_SECONDS if refusal else None


def _adopt(store: Store, owner: Obj) -> None:
    for pod in store.peek_all(kinds.PODS, namespace_of(owner)):
        if (
            controller_of(pod) is None
            and not is_terminating(pod)
            and selects(owner["spec"]["selector"], labels_of(pod))
        ):
            references = [*(pod["metadata"].get("ownerReferences") or ()), owner_reference(owner)]
            store.update({**pod, "metadata": {**pod["metadata"], "ownerReferences": references}})


CONTROLLER = Controller("replicaset", keys, reconcile)
