"""What a run says of tests that this machine cannot run, and Debian's servers where they can be unpacked."""

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.support import debian_servers, not_run
from tests.support.machine import make_folder

ROOT = Path(__file__).resolve().parents[2]


def make_skip_report(skip, reason):
    with pytest.raises(pytest.skip.Exception) as skipped:
        skip(reason)
    longrepr = ("test_x.py", 1, f"Skipped: {skipped.value}")
    return pytest.TestReport("test_x", ("test_x.py", 1, "test_x"), {}, "skipped", longrepr, "call")


def test_one_line_names_all_that_was_lacking():
    reports = [make_skip_report(not_run.skip, each) for each in ("b: none", "a: none", "b: none")]
    reports.append(make_skip_report(pytest.skip, "another reason"))
    assert not_run.sum_up(reports) == "not run: a: none; b: none"
    assert not_run.sum_up(reports[-1:]) == ""


def test_without_apt_the_test_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(debian_servers, "FOLDER", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        pytest.skip.Exception, match=r"^not run: postgresql-15 of Debian: there is no apt-get"
    ):
        debian_servers.require("postgresql-15")


def test_two_that_ask_at_once_share_one_server():
    debian_servers.require("postgresql-15")
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: debian_servers.unpack("postgresql-15"), range(2))
    assert first == second
    told = subprocess.run(
        [first / "usr/lib/postgresql/15/bin/postgres", "--version"],
        env=debian_servers.environment(first),
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith("postgres (PostgreSQL) 15.")


def test_temporary_files_are_in_memory_if_it_fits(tmp_path, monkeypatch):
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    for folder in (memory, disk):
        folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    monkeypatch.delenv("TMPDIR")
    assert make_folder(memory, enough=0).parent == memory
    assert make_folder(memory, enough=1 << 60).parent == disk
    assert make_folder(tmp_path / "missing", enough=0).parent == disk
    monkeypatch.setenv("TMPDIR", str(disk))
    assert make_folder(memory, enough=0).parent == disk


def test_folder_of_a_killed_run_is_removed(tmp_path, monkeypatch):
    """The next run removes it, and leaves the folder of a run that still lives."""
    monkeypatch.delenv("TMPDIR")
    make = f"make_folder(Path({str(tmp_path)!r}), enough=0)"
    code = f"from pathlib import Path; from tests.support.machine import make_folder; print({make}, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True) as run:
        theirs = Path(run.stdout.readline().strip())
        (theirs / "home").mkdir()
        ours = make_folder(tmp_path, enough=0)
        assert set(tmp_path.iterdir()) == {ours, theirs}
        run.kill()
    last = make_folder(tmp_path, enough=0)
    assert set(tmp_path.iterdir()) == {ours, last}
