import psutil
import pytest

from sspcloud_magics.errors import PortTaken
from sspcloud_magics.forwards import port_notes, port_owner
from sspcloud_magics.target import PortText, Target
from tests.forwards.stage import helpers
from tests.support.ports import free_port

pytestmark = pytest.mark.servers

WEB = Target("user-bob", "service", "web")


def find_no_owner(_port: int) -> str:
    return ""


def test_port_with_an_unknown_owner_is_taken(manager, person):
    remote = free_port()
    forward = manager.forward(person, WEB, [PortText(remote)])
    forward.wanted = (PortText(remote + 1),)
    (note,) = port_notes.list_notes(forward, find_no_owner)
    assert note.startswith(f"Port {remote + 1} is taken: the local port is {remote}.")


def test_administrators_port_is_explained(manager, person, monkeypatch):
    forward = manager.forward(person, WEB, [PortText(80, free_port())])
    forward.wanted = (PortText(80),)
    monkeypatch.setattr(port_notes, "first_unprivileged_port", lambda: 1024)
    (note,) = port_notes.list_notes(forward, find_no_owner)
    assert note.startswith("Only the administrator may use port 80 on this machine: ")


def test_address_that_others_reach_is_warned_of(manager, person):
    forward = manager.forward(person, WEB, [PortText(80, 0)], address="0.0.0.0")
    assert forward.notes == ("Anyone who reaches 0.0.0.0 over the network can use this forward.",)


def test_written_port_needs_no_remark(manager, person):
    assert manager.forward(person, WEB, [PortText(80, free_port())]).notes == ()


def test_taken_port_without_owner_keeps_its_error():
    error = PortTaken("The local port 80 is taken.")
    assert port_notes.explain_port_taken(error, [PortText(80, 80)], find_no_owner) is error


def test_own_helper_closing_a_listener_is_not_named(manager, person):
    forward = manager.forward(person, WEB, [PortText(80, 0)])
    (helper,) = helpers()
    assert port_notes.describe_owner(forward.local_port, [], helper.pid) == ""
    assert str(helper.pid) in port_notes.describe_owner(forward.local_port, [], None)


@pytest.mark.usefixtures("denied")
def test_system_that_tells_of_own_processes_only(manager, person):
    forward = manager.forward(person, WEB, [PortText(80, 0)])
    (helper,) = helpers()
    assert port_owner.find_port_owner(forward.local_port).pid == helper.pid
    assert port_owner.find_port_owner(free_port()) is None


@pytest.mark.parametrize("error", [PermissionError, FileNotFoundError])
def test_system_that_tells_nothing(manager, person, monkeypatch, error):
    forward = manager.forward(person, WEB, [PortText(80, 0)])
    refuse(monkeypatch, error)
    assert port_owner.find_port_owner(forward.local_port) is None
    with pytest.raises(PortTaken, match="own forward"):
        manager.forward(person, Target("user-bob", "pod", "other"), [PortText(1, forward.local_port)])


def refuse(monkeypatch, error) -> None:
    def raise_it(_kind):
        raise error

    monkeypatch.setattr(psutil, "net_connections", raise_it)


@pytest.fixture
def denied(monkeypatch):
    """The answer of macOS to an ordinary user."""
    refuse(monkeypatch, psutil.AccessDenied)
