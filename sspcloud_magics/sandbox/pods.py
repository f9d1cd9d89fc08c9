"""Predicates on pods, claims and conditions."""

from __future__ import annotations

from collections.abc import Iterable

from sspcloud_magics.sandbox.store import Obj


def pod_over(pod: Obj) -> bool:
    """Return whether a pod has ended, successfully or not."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def sidecars_of(pod: Obj) -> list[Obj]:
    """Return the sidecars of a pod: the init containers that keep running."""
    initial: list[Obj] = pod["spec"].get("initContainers") or []
    return [container for container in initial if container.get("restartPolicy") == "Always"]


def condition(obj: Obj, kind: str) -> str | None:
    """Return the status of one of an object's conditions, None if it has no such condition."""
    for found in (obj.get("status") or {}).get("conditions") or ():
        if found["type"] == kind:
            return str(found["status"])
    return None


def is_terminating(obj: Obj) -> bool:
    """Return whether an object is being deleted."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def pod_ready(pod: Obj) -> bool:
    """Return whether a pod is ready for traffic."""
    return condition(pod, "Ready") == "True"


def is_bound(claim: Obj) -> bool:
    """Return whether a claim is bound to its volume."""
    return (claim.get("status") or {}).get("phase") == "Bound"


def active(pods: Iterable[Obj]) -> list[Obj]:
    """Return the pods that count as replicas: those that have not ended and are not being deleted."""
    return [pod for pod in pods if not pod_over(pod) and not is_terminating(pod)]
