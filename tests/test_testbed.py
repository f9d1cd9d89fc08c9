"""The file that describes a cluster to test on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sspcloud_magics.secret import Secret
from tests.testbed import Helper, PostgresHelper, open_testbed, read_testbed

DESCRIPTION = {
    "kubeconfig": "kubeconfig",
    "context": "lab",
    "namespace": "team",
    "source": {"pod": "source-0", "port": 9000},
    "sink": {"pod": "sink-0", "port": 9001},
    "echo": {"pod": "echo-0", "port": 9002},
    "postgres": {"service": "db", "port": 5432, "database": "d", "user": "u", "password": "correct horse"},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "testbed.json"
    path.write_text(json.dumps(DESCRIPTION))
    return path


def test_is_read_whole(file: Path) -> None:
    testbed = read_testbed(file)
    assert testbed.kubeconfig == (file.parent / "kubeconfig").resolve()
    assert (testbed.context, testbed.namespace) == ("lab", "team")
    assert testbed.echo == Helper("echo-0", 9002)
    assert testbed.postgres == PostgresHelper("db", 5432, "d", "u", Secret("correct horse"))


def test_shows_no_password(file: Path) -> None:
    assert "correct horse" not in repr(read_testbed(file))


def test_needs_no_sandbox(file: Path) -> None:
    with open_testbed(file) as testbed:
        assert testbed == read_testbed(file)


def test_context_may_be_left_to_the_kubeconfig(file: Path) -> None:
    file.write_text(json.dumps({name: value for name, value in DESCRIPTION.items() if name != "context"}))
    assert read_testbed(file).context is None
