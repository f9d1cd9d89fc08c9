"""An API server that starts, and refuses every request for a moment: the handling of a 403."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from sspcloud_magics.errors import Forbidden, ServerError
from sspcloud_magics.tunnel.ipc import ForwardState, State
from sspcloud_magics.tunnel.timings import Timings
from tests.faults import FaultProxy
from tests.tunnel.apiserver import ApiServer
from tests.tunnel.conftest import echo
from tests.tunnel.helper_process import HelperProcess
from tests.tunnel.test_forward import TO_FORWARD, ask, connect

pytestmark = pytest.mark.servers

# Here a server ends and starts in no time.
AT_ONCE = Timings(ready_ttl=0.0)
IMPATIENT = replace(AT_ONCE, forbidden_timeout=0.5)
UNKNOWN = pytest.mark.parametrize("unknown", [401, 403, 404])


class Stage:
    """A forward to an API server that can be restarted."""

    def __init__(self, api: ApiServer, network: FaultProxy, helper: HelperProcess) -> None:
        self.api, self.network, self.helper = api, network, helper

    def forward(self) -> ForwardState:
        return self.helper.forward("pod", "web-0", 8000)

    def restart(self, state: ForwardState) -> None:
        """Cut every connection to the server, which refuses every request from now on."""
        self.api.starting = True
        self.api.requests.clear()
        self.network.reset_all()
        self.helper.wait_for_state(state.forward_id, State.RECONNECTING)
        self.api.wait_for_request("create pods/portforward")

    def wait_for_all(self, states: list[ForwardState], wanted: State) -> None:
        """Wait until all forwards are in this state; none of them may fail."""
        left = {state.forward_id for state in states}
        while left:
            event = self.helper.wait_for(lambda event: isinstance(event, ForwardState))
            assert isinstance(event, ForwardState)
            assert event.state is not State.FAILED
            if event.state is wanted:
                left.discard(event.forward_id)

    def heals(self, state: ForwardState) -> bool:
        """Return whether the forward works again on its port."""
        port = state.local_ports[0]
        again = self.helper.wait_for_state(state.forward_id, State.ACTIVE)
        return again.local_ports == state.local_ports and ask(port) == b"ping"


@pytest.fixture
def timings() -> Timings:
    return AT_ONCE


@pytest.fixture
def stage(api: ApiServer, programs, timings: Timings) -> Iterator[Stage]:
    api.put_pod("web-0", {8000: programs(echo)})
    with (
        FaultProxy("127.0.0.1", api.port) as network,
        HelperProcess(api.access(port=network.port), timings) as helper,
    ):
        yield Stage(api, network, helper)


def test_starting_server_keeps_all_forwards(stage):
    states = [stage.forward() for _ in range(3)]
    for _ in range(3):
        stage.api.starting = True
        stage.network.reset_all()
        stage.wait_for_all(states, State.RECONNECTING)
        stage.api.wait_for_request("list readyz")
        stage.api.starting = False
        stage.wait_for_all(states, State.ACTIVE)
        assert [ask(state.local_ports[0]) for state in states] == [b"ping"] * 3
        stage.api.requests.clear()


def test_refusal_just_before_readiness_not_believed(stage):
    state = stage.forward()
    stage.api.ready_when_asked = True
    stage.api.starting = True
    stage.network.reset_all()
    assert stage.heals(state)


@UNKNOWN
def test_without_readyz_forward_waits(stage, unknown):
    state = stage.forward()
    stage.api.readyz = unknown
    stage.restart(state)
    stage.api.wait_for_request("list readyz")
    stage.api.starting = False
    assert stage.heals(state)


@UNKNOWN
@pytest.mark.parametrize("timings", [IMPATIENT], ids=["impatient"])
def test_without_readyz_refusal_believed_in_the_end(stage, unknown):
    state = stage.forward()
    stage.api.readyz = unknown
    stage.restart(state)
    with pytest.raises(Forbidden):
        stage.helper.wait_for_state(state.forward_id, State.ACTIVE)
    with pytest.raises(ConnectionRefusedError):
        connect(state.local_ports[0])


def test_revoked_right_believed_while_ready(stage):
    state = stage.forward()
    stage.api.forbidden = TO_FORWARD
    stage.network.reset_all()
    stage.helper.wait_for_state(state.forward_id, State.RECONNECTING)
    with pytest.raises(Forbidden):
        stage.helper.wait_for_state(state.forward_id, State.ACTIVE)
    assert stage.api.requests.count("list readyz") <= 1


def test_start_at_a_starting_server_no_missing_right(stage):
    stage.api.starting = True
    error = stage.helper.failure("pod", "web-0", 8000)
    assert type(error) is ServerError
    assert error.what == "The API server is starting."
