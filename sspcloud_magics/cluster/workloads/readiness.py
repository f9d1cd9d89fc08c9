"""Whether an object does its work: a pod is ready, a Deployment has rolled out, a Job is complete."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sspcloud_magics.cluster.api.api_errors import report_malformed
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests.kinds import Kind
from sspcloud_magics.cluster.requests.object_reads import get_object
from sspcloud_magics.cluster.workloads.pod_status import pod_status
from sspcloud_magics.errors import PodNotReady
from sspcloud_magics.i18n import _, format_seconds

# Seconds between two looks.
_PAUSE = 0.5
_ROLLED_OUT = ("Deployment", "StatefulSet", "ReplicaSet", "DaemonSet")


def describe_readiness(kind: str, item: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Return whether an object is ready, None if it never will be, and its state in words.

    Examples
    --------
    >>> describe_readiness("ConfigMap", {"metadata": {}})
    (True, '')
    >>> describe_readiness("Deployment", {"metadata": {}, "spec": {"replicas": 2}, "status": {"availableReplicas": 1}})
    (False, '1/2')
    """
    spec, status = item.get("spec") or {}, item.get("status") or {}
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}

    def holds(condition: str) -> bool:
        return (conditions.get(condition) or {}).get("status") == "True"

    if kind in _ROLLED_OUT:
        return _describe_rollout(kind, item)
    if kind == "Pod":
        ended = {"Failed": None, "Succeeded": True}
        return ended.get(str(status.get("phase")), holds("Ready")), pod_status(item).status
    if kind == "Job" and holds("Failed"):
        return None, str(conditions["Failed"].get("message") or "Failed")
    if kind == "Job":
        return holds("Complete"), f"{status.get('succeeded') or 0}/{spec.get('completions') or 1}"
    known = "Ready" in conditions or "Available" in conditions
    return not known or holds("Ready") or holds("Available"), str(status.get("phase") or "")


def _describe_rollout(kind: str, item: Mapping[str, Any]) -> tuple[bool, str]:
    spec, status = item.get("spec") or {}, item.get("status") or {}
    if kind == "DaemonSet":
        wanted, ready = status.get("desiredNumberScheduled") or 0, status.get("numberAvailable") or 0
        updated = status.get("updatedNumberScheduled") or 0
    else:
        wanted, ready = spec.get("replicas", 1), status.get("availableReplicas") or 0
        updated = wanted if kind == "ReplicaSet" else status.get("updatedReplicas") or 0
    observed = (status.get("observedGeneration") or 0) >= (item["metadata"].get("generation") or 0)
    return observed and min(updated, ready) >= wanted, f"{ready}/{wanted}"


def wait_until_ready(
    cluster: Cluster,
    kind: Kind,
    name: str,
    namespace: str | None,
    *,
    seconds: float,
    progress: Callable[[str], None],
) -> None:
    """Wait until an object is ready.

    Raises
    ------
    PodNotReady
        If it is not ready in time, or has failed.
    ClusterError
        If a request fails.
    """
    deadline = time.monotonic() + seconds
    ref = kind.ref(name)
    while True:
        item = get_object(cluster, kind.resource, name, namespace)
        with report_malformed(cluster):
            ready, state = describe_readiness(kind.kind, item)
        if ready:
            return
        failed = ready is None
        if failed or time.monotonic() > deadline:
            what = _("{ref} has failed.", ref=ref)
            if not failed:
                what = _("{ref} is not ready after {time}.", ref=ref, time=format_seconds(seconds))
            where = f" -n {namespace}" if namespace not in (None, cluster.namespace) else ""
            raise PodNotReady(
                what,
                why=_("Its state is {state}.", state=state) if state else "",
                hint=f"%k8s_describe {kind.singular} {name}{where}",  # not translated: a command
            )
        progress(f"{ref}: {state}" if state else ref)
        time.sleep(_PAUSE)
