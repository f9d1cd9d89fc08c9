"""``python -m sspcloud_magics.demo`` as a program: its output, and that it leaves nothing behind."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

DEMO = [sys.executable, "-m", "sspcloud_magics.demo"]
PLAN = "import sys; from sspcloud_magics import demo; demo.CELLS = {cells!r}; sys.exit(demo.main())"
WITHOUT_CLUSTER = "from contextlib import nullcontext; demo.practice_cluster = nullcontext; "


def without_cluster(cells: tuple[tuple[str, str], ...]) -> list[str]:
    """Return the command for a demonstration of these cells that starts no practice cluster."""
    return [sys.executable, "-c", PLAN.format(cells=cells).replace("sys.exit", WITHOUT_CLUSTER + "sys.exit")]


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """An environment with its own home and temporary directory; no file and no process may remain."""
    # Not pytest's: as root, the sandbox's Postgres is another user, who must pass through.
    top = Path(tempfile.mkdtemp(prefix="sspcloud-"))
    top.chmod(0o711)
    folder = top / "t"
    folder.mkdir()
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "PG", "SSPCLOUD"))
    }
    kept.pop("NO_COLOR", None)
    home = top / "home"
    home.mkdir()
    yield kept | {"HOME": str(home), "TMPDIR": str(folder), "SSPCLOUD_LANGUAGE": "en"}
    assert list(folder.iterdir()) == []
    assert [each.name for each in home.iterdir() if each.name != ".cache"] == []
    shutil.rmtree(top)
    assert [
        each
        for each in psutil.process_iter(["cmdline"])
        if str(folder) in " ".join(each.info["cmdline"] or ())
    ] == []


def test_demo_shows_a_colleagues_table_and_ends(environment: dict[str, str]) -> None:
    done = subprocess.run(
        DEMO, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert "oidc-bob" in done.stdout
    assert "mon-api-abcdef-12345" in done.stdout
    assert "%connect_db user-alice/postgresql-cnpg-951239" in done.stdout
    assert re.search(r"departement +personnes +salaire_moyen", done.stdout)
    assert "make lab" in done.stdout
    assert re.findall(r"^In \[(\d+)\]", done.stdout, re.MULTILINE) == [str(n) for n in range(1, 12)]


def test_demo_speaks_the_language_of_the_terminal(environment: dict[str, str]) -> None:
    french = {"SSPCLOUD_LANGUAGE": "", "LC_ALL": "", "LC_MESSAGES": "", "LANG": "fr_FR.UTF-8"}
    done = subprocess.run(
        without_cluster((("Who am I?", "1 + 1"),)),
        env=environment | french,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "# Qui suis-je\N{NO-BREAK SPACE}?" in done.stdout
    assert "est en marche." in done.stdout


@pytest.mark.parametrize(
    ("cell", "error"), [("%forward svc/nothing 80 --nonsense", "UsageProblem"), ("x = = 1", "SyntaxError")]
)
def test_a_cell_that_fails_is_told_and_fails_the_whole(
    environment: dict[str, str], cell: str, error: str
) -> None:
    cells = (("", "%load_ext sspcloud_magics"), ("", cell))
    done = subprocess.run(
        without_cluster(cells),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"The demonstration failed: {cell}\n{error}:" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def interrupt(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """End a process with repeated Ctrl-C, as a user does; return its output."""
    while True:
        os.killpg(process.pid, number)
        try:
            return "".join(process.communicate(timeout=15))
        except subprocess.TimeoutExpired:
            continue


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_ended_at_any_moment(environment: dict[str, str], number: signal.Signals) -> None:
    cells = (
        ("", "%load_ext sspcloud_magics"),
        ("", "%sandbox start"),
        ("", "import time; print('now', flush=True); time.sleep(600)"),
    )
    with subprocess.Popen(
        [sys.executable, "-c", PLAN.format(cells=cells)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert any(line == "now\n" for line in process.stdout)
        rest = interrupt(process, number)
    assert process.returncode == 130
    assert "Ended; nothing is left running." in rest
    assert "Traceback" not in rest


def test_demo_can_be_ended_while_the_sandbox_starts(environment: dict[str, str]) -> None:
    with subprocess.Popen(
        DEMO,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("Starting") for line in process.stdout)
        rest = interrupt(process, signal.SIGINT)
    # Between two imports the interpreter itself may end on the signal: to a shell that is 130, too.
    assert process.returncode in (130, -signal.SIGINT)
    assert process.returncode < 0 or "Ended" in rest


def test_colours_are_for_terminals_that_want_them(environment: dict[str, str]) -> None:
    cells = (("A comment", "1 + 1"),)
    for extra, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            without_cluster(cells),
            env=environment | extra,
            stdout=slave,
            stdin=slave,
        )
        os.close(slave)
        shown = b""
        with os.fdopen(master, "rb", buffering=0) as terminal:
            while True:
                try:
                    part = terminal.read(4096)
                except OSError:  # Linux' way to say that the other end is closed
                    break
                if not part:
                    break
                shown += part
        assert process.wait() == 0
        assert (b"\x1b[32mIn [1]" in shown) is coloured
        assert (b"\x1b[" in shown) is coloured
