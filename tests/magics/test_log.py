"""``%config SSPCloud.log`` starts the log, and ``%k8s_doctor`` shows its path."""

from __future__ import annotations

import pytest

from sspcloud_magics import log_file
from tests.magics.conftest import Notebook


def test_log_is_begun_and_found(notebook: Notebook, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert "Log" not in str(notebook.run("%k8s_doctor"))
    notebook.run('%config SSPCloud.log = "debug"')
    path = log_file.path()
    assert path is not None
    assert f"It is written to {path}" in str(notebook.run("%k8s_doctor"))
    notebook.run('%config SSPCloud.log = ""')
    assert log_file.path() is None


def test_other_level_is_refused(notebook: Notebook, caplog: pytest.LogCaptureFixture) -> None:
    notebook.run('%config SSPCloud.log = "loud"')
    assert "write one of debug, info, warning" in caplog.text
    assert log_file.path() is None
