"""A controller with a session of its own, and a stand-in for the browser."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sspcloud_magics import session
from sspcloud_magics.session import session as session_module
from sspcloud_magics.widgets.controller import LEASE, Controller
from tests.testbed import Sandbox

SECONDS = 30.0
LOOK = {"do": "view", "view": "one", "visible": True, "new": True}


class Browser:
    """The snapshot of a browser, merged from the updates."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.replies: dict[tuple[str, str], Any] = {}
        self.told: list[tuple[float, dict[str, Any]]] = []
        self._changed = threading.Condition()

    def take(self, message: dict[str, Any]) -> None:
        message = json.loads(json.dumps(message))
        with self._changed:
            self.told.append((time.monotonic(), message))
            if message["type"] == "reply":
                self.replies[message["key"], message["id"]] = message["value"]
            elif message["type"] == "snapshot":
                self.facts = message["values"]
            else:
                for key, value in message["values"].items():
                    if value is None:
                        self.facts.pop(key, None)
                    else:
                        self.facts[key] = value
            self._changed.notify_all()

    def parts(self) -> list[tuple[float, dict[str, Any]]]:
        """Return the updates after the first, whole one, with their times."""
        return [(moment, message["values"]) for moment, message in self.told if message["type"] == "changes"]

    def wait_until(self, true: Callable[[dict[str, Any]], Any]) -> Any:
        """Wait until something is true of the facts, and return it."""
        with self._changed:
            assert self._changed.wait_for(lambda: true(self.facts), SECONDS), self.facts
            return true(self.facts)


def as_alice(controller: Controller, sandbox: Sandbox) -> None:
    """Log in as alice, and open a view."""
    session.login(kubeconfig=sandbox.kubeconfig("alice"))
    controller.receive(LOOK)


def outcome(browser: Browser, key: str, number: str) -> dict[str, Any]:
    """Wait for the end of a command, and return its outcome."""

    def find_ended(facts: dict[str, Any]) -> dict[str, Any] | None:
        fact: dict[str, Any] | None = facts.get(f"command/{key}")
        return fact if fact and fact["id"] == number and fact["state"] != "pending" else None

    return browser.wait_until(find_ended)  # type: ignore[no-any-return]


def answer(browser: Browser, key: str, number: str) -> Any:
    """Wait for the end of a command, and return its reply, which comes before the outcome."""
    ended = outcome(browser, key, number)
    assert ended["state"] == "done", ended
    return browser.replies[key, number]


@pytest.fixture
def fresh_session(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Start without a login, in a home without a kubeconfig; the practice cluster belongs to the tests."""
    monkeypatch.setattr(session_module, "session", session_module.Session())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("SSPCLOUD_SANDBOX_HOME", str(sandbox.home))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    yield
    session.close()


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def lease() -> float:
    """How long a view may be silent."""
    return LEASE


@pytest.fixture
def controller(fresh_session: None, browser: Browser, lease: float) -> Iterator[Controller]:
    """A controller without a view."""
    made = Controller(browser.take, lease=lease)
    yield made
    made.close()
    assert [each.name for each in threading.enumerate() if each.name.startswith("sspcloud-panel")] == []
