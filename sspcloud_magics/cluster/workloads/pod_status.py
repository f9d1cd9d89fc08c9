"""The columns READY, STATUS and RESTARTS of `kubectl get pods`.

A faithful port of ``printPod`` in kubernetes/pkg/printers/internalversion/printers.go (1.36), as one
pure function. The order of the rules matters: a later rule overrides an earlier one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sspcloud_magics.cluster.timefmt import timestamp

_TERMINAL = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class PodStatus:
    """The status of a pod, as kubectl shows it."""

    # The number of ready containers, and of all.
    ready: int
    containers: int
    status: str  # ``Running``, ``Completed``, ``CrashLoopBackOff``, ``Init:0/1``, ``Terminating``, …
    restarts: int  # the number of restarts of containers
    last_restart: datetime | None  # the time when a container last ended before a restart; None without any


def pod_status(pod: Mapping[str, Any]) -> PodStatus:
    """Return the status of a Pod of the API."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    conditions = status.get("conditions") or ()
    phase = status.get("phase") or ""
    word = status.get("reason") or phase
    if any(c.get("type") == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in conditions):
        word = "SchedulingGated"
    sidecars = {
        container["name"]
        for container in spec.get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    containers = len(spec.get("containers") or ()) + len(sidecars)
    init = _init_containers(status, sidecars, len(spec.get("initContainers") or ()))
    ready, restarts, last = init.ready, init.restarts, init.last_restart
    if init.word:
        word = init.word
    if not init.word or _is_true(conditions, "Initialized"):
        main = _main_containers(status.get("containerStatuses") or ())
        # After initialization, only the sidecars count among the init containers.
        restarts = init.sidecar_restarts + main.restarts
        last = _later(init.sidecar_last_restart, main.last_restart)
        ready += main.ready
        word = main.word or word
        if word == "Completed" and main.ready:
            word = "Running" if _is_true(conditions, "Ready") else "NotReady"
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            word = "Unknown"
        elif phase not in _TERMINAL:
            word = "Terminating"
    return PodStatus(ready, containers, word, restarts, last)


@dataclass(slots=True)
class _Tally:
    word: str = ""
    ready: int = 0
    restarts: int = 0
    last_restart: datetime | None = None
    sidecar_restarts: int = 0
    sidecar_last_restart: datetime | None = None


def _init_containers(status: Mapping[str, Any], sidecars: set[str], total: int) -> _Tally:
    tally = _Tally()
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        sidecar = container.get("name") in sidecars
        count, ended = container.get("restartCount") or 0, _last_end(container)
        tally.restarts += count
        tally.last_restart = _later(tally.last_restart, ended)
        if sidecar:
            tally.sidecar_restarts += count
            tally.sidecar_last_restart = _later(tally.sidecar_last_restart, ended)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if sidecar and container.get("started"):
            tally.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            tally.word = f"Init:{_describe_end(terminated)}"
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            tally.word = f"Init:{waiting['reason']}"
        else:
            tally.word = f"Init:{index}/{total}"
        break
    return tally


def _main_containers(statuses: Sequence[Mapping[str, Any]]) -> _Tally:
    tally = _Tally()
    # In reverse, so that the word of the first container remains.
    for container in reversed(statuses):
        tally.restarts += container.get("restartCount") or 0
        tally.last_restart = _later(tally.last_restart, _last_end(container))
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if waiting.get("reason"):
            tally.word = waiting["reason"]
        elif terminated is not None:
            tally.word = _describe_end(terminated)
        elif container.get("ready") and state.get("running") is not None:
            tally.ready += 1
    return tally


def _describe_end(terminated: Mapping[str, Any]) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode') or 0}"


def _last_end(container: Mapping[str, Any]) -> datetime | None:
    terminated = (container.get("lastState") or {}).get("terminated") or {}
    return timestamp(terminated.get("finishedAt"))


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment), default=None)


def _is_true(conditions: Sequence[Mapping[str, Any]], kind: str) -> bool:
    return any(c.get("type") == kind and c.get("status") == "True" for c in conditions)
