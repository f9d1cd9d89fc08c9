"""A forward follows `ipc.TRANSITIONS` for any order of reports."""

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.errors import TunnelLost
from sspcloud_magics.forwards.forward import LIVE, Forward
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import (
    TRANSITIONS,
    ForwardCounters,
    ForwardSpec,
    ForwardState,
    PortSpec,
    State,
)


class ManagerDouble:
    def __init__(self):
        self.changed = threading.Condition(threading.RLock())


def make_forward() -> Forward:
    target = Target("user-bob", "pod", "echo")
    spec = ForwardSpec("user-bob", "pod", "echo", (PortSpec(8000, (8000, 0)),))
    return Forward(
        ManagerDouble(), forward_id=1, access_id=0, target=target, wanted=(PortText(8000),), spec=spec
    )


@given(st.lists(st.sampled_from(State)))
def test_only_transitions_of_the_table_happen(reported):
    forward = make_forward()
    states = [forward.state]
    for state in reported:
        forward.take(ForwardState(1, state))
        states.append(forward.state)
    for before, after in itertools.pairwise(states):
        assert before is after or after in TRANSITIONS[before]


counters = st.builds(
    ForwardCounters,
    st.just(1),
    *[st.integers(0, 1000)] * 2,
    open_connections=st.integers(0, 9),
    connections=st.integers(0, 9),
)


@given(st.lists(st.lists(counters, min_size=1).map(lambda many: sorted(many, key=lambda c: c.sent))))
def test_sent_bytes_never_fall_over_several_helpers(helpers):
    forward = make_forward()
    forward.take(ForwardState(1, State.ACTIVE, local_ports=(8000,)))
    seen = [0]
    for reports in helpers:
        for report in reports:
            forward.take(report)
            seen.append(forward.counters.sent)
        forward.resume_in_new_helper("the helper process ended")
        seen.append(forward.counters.sent)
        assert forward.counters.open_connections == 0
        assert forward.state is State.RECONNECTING
    assert seen == sorted(seen)
    assert forward.counters.reconnects == len(helpers)


def test_restarted_forward_asks_for_its_own_port():
    forward = make_forward()
    forward.take(ForwardState(1, State.ACTIVE, local_ports=(23000,)))
    forward.resume_in_new_helper("the helper process ended")
    assert forward.spec.ports == (PortSpec(8000, (23000,)),)
    assert forward.spec.resume
    assert forward.ports == ((23000, 8000),)


def test_half_made_forward_restarts_from_its_request():
    forward = make_forward()
    forward.resume_in_new_helper("the helper process ended")
    assert forward.state is State.STARTING
    assert forward.spec.ports == (PortSpec(8000, (8000, 0)),)
    assert not forward.spec.resume


def test_report_that_says_nothing_new_is_no_change():
    forward = make_forward()
    active = ForwardState(1, State.ACTIVE, local_ports=(8000,))
    assert forward.take(active)
    assert not forward.take(active)
    assert forward.take(ForwardState(1, State.ACTIVE, reason="another pod", local_ports=(8000,)))


def test_since_is_when_it_was_first_active():
    forward = make_forward()
    assert forward.since is None
    forward.take(ForwardState(1, State.ACTIVE))
    since = forward.since
    forward.take(ForwardState(1, State.RECONNECTING))
    forward.take(ForwardState(1, State.ACTIVE))
    assert forward.since is since
    assert since.tzinfo is not None


def test_timeout_names_the_awaited():
    forward = make_forward()
    forward.take(ForwardState(1, State.STARTING, reason="waiting for a ready pod"))
    with pytest.raises(TunnelLost, match="waiting for a ready pod"):
        forward.wait_until_active(timeout=0)


@pytest.mark.parametrize("state", State)
def test_live_is_what_may_still_become_active(state):
    assert (state in LIVE) == (state is State.ACTIVE or State.ACTIVE in TRANSITIONS[state])
