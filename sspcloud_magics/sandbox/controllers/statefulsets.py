"""StatefulSets: pods ``NAME-0``, ``NAME-1`` …, each with its own claims, which outlive it.

A pod is created when its predecessor is ready; pods are deleted in reverse order. A pod of an old template is
replaced under the same name. Claims are called ``TEMPLATE-NAME-0``; a pod waits until its claims are bound.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers.loop import Controller, Key, reconcile_kind, yield_owner
from sspcloud_magics.sandbox.controllers.writes import (
    create,
    delete_owned,
    make_owned,
    new_object,
    pod_from,
    set_status,
)
from sspcloud_magics.sandbox.events import record_event
from sspcloud_magics.sandbox.names import template_hash
from sspcloud_magics.sandbox.objects import find, labels_of, list_controlled, name_of, namespace_of
from sspcloud_magics.sandbox.pods import is_bound, is_terminating, pod_over, pod_ready
from sspcloud_magics.sandbox.store import Change, Obj, Store

REVISION = "controller-revision-hash"


_of_pods = yield_owner(kinds.STATEFUL_SETS, kinds.PODS)


def keys(store: Store, change: Change) -> Iterator[Key]:
    """Yield the StatefulSets affected by a change."""
    yield from _of_pods(store, change)
    if change.resource == kinds.CLAIMS:
        for found in store.peek_all(kinds.STATEFUL_SETS, namespace_of(change.object)):
            yield namespace_of(found), name_of(found)


def ordinal(pod: Obj) -> int:
    """Return the number at the end of a pod's name."""
    return int(name_of(pod).rpartition("-")[2])


@reconcile_kind(kinds.STATEFUL_SETS)
def reconcile(store: Store, owner: Obj) -> None:
    """Reconcile a StatefulSet; unless it is parallel, create or delete at most one pod."""
    namespace, name = namespace_of(owner), name_of(owner)
    pods = {ordinal(pod): pod for pod in list_controlled(store.peek_all(kinds.PODS, namespace), owner)}
    revision = f"{name}-{template_hash(owner['spec']['template'])}"
    _step(store, owner, pods, revision)
    _report(store, owner, revision)


def _step(store: Store, owner: Obj, pods: dict[int, Obj], revision: str) -> None:
    wanted = owner["spec"].get("replicas", 1)
    in_parallel = owner["spec"].get("podManagementPolicy") == "Parallel"
    for number in range(wanted):
        pod = pods.get(number)
        if pod is None:
            if _claims_bound(store, owner, number):
                make_owned(store, owner, _pod(owner, number, revision))
            elif not in_parallel:
                return
        elif pod_over(pod):
            delete_owned(store, owner, pod)
        if not in_parallel and (pod is None or not pod_ready(pod) or is_terminating(pod)):
            return
    too_many = sorted((number for number in pods if number >= wanted), reverse=True)
    for number in too_many[: None if in_parallel else 1]:
        delete_owned(store, owner, pods[number])
    old = [number for number, pod in pods.items() if labels_of(pod).get(REVISION) != revision]
    if old and not too_many:
        delete_owned(store, owner, pods[max(old)])


def _pod(owner: Obj, number: int, revision: str) -> Obj:
    name = f"{name_of(owner)}-{number}"
    labels = {
        REVISION: revision,
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": str(number),
    }
    pod = copy.deepcopy(pod_from(owner["spec"]["template"], owner, name, **labels))
    pod["spec"]["hostname"] = name
    if owner["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = owner["spec"]["serviceName"]
    volumes = [
        {"name": name_of(template), "persistentVolumeClaim": {"claimName": f"{name_of(template)}-{name}"}}
        for template in _claim_templates(owner)
    ]
    if volumes:
        made = {volume["name"] for volume in volumes}
        others = [volume for volume in pod["spec"].get("volumes") or [] if volume["name"] not in made]
        pod["spec"]["volumes"] = volumes + others
    return pod


def _claims_bound(store: Store, owner: Obj, number: int) -> bool:
    bound = True
    for template in _claim_templates(owner):
        name = f"{name_of(template)}-{name_of(owner)}-{number}"
        claim = find(store, kinds.CLAIMS, namespace_of(owner), name)
        if claim is None:
            labels = owner["spec"]["selector"].get("matchLabels") or {}
            made = new_object(kinds.CLAIMS, namespace_of(owner), name, labels=dict(labels))
            claim = create(store, {**made, "spec": template["spec"]})
            title = (
                f"create Claim {name} Pod {name_of(owner)}-{number} in StatefulSet {name_of(owner)} success"
            )
            record_event(store, owner, "SuccessfulCreate", title, component="statefulset-controller")
        bound = bound and is_bound(claim)
    return bound


def _claim_templates(owner: Obj) -> list[Obj]:
    return owner["spec"].get("volumeClaimTemplates") or []


def _report(store: Store, owner: Obj, revision: str) -> None:
    pods = list_controlled(store.peek_all(kinds.PODS, namespace_of(owner)), owner)
    updated = sum(labels_of(pod).get(REVISION) == revision for pod in pods)
    ready = sum(pod_ready(pod) for pod in pods)
    status = {
        "observedGeneration": owner["metadata"].get("generation", 1),
        "replicas": len(pods),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "currentReplicas": updated,
        "updatedReplicas": updated,
        "currentRevision": revision,
        "updateRevision": revision,
        "collisionCount": 0,
    }
    set_status(store, owner, {k: value for k, value in status.items() if value or k != "readyReplicas"})


CONTROLLER = Controller("statefulset", keys, reconcile)
