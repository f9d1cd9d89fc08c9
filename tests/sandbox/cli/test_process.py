"""The server process of the sandbox: start, status, stop, and the death of the server or its parent."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import psutil
import pytest

from sspcloud_magics import sandbox
from sspcloud_magics.sandbox import daemon, postgres, snapshot
from sspcloud_magics.sandbox.cluster import SandboxCluster
from tests.support.kubectl import kubectl
from tests.support.waiting import wait_until
from tests.testbed import Sandbox

pytestmark = pytest.mark.slow

MODULE = [sys.executable, "-m", "sspcloud_magics.sandbox"]


def cli(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"SSPCLOUD_SANDBOX_HOME": str(home)}
    return subprocess.run([*MODULE, *arguments], env=env, capture_output=True, text=True, check=False)


def processes_of(home: Path) -> list[psutil.Process]:
    """Return every process that works in `home` or was started for it."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.cwd()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(home) in word for word in words):
            found.append(process)
    return found


def listens(server: str) -> bool:
    host, _, port = server.removeprefix("https://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@contextlib.contextmanager
def new_home() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="sspcloud-"))
    directory.chmod(0o711)
    yield directory
    daemon.stop(directory)
    postgres.forget(directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One home for the whole module; each test sets the state that it needs."""
    with new_home() as directory:
        yield directory


@pytest.fixture
def running(home: Path) -> sandbox.Status:
    return sandbox.start(home)


def test_second_start_changes_nothing(home: Path) -> None:
    first = cli(home, "start")
    assert first.returncode == 0, first.stderr
    assert "The sandbox is running at https://127.0.0.1:" in first.stdout
    pid = sandbox.status(home).pid
    assert cli(home, "start").returncode == 0
    assert sandbox.status(home).pid == pid
    assert cli(home).stdout == f"{sandbox.status(home)}\n", "alone it shows its state"


def test_env_points_a_shell_at_a_person(home: Path, running: sandbox.Status) -> None:
    said = cli(home, "env", "--as", "bob")
    assert said.stdout == f"export KUBECONFIG={home}/kubeconfig-bob\n"
    assert sandbox.kubeconfig("bob", home).stat().st_mode & 0o777 == 0o600


def test_api_server_restarts_in_the_same_process(home: Path, running: sandbox.Status) -> None:
    assert running.server
    assert running.pid
    host, _, port = running.server.removeprefix("https://").partition(":")
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE  # nothing is sent
    with tls.wrap_socket(socket.create_connection((host, int(port)), timeout=30)) as before:
        said = cli(home, "restart-api-server")
        assert (said.returncode, said.stdout) == (0, f"{running}\n")
        with contextlib.suppress(ConnectionResetError):
            assert before.recv(1) == b"", "it ends its connections"
    assert sandbox.status(home).pid == running.pid
    alice = Sandbox(home, running.pid)
    # It listens a moment later, and refuses everything before it knows its roles again.
    assert wait_until(lambda: kubectl(alice, "alice", "get", "pods").code == 0)


def test_unknown_user_has_no_kubeconfig(home: Path, running: sandbox.Status) -> None:
    said = cli(home, "env", "--as", "mallory")
    assert said.returncode == 1
    assert said.stderr == "The sandbox has no user 'mallory'.\n→ choose one of alice, bob, carol, admin\n"


def test_serve_refuses_a_home_that_is_in_use(home: Path, running: sandbox.Status) -> None:
    said = cli(home, "serve")
    assert said.returncode == 1
    assert "A sandbox is already running" in said.stderr
    assert sandbox.status(home).pid == running.pid


def test_stop_leaves_nothing_behind(home: Path, running: sandbox.Status) -> None:
    assert running.server
    assert processes_of(home)
    assert running.pid
    server = psutil.Process(running.pid)
    server.suspend()
    waited: list[str] = []

    def go_on(words: str) -> None:
        waited.append(words)
        server.resume()

    stopped = sandbox.stop(home, progress=go_on)
    assert str(stopped) == f"The sandbox is not running; its changes are kept (home: {home})."
    assert waited == ["waiting for the databases of the sandbox to stop"]
    assert processes_of(home) == []
    assert not listens(running.server)
    assert cli(home, "status").returncode == 1
    assert cli(home, "stop").returncode == 0, "a second stop is no error"


def test_killed_sandbox_has_kept_a_share_s_change(home: Path, running: sandbox.Status) -> None:
    """It is found gone, its pods end with it, and it starts again."""
    assert running.pid
    alice = Sandbox(home, running.pid)
    shared = {"name": f"share-{running.pid}", "labels": {"app.kubernetes.io/managed-by": "sspcloud-magics"}}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": shared}
    kubectl(alice, "alice", "create", "-f", "-", stdin=json.dumps(manifest)).check_output()
    process = psutil.Process(running.pid)
    children = process.children(recursive=True)
    process.kill()
    _, left = psutil.wait_procs([process, *children], timeout=10)
    assert left == []
    assert not sandbox.status(home).running
    assert sandbox.start(home).server == running.server
    kubectl(alice, "alice", "get", "configmap", shared["name"]).check_output()


async def test_changes_are_kept_before_pods_are_ready(
    home: Path, running: sandbox.Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.stop(home)
    found = []

    async def ready(cluster: SandboxCluster, _: frozenset[str] | None) -> None:
        labels = {"app.kubernetes.io/managed-by": "sspcloud-magics"}
        metadata = {"name": "early", "namespace": "user-alice", "labels": labels}
        cluster.store.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        if (kept := snapshot.read(home)) is not None:
            found.extend(obj["metadata"]["name"] for obj in kept.objects)

    monkeypatch.setattr(SandboxCluster, "_ready", ready)
    cluster = SandboxCluster(home)
    try:
        await cluster.start()
    finally:
        await cluster.stop()
    assert "early" in found


def test_stop_says_that_it_could_not_keep_changes(home: Path, running: sandbox.Status) -> None:
    blocked = home / ".snapshot.json.new"
    blocked.mkdir()
    said = cli(home, "stop")
    blocked.rmdir()
    assert said.returncode == 1
    assert "The sandbox is stopped, but its last changes could not be saved.\n" in said.stderr
    assert "the snapshot could not be written: Is a directory; it will start as it was at " in said.stderr
    assert sandbox.start(home).running


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"format": 0, "postgres": 17, "version": 1, "objects": [], "logins": {}}', "another version"),
        ('{"format": 1', "cannot be read"),
    ],
)
def test_unusable_snapshot_is_refused_in_words(home: Path, content: str, says: str) -> None:
    sandbox.stop(home)
    snapshot = daemon.snapshot_file(home)
    before = snapshot.read_text() if snapshot.exists() else None
    snapshot.write_text(content)
    said = cli(home, "start")
    snapshot.write_text(before) if before is not None else snapshot.unlink()
    assert said.returncode == 1
    first, *_, hint = said.stderr.splitlines()
    assert (first.startswith("The snapshot"), says in first) == (True, True)
    assert hint == "→ sspcloud-sandbox reset   deletes everything in the sandbox"


def test_reused_process_id_is_not_ours(home: Path) -> None:
    sandbox.stop(home)
    (home / "server.json").write_text(
        f'{{"pid": {os.getpid()}, "began": 1.0, "server": "https://127.0.0.1:1"}}'
    )
    assert not sandbox.status(home).running
    sandbox.stop(home)  # and does not end us


def test_zombie_is_not_waited_for() -> None:
    """A sandbox that another notebook started, and that a terminal stops, is one."""
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert daemon.wait_for_end([psutil.Process(child.pid)], 0.0) == []
        assert daemon.wait_for_end([psutil.Process()], 0.0) == [psutil.Process()]


def test_two_starts_at_once_make_one(home: Path) -> None:
    sandbox.stop(home)
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(sandbox.start, [home, home])
    assert first.pid == second.pid
    assert len([p for p in processes_of(home) if "serve" in p.cmdline()]) == 1


def test_ends_with_its_parent_however_that_dies() -> None:
    """And it keeps nothing."""
    program = (
        "import sys, signal\n"
        "from pathlib import Path\n"
        "from sspcloud_magics.sandbox import daemon\n"
        "print(daemon.spawn(Path(sys.argv[1]), with_parent=True).pid, flush=True)\n"
        "signal.pause()\n"
    )
    with (
        new_home() as home,
        subprocess.Popen([sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE) as parent,
    ):
        assert parent.stdout
        server = psutil.Process(int(parent.stdout.readline()))
        everyone = [server, *server.children(recursive=True)]
        parent.kill()
        _, left = psutil.wait_procs(everyone, timeout=20)
        assert left == []
        assert not sandbox.status(home).keeps
        assert not (home / "volumes").exists()


def test_an_interrupted_start_leaves_nothing_running(home: Path) -> None:
    sandbox.stop(home)
    env = os.environ | {"SSPCLOUD_SANDBOX_HOME": str(home)}
    with subprocess.Popen([*MODULE, "start"], env=env, start_new_session=True) as starter:
        while starter.poll() is None and not psutil.Process(starter.pid).children():
            pass  # it has not come to the server yet
        starter.send_signal(signal.SIGINT)
    assert starter.returncode == 130
    assert not sandbox.status(home).running
    assert processes_of(home) == []


def test_a_home_that_cannot_be_written_to_is_said(home: Path) -> None:
    (home / "file").touch()
    said = cli(home / "file", "start")
    assert said.returncode == 1
    assert said.stderr.startswith(f"The sandbox cannot write to its home {home / 'file'}.")
    assert "Traceback" not in said.stderr


def test_start_waits_for_the_lock_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, lock = daemon.prepare(tmp_path / "home"), fcntl.flock
    waits = iter([lambda: shutil.rmtree(home), lambda: None])

    def wait(file: IO[bytes], how: int) -> None:
        next(waits)()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", wait)
    with daemon._hold_start_lock(home), (home / "start.lock").open() as other, pytest.raises(BlockingIOError):
        lock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_reset_lets_no_start_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, lock, locked = daemon.prepare(tmp_path / "home"), fcntl.flock, []

    def note(file: IO[bytes], how: int) -> None:
        locked.append(how)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", note)
    daemon.reset(home)
    assert not home.exists()
    assert locked == [fcntl.LOCK_EX]


def test_reset_refuses_what_is_no_sandbox(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    said = cli(tmp_path, "reset")
    assert said.returncode == 1
    assert (tmp_path / "thesis.tex").exists()


def test_reset_replaces_credentials(home: Path) -> None:
    sandbox.start(home)
    before = sandbox.kubeconfig("alice", home).read_text()
    assert sandbox.reset(home).running
    assert sandbox.kubeconfig("alice", home).read_text() != before
    sandbox.stop(home)
