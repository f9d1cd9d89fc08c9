import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.forwards import port_notes, sockets
from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.forwards.saved_forwards import SavedForward
from sspcloud_magics.forwards.sockets import UNIX, folders, runtime_folder, specify_sockets
from sspcloud_magics.session import forwarding
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import ForwardSpec, ForwardState, State

DB = Target("user-alice", "service", "db-rw")


def names(*ports: PortText) -> list[str]:
    return [port.socket for port in specify_sockets(ports)]


@pytest.fixture
def runtime(monkeypatch):
    """Yield a runtime directory with a short path."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="run-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


def test_postgres_sockets_are_named_as_libpq_expects():
    assert names(PortText(5432)) == [".s.PGSQL.5432"]
    assert names(PortText("postgres")) == names(PortText("tcp-postgresql")) == [".s.PGSQL.5432"]
    assert names(PortText(5432, 1500)) == names(PortText("psql", 1500)) == [".s.PGSQL.1500"]


def test_other_sockets_are_named_by_their_port():
    assert names(PortText(8000), PortText(8000, 1500), PortText("http"), PortText(9000, 0)) == [
        "8000.sock",
        "1500.sock",
        "http.sock",
        "9000.sock",
    ]


def test_directory_is_stable_with_alternatives(runtime):
    ports = specify_sockets((PortText(5432),))
    first, second, *rest = folders(DB, ports)
    assert first == str(runtime / "sspcloud-magics" / "user-alice-db-rw")
    assert second == f"{first}-2"
    assert len(rest) == 6
    assert folders(DB, ports)[0] == first


def test_a_long_name_is_cut_and_stays_its_own(runtime):
    ports = specify_sockets((PortText(5432),))
    long, other = (folders(replace(DB, name=f"{'long-' * 12}{end}"), ports)[0] for end in "ab")
    assert long != other
    assert len(Path(long).name) == 40


def test_long_runtime_directory_shortens_the_name(runtime, monkeypatch):
    # As on macOS, where the temporary files of a user lie deep.
    deep = runtime / ("x" * 45)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    ports = specify_sockets((PortText(5432),))
    found = folders(DB, ports)
    assert Path(found[0]).name.startswith("us")
    assert max(len(f"{folder}/{ports[0].socket}") for folder in found) <= sockets._MAX_PATH


def test_a_path_that_no_socket_can_have_is_refused(runtime, monkeypatch):
    deep = runtime / ("x" * 70)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with pytest.raises(UsageProblem, match=r"too long(.|\n)*shorter directory"):
        folders(DB, specify_sockets((PortText(5432),)))


@pytest.mark.parametrize("value", ["", "relative", "/no/such/folder"])
def test_missing_runtime_directory_falls_back_to_temp(monkeypatch, value):
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    assert runtime_folder() == Path(tempfile.gettempdir()) / f"sspcloud-magics-{os.geteuid()}"


def test_windows_is_refused_with_an_alternative(monkeypatch):
    monkeypatch.setattr(sockets.sys, "platform", "win32")
    with pytest.raises(UsageProblem, match=r"Windows(.|\n)*leave out --unix"):
        runtime_folder()


def test_an_address_and_a_socket_are_not_both():
    with pytest.raises(UsageProblem, match="not on both"):
        forwarding._where("127.0.0.1", unix=True)
    assert forwarding._where("127.0.0.1", unix=False) == "127.0.0.1"


def test_a_socket_is_remembered_as_such():
    kept = SavedForward("https://cluster.example", DB, (PortText(5432, 5432),), UNIX)
    assert SavedForward.from_plain(kept.to_plain()) == kept


@pytest.fixture
def forward():
    ports = (PortText(5432), PortText(8000))
    spec = ForwardSpec("user-alice", "service", "db-rw", specify_sockets(ports), UNIX, folders=("/a", "/b"))
    made = Forward(None, forward_id=1, access_id=1, target=DB, wanted=ports, spec=spec)
    made.take(ForwardState(1, State.ACTIVE, pod="db-1", local_ports=(5432, 8000), folder="/b"))
    return made


def test_a_forward_on_sockets_says_where_they_are(forward):
    assert forward.sockets == ("/b/.s.PGSQL.5432", "/b/8000.sock")
    assert (forward.address, forward.local_port) == ("/b", 5432)
    assert repr(forward) == (
        "● active /b/.s.PGSQL.5432 → user-alice/svc/db-rw:5432, /b/8000.sock → user-alice/svc/db-rw:8000"
    )


def test_notes_give_libpqs_words_and_the_directory(forward):
    assert port_notes.list_notes(forward, lambda _port: "") == (
        "Another forward uses /a: the directory is /b.",
        "For psql, psycopg and libpq: host=/b port=5432",
    )


def test_manager_serves_sockets_only_when_asked(forward):
    assert forward.serves(DB, forward.wanted, UNIX)
    assert not forward.serves(DB, forward.wanted, "localhost")
    assert not forward.serves(DB, forward.wanted, "/b")


def test_the_next_helper_takes_the_same_directory(forward):
    forward.resume_in_new_helper("the helper process ended")
    assert forward.spec.folders == ("/b",)
    assert forward.sockets == ("/b/.s.PGSQL.5432", "/b/8000.sock")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
@pytest.mark.usefixtures("runtime")
def test_sockets_without_a_port_are_refused(manager, person):
    with pytest.raises(UsageProblem, match="No port"):
        manager.forward(person, DB, [], address=UNIX)
