"""A real IPython and a separate session for each test."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from sspcloud_magics import session
from sspcloud_magics.session import session as session_module


class Notebook:
    """An IPython that runs cells and keeps their output."""

    def __init__(self, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
        self.shell = shell
        self._capsys = capsys
        self.printed = ""

    def run(self, cell: str) -> Any:
        """Run a cell that must succeed, and return its value."""
        result = self._run(cell)
        result.raise_error()
        return result.result

    def fail(self, cell: str) -> BaseException:
        """Run a cell that must fail without a traceback, and return its error."""
        result = self._run(cell)
        error = result.error_in_exec or result.error_before_exec
        assert error is not None, f"{cell!r} did not fail"
        assert "Traceback" not in self.printed, self.printed
        assert self.printed.startswith(type(error).__name__), self.printed
        return error

    def _run(self, cell: str, *, store_history: bool = False) -> Any:
        self._capsys.readouterr()
        result = self.shell.run_cell(cell, store_history=store_history)
        self.printed = "".join(self._capsys.readouterr())
        return result

    def complete(self, line: str) -> list[str]:
        """Return the completed lines that Tab offers at the end of a line."""
        with provisionalcompleter():
            offered = list(self.shell.Completer.completions(line, len(line)))
        return [line[: each.start] + each.text + line[each.end :] for each in offered]


@pytest.fixture
def fresh_session(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A session without a cluster, which is closed at the end."""
    monkeypatch.setattr(session_module, "session", session_module.Session())
    yield
    session.close()


@pytest.fixture
def notebook(
    fresh_session: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Notebook]:
    """A real IPython with the extension loaded, and no cluster configured anywhere."""
    with open_shell(tmp_path, monkeypatch) as shell:
        yield Notebook(shell, capsys)


@contextmanager
def open_shell(home: Path, environ: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """Start IPython with the extension in an empty home, and no cluster configured anywhere."""
    environ.setenv("IPYTHONDIR", str(home / "ipython"))
    environ.setenv("HOME", str(home))
    environ.setenv("XDG_STATE_HOME", str(home / "state"))
    environ.delenv("KUBECONFIG", raising=False)
    environ.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "sspcloud_magics")
    yield shell
    shell.run_line_magic("unload_ext", "sspcloud_magics")
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()
    # At exit, each of hundreds of shells would collect the garbage of the whole process, in a third of a second.
    atexit.unregister(shell.atexit_operations)
