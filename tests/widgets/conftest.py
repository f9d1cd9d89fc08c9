"""A board with a session of its own, and a browser's place for what it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sspcloud_magics import session
from sspcloud_magics.session import state
from sspcloud_magics.widgets.board import Board
from tests.testbed import Sandbox

SECONDS = 30.0


class Browser:
    """What a browser knows: the facts, as it puts them together from what it is told."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.told: list[tuple[float, dict[str, Any]]] = []
        self._changed = threading.Condition()

    def take(self, message: dict[str, Any]) -> None:
        message = json.loads(json.dumps(message))
        with self._changed:
            self.told.append((time.monotonic(), message))
            if "whole" in message:
                self.facts = message["whole"]
            for key, value in message.get("part", {}).items():
                if value is None:
                    self.facts.pop(key, None)
                else:
                    self.facts[key] = value
            self._changed.notify_all()

    def parts(self) -> list[tuple[float, dict[str, Any]]]:
        """Return the updates after the first, whole one, with their times."""
        return [(moment, message["part"]) for moment, message in self.told if "part" in message]

    def until(self, true: Callable[[dict[str, Any]], Any]) -> Any:
        """Wait until something is true of the facts, and return it."""
        with self._changed:
            assert self._changed.wait_for(lambda: true(self.facts), SECONDS), self.facts
            return true(self.facts)


@pytest.fixture
def fresh_session(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Be nobody yet, in a home that names no cluster; the practice cluster is the tests' own."""
    monkeypatch.setattr(state, "session", state.Session())
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
def board(fresh_session: None, browser: Browser) -> Iterator[Board]:
    """A board that nobody looks at yet."""
    made = Board(browser.take)
    yield made
    made.close()
    assert "sspcloud-panel" not in [each.name for each in threading.enumerate()]
