"""The controller on a real sandbox: its updates, its commands, and when it sends nothing."""

from __future__ import annotations

import itertools
import json
import socket
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sspcloud_magics import session
from sspcloud_magics.forwards.helper import Helper
from sspcloud_magics.session import session as session_module
from sspcloud_magics.widgets import runner, snapshots
from sspcloud_magics.widgets.controller import Controller
from sspcloud_magics.widgets.gil_switch_interval import SHORT
from sspcloud_magics.widgets.rate_limiter import AHEAD, PACE
from tests.support.waiting import wait_until
from tests.testbed import Sandbox
from tests.widgets.conftest import LOOK, SECONDS, Browser, as_alice, outcome

POD = "mon-api-abcdef-12345"
FORWARD = {"do": "forward", "kind": "pod", "name": POD, "port": 8000, "key": "api", "id": "1"}


def test_a_look_tells_who_one_is_and_what_runs(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    as_alice(controller, sandbox)
    browser.wait_until(lambda facts: facts.get("source/shares") is True and f"pod/{POD}" in facts)
    assert browser.facts["who"]["user"] == "oidc-alice"
    assert browser.facts["who"]["role"] == "admin"
    assert browser.facts[f"pod/{POD}"]["ports"] == [[8000, "http"]]
    assert browser.facts[f"pod/{POD}"]["tone"] == "good"
    assert browser.wait_until(lambda facts: facts.get("service/mon-api"))["ports"] == [[80, "http"]]
    assert browser.facts["database/user-alice/postgresql-cnpg-951239"]["state"] == "running"
    assert browser.facts["share/postgresql-cnpg-951239/bob"]["access"] == "read-only"
    assert browser.facts["sandbox"]["running"]
    assert "token" not in json.dumps(browser.facts).lower()


def test_a_click_forwards_twice_the_same_and_stops(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    as_alice(controller, sandbox)
    controller.receive(FORWARD)
    assert outcome(browser, "api", "1") == {"id": "1", "state": "done"}
    (opened,) = session.open_forwards()
    with urllib.request.urlopen(f"http://localhost:{opened.local_port}/", timeout=SECONDS) as answer:
        assert answer.status == 200
    browser.wait_until(lambda facts: facts.get(f"traffic/{opened.id}", (0, 0))[1] > 0)
    assert browser.facts[f"forward/{opened.id}"]["ports"] == [[opened.local_port, 8000]]

    controller.receive(FORWARD | {"id": "2"})
    assert outcome(browser, "api", "2")["state"] == "done"
    assert session.open_forwards() == [opened]

    for number in ("3", "4"):
        controller.receive({"do": "stop_forward", "forward": opened.id, "key": "stop", "id": number})
        assert outcome(browser, "stop", number)["state"] == "done"
    browser.wait_until(lambda facts: f"forward/{opened.id}" not in facts)
    assert session.open_forwards() == []


@pytest.fixture
def own_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A short folder for the sockets of this test only."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
@pytest.mark.usefixtures("own_runtime_folder")
def test_forward_on_a_unix_socket_is_told_by_its_path(
    controller: Controller,
    browser: Browser,
    sandbox: Sandbox,
) -> None:
    as_alice(controller, sandbox)
    opened = session.forward("svc/mon-api", "http", unix=True)
    fact = browser.wait_until(
        lambda facts: (fact := facts.get(f"forward/{opened.id}", {})).get("sockets") and fact
    )
    assert fact["sockets"] == list(opened.sockets)
    assert fact["address"] == str(Path(fact["sockets"][0]).parent)
    assert fact["magic"].endswith(" --unix")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(fact["sockets"][0])
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.")
    browser.wait_until(lambda facts: facts.get(f"traffic/{opened.id}", (0, 0))[1] > 0)
    controller.receive({"do": "stop_forward", "forward": opened.id, "key": "stop", "id": "1"})
    assert outcome(browser, "stop", "1")["state"] == "done"
    browser.wait_until(lambda facts: f"forward/{opened.id}" not in facts)
    assert not Path(fact["sockets"][0]).exists()


def test_forward_stopped_while_opening_is_no_failure(
    controller: Controller, browser: Browser, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = threading.Event()

    def late() -> Helper:
        starts.wait(SECONDS)
        return Helper()

    monkeypatch.setattr(session_module.manager(), "_start_helper", late)
    as_alice(controller, sandbox)
    controller.receive(FORWARD | {"id": "1"})
    number = browser.wait_until(lambda facts: forward_in(facts, "starting"))
    controller.receive({"do": "stop_forward", "key": "stop", "id": "2", "forward": number})
    assert outcome(browser, "stop", "2")["state"] == "done"
    assert outcome(browser, FORWARD["key"], "1") == {"id": "1", "state": "done"}
    starts.set()
    controller.receive(FORWARD | {"id": "3"})
    assert outcome(browser, FORWARD["key"], "3")["state"] == "done"
    assert browser.wait_until(lambda facts: forward_in(facts, "active")) != number


def forward_in(facts: dict[str, Any], wanted: str) -> int | None:
    """Return the number of the forward that is in a state."""
    return next(
        (
            int(key.removeprefix("forward/"))
            for key, fact in facts.items()
            if key.startswith("forward/") and fact["state"] == wanted
        ),
        None,
    )


def test_double_click_is_one_order_answered_twice(
    controller: Controller, browser: Browser, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on, runs = threading.Event(), threading.Event(), []

    def slow(order: Any) -> None:
        runs.append(order["id"])
        begun.set()
        goes_on.wait(SECONDS)

    monkeypatch.setattr(runner.commands, "run_command", slow)
    as_alice(controller, sandbox)
    controller.receive({"do": "connect", "key": "db", "id": "1"})
    assert begun.wait(SECONDS)
    controller.receive({"do": "connect", "key": "db", "id": "2"})
    browser.wait_until(lambda facts: facts.get("command/db") == {"id": "2", "state": "pending"})
    goes_on.set()
    assert outcome(browser, "db", "2")["state"] == "done"
    assert runs == ["1"]


def test_an_order_that_fails_says_why(controller: Controller, browser: Browser, sandbox: Sandbox) -> None:
    as_alice(controller, sandbox)
    controller.receive(FORWARD | {"port": 4711})
    failed = outcome(browser, "api", "1")
    assert failed["state"] == "failed"
    assert failed["error"]["code"] in {"DialFailed", "PortNotFound"}
    assert session.open_forwards() == []


@pytest.mark.parametrize(
    "order",
    [
        {"do": "format the disk"},
        {"do": "forward"},
        {"do": "stop_forward", "forward": True},
        {"do": "act_as", "person": "eve"},
    ],
)
def test_senseless_order_fails_alone(
    controller: Controller, browser: Browser, sandbox: Sandbox, order: dict[str, Any]
) -> None:
    as_alice(controller, sandbox)
    controller.receive("no message")
    controller.receive({"do": 7})
    controller.receive(order | {"key": "odd", "id": "1"})
    assert outcome(browser, "odd", "1")["error"]["code"] == "UsageProblem"


def test_colleagues_database_is_connected_by_name(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    session.login(kubeconfig=sandbox.kubeconfig("bob"))
    controller.receive(LOOK)
    name = "user-alice/postgresql-cnpg-951239"
    controller.receive({"do": "connect", "database": name, "key": "db", "id": "1"})
    assert outcome(browser, "db", "1")["state"] == "done"
    connected = browser.wait_until(
        lambda facts: [facts[key] for key in facts if key.startswith("connection/")]
    )
    assert [(each["database"], each["current"]) for each in connected] == [(name, True)]
    assert int(session.query_db("SELECT 1 AS one")["one"][0]) == 1


def test_another_identity_replaces_the_snapshot(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    as_alice(controller, sandbox)
    browser.wait_until(lambda facts: f"pod/{POD}" in facts)
    controller.receive({"do": "act_as", "person": "bob", "key": "become", "id": "1"})
    browser.wait_until(lambda facts: facts.get("who", {}).get("user") == "oidc-bob")
    browser.wait_until(lambda facts: facts.get("source/pods") is True and f"pod/{POD}" not in facts)


def test_missing_cluster_is_told_with_a_hint(controller: Controller, browser: Browser) -> None:
    controller.receive(LOOK)
    told = browser.wait_until(lambda facts: facts.get("source/who"))
    assert told["code"] == "NotLoggedIn"
    assert told["hint"]
    assert browser.facts["sandbox"]["running"]


def test_forbidden_list_is_its_sections_trouble(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    session.login(kubeconfig=sandbox.kubeconfig("bob"), namespace="user-carol")
    controller.receive(LOOK)
    told = browser.wait_until(lambda facts: facts.get("source/pods"))
    assert told["code"] == "Forbidden"
    assert browser.facts["who"]["user"] == "oidc-bob"


class Turns:
    """Counts what the controller's thread does, to wait for it."""

    def __init__(self, controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
        self._semaphore = threading.Semaphore(0)
        turn = controller.scheduler._turn

        def count_turn() -> None:
            turn()
            self._semaphore.release()

        monkeypatch.setattr(controller.scheduler, "_turn", count_turn)

    def wait(self, number: int) -> None:
        for _ in range(number):
            assert self._semaphore.acquire(timeout=SECONDS)


def test_nothing_is_sent_while_nothing_changes(
    controller: Controller, browser: Browser, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Semaphore(0)
    ask = snapshots.databases

    def ask_and_count(cluster: Any) -> Any:
        found = ask(cluster)
        asked.release()
        return found

    monkeypatch.setitem(snapshots.SOURCES, "databases", snapshots.SnapshotSource(ask_and_count, 0.2))
    as_alice(controller, sandbox)
    browser.wait_until(lambda facts: facts.get("source/shares") is True)
    Turns(controller, monkeypatch).wait(12)
    before = len(browser.told)
    while asked.acquire(blocking=False):
        pass
    for _ in range(3):
        assert asked.acquire(timeout=SECONDS), "the cluster is asked all the while"
    assert [message for _, message in browser.told[before:]] == []


def test_answer_does_not_wait_and_is_told_once(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    as_alice(controller, sandbox)
    browser.wait_until(lambda facts: "who" in facts)
    controller.scheduler._pace.pace, controller.scheduler._pace.ahead = 10_000.0, 100_000.0
    for number in ("1", "2"):
        controller.receive(FORWARD | {"id": number})
        assert outcome(browser, FORWARD["key"], number)["state"] == "done"
    controller.receive({"do": "nonsense", "key": "x", "id": "3"})
    assert outcome(browser, "x", "3")["state"] == "failed"
    told = [part[key] for _, part in browser.parts() for key in part if key.startswith("command/")]
    assert [each["state"] for each in told] == ["done", "done", "failed"], (
        "what is done at once was never pending"
    )


def test_interpreter_lock_is_shared_during_an_order(
    controller: Controller, browser: Browser, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, during = sys.getswitchinterval(), []
    monkeypatch.setattr(runner.commands, "run_command", lambda _: during.append(sys.getswitchinterval()))
    as_alice(controller, sandbox)
    controller.receive(FORWARD)
    assert outcome(browser, FORWARD["key"], "1")["state"] == "done"
    assert during == [pytest.approx(SHORT)]
    # This is answered in a later turn than that in which the order ended.
    told = len(browser.told)
    controller.receive(LOOK)
    browser.wait_until(lambda _: any(message["type"] == "snapshot" for _, message in browser.told[told:]))
    assert sys.getswitchinterval() == before


def test_updates_keep_their_distance_and_their_size(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    as_alice(controller, sandbox)
    for number in range(30):
        controller.receive({"do": "nonsense", "key": f"{number}", "id": "1"})
    browser.wait_until(
        lambda facts: all(facts.get(f"command/{number}", {}).get("state") == "failed" for number in range(30))
    )
    parts = browser.parts()
    assert len(parts) > 1
    moments = [moment for moment, _ in parts]
    for (first, sooner), (last, later) in itertools.combinations(enumerate(moments), 2):
        # One more than that, since a busy machine notes one update later than another.
        assert last - first <= (later - sooner + AHEAD) / PACE + 2
    assert max(len(json.dumps(part, separators=(",", ":"))) for _, part in parts) <= 2000


def test_nothing_is_polled_without_a_view(
    controller: Controller, browser: Browser, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_alice(controller, sandbox)
    browser.wait_until(lambda facts: "who" in facts)
    controller.receive(LOOK | {"visible": False, "new": False})
    turns = Turns(controller, monkeypatch)
    controller.receive(LOOK | {"view": "two", "visible": False, "new": False})
    turns.wait(1)
    assert controller.scheduler._pause() is None, "it sleeps until a view opens or the user clicks"
    wait_until(lambda: not followers())  # it watches nothing
    controller.receive(LOOK | {"new": False})
    wait_until(lambda: len(followers()) == len(snapshots.WATCHED))


def test_click_is_answered_though_the_panel_is_hidden(
    controller: Controller, browser: Browser, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change of identity the panel is empty for a moment, and the cells below move up."""

    def become_bob(_order: Any) -> None:
        session.login(kubeconfig=sandbox.kubeconfig("bob"))

    monkeypatch.setattr(runner.commands, "run_command", become_bob)
    as_alice(controller, sandbox)
    browser.wait_until(lambda facts: "who" in facts)
    controller.receive({"do": "act_as", "person": "bob", "key": "bob", "id": "1"})
    controller.receive(LOOK | {"visible": False, "new": False})
    browser.wait_until(lambda facts: facts.get("who", {}).get("user") == "oidc-bob")
    assert outcome(browser, "bob", "1")["state"] == "done"


def followers() -> list[threading.Thread]:
    """Return the threads of the watchers."""
    return [each for each in threading.enumerate() if each.name.startswith("sspcloud-panel-")]


@pytest.mark.parametrize("lease", [0.2])
def test_a_browser_that_vanished_is_forgotten(
    controller: Controller, browser: Browser, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns(controller, monkeypatch)
    as_alice(controller, sandbox)
    turns.wait(1)
    while controller.scheduler._views:
        turns.wait(1)
    assert controller.scheduler._pause() is None
