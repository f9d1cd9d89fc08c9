"""The panel's line for copying a forward, which opens that forward again."""

from __future__ import annotations

import sys
import urllib.request

import pytest

from sspcloud_magics import session
from sspcloud_magics.widgets import local_state
from tests.magics.conftest import Notebook
from tests.testbed import Sandbox

UNIX = pytest.param(
    "svc/mon-api http --unix", marks=pytest.mark.skipif(sys.platform == "win32", reason="no such sockets")
)


@pytest.mark.parametrize(
    "asked",
    [
        "svc/mon-api :80",
        "mon-api-abcdef-12345 :http --address 127.0.0.1",
        "--relay mon-api.user-alice.svc.cluster.local:80",
        UNIX,
    ],
)
def test_the_line_opens_the_same_forward(notebook: Notebook, sandbox: Sandbox, asked: str) -> None:
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('alice')}")
    notebook.run(f"%forward {asked}")
    (first,) = session.open_forwards()
    (fact,) = [fact for name, fact in local_state.forwards().items() if name.startswith("forward/")]
    there = first.target, first.destination, first.address, first.ports, first.sockets
    session.unforward(everything=True)
    assert not session.open_forwards()

    notebook.run(str(fact["magic"]))
    (again,) = session.open_forwards()
    assert (again.destination, again.address, again.ports, again.sockets) == there[1:]
    if not again.destination:
        assert again.target == there[0]
        if not again.sockets:
            with urllib.request.urlopen(f"http://127.0.0.1:{again.local_port}/", timeout=30) as answer:
                assert answer.status == 200
    session.unforward(everything=True)
