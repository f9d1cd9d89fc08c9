"""The scheduler: whether a pod fits on the node.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins (noderesources, nodeunschedulable).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from sspcloud_magics.sandbox.api.quantities import parse_quantity
from sspcloud_magics.sandbox.pods import pod_over, sidecars_of
from sspcloud_magics.sandbox.store import Obj

SCHEDULER: Final = "default-scheduler"


def refusal(pod: Obj, node: Obj, others: Iterable[Obj]) -> str | None:
    """Return the message of the event ``FailedScheduling``, None if the pod fits.

    `others`: all pods of the cluster; those on the node use some of its resources.
    """
    if (node.get("spec") or {}).get("unschedulable"):
        return _words(["node(s) were unschedulable"])
    labels = node["metadata"].get("labels") or {}
    if not (pod["spec"].get("nodeSelector") or {}).items() <= labels.items():
        return _words(["node(s) didn't match Pod's node affinity/selector"])
    name, wanted = node["metadata"]["name"], _requests(pod)
    free = {kind: parse_quantity(amount) for kind, amount in node["status"]["allocatable"].items()}
    hopeless = any(amount > free.get(kind, 0) for kind, amount in wanted.items())
    for other in others:
        if other["spec"].get("nodeName") == name and not pod_over(other):
            for kind, amount in _requests(other).items():
                free[kind] = free.get(kind, Decimal(0)) - amount
    missing = sorted(kind for kind, amount in wanted.items() if amount > free.get(kind, 0))
    words = ["Too many pods" if kind == "pods" else f"Insufficient {kind}" for kind in missing]
    return _words(words, victims=not hopeless) if words else None


def _words(reasons: Iterable[str], *, victims: bool = False) -> str:
    preemption = (
        "No preemption victims found for incoming pod"
        if victims
        else "Preemption is not helpful for scheduling"
    )
    return (
        f"0/1 nodes are available: {', '.join(f'1 {reason}' for reason in reasons)}. "
        f"no new claims to deallocate, preemption: 0/1 nodes are available: 1 {preemption}."
    )


def _requests(pod: Obj) -> dict[str, Decimal]:
    """Return a pod's requests: the sum of containers and sidecars, or those of an init container if larger."""
    wanted: dict[str, Decimal] = {}
    for container in [*pod["spec"]["containers"], *sidecars_of(pod)]:
        for kind, amount in _get_request(container):
            wanted[kind] = wanted.get(kind, Decimal(0)) + amount
    for container in pod["spec"].get("initContainers") or ():
        for kind, amount in _get_request(container):
            wanted[kind] = max(wanted.get(kind, amount), amount)
    return {**wanted, "pods": Decimal(1)}


def _get_request(container: Obj) -> list[tuple[str, Decimal]]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return [(kind, parse_quantity(amount)) for kind, amount in asked.items()]
