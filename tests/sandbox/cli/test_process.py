"""The sandbox as a process: started, found, stopped, and gone whatever happens to it or to who started it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from sspcloud_magics import sandbox
from sspcloud_magics.sandbox import daemon

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


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One home for the whole module: each test leaves it stopped or running, and says which it needs."""
    directory = Path(tempfile.mkdtemp(prefix="sspcloud-"))
    directory.chmod(0o711)
    yield directory
    daemon.stop(directory)
    shutil.rmtree(directory, ignore_errors=True)


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
    assert cli(home, "status").returncode == 0


def test_env_points_a_shell_at_a_person(home: Path, running: sandbox.Status) -> None:
    said = cli(home, "env", "--as", "bob")
    assert said.stdout == f"export KUBECONFIG={home}/kubeconfig-bob\n"
    assert sandbox.kubeconfig("bob", home).stat().st_mode & 0o777 == 0o600


def test_api_server_restarts_in_the_same_process(home: Path, running: sandbox.Status) -> None:
    said = cli(home, "restart-api-server")
    assert (said.returncode, said.stdout) == (0, f"{running}\n")
    assert sandbox.status(home).pid == running.pid


def test_nobody_else_has_a_kubeconfig(home: Path, running: sandbox.Status) -> None:
    said = cli(home, "env", "--as", "mallory")
    assert said.returncode == 1
    assert (
        said.stderr == "Nobody in the sandbox is called 'mallory'.\n→ choose among alice, bob, carol, admin\n"
    )


def test_serve_refuses_a_home_that_is_in_use(home: Path, running: sandbox.Status) -> None:
    said = cli(home, "serve")
    assert said.returncode == 1
    assert "A sandbox runs already" in said.stderr
    assert sandbox.status(home).pid == running.pid


def test_stop_leaves_nothing_behind(home: Path, running: sandbox.Status) -> None:
    assert running.server
    assert processes_of(home)
    said = cli(home, "stop")
    assert said.returncode == 0
    assert "not running" in said.stdout
    assert processes_of(home) == []
    assert not listens(running.server)
    assert cli(home, "status").returncode == 1
    assert cli(home, "stop").returncode == 0, "a second stop is no error"


def test_a_kubeconfig_stays_good_over_a_restart(home: Path, running: sandbox.Status) -> None:
    before = sandbox.kubeconfig("alice", home).read_text()
    sandbox.stop(home)
    assert sandbox.start(home).server == running.server
    assert sandbox.kubeconfig("alice", home).read_text() == before


def test_killed_sandbox_is_found_gone_and_starts_again(home: Path, running: sandbox.Status) -> None:
    assert running.pid
    process = psutil.Process(running.pid)
    children = process.children(recursive=True)
    process.kill()
    _, left = psutil.wait_procs([process, *children], timeout=10)
    assert left == [], "its pods end with it"
    assert not sandbox.status(home).running
    assert sandbox.start(home).running


def test_reused_process_id_is_not_ours(home: Path) -> None:
    sandbox.stop(home)
    (home / "server.json").write_text(
        f'{{"pid": {os.getpid()}, "began": 1.0, "server": "https://127.0.0.1:1"}}'
    )
    assert not sandbox.status(home).running
    sandbox.stop(home)  # and does not end us


def test_two_starts_at_once_make_one(home: Path) -> None:
    sandbox.stop(home)
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(sandbox.start, [home, home])
    assert first.pid == second.pid
    assert len([p for p in processes_of(home) if "serve" in p.cmdline()]) == 1


def test_ends_with_its_parent_however_that_dies(home: Path) -> None:
    sandbox.stop(home)
    program = (
        "import sys, signal\n"
        "from pathlib import Path\n"
        "from sspcloud_magics.sandbox import daemon\n"
        "print(daemon.spawn(Path(sys.argv[1]), with_parent=True).pid, flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        server = psutil.Process(int(parent.stdout.readline()))
        everyone = [server, *server.children(recursive=True)]
        parent.kill()
    _, left = psutil.wait_procs(everyone, timeout=20)
    assert left == []


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


def test_reset_refuses_what_is_no_sandbox(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    said = cli(tmp_path, "reset")
    assert said.returncode == 1
    assert (tmp_path / "thesis.tex").exists()


def test_reset_forgets_who_everybody_was(home: Path) -> None:
    sandbox.start(home)
    before = sandbox.kubeconfig("alice", home).read_text()
    assert sandbox.reset(home).running
    assert sandbox.kubeconfig("alice", home).read_text() != before
    sandbox.stop(home)
