"""The status of a pod, as a kubelet writes it: a function of the spec and of what its containers do.

Source: k8s.io/kubernetes/pkg/kubelet/status/generate.go and kubelet_pods.go (phase); the API reference of ``PodStatus``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sspcloud_magics.sandbox.node.images import canonical
from sspcloud_magics.sandbox.store import Obj

HOST_IP: Final = "10.0.0.10"


def waiting(reason: str, message: str = "") -> Obj:
    """Return the state of a container that does not run yet, or not again."""
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


@dataclass(slots=True)
class ContainerState:
    """What one container does.

    Parameters
    ----------
    name, image
        From the spec.
    state, last_state
        As in a ``ContainerStatus``.
    ready, started
        Whether it passes its probes, whether it runs.
    restarts
        How often it was started again.
    id, image_id
        Set by the container runtime.
    """

    name: str
    image: str
    state: Obj = field(default_factory=lambda: waiting("ContainerCreating"))
    last_state: Obj = field(default_factory=dict)
    ready: bool = False
    started: bool = False
    restarts: int = 0
    id: str = ""
    image_id: str = ""

    def status(self) -> Obj:
        """Return the ``ContainerStatus``."""
        known = self.image_id
        found: Obj = {
            "name": self.name,
            "state": self.state,
            "lastState": self.last_state,
            "ready": self.ready,
            "restartCount": self.restarts,
            "image": canonical(self.image) if known else self.image,
            "imageID": known,
            "started": self.started,
        }
        if self.id:
            found["containerID"] = self.id
        return found

    @property
    def exit_code(self) -> int | None:
        """The exit code of a container that ended and is not started again."""
        ended = self.state.get("terminated")
        return None if ended is None else int(ended["exitCode"])


def phase(containers: Sequence[ContainerState], restart_policy: str) -> str:
    """Return the phase of a pod."""
    codes = [container.exit_code for container in containers]
    if all(code is not None for code in codes):
        if restart_policy == "Always":
            return "Running"
        return "Succeeded" if not any(codes) else "Failed"
    creating = [
        "waiting" in container.state and not container.last_state and not container.restarts
        for container in containers
    ]
    return "Pending" if any(creating) else "Running"


def pod_status(
    pod: Obj,
    containers: Sequence[ContainerState],
    *,
    ip: str,
    start_time: str,
    now: str,
    failure: Mapping[str, str] | None = None,
    stopped: bool = False,
) -> Obj:
    """Return the whole status of a pod that has a node.

    Parameters
    ----------
    pod
        The Pod; its present status says since when a condition holds.
    containers
        What its containers do.
    ip
        Its address, empty while it has none.
    start_time, now
        Timestamps.
    failure
        ``reason`` and ``message`` of a pod that was failed as a whole.
    stopped
        Whether no container runs any more because the pod was stopped.
    """
    found = "Failed" if failure else phase(containers, pod["spec"].get("restartPolicy", "Always"))
    done = found in {"Succeeded", "Failed"}
    unready = [container.name for container in containers if not container.ready]
    holds: Obj = {"status": "True"}
    if done and not failure and found == "Succeeded":
        ready: Obj = {"status": "False", "reason": "PodCompleted"}
    elif done:
        ready = {"status": "False", "reason": "PodFailed"}
    elif unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        ready = {"status": "False", "reason": "ContainersNotReady", "message": message}
    else:
        ready = holds
    initialized = {"status": "True", "reason": "PodCompleted"} if found == "Succeeded" else holds
    conditions = {
        "PodReadyToStartContainers": {"status": "True" if ip and not done and not stopped else "False"},
        "Initialized": initialized,
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": holds,
    }
    status: Obj = {
        "phase": found,
        "conditions": _conditions(pod, conditions, now),
        "hostIP": HOST_IP,
        "hostIPs": [{"ip": HOST_IP}],
        "startTime": start_time,
        "containerStatuses": [container.status() for container in containers],
        "qosClass": _qos_class(pod["spec"]),
    }
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    return status | dict(failure or {})


def unscheduled(pod: Obj, message: str, now: str) -> Obj:
    """Return the status of a pod that no node takes."""
    condition = {"status": "False", "reason": "Unschedulable", "message": message}
    return {
        "phase": "Pending",
        "conditions": _conditions(pod, {"PodScheduled": condition}, now),
        "qosClass": _qos_class(pod["spec"]),
    }


def _conditions(pod: Obj, wanted: Mapping[str, Obj], now: str) -> list[Obj]:
    present = {entry["type"]: entry for entry in (pod.get("status") or {}).get("conditions") or []}
    found = []
    for kind, condition in wanted.items():
        old = present.get(kind, {})
        since = old.get("lastTransitionTime", now) if old.get("status") == condition["status"] else now
        found.append({"type": kind, "lastProbeTime": None, "lastTransitionTime": since, **condition})
    others = [entry for kind, entry in present.items() if kind not in wanted and kind != "DisruptionTarget"]
    return found + others


def _qos_class(spec: Obj) -> str:
    resources: list[dict[str, Any]] = [
        container.get("resources") or {} for container in spec.get("containers") or []
    ]
    if not any(entry.get("requests") or entry.get("limits") for entry in resources):
        return "BestEffort"
    for entry in resources:
        limits = entry.get("limits") or {}
        requests = {**limits, **(entry.get("requests") or {})}
        if not {"cpu", "memory"} <= set(limits) or any(
            requests[name] != limits[name] for name in ("cpu", "memory")
        ):
            return "Burstable"
    return "Guaranteed"
