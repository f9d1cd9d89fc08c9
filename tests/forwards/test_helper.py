import ast
import os
import select
import signal
import sys
import threading
from pathlib import Path

import psutil
import pytest

from sspcloud_magics.access import Access
from sspcloud_magics.forwards.helper import Helper, default_command
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import SetAccess, State, StopForward
from tests.forwards.stage import double, helpers, say, threads

pytestmark = pytest.mark.servers

ANY = [PortText(8000, 0)]


@pytest.fixture
def surroundings(monkeypatch, tmp_path):
    """A notebook folder with files named like modules, and an environment with secrets."""
    for name in ("json", "ssl", "h11", "asyncio", "sspcloud_magics"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the user file was imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    monkeypatch.setenv("PASSWORD", "hunter2")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/bob/work/analysis.ipynb")


@pytest.mark.usefixtures("surroundings")
def test_helper_sees_no_user_files_and_no_secrets(manager, person, target, tmp_path):
    answer = say(manager.forward(person, target, ANY), b"environment")
    variables, folder, path = ast.literal_eval(answer.decode())
    assert "hunter2" not in answer.decode()
    assert not [name for name in variables if name.startswith(("PG", "PYTHON"))]
    assert variables["https_proxy"] == "http://proxy.example:3128"
    assert variables["NO_PROXY"] == "localhost"
    assert variables["JPY_SESSION_NAME"] == "/home/bob/work/analysis.ipynb"
    assert folder == Path.cwd().anchor
    assert str(tmp_path) not in path
    assert "" not in path


@pytest.mark.usefixtures("surroundings")
def test_helper_imports_the_installed_package():
    command = default_command()
    run = [
        *command[:4],
        "import sys; sys.path += sys.argv[1:]; import sspcloud_magics.tunnel.ipc, h11",
        *command[5:],
    ]
    helper = Helper(run)
    assert list(helper.events()) == []
    assert helper.end() == "it ended with exit code 0"


def test_command_line_holds_no_secret(manager, person, target):
    manager.forward(person, target, ANY)
    (helper,) = helpers()
    assert person.token not in helper.cmdline()
    assert default_command()[0] == sys.executable


def test_helper_says_how_it_ended():
    helper = Helper([sys.executable, "-c", "import sys; sys.exit('cannot go on')"])
    assert list(helper.events()) == []
    assert helper.end() == "cannot go on"
    killed = Helper([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    assert list(killed.events()) == []
    assert killed.end() == "it ended with signal 9"


def test_commands_to_an_ended_helper_are_dropped(manager, person, target, watcher):
    forward = manager.forward(person, target, ANY)
    helper = manager._helper
    say(forward, b"die")
    watcher.wait_until(lambda: watcher.states(forward)[-2:] == ["reconnecting", "active"])
    helper.send(StopForward(forward.id))
    assert forward.state is State.ACTIVE


def test_interrupt_withdraws_a_half_made_forward(person, watcher, manager):
    target = Target("user-bob", "pod", "never")

    def interrupt():
        watcher.wait_until(lambda: watcher.seen)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        manager.forward(person, target, ANY)
    thread.join()
    assert manager.forwards() == []
    assert watcher.seen[-1][1] == "stopped"


def test_manager_costs_little(manager, person, target):
    before = psutil.Process().memory_info().rss
    manager.forward(person, target, ANY)
    assert psutil.Process().memory_info().rss - before < 15 * 1024**2


def test_one_thread_and_one_process_for_many_forwards(manager, person):
    for name in "abcdef":
        manager.forward(person, Target("user-bob", "pod", name), ANY)
    assert len(threads()) == 1
    assert len(helpers()) == 1


def test_interrupt_within_a_command_ends_the_helper():
    # A helper that reads half a line, and then another, would understand neither.
    helper = double("--stubborn")
    command = SetAccess(1, Access(server="https://cluster.example", ca="x" * 1024**2))

    def interrupt_when_full():
        while select.select([], [helper._stdin], [], 0)[1]:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_when_full)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        helper.send(command)
    thread.join()
    assert list(helper.events()) == []
    assert helper.end() == "it ended with signal 9"


def test_unread_command_does_not_delay_close():
    helper = double("--stubborn")
    command = SetAccess(1, Access(server="https://cluster.example", ca="x" * 1024**2))
    sending = threading.Thread(target=helper.send, args=(command,))
    sending.start()
    while select.select([], [helper._stdin], [], 0)[1]:
        pass
    helper.close_input()
    sending.join()
    assert list(helper.events()) == []
    assert helper.end() == "it ended with signal 9"
