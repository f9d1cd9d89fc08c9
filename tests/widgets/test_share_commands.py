"""Shares of services from the panel, on the sandbox: previewed, created, listed, and revoked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sspcloud_magics import session
from sspcloud_magics.cluster.api.resources import NETWORK_POLICIES
from sspcloud_magics.cluster.requests.object_writes import apply_object, delete_object
from sspcloud_magics.widgets.controller import Controller
from tests.support.closed_service import CLOSED
from tests.testbed import Sandbox
from tests.widgets.conftest import Browser, answer, as_alice, outcome

SERVICE = "user-alice/svc/mon-api"
REQUEST = {"service": SERVICE, "port": 80, "colleagues": "bob, carol", "via": "network", "duration": "2h"}


@pytest.fixture
def closed(controller: Controller, sandbox: Sandbox) -> Iterator[None]:
    """Log in as alice, and close mon-api to other namespaces."""
    as_alice(controller, sandbox)
    cluster = session.current_cluster()
    apply_object(cluster, NETWORK_POLICIES, CLOSED)
    yield
    delete_object(cluster, NETWORK_POLICIES, CLOSED["metadata"]["name"], "user-alice")


def send(controller: Controller, number: int, **command: Any) -> None:
    controller.receive({"key": "key", "id": str(number), **command})


def test_a_service_is_shared_listed_and_revoked(
    controller: Controller, browser: Browser, closed: None
) -> None:
    send(controller, 1, do="preview_service_share", **REQUEST)
    plan = answer(browser, "key", "1")
    assert plan["colleagues"] == ["bob", "carol"]
    assert plan["granted"].startswith("bob and carol may reach port 80 of svc/mon-api for 2 hours")
    assert "kind: NetworkPolicy" in plan["yaml"]
    assert not any(key.startswith("share/svc/") for key in browser.facts), "nothing is made"

    send(controller, 2, do="share_service", **REQUEST)
    made = answer(browser, "key", "2")
    assert made["line"] == "%forward user-alice/svc/mon-api 80"
    assert made["granted"].startswith("bob and carol may reach port 80")
    share = browser.wait_until(lambda facts: facts.get("share/svc/mon-api/bob"))
    assert (share["database"], share["access"], share["scope"]) == ("svc/mon-api", "network", "80")
    assert share["sessions"] is None

    send(controller, 3, do="revoke", database="svc/mon-api", colleague="bob")
    assert outcome(browser, "key", "3")["state"] == "done"
    browser.wait_until(
        lambda facts: "share/svc/mon-api/bob" not in facts and "share/svc/mon-api/carol" in facts
    )
    send(controller, 4, do="revoke_all", database="svc/mon-api")
    assert outcome(browser, "key", "4")["state"] == "done"
    browser.wait_until(lambda facts: "share/svc/mon-api/carol" not in facts)


def test_preview_begins_with_the_dangers(controller: Controller, browser: Browser, sandbox: Sandbox) -> None:
    as_alice(controller, sandbox)
    send(controller, 1, do="preview_service_share", **REQUEST)
    plan = answer(browser, "key", "1")
    assert plan["notes"][0]["is_danger"]
    assert "No network policy restricts the pods" in plan["notes"][0]["text"]
    assert plan["yaml"] == ""


@pytest.mark.parametrize(
    "change", [{"port": "80"}, {"port": 81}, {"via": "mail"}, {"service": ""}, {"colleagues": ""}]
)
def test_impossible_request_is_refused(
    controller: Controller, browser: Browser, sandbox: Sandbox, change: dict[str, Any]
) -> None:
    as_alice(controller, sandbox)
    send(controller, 1, do="share_service", **REQUEST | change)
    assert outcome(browser, "key", "1")["state"] == "failed"


def test_deployment_cannot_be_shared_by_forward(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    as_alice(controller, sandbox)
    send(controller, 1, do="preview_service_share", **REQUEST | {"via": "forward"})
    error = outcome(browser, "key", "1")["error"]
    assert error["what"].startswith("The pods of svc/mon-api have no fixed names")
