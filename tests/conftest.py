"""One real sandbox for all tests that need a cluster, the testbed for those that run on any, and their order."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

from sspcloud_magics import i18n
from tests.support import not_run
from tests.support.left_objects import list_objects, list_objects_at_rest
from tests.support.machine import isolate, make_folder, restore_interrupts
from tests.testbed import Sandbox, Testbed, open_sandbox, read_testbed, sandbox_testbed
from tools import catalogue

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("patient"), max_examples=5_000)
settings.load_profile("patient")  # the machine may be busy

# The sandbox of this process, and the objects in it.
OBJECTS = pytest.StashKey[tuple[Sandbox, set[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--testbed",
        type=Path,
        metavar="FILE.json",
        help="run tests/integration on the cluster that this file describes, not on the sandbox",
    )
    parser.addoption(
        "--keep-answers",
        action="store_true",
        help="write the answers of tests/languages, instead of comparing them: read them afterwards",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    line = not_run.sum_up(terminalreporter.stats.get("skipped", ()))
    if line:
        terminalreporter.write_line(line)
        not_run.FILE.parent.mkdir(exist_ok=True)
        not_run.FILE.write_text(line + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """Isolate each process from the machine's configuration; the processes of one run share a folder."""
    restore_interrupts()
    if hasattr(config, "workerinput"):
        folder = Path(os.environ["TMPDIR"])
    else:
        catalogue.compile_catalogue()  # a pull may have brought new messages
        folder = make_folder()
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    isolate(folder)


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests whose fixtures need a sandbox or a database."""
    if {"sandbox", "own_sandbox", "practice", "testbed", "server", "debian", "standby"} & set(
        getattr(item, "fixturenames", ())
    ):
        item.add_marker("servers")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, and never look through the collected tests again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run slow files first, so that no process is left with one at the end; the rest is random."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="module", autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fail a module that leaves helper processes or a panel's threads, which another module would count."""
    yield
    assert helper_commands() == []
    assert [each.name for each in threading.enumerate() if each.name.startswith("sspcloud-panel")] == []


def helper_commands() -> list[str]:
    """Return the command lines of the helpers of this process."""
    commands = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # it has just ended
            commands.append(" ".join(child.cmdline()))
    return [command for command in commands if "sspcloud_magics.tunnel" in command]


@pytest.fixture(scope="session")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """One real sandbox for the whole session; a test must leave it as it was."""
    with open_sandbox() as running:
        request.config.stash[OBJECTS] = (running, list_objects(running))
        yield running
        del request.config.stash[OBJECTS]


@pytest.fixture(scope="module", autouse=True)
def no_object_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a module that leaves the sandbox with other objects, which another module would meet."""
    yield
    if OBJECTS in request.config.stash:
        running, before = request.config.stash[OBJECTS]
        after = list_objects_at_rest(running, before)
        request.config.stash[OBJECTS] = (running, after)
        assert after == before


@pytest.fixture(scope="session")
def testbed(request: pytest.FixtureRequest) -> Testbed:
    """The four helpers, on the cluster of ``--testbed`` or on the sandbox."""
    file: Path | None = request.config.getoption("--testbed")
    if file is not None:
        return read_testbed(file)
    running: Sandbox = request.getfixturevalue("sandbox")
    made = sandbox_testbed(running)
    request.config.stash[OBJECTS] = (running, list_objects(running))
    return made


@pytest.fixture
def french() -> Iterator[None]:
    """Give the messages of this process in French."""
    i18n.choose(i18n.Source.SETTING, "fr")
    yield
    i18n.choose(i18n.Source.SETTING, "")
