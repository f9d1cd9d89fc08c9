"""The columns READY, STATUS and RESTARTS of ``kubectl get pods``.

The server derives STATUS from the phase and the states of the containers: a pod in the phase *Running* can be
shown as *CrashLoopBackOff*, and a *Pending* one as *Init:0/1*.

Source: printPod in k8s.io/kubernetes/pkg/printers/internalversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sspcloud_magics.sandbox.api.humanize import age
from sspcloud_magics.sandbox.pods import condition, pod_ready, sidecars_of
from sspcloud_magics.sandbox.store import Obj


@dataclass(frozen=True, slots=True)
class PodSummary:
    """The status columns of a pod."""

    ready: int
    total: int
    reason: str
    restarts: str


def summarize(pod: Obj) -> PodSummary:
    """Return the status columns of a pod."""
    status: Obj = pod.get("status") or {}
    sidecars = {container["name"] for container in sidecars_of(pod)}
    total = len(pod["spec"].get("containers") or ()) + len(sidecars)
    statuses = status.get("containerStatuses") or []
    initial = status.get("initContainerStatuses") or []
    reason = status.get("reason") or status.get("phase") or "Unknown"
    waiting = _describe_initialization(initial, sidecars, len(pod["spec"].get("initContainers") or ()))
    ready = sum(bool(s.get("ready")) for s in initial if s["name"] in sidecars)
    counted = [s for s in initial if s["name"] in sidecars]
    if waiting is not None and condition(pod, "Initialized") != "True":
        reason = waiting
        counted = initial
    else:
        counted = [*counted, *statuses]
        reason = _describe_running(reason, statuses, ready=pod_ready(pod))
        ready += sum(bool(s.get("ready")) and "running" in (s.get("state") or {}) for s in statuses)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    return PodSummary(ready, total, reason, _restarts(counted))


def _describe_initialization(statuses: list[Obj], sidecars: set[str], count: int) -> str | None:
    """Return the status of the init container that the pod waits for, None if all are done."""
    for index, status in enumerate(statuses):
        state = status.get("state") or {}
        terminated = state.get("terminated")
        if terminated and terminated.get("exitCode", 0) == 0:
            continue
        if status["name"] in sidecars and status.get("started"):
            continue
        if terminated:
            return f"Init:{_describe_end(terminated)}"
        why = (state.get("waiting") or {}).get("reason")
        return f"Init:{why}" if why and why != "PodInitializing" else f"Init:{index}/{count}"
    return None


def _describe_running(reason: str, statuses: list[Obj], *, ready: bool) -> str:
    has_running = False
    for status in reversed(statuses):
        state = status.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated:
            reason = _describe_end(terminated)
        elif status.get("ready") and "running" in state:
            has_running = True
    if reason == "Completed" and has_running:
        return "Running" if ready else "NotReady"
    return reason


def _describe_end(terminated: dict[str, Any]) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _restarts(statuses: list[Obj]) -> str:
    count = sum(status.get("restartCount", 0) for status in statuses)
    ends = [
        ended["finishedAt"]
        for status in statuses
        if (ended := (status.get("lastState") or {}).get("terminated")) and ended.get("finishedAt")
    ]
    return f"{count} ({age(max(ends, key=datetime.fromisoformat))} ago)" if count and ends else str(count)
