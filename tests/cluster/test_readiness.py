"""When an object is ready, and when it never will be."""

from __future__ import annotations

from typing import Any

import pytest

from sspcloud_magics.cluster.workloads.readiness import describe_readiness


def item(status: dict[str, Any], spec: dict[str, Any] | None = None, generation: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": "a", "generation": generation}, "spec": spec or {}, "status": status}


def condition(kind: str, status: str = "True", **more: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, **more}]}


ROLLED = {"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2}
CASES: list[tuple[str, dict[str, Any], bool | None]] = [
    ("Pod", item({"phase": "Pending"}), False),
    ("Pod", item({"phase": "Running", **condition("Ready", "False")}), False),
    ("Pod", item({"phase": "Running", **condition("Ready")}), True),
    ("Pod", item({"phase": "Succeeded"}), True),
    ("Pod", item({"phase": "Failed"}), None),
    ("Job", item({}), False),
    ("Job", item(condition("Complete")), True),
    ("Job", item(condition("Failed", message="BackoffLimitExceeded")), None),
    ("Deployment", item(ROLLED, {"replicas": 2}), True),
    ("Deployment", item(ROLLED, {"replicas": 2}, generation=2), False),
    ("Deployment", item({**ROLLED, "updatedReplicas": 1}, {"replicas": 2}), False),
    ("Deployment", item({"observedGeneration": 1}, {"replicas": 0}), True),
    ("StatefulSet", item({**ROLLED, "availableReplicas": 1}, {"replicas": 2}), False),
    ("ReplicaSet", item({"observedGeneration": 1, "availableReplicas": 1}, {"replicas": 1}), True),
    ("DaemonSet", item({"observedGeneration": 1, "desiredNumberScheduled": 1}), False),
    ("Cluster", item(condition("Ready", "False")), False),
    ("Cluster", item(condition("Ready")), True),
    ("ConfigMap", {"metadata": {"name": "a"}}, True),
]


@pytest.mark.parametrize(("kind", "found", "ready"), CASES)
def test_readiness(kind: str, found: dict[str, Any], ready: bool | None) -> None:
    assert describe_readiness(kind, found)[0] is ready
