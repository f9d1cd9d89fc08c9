"""What other users can read of the processes and the notebook file while everything is open."""

from __future__ import annotations

import json
import re
from pathlib import Path

import psutil
import pytest

from sspcloud_magics import log_file, session
from sspcloud_magics.sandbox import account
from sspcloud_magics.widgets.widget import Panel
from tests.magics.conftest import Notebook
from tests.testbed import Sandbox

DATABASE = "postgresql-cnpg-951239"


def test_processes_state_and_files_hold_no_secret(
    notebook: Notebook, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = account.login_script("alice", sandbox.home)
    file = tmp_path / "config.sh"
    file.touch(mode=0o600)
    file.write_text(script)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    notebook.run('%config SSPCloud.log = "debug"')
    log = log_file.path()
    assert log is not None
    notebook.run(f"%k8s_login {file}")
    notebook.run(f"%connect_db {DATABASE}")
    notebook.run("%query_db select 1 as n")
    canaries = [token.rpartition(".")[2] for token in re.findall(r"(?:id|refresh)-token=(\S+)", script)]
    canaries.append(session.open_connections()[-1].psycopg.pgconn.password.decode())
    assert len(canaries) == 3
    assert all(len(canary) > 8 for canary in canaries)
    here = psutil.Process()
    helpers = [each for each in here.children() if "sspcloud_magics.tunnel" in " ".join(each.cmdline())]
    assert helpers
    panel = Panel()
    try:
        panel.controller.poll_once(10)
        saved = json.dumps([panel.get_state(), dict(panel.controller.snapshot)], default=repr)
    finally:
        panel.close()
    looked_at = {
        "argv": repr([each.cmdline() for each in (here, *helpers)]),
        "environ": repr([each.environ() for each in (here, *helpers)]),
        "widget": saved,
        "connection": repr([vars(each) for each in session.open_connections()]),
    }
    assert [name for name, text in looked_at.items() for canary in canaries if canary in text] == []
    holding = {
        each
        for each in tmp_path.rglob("*")
        if each.is_file() and any(canary in each.read_text(errors="replace") for canary in canaries)
    }
    notebook.run('%config SSPCloud.log = ""')
    logged = log.read_text()
    for words in ("helper sspcloud_magics.tunnel.forward: forward 1: active", "logged in as", "GET /api"):
        assert words in logged
    assert {each.name for each in holding} <= {"config.sh", "config", "config.before-sspcloud"}
    assert all(each.stat().st_mode & 0o077 == 0 for each in holding)
