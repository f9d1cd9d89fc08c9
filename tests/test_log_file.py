"""The log is off until you ask for it, is yours alone, stays small, and holds no secret."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sspcloud_magics import log_file
from sspcloud_magics.secret import Secret

LOG = logging.getLogger("sspcloud_magics.tunnel.test")
# No process has a number beyond Linux' largest.
NOT_RUNNING = (4 << 20) + 1
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield tmp_path / "sspcloud-magics" / "logs"
    log_file.set_level("")


def read_log() -> str:
    path = log_file.path()
    assert path is not None
    return path.read_text()


def test_log_is_off_by_default(state: Path) -> None:
    LOG.error("unheard")
    assert log_file.path() is None
    assert log_file.level() == 0
    assert not state.exists()


def test_log_is_written_for_its_user_alone(state: Path) -> None:
    log_file.set_level("info")
    LOG.debug("too detailed")
    LOG.info("forward %d: %s", 1, "active")
    assert "sspcloud_magics.tunnel.test: forward 1: active" in read_log()
    assert "too detailed" not in read_log()
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in state.iterdir()] == [0o600]


def test_log_ends_when_it_is_told(state: Path) -> None:
    log_file.set_level("debug")
    log_file.set_level("")
    LOG.error("unheard")
    assert log_file.path() is None
    assert [file.read_text() for file in state.iterdir()] == [""]


def test_log_stays_small(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "SIZE", 10_000)
    log_file.set_level("debug")
    for _ in range(1000):
        LOG.debug("x" * 100)
    sizes = [file.stat().st_size for file in state.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= 10_000
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in state.iterdir())


def test_files_of_former_kernels_are_removed(state: Path) -> None:
    state.mkdir(parents=True)
    for age in range(9):
        file = state / f"kernel-{NOT_RUNNING + age}.log"
        file.touch()
        os.utime(file, (1000 - age, 1000 - age))
    log_file.set_level("debug")
    former = {f"kernel-{NOT_RUNNING + age}.log" for age in range(log_file.KEPT)}
    assert {file.name for file in state.iterdir()} == former | {f"kernel-{os.getpid()}.log"}


@pytest.mark.parametrize(
    "line",
    [
        "said back: c4nary-password",
        "Authorization: Bearer c4nary",
        "https://bob:c4nary@proxy.example:3128",
        f"the token {JWT.replace('c2ln', 'c4nary')} is refused",
        "postgresql://x?password=c4nary",
    ],
)
def test_no_secret_is_written(line: str) -> None:
    secret = Secret("c4nary-password")
    log_file.set_level("debug")
    LOG.debug(line)
    try:
        int(line)
    except ValueError:
        LOG.exception("a turn failed")
    assert "c4nary" not in read_log()
    assert "●●●●●●" in read_log()
    assert "ValueError" in read_log()
    assert secret


def test_control_characters_are_escaped() -> None:
    log_file.set_level("debug")
    LOG.debug("a name \x1b[31m of a pod")
    assert "\\x1b[31m" in read_log()


def test_child_process_writes_nothing(state: Path) -> None:
    log_file.set_level("debug")
    pid = os.fork()
    if pid == 0:
        LOG.error("from the child")
        os._exit(0 if log_file.path() is None else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert [file.read_text() for file in state.iterdir()] == [""]


def test_folder_that_cannot_be_made_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="No log can be written"):
        log_file.set_level("debug")
    assert log_file.path() is None


def test_log_is_not_written_through_a_link(state: Path, tmp_path: Path) -> None:
    """If others can write the folder, a link could lead to another file."""
    state.mkdir(parents=True)
    (state / f"kernel-{os.getpid()}.log").symlink_to(tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match="No log can be written"):
        log_file.set_level("debug")
    assert not (tmp_path / "elsewhere").exists()


def test_records_reach_no_handler_of_others(capfd: pytest.CaptureFixture[str]) -> None:
    other = logging.StreamHandler()
    logging.getLogger().addHandler(other)
    try:
        log_file.set_level("debug")
        LOG.error("only in the file")
    finally:
        logging.getLogger().removeHandler(other)
    assert "only in the file" in read_log()
    assert capfd.readouterr() == ("", "")


def test_logs_of_living_kernels_are_kept(state: Path) -> None:
    state.mkdir(parents=True)
    living, dead = state / f"kernel-{os.getppid()}.log", state / f"kernel-{NOT_RUNNING}.log"
    for age, file in enumerate(
        [living, dead, *(state / f"kernel-{NOT_RUNNING + 1 + at}.log" for at in range(5))]
    ):
        file.touch()
        os.utime(file, (age, age))
    log_file.set_level("debug")
    assert living.exists()
    assert not dead.exists()


def test_no_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(log_file, "state_folder", home)
    with pytest.warns(UserWarning, match="No log can be written: Could not determine home directory"):
        log_file.set_level("debug")
    assert log_file.path() is None
