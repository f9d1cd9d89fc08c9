import socket
import threading

import psutil
import pytest

from sspcloud_magics.errors import (
    DialFailed,
    ForwardStopped,
    HelperFailed,
    PortTaken,
    TokenExpired,
    TunnelLost,
    UsageProblem,
)
from sspcloud_magics.forwards import ForwardManager
from sspcloud_magics.forwards.ports import derive_ports
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import State
from tests.forwards.stage import Person, connect, descriptors, double, helpers, kill, say, threads
from tests.support.ports import free_port

pytestmark = pytest.mark.servers

ANY = [PortText(8000, 0)]


def test_forward_returns_when_the_target_is_reached(manager, person, target):
    forward = manager.forward(person, target, ANY)
    assert forward.state is State.ACTIVE
    assert forward.pod == "echo-0"
    assert say(forward, b"hello") == b"hello"
    assert manager.forwards() == [forward]


def test_nothing_runs_before_the_first_forward(manager):
    assert manager.forwards() == []
    assert helpers() == []


def test_refused_forward_raises_and_leaves_nothing(manager, person, target):
    with pytest.raises(DialFailed, match="Nothing listens") as refusal:
        manager.forward(person, Target("user-bob", "pod", "refuses"), ANY)
    assert refusal.value.why == "connection refused"
    assert manager.forwards() == []


def test_forward_not_reached_in_time_is_withdrawn(manager, person, target):
    port = free_port()
    with pytest.raises(TunnelLost, match=r"could not be reached within 0\.3 s"):
        manager.forward(person, Target("user-bob", "pod", "never"), [PortText(8000, port)], timeout=0.3)
    assert manager.forwards() == []
    assert manager.forward(person, target, [PortText(8000, port)]).local_port == port


def test_the_same_forward_twice_is_the_same_object(manager, person, target):
    port = free_port()
    forward = manager.forward(person, target, [PortText(8000, port)])
    assert manager.forward(person, target, [PortText(8000, port)]) is forward
    assert manager.forward(person, target, [PortText(8000)]) is forward
    assert manager.forward(person, target, [PortText(8000, 0)]) is forward


def test_other_port_target_or_identity_is_another(manager, person, target):
    forward = manager.forward(person, target, ANY)
    others = [
        manager.forward(person, target, [PortText(8001, 0)]),
        manager.forward(person, target, [PortText(8000, free_port())]),
        manager.forward(person, Target("user-bob", "pod", "other"), ANY),
        manager.forward(person, target, ANY, address="127.0.0.1"),
        manager.forward(Person(), target, ANY),
    ]
    assert len({forward.id, *(other.id for other in others)}) == 6
    assert len({forward.local_port, *(other.local_port for other in others)}) == 6


def test_several_ports_in_one_forward(manager, person, target):
    forward = manager.forward(person, target, [PortText(8000, 0), PortText("metrics", 0)])
    assert [remote for _, remote in forward.ports] == [8000, "metrics"]
    for index in (0, 1):
        with connect(forward, index) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"


def test_threads_asking_for_the_same_share_it(manager, person, target):
    answers = []
    asking = [
        threading.Thread(target=lambda: answers.append(manager.forward(person, target, ANY)))
        for _ in range(8)
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert len(answers) == 8
    assert len({id(answer) for answer in answers}) == 1


# Local ports


def test_bare_remote_port_takes_the_same_number(manager, person, target):
    port = free_port()
    forward = manager.forward(person, target, [PortText(port)])
    assert forward.local_port == port
    assert forward.notes == ()


def test_taken_remote_number_has_a_stable_substitute(manager, person, target):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        first = manager.forward(person, target, [PortText(taken)])
        port = first.local_port
        first.stop()
        again = manager.forward(person, target, [PortText(taken)])
    assert port == again.local_port
    assert port in derive_ports(target, taken)  # the first of them that is free here
    (note,) = again.notes
    assert f"Port {taken} is in use by this kernel itself" in note
    assert f"the local port is {port}, the same each time" in note


def test_taken_written_port_is_refused_with_its_owner(manager, person, target):
    kept = manager.forward(person, target, ANY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(PortTaken) as refusal:
            manager.forward(person, Target("user-bob", "pod", "other"), [PortText(8000, taken)])
    assert f"(process {psutil.Process().pid})" in refusal.value.why
    assert ":8000" in refusal.value.hint
    assert manager.forwards() == [kept]
    assert say(kept, b"still here") == b"still here"


def test_own_forwards_port_is_refused_by_its_name(manager, person, target):
    kept = manager.forward(person, target, ANY)
    with pytest.raises(PortTaken, match="this notebook's own forward to user-bob/pod/echo"):
        manager.forward(person, Target("user-bob", "pod", "other"), [PortText(8000, kept.local_port)])


def test_senseless_ports_are_refused_before_a_start(manager, person, target):
    with pytest.raises(UsageProblem, match="No port"):
        manager.forward(person, target, [])
    with pytest.raises(UsageProblem, match="given twice"):
        manager.forward(person, target, [PortText(1, 9000), PortText(2, 9000)])
    with pytest.raises(UsageProblem, match="not an address"):
        manager.forward(person, target, ANY, address="example.org")
    assert helpers() == []


# Stopping


def test_stopped_forward_frees_its_port_at_once(manager, person, target):
    forward = manager.forward(person, target, ANY)
    forward.stop()
    assert forward.state is State.STOPPED
    assert manager.forwards() == []
    with pytest.raises(ConnectionRefusedError):
        connect(forward)
    socket.create_server(("127.0.0.1", forward.local_port)).close()
    forward.stop()
    with pytest.raises(TunnelLost, match="was stopped"):
        forward.wait_until_active()


def test_forward_is_a_context_manager(manager, person, target):
    with manager.forward(person, target, ANY) as forward:
        assert forward.state is State.ACTIVE
    assert forward.state is State.STOPPED


def test_stop_all_leaves_other_things_running(manager, person, target):
    forwards = [manager.forward(person, Target("user-bob", "pod", name), ANY) for name in ("a", "b", "c")]
    manager.stop_all()
    assert [forward.state for forward in forwards] == [State.STOPPED] * 3
    assert manager.forwards() == []
    assert manager.forward(person, target, ANY).state is State.ACTIVE


def test_close_leaves_no_thread_process_or_descriptor(person, target):
    ForwardManager(double).close()
    before = descriptors()
    manager = ForwardManager(double)
    forward = manager.forward(person, target, ANY)
    with connect(forward):
        manager.close()
    assert forward.state is State.STOPPED
    assert helpers() == []
    assert threads() == []
    assert descriptors() == before


def test_closed_manager_starts_no_helper(manager, person, target):
    kept = manager.forward(person, target, ANY)
    manager.close()
    manager.close()
    for ask in (lambda: manager.forward(person, target, ANY), lambda: manager.restart(kept)):
        with pytest.raises(ForwardStopped, match="was not opened"):
            ask()
    assert manager.forwards() == []
    assert helpers() == []
    assert threads() == []


def test_forwards_during_close_leave_nothing(person):
    manager = ForwardManager(double)
    asked = threading.Barrier(9)
    ends = []

    def ask(number):
        asked.wait()
        for _ in range(1000):
            try:
                manager.forward(person, Target("user-bob", "pod", f"echo-{number}"), ANY)
            except ForwardStopped as stopped:
                ends.append(stopped)
                break

    asking = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in asking:
        thread.start()
    asked.wait()
    manager.close()
    for thread in asking:
        thread.join()
    assert len(ends) == 8
    assert helpers() == []
    assert threads() == []


def test_helper_that_does_not_end_is_killed(person, target):
    manager = ForwardManager(lambda: double("--stubborn"))
    with pytest.raises(TunnelLost):
        manager.forward(person, target, ANY, timeout=0.3)
    manager.close()
    assert helpers() == []


def test_subscriber_may_stop_a_forward(manager, person, target, watcher):
    def stop_it(forward):
        if forward.counters.connections:
            forward.stop()

    manager.subscribe(stop_it)
    forward = manager.forward(person, target, ANY)
    say(forward, b"x")
    watcher.wait_until(lambda: forward.state is State.STOPPED)
    assert manager.forwards() == []


# What happens to a forward


def test_subscribers_get_states_and_counters(manager, person, target, watcher):
    forward = manager.forward(person, target, ANY)
    say(forward, b"reconnect")
    watcher.wait_until(lambda: forward.counters.connections == 1 and forward.counters.open_connections == 0)
    assert (forward.counters.sent, forward.counters.received) == (9, 9)
    forward.stop()
    assert watcher.states(forward) == ["active", "reconnecting", "active", "stopped"]


def test_subscriber_that_fails_harms_no_other(manager, person, target, watcher):
    def fail(forward):
        raise ZeroDivisionError

    unsubscribe = manager.subscribe(fail)
    forward = manager.forward(person, target, ANY)
    say(forward, b"x")
    watcher.wait_until(lambda: forward.counters.connections == 1)
    unsubscribe()
    unsubscribe()
    assert forward.state is State.ACTIVE


def test_unsubscribed_function_is_not_called(manager, person, target, watcher):
    watcher.unsubscribe()
    manager.forward(person, target, ANY).stop()
    assert watcher.seen == []


def test_failed_forward_stays_listed_and_restarts(manager, person, target, watcher):
    forward = manager.forward(person, target, ANY)
    say(forward, b"fail")
    watcher.wait_until(lambda: forward.state is State.FAILED)
    assert manager.forwards() == [forward]
    assert forward.reason == "The forward cannot go on."
    with pytest.raises(DialFailed, match="a right is missing"):
        forward.wait_until_active()
    assert manager.forward(person, target, ANY) is forward
    assert say(forward, b"again") == b"again"


def test_restarted_forward_is_new_on_the_same_port(manager, person, target):
    first = manager.forward(person, target, [PortText(8000)])
    port = first.local_port
    second = manager.restart(first)
    assert second is not first
    assert (second.state, second.local_port, second.target) == (State.ACTIVE, port, target)
    assert first.state is State.STOPPED
    assert manager.forwards() == [second]


def test_failed_forward_can_be_stopped(manager, person, target, watcher):
    forward = manager.forward(person, target, ANY)
    say(forward, b"fail")
    watcher.wait_until(lambda: forward.state is State.FAILED)
    forward.stop()
    assert manager.forwards() == []


def test_nonsense_from_the_helper_is_passed_over(manager, person, target):
    forward = manager.forward(person, target, ANY)
    assert say(forward, b"nonsense") == b"nonsense"
    assert manager.forward(person, Target("user-bob", "pod", "other"), ANY).state is State.ACTIVE


# The helper dies


def test_forwards_keep_ports_when_the_helper_dies(manager, person, target, watcher):
    forwards = [
        manager.forward(person, target, ANY),
        manager.forward(person, Target("user-bob", "pod", "b"), [PortText(1, 0), PortText(2, 0)]),
    ]
    before = [forward.ports for forward in forwards]
    (helper,) = helpers()
    kill(helper)
    watcher.wait_until(
        lambda: all(watcher.states(forward)[-2:] == ["reconnecting", "active"] for forward in forwards)
    )
    assert [forward.ports for forward in forwards] == before
    assert [say(forward, b"x") for forward in forwards] == [b"x", b"x"]
    (other,) = helpers()
    assert other.pid != helper.pid


def test_counters_never_fall_when_the_helper_dies(manager, person, target, watcher):
    forward = manager.forward(person, target, ANY)
    say(forward, b"hello")
    watcher.wait_until(lambda: forward.counters.received == 5 and not forward.counters.open_connections)
    assert say(forward, b"die") == b""
    watcher.wait_until(lambda: watcher.states(forward)[-2:] == ["reconnecting", "active"])
    say(forward, b"world")
    watcher.wait_until(lambda: forward.counters.received == 10 and not forward.counters.open_connections)
    counters = forward.counters
    assert (counters.sent, counters.connections) == (10, 3)
    assert counters.failed_connections == 1
    assert counters.reconnects == 1
    assert "helper process ended" in forward.last_error


def test_request_waits_for_a_forward_being_resumed(manager, person, target, watcher):
    forward = manager.forward(person, target, ANY)
    say(forward, b"die")
    watcher.wait_until(lambda: "reconnecting" in watcher.states(forward))
    assert manager.forward(person, target, ANY) is forward
    assert say(forward, b"x") == b"x"


def test_pod_that_refuses_after_a_death_is_waited_for(manager, person, watcher):
    # The double takes the first dial of this name, and refuses later ones unless it is to resume.
    forward = manager.forward(person, Target("user-bob", "pod", "refuses-later"), ANY)
    say(forward, b"die")
    watcher.wait_until(lambda: watcher.states(forward)[-2:] == ["reconnecting", "active"])


def test_helper_that_keeps_dying_is_given_up(manager, person, target):
    kept = manager.forward(person, target, ANY)
    with pytest.raises(HelperFailed, match="exit code 3"):
        manager.forward(person, Target("user-bob", "pod", "dies-at-start"), ANY)
    assert kept.state is State.FAILED
    assert helpers() == []
    assert manager.forward(person, target, ANY) is kept
    assert say(kept, b"x") == b"x"


def test_failure_of_a_helper_is_quoted(person, target):
    manager = ForwardManager(lambda: double("--breaks"))
    with pytest.raises(HelperFailed, match="No module named 'h11'"):
        manager.forward(person, target, ANY)
    assert threads() == []
    manager.close()


def test_helper_that_cannot_be_started_at_all(person, target):
    from sspcloud_magics.forwards.helper import Helper

    manager = ForwardManager(lambda: Helper(["/no/such/python"]))
    with pytest.raises(HelperFailed, match="could not be started"):
        manager.forward(person, target, ANY)
    manager.close()


# Credentials


def test_credentials_are_renewed_when_refused(manager):
    person = Person("new")
    forward = manager.forward(person, Target("user-bob", "pod", "wants-credentials"), ANY)
    assert forward.state is State.ACTIVE
    assert say(forward, b"token") == b"new"
    assert person.asked == 1


def test_wanted_credentials_are_sought_once(manager, target, watcher):
    person = Person("new")
    forward = manager.forward(person, target, ANY)
    person.may_renew.clear()
    for times in (1, 2, 3):
        say(forward, b"wants")
        watcher.wait_until(lambda times=times: forward.counters.received == 5 * times)
    (seeking,) = [thread for thread in threading.enumerate() if thread.name == "sspcloud-credentials"]
    person.may_renew.set()
    seeking.join()
    assert person.asked == 1
    # Commands are obeyed in turn: when this one is, so was the new access.
    manager.forward(person, Target("user-bob", "pod", "other"), ANY)
    assert say(forward, b"token") == b"new"


def test_refused_renewal_is_the_forwards_error(manager):
    person = Person(TokenExpired("Your login has ended.", hint="log in again"))
    with pytest.raises(TokenExpired, match="log in again"):
        manager.forward(person, Target("user-bob", "pod", "wants-credentials"), ANY)


def test_broken_renewal_is_a_refusal_without_quotes(manager):
    person = Person(RuntimeError("hunter2"))
    with pytest.raises(TokenExpired, match="RuntimeError") as refusal:
        manager.forward(person, Target("user-bob", "pod", "wants-credentials"), ANY)
    assert "hunter2" not in str(refusal.value)


def test_renewal_in_progress_delays_no_command(manager, target):
    person = Person("new")
    person.may_renew.clear()
    held = []
    thread = threading.Thread(
        target=lambda: held.append(
            manager.forward(person, Target("user-bob", "pod", "wants-credentials"), ANY)
        )
    )
    thread.start()
    other = manager.forward(Person(), target, ANY)
    assert say(other, b"x") == b"x"
    person.may_renew.set()
    thread.join()
    assert held[0].state is State.ACTIVE


def test_new_credentials_are_known_to_the_next_helper(manager, watcher):
    person = Person("new")
    forward = manager.forward(person, Target("user-bob", "pod", "wants-credentials"), ANY)
    say(forward, b"die")
    watcher.wait_until(lambda: watcher.states(forward)[-2:] == ["reconnecting", "active"])
    assert say(forward, b"token") == b"new"
    assert person.asked == 1


def test_reread_token_is_sent_with_the_next_forward(manager, person, target):
    forward = manager.forward(person, target, ANY)
    person.token = "rotated"
    manager.forward(person, Target("user-bob", "pod", "other"), ANY)
    assert say(forward, b"token") == b"rotated"
