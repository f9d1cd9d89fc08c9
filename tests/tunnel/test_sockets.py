"""Unix sockets of a forward: a private directory, one forward at a time, no leftovers."""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sspcloud_magics.errors import PortTaken, SspcloudError
from sspcloud_magics.tunnel.ipc import ForwardSpec, PortSpec, StartForward, State
from sspcloud_magics.tunnel.unix_sockets import SocketFolder
from tests.tunnel.conftest import echo
from tests.tunnel.helper_process import HelperProcess, every_protocol
from tests.tunnel.test_forward import PATIENCE, receive, receive_all
from tests.tunnel.test_network import NO_REPLY_TIMEOUT

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets"),
]


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="run-") as folder:
        yield Path(folder) / "home"


def start(helper: HelperProcess, number: int, folders: list[Path], *sockets: tuple[int, str]) -> None:
    ports = tuple(PortSpec(port, (port,), name) for port, name in sockets)
    spec = ForwardSpec("lab", "pod", "web-0", ports, "unix", folders=tuple(map(str, folders)))
    helper.say(StartForward(number, 1, spec))


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE)
    client.connect(str(path))
    return client


def ask(path: Path) -> bytes:
    with connect(path) as client:
        client.sendall(b"ping")
        return receive(client, 4)


class TestTheDirectory:
    def test_directory_is_private_and_ends_with_sockets(self, home):
        folder = SocketFolder.claim([str(home / "db")])
        with folder.listen("a.sock"), folder.listen("b.sock"):
            assert folder.path == home / "db"
            assert [stat.S_IMODE(path.stat().st_mode) for path in (home, home / "db")] == [0o700, 0o700]
            assert sorted(path.name for path in folder.path.iterdir()) == ["a.sock", "b.sock"]
        folder.close()
        folder.close()
        assert not any(home.iterdir())

    def test_the_next_is_taken_where_another_holds_it(self, home):
        names = [str(home / "db"), str(home / "db-2")]
        with closing(SocketFolder.claim(names)) as first, closing(SocketFolder.claim(names)) as second:
            assert [str(first.path), str(second.path)] == names
            with pytest.raises(PortTaken, match="use all of them"):
                SocketFolder.claim(names)
        with closing(SocketFolder.claim(names)) as again:
            assert str(again.path) == names[0]

    def test_what_a_dead_process_left_is_used_again(self, home):
        (home / "db").mkdir(parents=True, mode=0o700)
        home.chmod(0o700)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(home / "db" / "x.sock"))
        with closing(SocketFolder.claim([str(home / "db")])) as folder, folder.listen("x.sock"):
            connect(home / "db" / "x.sock").close()

    def test_what_others_may_enter_is_refused(self, home):
        home.mkdir(mode=0o755)
        with pytest.raises(SspcloudError, match="Others may enter it"):
            SocketFolder.claim([str(home / "db")])

    def test_what_another_user_owns_is_refused(self, home, monkeypatch):
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(SspcloudError, match="another user"):
            SocketFolder.claim([str(home / "db")])

    def test_a_link_is_not_followed(self, home, tmp_path):
        home.mkdir(mode=0o700)
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        (home / "db").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(SspcloudError, match="not a directory"):
            SocketFolder.claim([str(home / "db")])


class TestAForward:
    @pytest.mark.usefixtures("any_protocol")
    def test_bytes_go_both_ways_and_a_stop_leaves_nothing(self, api, helper, programs, home):
        api.put_pod("web-0", {8000: programs(echo), 5432: programs(lambda link: link.sendall(b"hello"))})
        start(helper, 1, [home / "db"], (8000, "8000.sock"), (5432, ".s.PGSQL.5432"))
        state = helper.wait_for_state(1, State.ACTIVE)
        assert (state.folder, state.local_ports) == (str(home / "db"), (8000, 5432))
        assert [ask(home / "db" / "8000.sock") for _ in range(3)] == [b"ping"] * 3
        with connect(home / "db" / ".s.PGSQL.5432") as client:
            assert receive_all(client) == b"hello"
        helper.stop(1)
        assert not any(home.iterdir())

    @pytest.mark.usefixtures("any_protocol")
    def test_reply_after_the_clients_shutdown_is_whole(self, api, helper, programs, home):
        def slow(link) -> None:
            link.recv(100)
            for _ in range(10):
                link.sendall(bytes(100_000))
                select.select([], [], [], 0.15)  # longer in all than the second that the server gives

        api.put_pod("web-0", {8000: programs(slow)})
        start(helper, 1, [home / "db"], (8000, "8000.sock"))
        helper.wait_for_state(1, State.ACTIVE)
        with connect(home / "db" / "8000.sock") as client:
            client.sendall(b"go")
            client.shutdown(socket.SHUT_WR)
            assert len(receive_all(client)) == 1_000_000

    def test_killed_helpers_directory_is_free_for_the_next(self, api, programs, home):
        api.put_pod("web-0", {8000: programs(echo)})
        folders = [home / "db", home / "db-2"]
        for sign in (signal.SIGKILL, None):
            with HelperProcess(api.access()) as helper:
                start(helper, 1, folders, (8000, "8000.sock"))
                assert helper.wait_for_state(1, State.ACTIVE).folder == str(home / "db")
                assert ask(home / "db" / "8000.sock") == b"ping"
                if sign is not None:
                    helper.process.send_signal(sign)
                    helper.process.wait()
        assert not any(home.iterdir())

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a closed end from half of one")
    @every_protocol
    def test_closed_client_is_detected_at_once(self, api, programs, home, first):
        ended = threading.Event()

        def observe(link) -> None:
            if receive_all(link) == b"bye":
                ended.set()

        api.put_pod("web-0", {8000: programs(observe)})
        with HelperProcess(api.access(), NO_REPLY_TIMEOUT, first=first) as helper:
            start(helper, 1, [home / "db"], (8000, "8000.sock"))
            helper.wait_for_state(1, State.ACTIVE)
            with connect(home / "db" / "8000.sock") as client:
                client.sendall(b"bye")
            assert ended.wait(PATIENCE)
