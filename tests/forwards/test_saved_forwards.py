import json
import os
import stat
import subprocess
import sys

import psutil
import pytest

from sspcloud_magics.forwards import ForwardManager
from sspcloud_magics.forwards.process_identity import is_running
from sspcloud_magics.forwards.saved_forwards import ForwardsFile, SavedForward, notebook_folder, state_folder
from sspcloud_magics.target import PortText, Target
from tests.forwards.stage import Person, double, say
from tests.support.ports import free_port

pytestmark = pytest.mark.servers

DB = Target("user-alice", "service", "db-rw")


@pytest.fixture
def file(tmp_path):
    return ForwardsFile(tmp_path / "notebooks", tmp_path / "state")


@pytest.fixture
def follow(file, manager):
    file.follow(manager)
    return file


@pytest.fixture
def later(manager):
    """The manager of the next process, after `manager` is closed."""
    manager = ForwardManager(double)
    yield manager
    manager.close()


def leave_behind(file: ForwardsFile) -> None:
    """Rename the file of this process to that of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        started = int(psutil.Process(ended.pid).create_time())
    folder = file.path.name.split(".")[0]
    file.path.rename(file.path.with_name(f"{folder}.{ended.pid}.{started}.json"))


def read(file: ForwardsFile) -> list[dict]:
    return json.loads(file.path.read_text())["forwards"]


def test_file_holds_what_is_open(follow, manager, person, target):
    port = free_port()
    forward = manager.forward(person, target, [PortText(8000, port)])
    manager.forward(person, DB, [PortText("postgres", 0)], address="127.0.0.1")
    first, second = read(follow)
    assert first == {
        "server": "https://cluster.example",
        "target": "user-bob/pod/echo",
        "ports": [f"{port}:8000"],
        "address": "localhost",
    }
    assert second["target"] == "user-alice/svc/db-rw"
    forward.stop()
    assert [each["target"] for each in read(follow)] == ["user-alice/svc/db-rw"]


def test_file_is_the_users_alone_and_holds_no_secret(follow, manager, person, target):
    person.token = "canary"
    manager.forward(person, target, [PortText(8000, 0)])
    assert stat.S_IMODE(follow.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(follow.path.parent.stat().st_mode) == 0o700
    assert person.token not in follow.path.read_text()
    assert [path.name for path in follow.path.parent.iterdir()] == [follow.path.name]


def test_file_is_removed_with_the_last_forward(follow, manager, person, target):
    manager.forward(person, target, [PortText(8000, 0)]).stop()
    assert not follow.path.exists()


def test_end_of_the_process_keeps_the_file(follow, manager, person, target):
    manager.forward(person, target, [PortText(8000, 0)])
    manager.close()
    assert [each["target"] for each in read(follow)] == ["user-bob/pod/echo"]


def test_forwards_come_back_on_their_ports(follow, manager, later, person, target):
    ports = [manager.forward(person, each, [PortText(8000, 0)]).local_port for each in (target, DB)]
    manager.close()
    leave_behind(follow)
    follow.follow(later)
    restored = follow.restore(later, person)
    assert restored.troubles == ()
    assert [(each.target, each.local_port) for each in restored.forwards] == [
        (target, ports[0]),
        (DB, ports[1]),
    ]
    assert say(restored.forwards[0], b"x") == b"x"
    assert follow.find_leftovers() == []
    assert len(read(follow)) == 2


def test_restoring_where_nothing_was_open(follow, manager, person):
    restored = follow.restore(manager, person)
    assert (restored.forwards, restored.troubles) == ((), ())


def test_running_process_has_left_nothing_behind(follow, manager, person, target):
    manager.forward(person, target, [PortText(8000, 0)])
    assert follow.find_leftovers() == []


def test_killed_unreaped_process_counts_as_ended():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as killed:
        started = int(psutil.Process(killed.pid).create_time())
        assert is_running(killed.pid, started)
        killed.kill()
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        assert not is_running(killed.pid, started)


def test_other_folder_has_its_own(follow, manager, person, target, tmp_path):
    manager.forward(person, target, [PortText(8000, 0)])
    leave_behind(follow)
    assert ForwardsFile(tmp_path / "other", tmp_path / "state").find_leftovers() == []
    assert len(follow.find_leftovers()) == 1


def test_failed_restore_is_reported_and_stops_no_other(follow, manager, person, target):
    refused = Target("user-bob", "pod", "refuses")
    follow.write(
        SavedForward("https://cluster.example", each, (PortText(8000, 0),), "localhost")
        for each in (refused, target)
    )
    leave_behind(follow)
    restored = follow.restore(manager, person)
    assert [each.target for each in restored.forwards] == [target]
    (trouble,) = restored.troubles
    assert trouble.startswith("user-bob/pod/refuses was not restored: Nothing listens on the port.")
    assert len(follow.find_leftovers()) == 1


def test_forward_of_another_cluster_is_not_restored(follow, manager, person, target):
    follow.write([SavedForward("https://other.example", target, (PortText(8000, 0),), "localhost")])
    leave_behind(follow)
    restored = follow.restore(manager, person)
    assert restored.forwards == ()
    assert "https://other.example" in restored.troubles[0]


CORRUPT = [
    "",
    "{",
    "[]",
    "{}",
    '{"forwards": 1}',
    '{"forwards": [{}]}',
    '{"forwards": [{"server": 1, "target": "a/pod/b", "ports": ["1:2"], "address": "localhost"}]}',
    '{"forwards": [{"server": "x", "target": "b", "ports": ["1:2"], "address": "localhost"}]}',
    '{"forwards": [{"server": "x", "target": "a/pod/b", "ports": ["nonsense!"], "address": "localhost"}]}',
    '{"forwards": [{"server": "x", "target": "a/pod/b", "ports": ["1:2"], "address": "example.org"}]}',
    '{"forwards": [{"server": "x", "target": "a/pod/../b", "ports": 7, "address": []}]}',
    "\udcff",
]


@pytest.mark.parametrize("content", CORRUPT)
def test_corrupt_file_is_set_aside_and_reported(follow, manager, person, target, content):
    follow.write([SavedForward("https://cluster.example", target, (PortText(8000, 0),), "localhost")])
    follow.path.write_bytes(content.encode(errors="surrogateescape"))
    leave_behind(follow)
    restored = follow.restore(manager, person)
    assert restored.forwards == ()
    (aside,) = follow.path.parent.glob("*.corrupt")
    assert str(aside) in restored.troubles[0]
    assert aside.read_bytes() == content.encode(errors="surrogateescape")
    assert follow.restore(manager, person).troubles == ()


def test_newest_file_is_restored_and_older_removed(file, manager, person, target):
    for name in ("older", "newer"):
        file.write(
            [
                SavedForward(
                    "https://cluster.example", Target("user-bob", "pod", name), (PortText(1, 0),), "localhost"
                )
            ]
        )
        os.utime(file.path, (0, 0) if name == "older" else None)
        leave_behind(file)
        file._written = []
    assert len(file.find_leftovers()) == 2
    file.follow(manager)
    assert len(file.find_leftovers()) == 1
    assert [str(each.target) for each in file.restore(manager, person).forwards] == ["user-bob/pod/newer"]


def test_disk_that_cannot_be_written_costs_no_forward(manager, person, target, tmp_path):
    (tmp_path / "state").write_text("not a folder")
    file = ForwardsFile(tmp_path / "notebooks", tmp_path / "state")
    file.follow(manager)
    assert say(manager.forward(person, target, [PortText(8000, 0)]), b"x") == b"x"
    assert file.find_leftovers() == []


def test_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "sspcloud-magics" / "forwards"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder() == tmp_path / ".local" / "state" / "sspcloud-magics" / "forwards"
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/bob/work/analysis.ipynb")
    assert str(notebook_folder()) == "/home/bob/work"
    monkeypatch.setenv("JPY_SESSION_NAME", "b7c3-not-a-path")
    monkeypatch.chdir(tmp_path)
    assert notebook_folder() == tmp_path


def test_other_identity_of_the_server_may_restore(follow, manager, later, target):
    manager.forward(Person(), target, [PortText(8000, 0)])
    manager.close()
    leave_behind(follow)
    assert len(follow.restore(later, Person()).forwards) == 1
