"""Whether the node takes a pod."""

from __future__ import annotations

import pytest

from sspcloud_magics.sandbox.node.scheduler import refusal
from sspcloud_magics.sandbox.store import Obj

NODE = {"metadata": {"name": "n", "labels": {"cores": "4"}}, "status": {"allocatable": {"pods": "9"}}}


@pytest.mark.parametrize(
    ("required", "taken"),
    [
        ({}, False),
        ({"nodeSelectorTerms": [{}]}, False),
        (
            {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["3"]}]}
                ]
            },
            True,
        ),
        (
            {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "cores", "operator": "Lt", "values": ["3"]}]}
                ]
            },
            False,
        ),
    ],
)
def test_node_affinity_decides(required: Obj, taken: bool) -> None:
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    pod = {"spec": {"containers": [], "affinity": affinity}}
    assert (refusal(pod, NODE, ()) is None) is taken
