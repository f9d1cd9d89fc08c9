"""Login, renewal and change of namespace from the panel; pasted text appears nowhere afterwards."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from sspcloud_magics import session
from sspcloud_magics.sandbox import account
from sspcloud_magics.widgets import runner
from sspcloud_magics.widgets.controller import Controller
from tests.testbed import Sandbox
from tests.widgets.conftest import LOOK, Browser, as_alice, outcome

SERVER = "--server=https://localhost:1"


def canaries(script: str) -> list[str]:
    """Return the tokens of a script, and the parts that a cut text could still show."""
    tokens = [word.split("=", 2)[-1] for word in script.split() if "-token=" in word]
    assert len(tokens) == 2, "an ID token and a refresh token"
    return [*tokens, *(token[:24] for token in tokens)]


def test_a_pasted_script_logs_in_and_is_seen_nowhere(
    controller: Controller,
    browser: Browser,
    sandbox: Sandbox,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    script = account.login_script("bob", sandbox.home)
    controller.receive(LOOK)
    controller.receive({"do": "log_in", "script": script, "key": "log in", "id": "1"})
    assert outcome(browser, "log in", "1")["state"] == "done"
    who = browser.wait_until(lambda facts: facts.get("who"))
    assert (who["user"], who["namespace"], who["unverified"]) == ("oidc-bob", "user-bob", True)
    assert who["renewable"]
    assert who["ends"] > 0
    assert (tmp_path / ".kube" / "config").is_file()
    told = json.dumps([message for _, message in browser.told]) + repr(vars(controller)) + caplog.text
    assert [each for each in canaries(script) if each in told] == []

    before = session.current_cluster().expiry().token_ends
    controller.receive({"do": "renew", "key": "renew", "id": "2"})
    assert outcome(browser, "renew", "2")["state"] == "done"
    after = session.current_cluster().expiry().token_ends
    assert before is not None
    assert after is not None
    assert after >= before
    assert session.current_cluster().access().token.reveal() not in canaries(script)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "spoil", [lambda text: text.replace("kubectl config use", "rm -rf"), lambda text: text[:-90]]
)
def test_spoilt_script_is_refused_without_a_quote(
    controller: Controller, browser: Browser, sandbox: Sandbox, spoil, caplog: pytest.LogCaptureFixture
) -> None:
    script = spoil(account.login_script("bob", sandbox.home))
    controller.receive(LOOK)
    controller.receive({"do": "log_in", "script": script, "key": "log in", "id": "1"})
    failed = outcome(browser, "log in", "1")
    assert failed["error"]["code"] == "UsageProblem"
    told = json.dumps([message for _, message in browser.told]) + caplog.text
    assert [each for each in canaries(script) if each in told] == []


def test_a_fault_of_our_own_is_logged_without_its_text(
    controller: Controller,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(order):
        raise ValueError(order["script"].reveal())

    monkeypatch.setitem(runner.commands.COMMANDS, "log_in", fail)
    controller.receive(LOOK)
    controller.receive({"do": "log_in", "script": "id-token=canary", "key": "log in", "id": "1"})
    assert outcome(browser, "log in", "1")["state"] == "failed"
    assert "ValueError" in caplog.text
    assert "canary" not in caplog.text + json.dumps(browser.facts)


@pytest.mark.parametrize("name", ["config.sh", "no-such-file", ".", "unreadable"])
def test_a_page_learns_nothing_of_files(
    controller: Controller, browser: Browser, tmp_path: Path, name: str
) -> None:
    """Existing and missing files, directories and other files get the same answer."""
    (tmp_path / "config.sh").write_text("kubectl config use-context canary")
    (tmp_path / "unreadable").touch(mode=0o000)
    controller.receive(LOOK)
    controller.receive({"do": "log_in", "file": str(tmp_path / name), "key": "log in", "id": "1"})
    failed = outcome(browser, "log in", "1")["error"]
    assert failed["what"] == "The button sent no valid script."
    assert str(tmp_path) not in json.dumps(failed)


def test_an_expired_login_is_told_with_its_family(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    script = account.login_script("bob", sandbox.home, id_token_seconds=-60, login_seconds=-30)
    controller.receive(LOOK)
    controller.receive({"do": "log_in", "script": script, "key": "log in", "id": "1"})
    assert outcome(browser, "log in", "1")["error"]["code"] == "TokenExpired"


def test_the_namespace_is_switched_and_remembered(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    as_alice(controller, sandbox)
    browser.wait_until(lambda facts: "pod/mon-api-abcdef-12345" in facts)
    controller.receive({"do": "use_namespace", "namespace": "user-bob", "key": "namespace", "id": "1"})
    assert outcome(browser, "namespace", "1")["state"] == "done"
    moved = browser.wait_until(
        lambda facts: facts.get("who", {}).get("namespace") == "user-bob" and facts["who"]
    )
    assert moved["user"] == "oidc-alice"
    assert moved["namespaces"] == ["user-alice", "user-bob"]
    assert browser.wait_until(lambda facts: facts.get("source/pods"))["code"] == "Forbidden"
    assert moved["role"] == "none"
    controller.receive({"do": "use_namespace", "namespace": "No Such!", "key": "namespace", "id": "2"})
    assert outcome(browser, "namespace", "2")["error"]["code"] == "UsageProblem"
    assert session.current_cluster().namespace == "user-bob"
