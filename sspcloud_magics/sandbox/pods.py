"""What everybody needs to know of a pod."""

from __future__ import annotations

from sspcloud_magics.sandbox.store import Obj


def pod_over(pod: Obj) -> bool:
    """Return whether a pod has run to its end, well or badly."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def sidecars_of(pod: Obj) -> list[Obj]:
    """Return the init containers of a pod that run on next to the others."""
    initial: list[Obj] = pod["spec"].get("initContainers") or []
    return [container for container in initial if container.get("restartPolicy") == "Always"]
