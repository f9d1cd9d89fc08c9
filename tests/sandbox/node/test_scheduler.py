"""Whether the node takes a pod."""

from __future__ import annotations

import pytest

from sspcloud_magics.sandbox.node.scheduler import refusal
from sspcloud_magics.sandbox.store import Obj

NODE = {"metadata": {"name": "n", "labels": {"cores": "4"}}, "status": {"allocatable": {"pods": "9"}}}


@pytest.mark.parametrize(("selector", "taken"), [({}, True), ({"cores": "4"}, True), ({"gpu": "1"}, False)])
def test_node_selector_decides(selector: Obj, *, taken: bool) -> None:
    pod = {"spec": {"containers": [], "nodeSelector": selector}}
    assert (refusal(pod, NODE, ()) is None) is taken
