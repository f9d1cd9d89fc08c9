"""A busy server says when to retry; after a hang-up, the helper retries at once."""

from __future__ import annotations

import pytest

from sspcloud_magics.errors import ServerError, ServerUnreachable
from tests.tunnel.apiserver import ApiServer
from tests.tunnel.conftest import echo
from tests.tunnel.helper_process import HelperProcess
from tests.tunnel.test_forward import ask

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def pod(api: ApiServer, programs) -> None:
    api.put_pod("web-0", {8000: programs(echo)})


@pytest.mark.parametrize("code", [429, 500, 503])
@pytest.mark.parametrize("what", ["get pods", "list pods", "create pods/portforward"])
def test_busy_server_asked_again_when_it_says(
    api: ApiServer, helper: HelperProcess, what: str, code: int
) -> None:
    api.busy = {what: [code, code]}
    state = helper.forward("pod", "web-0", 8000)
    assert ask(state.local_ports[0]) == b"ping"
    assert state.protocol == "spdy"
    assert api.busy[what] == []


@pytest.mark.parametrize("after", ["3600", "soon"])
def test_busy_server_not_waited_for_long(api: ApiServer, helper: HelperProcess, after: str) -> None:
    api.busy, api.retry_after = {"get pods": [503, 503]}, after
    error = helper.failure("pod", "web-0", 8000)
    assert type(error) is ServerError
    assert "503" in error.why


def test_server_that_hangs_up_asked_again(api: ApiServer, helper: HelperProcess) -> None:
    api.busy = {"get pods": [0], "list pods": [0]}
    assert ask(helper.forward("pod", "web-0", 8000).local_ports[0]) == b"ping"


@pytest.mark.parametrize(("times", "protocol"), [(1, "spdy"), (2, "spdy_websocket")])
def test_hang_up_at_an_upgrade_is_asked_again(
    api: ApiServer, helper: HelperProcess, times: int, protocol: str
) -> None:
    """In the same protocol, because a fallback is for servers that never speak it."""
    api.busy = {"create pods/portforward": [0] * times}
    state = helper.forward("pod", "web-0", 8000)
    assert ask(state.local_ports[0]) == b"ping"
    assert state.protocol == protocol
    assert not any(api.busy.values())


def test_server_that_hangs_up_twice_is_reported(api: ApiServer, helper: HelperProcess) -> None:
    api.busy = {"get pods": [0, 0]}
    assert isinstance(helper.failure("pod", "web-0", 8000), ServerUnreachable)
