"""Exec plugins are real programs here: scripts that count how often they run."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from sspcloud_magics.cluster.auth.exec_plugin import ExecPlugin
from sspcloud_magics.cluster.auth.login_prompt import LoginPrompt
from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.errors import KubeconfigInvalid, NotLoggedIn, TokenExpired
from sspcloud_magics.secret import Secret

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Write a login command and return the exec entry that names it."""

    def write(body: str, *, version: str = V1, **more: Any) -> dict[str, Any]:
        script = tmp_path / "login"
        script.write_text(
            f"#!{sys.executable} -IS\n"
            "import base64, json, os, sys, pathlib\n"
            "count = pathlib.Path(__file__).with_name('runs')\n"
            "runs = int(count.read_text()) + 1 if count.exists() else 1\n"
            "count.write_text(str(runs))\n"
            "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
            "def json_token(told):\n"
            "    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode()\n"
            "def give(**status):\n"
            "    print(json.dumps({'apiVersion': info['apiVersion'], 'kind': 'ExecCredential', 'status': status}))\n"
            f"{body}\n"
        )
        script.chmod(0o755)
        return {"apiVersion": version, "command": "./login", **more}

    return write


def plugin(spec: dict[str, Any], folder: Path, **times: float) -> ExecPlugin:
    return ExecPlugin(spec, folder, {"server": "https://api.example"}, **times)


def decode_token(token: Secret | None) -> Any:
    """Return the output of a command that stands for a token."""
    assert token is not None
    return json.loads(base64.urlsafe_b64decode(token.reveal()))


@pytest.mark.parametrize("version", [V1, V1BETA1])
def test_the_token_is_kept_while_it_is_valid(program: Any, tmp_path: Path, version: str) -> None:
    found = plugin(program("give(token=f'token-{runs}')", version=version), tmp_path)
    assert found.credential().token == Secret("token-1")
    assert found.credential().token == Secret("token-1")
    assert found.credential(again=True).token == Secret("token-2")


def test_an_expired_token_is_had_again(program: Any, tmp_path: Path) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    future = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = f"give(token=f'token-{{runs}}', expirationTimestamp={past!r} if runs == 1 else {future!r})"
    found = plugin(program(body), tmp_path)
    assert found.credential().token == Secret("token-1")
    assert found.credential().token == Secret("token-2")
    assert found.credential().token == Secret("token-2")


def test_a_client_certificate_may_be_given(program: Any, tmp_path: Path) -> None:
    found = plugin(program("give(clientCertificateData='CERT', clientKeyData='KEY')"), tmp_path).credential()
    assert (found.token, found.client_certificate, found.client_key) == (None, "CERT", Secret("KEY"))


def test_command_gets_arguments_variables_and_cluster(program: Any, tmp_path: Path) -> None:
    body = "give(token=json_token([sys.argv[1:], os.environ['COLOUR'], info['spec'], sys.stdin.read()]))"
    spec = program(
        body, args=["--for", "me"], env=[{"name": "COLOUR", "value": "red"}], provideClusterInfo=True
    )
    token = plugin(spec, tmp_path).credential().token
    assert decode_token(token) == [
        ["--for", "me"],
        "red",
        {"interactive": False, "cluster": {"server": "https://api.example"}},
        "",
    ]


def test_the_cluster_is_told_only_on_demand(program: Any, tmp_path: Path) -> None:
    token = plugin(program("give(token=json_token(info['spec']))"), tmp_path).credential().token
    assert decode_token(token) == {"interactive": False}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("print('secret-canary', file=sys.stderr); sys.exit(3)", "exit code 3"),
        ("print('x' * (1 << 20)); print('secret-canary')", "prints more than 1 MiB"),
        ("while True: print('secret-canary' * 1000)", "prints more than 1 MiB"),
        ("print('[' * 200_000 + 'secret-canary')", "did not print an ExecCredential"),
        ("give(token='secret-canary', more=json.loads('[' * 101 + ']' * 101))", "did not print"),
        ("sys.exit(1)", "exit code 1"),
        ("print('secret-canary')", "did not print an ExecCredential"),
        ("print(json.dumps(['secret-canary']))", "did not print an ExecCredential"),
        ("give(token='')", "no token and no client certificate"),
        ("give(clientCertificateData='secret-canary')", "no token and no client certificate"),
        ("info['apiVersion'] = 'v0'; give(token='secret-canary')", "did not print an ExecCredential"),
        (f"info['apiVersion'] = {V1BETA1!r}; give(token='secret-canary')", f"write apiVersion: {V1BETA1}"),
        (
            "info['apiVersion'] = 'client.authentication.k8s.io/v1alpha1'; give(token='secret-canary')",
            "another API version than requested",
        ),
        ("give(token='secret-canary', expirationTimestamp='soon')", "did not print an ExecCredential"),
        ("give(token='secret-canary\\n2')", "one word on one line"),
        ("give(token='secret-canary-é')", "one word on one line"),
        ("give(token=['secret-canary'])", "one word on one line"),
        ("give(clientCertificateData='C', clientKeyData='secret-canary\\0')", "PEM"),
        ("give(clientCertificateData=['secret-canary'], clientKeyData='K')", "did not print"),
    ],
)
def test_a_command_that_gives_nothing_useful_is_told(
    program: Any, tmp_path: Path, body: str, says: str
) -> None:
    with pytest.raises(NotLoggedIn) as caught:
        plugin(program(body), tmp_path).credential()
    assert says in str(caught.value)
    assert "canary" not in str(caught.value)


def test_command_may_print_errors_without_end(program: Any, tmp_path: Path) -> None:
    body = "for _ in range(100): print('x' * (1 << 20), file=sys.stderr)\ngive(token='token')"
    assert plugin(program(body), tmp_path).credential().token == Secret("token")


def test_command_left_behind_keeps_no_answer(program: Any, tmp_path: Path) -> None:
    """The command ends at once, but its background process keeps the other end of the pipe."""
    body = (
        "import subprocess\n"
        "left = subprocess.Popen([sys.executable, '-IS', '-c', 'while True: print(1)'])\n"
        "count.with_name('pid').write_text(str(left.pid))"
    )
    with pytest.raises(NotLoggedIn, match="prints more than 1 MiB"):
        plugin(program(body), tmp_path).credential()
    left = psutil.Process(int((tmp_path / "pid").read_text()))
    left.wait(10)


def test_missing_command_is_told_with_its_install_hint(tmp_path: Path) -> None:
    spec = {"apiVersion": V1, "command": "no-such-login", "installHint": "get it from the shelf"}
    with pytest.raises(NotLoggedIn, match="get it from the shelf"):
        plugin(spec, tmp_path).credential()


@pytest.mark.parametrize("command", ["./login", "login"])
def test_missing_x_bit_is_named(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    spec = program("give(token='t')") | {"command": command}
    (tmp_path / "login").chmod(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotLoggedIn, match=r"chmod u\+x .*login"):
        plugin(spec, tmp_path).credential()


def test_null_parts_of_an_entry_are_empty(program: Any, tmp_path: Path) -> None:
    """As in kubectl, null is an empty text."""
    body = "give(token=json_token([sys.argv[1:], os.environ['EMPTY'], 'cluster' in info['spec']]))"
    spec = program(
        body,
        args=[None, "a"],
        env=[{"name": "EMPTY", "value": None}],
        provideClusterInfo=None,
        interactiveMode=None,
        installHint=None,
    )
    assert decode_token(plugin(spec, tmp_path).credential().token) == [["", "a"], "", False]
    assert plugin(program("give(token='t')", args=None, env=None), tmp_path).credential().token == Secret("t")


@pytest.mark.parametrize(
    "part",
    [
        {"args": "secret-canary"},
        {"args": [5]},
        {"args": ["secret-canary\0"]},
        {"env": {"A": "secret-canary"}},
        {"env": [None]},
        {"env": [{"value": "secret-canary"}]},
        {"env": [{"name": "A=B", "value": "secret-canary"}]},
        {"env": [{"name": "A", "value": 5}]},
        {"provideClusterInfo": "true"},
        {"interactiveMode": "sometimes"},
        {"command": 5},
        {"apiVersion": ["v1"]},
    ],
)
def test_malformed_part_of_an_entry_is_named(tmp_path: Path, part: dict[str, Any]) -> None:
    with pytest.raises(KubeconfigInvalid, match=f"{next(iter(part))} of an exec entry") as caught:
        plugin({"apiVersion": V1, "command": "x"} | part, tmp_path)
    assert "canary" not in str(caught.value)


class Screen(io.StringIO):
    """A standard error on which a test waits for words."""

    def __init__(self) -> None:
        super().__init__()
        self._news = threading.Condition()

    def write(self, text: str) -> int:
        with self._news:
            self._news.notify_all()
            return super().write(text)

    def isatty(self) -> bool:
        return True

    def wait_for(self, words: str) -> None:
        with self._news:
            assert self._news.wait_for(lambda: words in self.getvalue(), 30)


WAITS = (
    "import pathlib, time\n"
    "print('open https://login.example/device and', file=sys.stderr)\n"
    "print('type ABCD-EFGH \\x1b[1m eyJhbGciOiJub25lIn0.c4nary', file=sys.stderr, flush=True)\n"
    "while not pathlib.Path(__file__).with_name('typed').exists(): time.sleep(0.01)\n"
    "give(token='token')"
)


@pytest.mark.parametrize("quiet", [0.0, 0.5], ids=["at once", "after a moment"])
def test_command_that_waits_shows_what_it_says(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet: float
) -> None:
    """The line is erased at the end: a notebook keeps no code and no token."""
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    found = plugin(program(WAITS), tmp_path, quiet=quiet)
    given: list[Any] = []
    asking = threading.Thread(target=lambda: given.append(found.credential().token))
    asking.start()
    screen.wait_for("login: open https://login.example/device and type ABCD-EFGH \\x1b[1m ●●●●●●")
    (tmp_path / "typed").touch()
    asking.join()
    assert given == [Secret("token")]
    assert "c4nary" not in screen.getvalue()
    *_, shown, wiped, end = screen.getvalue().split("\r")
    assert wiped == " " * len(shown.rstrip())
    assert end == ""


URL = "https://login.example/device?user_code=ABCD-EFGH&state="
LONG = "c4nary" * 10


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"{'x ' * 290}eyJhbGciOiJub25lIn0.{LONG}\n", "x ●●●●●●"),
        (f"{LONG * 100}\nType ABCD.\n", "login: Type ABCD."),
        (f"token {LONG}, as told\n", "login: token ●●●●●● as told"),
        (f"Open ({URL}{LONG}) now.\n", f"login: Open ({URL}●●●●●● now."),
        (f"Open {URL.replace('?', 's' * 40 + '?')}1 now.\n", "s?user_code=ABCD-EFGH&state=1 now."),
        ("Type ABCD.\r\n\rWaiting |\rWaiting /", "login: Type ABCD. Waiting /"),
        ("Type the code ABCD (waiting...)", "login: Type the code ABCD (waiting...)"),
    ],
    ids=["split token", "endless line", "token", "URL with a token", "URL", "spinner", "no end"],
)
def test_login_prompt_shows_lines_without_secrets(
    monkeypatch: pytest.MonkeyPatch, said: str, shown: str
) -> None:
    """The pipe stays open, as with a command that waits for the user."""
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "700")
    out, into = os.pipe()
    prompt = LoginPrompt("login", os.fdopen(out, "rb"), quiet=0.0, pause=0.0)
    os.write(into, said.encode())
    try:
        screen.wait_for(shown)
    finally:
        prompt.close()
        os.close(into)
    assert "c4nary" not in screen.getvalue()


def test_login_prompt_does_not_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "20")
    out, into = os.pipe()
    prompt = LoginPrompt("login", os.fdopen(out, "rb"), quiet=0.0)
    os.write(into, b"open the page and type ABCD\n")
    screen.wait_for("login: nd type ABCD")
    prompt.close()
    os.close(into)
    assert {len(line) for line in screen.getvalue().split("\r")} == {0, 19}


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # of pipes left to the collector
def test_command_ends_where_no_thread_starts(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_command: str, _said: Any, **_times: float) -> LoginPrompt:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("sspcloud_magics.cluster.auth.exec_plugin.LoginPrompt", refuse)
    before = set(psutil.Process().children())
    with pytest.raises(RuntimeError):
        plugin(program(WAITS), tmp_path).credential()
    assert set(psutil.Process().children()) <= before


@pytest.mark.parametrize("stream", [None, "closed"])
def test_lost_error_stream_does_not_matter(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: str | None
) -> None:
    """There is no stream in a program without a console, or after the terminal has closed."""
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen if stream else None)
    found = plugin(program(WAITS), tmp_path, quiet=0.0)
    given: list[Any] = []
    asking = threading.Thread(target=lambda: given.append(found.credential().token))
    asking.start()
    if stream:
        screen.wait_for("type ABCD")
        screen.close()
    (tmp_path / "typed").touch()
    asking.join()
    assert given == [Secret("token")]


def test_login_command_ends_with_the_program(program: Any, tmp_path: Path) -> None:
    """A renewal runs on a daemon thread, which the end of the program stops where it is."""
    body = f"count.with_name('pid').write_text(f'{{os.getpid()}}\\n')\n{WAITS}"
    run = (
        "import threading; from pathlib import Path; from sspcloud_magics.cluster.auth.exec_plugin import ExecPlugin\n"
        f"pid = Path({str(tmp_path / 'pid')!r})\n"
        f"plugin = ExecPlugin({program(body)!r}, pid.parent, {{}})\n"
        "threading.Thread(target=plugin.credential, daemon=True).start()\n"
        "def is_read(): return any(each.name == 'sspcloud-exec' for each in threading.enumerate())\n"
        "while not (is_read() and pid.exists() and pid.read_text().endswith('\\n')): pass"
    )
    subprocess.run([sys.executable, "-c", run], check=True, stderr=subprocess.DEVNULL)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_quick_command_is_not_heard(program: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = "print('using the cached token', file=sys.stderr); give(token='token')"
    assert plugin(program(body), tmp_path).credential().token == Secret("token")
    assert capsys.readouterr().err == ""


def test_interrupt_ends_a_command_and_its_children(program: Any, tmp_path: Path) -> None:
    body = (
        "import subprocess, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "count.with_name('pids').write_text(f'{os.getpid()} {child.pid}\\n')\n"
        "time.sleep(600)"
    )
    run = (
        "from pathlib import Path; from sspcloud_magics.cluster.auth.exec_plugin import ExecPlugin; "
        f"ExecPlugin({program(body)!r}, Path({str(tmp_path)!r}), {{}}).credential()"
    )
    asking = subprocess.Popen([sys.executable, "-c", run], stderr=subprocess.PIPE)
    pids = tmp_path / "pids"
    while not (pids.exists() and pids.read_text().endswith("\n")):
        assert asking.poll() is None
    started = [psutil.Process(int(pid)) for pid in pids.read_text().split()]
    asking.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in asking.communicate()[1]
    _, alive = psutil.wait_procs(started, timeout=30)
    assert not alive


def test_a_command_that_takes_too_long_is_ended(program: Any, tmp_path: Path) -> None:
    body = "import time; count.with_name('pid').write_text(str(os.getpid())); time.sleep(600)"
    with pytest.raises(NotLoggedIn, match="took longer"):
        plugin(program(body), tmp_path, timeout=0.5).credential()
    started = tmp_path / "pid"
    assert not started.exists() or not psutil.pid_exists(int(started.read_text()))


def test_a_command_that_cannot_be_run(tmp_path: Path) -> None:
    broken = tmp_path / "login"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    with pytest.raises(NotLoggedIn, match="cannot be run"):
        plugin({"apiVersion": V1, "command": "./login"}, tmp_path).credential()


def test_a_bare_name_is_looked_up_in_the_path(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = program("give(token='from-the-path')") | {"command": "login"}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert plugin(spec, tmp_path / "elsewhere").credential().token == Secret("from-the-path")


def test_a_command_that_needs_a_terminal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigInvalid, match="terminal"):
        plugin({"apiVersion": V1, "command": "x", "interactiveMode": "Always"}, tmp_path)


def test_plugin_runs_once_and_again_after_a_401(
    program: Any, tmp_path: Path, write_kubeconfig: Callable[..., Path]
) -> None:
    cluster = find_cluster(
        kubeconfig=write_kubeconfig(user={"exec": program("give(token=f'token-{runs}')")}), environ={}
    )
    first = cluster.access()
    assert first.token == cluster.access().token == Secret("token-1")
    second = cluster.renew_access(first)
    assert second.token == Secret("token-2")
    # Another caller whose first credentials were refused needs no third run.
    assert cluster.renew_access(first) == second
    assert (tmp_path / "runs").read_text() == "2"


def test_plugin_that_repeats_its_token_ends_the_login(
    program: Any, write_kubeconfig: Callable[..., Path]
) -> None:
    cluster = find_cluster(
        kubeconfig=write_kubeconfig(user={"exec": program("give(token='same')")}), environ={}
    )
    with pytest.raises(TokenExpired):
        cluster.renew_access(cluster.access())
