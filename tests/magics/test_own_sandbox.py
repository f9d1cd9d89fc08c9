"""``%sandbox``, with a sandbox of its own."""

from __future__ import annotations

import builtins
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sspcloud_magics import errors, sandbox, session
from sspcloud_magics.sandbox.daemon import default_home
from tests.magics.conftest import Notebook

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def real_cache() -> Path:
    """The user's cache, found before a test changes the home directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, real_cache: Path) -> Iterator[Path]:
    """The home of a sandbox, which is stopped at the end."""
    # Not pytest's: as root, the sandbox's Postgres is another user, who must pass through.
    folder = Path(tempfile.mkdtemp(prefix="sspcloud-"))
    folder.chmod(0o711)
    monkeypatch.setenv("SSPCLOUD_SANDBOX_HOME", str(folder / "home"))
    # Prepared databases are a cache of the user's, not of this test's.
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    assert default_home() == folder / "home"
    yield folder / "home"
    sandbox.stop()
    shutil.rmtree(folder)


def test_practising_from_start_to_stop(home: Path, notebook: Notebook) -> None:
    assert "not running" in str(notebook.run("%sandbox status"))
    assert isinstance(notebook.fail("%sandbox as alice"), errors.SandboxFailed)
    assert "%sandbox start" in notebook.printed

    assert "You are bob (oidc-bob)" in str(notebook.run("%sandbox start"))
    assert "You are alice" in str(notebook.run("%sandbox as alice"))
    assert sandbox.status().running
    assert str(sandbox.status().server) in str(notebook.run("%sandbox status"))
    forward = notebook.run("%forward svc/mon-api :http")
    notebook.run("%connect_db postgresql-cnpg-951239")
    connected = session.current_connection()

    stopped = str(notebook.run("%sandbox stop"))
    assert "stopped" in stopped
    assert "%k8s_login FILE" in stopped
    assert "%k8s_whoami" not in stopped, "it would fail: there is no other login"
    assert not sandbox.status().running
    assert forward.state == "stopped"
    assert connected.closed
    assert session.recent_use().cluster is None
    assert isinstance(notebook.fail("%k8s_whoami"), errors.NotLoggedIn)

    notebook.run("%sandbox start")
    notebook.run("%config SSPCloud.kubeconfig = '{sandbox.kubeconfig(\"carol\")}'")
    assert "%k8s_whoami" not in str(notebook.run("%sandbox stop")), "that login is the stopped sandbox's too"
    mine = home.parent / "token"
    mine.write_text("not-asked")
    notebook.run(f"%config SSPCloud.token_file = '{mine}'")
    notebook.run("%config SSPCloud.kubeconfig = ''")
    notebook.run("%config SSPCloud.server = 'https://127.0.0.1:9'")
    notebook.run("%sandbox start")
    assert "%k8s_whoami" in str(notebook.run("%sandbox stop"))

    assert "is reset" in str(notebook.run("%sandbox reset"))
    assert not (home / "kubeconfig-bob").exists()
    assert "stopped" in str(notebook.run("%sandbox stop"))


def test_stopping_the_sandbox_keeps_another_cluster(notebook: Notebook, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("not a token")
    notebook.run("%config SSPCloud.server = 'https://127.0.0.1:9'")
    notebook.run(f"%config SSPCloud.token_file = '{token}'")
    cluster = session.current_cluster()
    assert not session.leave("https://127.0.0.1:9"), "its token cannot be read, and nothing breaks"
    token.write_text("not-asked")
    assert not session.leave("https://127.0.0.1:10")
    assert session.current_cluster() is cluster
    assert session.leave("https://127.0.0.1:9")
    assert session.recent_use().cluster is None


def test_missing_sandbox_says_how_to_install_it(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def import_without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "sspcloud_magics" and "sandbox" in (arguments[2] or ()):
            raise ModuleNotFoundError("No module named 'aiohttp'")
        return usual(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", import_without)
    error = notebook.fail("%sandbox status")
    assert isinstance(error, errors.SandboxFailed)
    assert "[sandbox]" in error.hint
