"""The status of a pod, computed from its spec and the states of its containers.

Source: k8s.io/kubernetes/pkg/kubelet/status/generate.go and kubelet_pods.go (phase); the API reference of ``PodStatus``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sspcloud_magics.sandbox.api.defaults import quality_of_service
from sspcloud_magics.sandbox.node.images import canonical
from sspcloud_magics.sandbox.store import Obj

HOST_IP: Final = "10.0.0.10"


def make_waiting(reason: str, message: str = "") -> Obj:
    """Return the state of a container that waits for its start or restart."""
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


@dataclass(slots=True)
class ContainerState:
    """The state of a container; `container.Container` changes it."""

    name: str  # from the spec
    image: str
    sidecar: bool = False
    # The fields of a ``ContainerStatus``.
    state: Obj = field(default_factory=lambda: make_waiting("ContainerCreating"))
    last_state: Obj = field(default_factory=dict)
    ready: bool = False
    started: bool = False  # whether the startup probe has succeeded
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
        """The exit code of a container that has ended, None otherwise."""
        ended = self.state.get("terminated")
        return None if ended is None else int(ended["exitCode"])

    @property
    def initialized(self) -> bool:
        """Whether this init container is done, so that the next container can start."""
        return self.started if self.sidecar else self.exit_code == 0

    @property
    def created(self) -> bool:
        """Whether the container runs or has run."""
        return "waiting" not in self.state or bool(self.last_state) or self.restarts > 0


def phase(
    containers: Sequence[ContainerState], restart_policy: str, initial: Sequence[ContainerState] = ()
) -> str:
    """Return the phase of a pod."""
    codes = [container.exit_code for container in containers]
    if all(code is not None for code in codes):
        if restart_policy == "Always":
            return "Running"
        return "Succeeded" if not any(codes) else "Failed"
    if list_uninitialized(containers, initial):
        lost = restart_policy == "Never" and any(one.exit_code for one in initial if not one.sidecar)
        return "Failed" if lost else "Pending"
    return "Running" if all(container.created for container in containers) else "Pending"


def list_uninitialized(containers: Sequence[ContainerState], initial: Sequence[ContainerState]) -> list[str]:
    """Return the names of the init containers that the pod waits for; none after a container was created."""
    if any(container.created for container in containers):
        return []
    return [container.name for container in initial if not container.initialized]


def pod_status(
    pod: Obj,
    containers: Sequence[ContainerState],
    *,
    initial: Sequence[ContainerState] = (),
    ip: str,
    start_time: str,
    now: str,
    failure: Mapping[str, str] | None = None,
    stopped: bool = False,
) -> Obj:
    """Return the status of a pod that is bound to the node.

    `pod`: the Pod, whose current conditions give the transition times. `failure`: ``reason`` and ``message`` if
    the whole pod has failed. `stopped`: whether all containers have ended for good.
    """
    found = "Failed" if failure else phase(containers, pod["spec"].get("restartPolicy", "Always"), initial)
    done = found in {"Succeeded", "Failed"}
    sidecars = [container for container in initial if container.sidecar]
    unready = [container.name for container in (*sidecars, *containers) if not container.ready]
    holds: Obj = {"status": "True"}
    waiting_for = list_uninitialized(containers, initial)
    ready = initialized = holds
    if done:
        ready = {"status": "False", "reason": "PodCompleted" if found == "Succeeded" else "PodFailed"}
    elif unready:
        ready = _make_lacking("ContainersNotReady", "unready", unready)
    if found == "Succeeded":
        initialized = {"status": "True", "reason": "PodCompleted"}
    elif waiting_for:
        initialized = _make_lacking("ContainersNotInitialized", "incomplete", waiting_for)
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
        "qosClass": quality_of_service(pod["spec"]),
        "observedGeneration": pod["metadata"].get("generation", 1),
    }
    if initial:
        status["initContainerStatuses"] = [container.status() for container in initial]
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    return status | dict(failure or {})


def make_unscheduled(pod: Obj, message: str, now: str) -> Obj:
    """Return the status of a pod that fits on no node."""
    condition = {"status": "False", "reason": "Unschedulable", "message": message}
    return {
        "phase": "Pending",
        "conditions": _conditions(pod, {"PodScheduled": condition}, now),
        "qosClass": quality_of_service(pod["spec"]),
        "observedGeneration": pod["metadata"].get("generation", 1),
    }


def _make_lacking(reason: str, word: str, names: Sequence[str]) -> Obj:
    message = f"containers with {word} status: [{' '.join(names)}]"
    return {"status": "False", "reason": reason, "message": message}


def _conditions(pod: Obj, wanted: Mapping[str, Obj], now: str) -> list[Obj]:
    present = {entry["type"]: entry for entry in (pod.get("status") or {}).get("conditions") or []}
    generation = pod["metadata"].get("generation", 1)
    found = []
    for kind, condition in wanted.items():
        old = present.get(kind, {})
        since = old.get("lastTransitionTime", now) if old.get("status") == condition["status"] else now
        times = {"lastProbeTime": None, "lastTransitionTime": since, "observedGeneration": generation}
        found.append({"type": kind, **times, **condition})
    others = [entry for kind, entry in present.items() if kind not in wanted and kind != "DisruptionTarget"]
    return found + others
