"""The real helper process on the testbed, under each protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sspcloud_magics.access import Access
from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.tunnel.timings import Timings
from tests.testbed import Helper, Testbed
from tests.tunnel.helper_process import FIRST, HelperProcess

# A short timeout, so that a test does not wait as long for a server that waits for the end as for a slow one.
SHORT_FIRST_REPLY = Timings(first_reply_timeout=Timings.reply_timeout)


@pytest.fixture(scope="session")
def access(testbed: Testbed) -> Access:
    found: Access = find_cluster(kubeconfig=testbed.kubeconfig, context=testbed.context).access()
    return found


# One protocol shows the behaviour of the cluster; `tests/tunnel` runs each case in each protocol.
IN_TURN = ["spdy", *(pytest.param(name, marks=pytest.mark.wide) for name in FIRST if name != "spdy")]


@pytest.fixture(scope="module", params=IN_TURN)
def helper(request: pytest.FixtureRequest, access: Access, minor: int) -> Iterator[HelperProcess]:
    if request.param == "spdy_websocket" and minor < 31:
        pytest.skip("servers before Kubernetes 1.31 do not know this protocol")
    with HelperProcess(access, SHORT_FIRST_REPLY, first=FIRST[request.param]) as process:
        process.protocol = request.param  # type: ignore[attr-defined]
        yield process


@pytest.fixture
def forward(helper: HelperProcess, testbed: Testbed) -> Iterator[Callable[..., int]]:
    """Forward to a helper of the testbed, and return the local port."""
    started = []

    def start(to: Helper) -> int:
        state = helper.forward("pod", to.pod, to.port, namespace=testbed.namespace)
        started.append(state.forward_id)
        return state.local_ports[0]

    yield start
    for number in started:
        helper.stop(number)
