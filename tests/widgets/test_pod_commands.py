"""The log and the events of a pod, from the panel."""

from __future__ import annotations

import pytest

from sspcloud_magics import session
from sspcloud_magics.widgets import pod_commands
from sspcloud_magics.widgets.controller import Controller
from tests.testbed import Sandbox
from tests.widgets.conftest import Browser, answer, as_alice, outcome

POD = "mon-api-abcdef-12345"


def test_log_and_events_of_a_pod(
    controller: Controller, browser: Browser, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_alice(controller, sandbox)
    controller.receive({"do": "read_log", "pod": POD, "key": "log", "id": "1"})
    log = answer(browser, "log", "1")
    assert log["container"] == session.find_log(POD).container
    assert log["text"] == session.logs(POD, tail=pod_commands.LINES)
    controller.receive({"do": "list_events", "pod": POD, "key": "events", "id": "2"})
    listed = answer(browser, "events", "2")
    frame = session.events("pod", POD)
    assert listed["all"] == len(frame) > 0
    assert [each[1] for each in listed["events"]] == frame["reason"].tolist()[::-1]
    assert listed["events"][-1][2:] == [1, int(frame["time"].iloc[0].timestamp()), frame["message"].iloc[0]]

    monkeypatch.setattr(session, "logs", lambda *_, **__: "é" * 300_000 + "end")
    controller.receive({"do": "read_log", "pod": POD, "key": "log", "id": "3"})
    text = answer(browser, "log", "3")["text"]
    assert (len(text), text[-3:]) == (200_000, "end")


@pytest.mark.parametrize("name", [POD[:-1], "nowhere"])
def test_log_of_an_ended_pod_is_an_error(
    controller: Controller, browser: Browser, sandbox: Sandbox, name: str
) -> None:
    """The beginning of another pod's name does not show that pod's log."""
    as_alice(controller, sandbox)
    controller.receive({"do": "read_log", "pod": name, "key": "log", "id": "1"})
    assert outcome(browser, "log", "1")["error"]["code"] in ("TargetNotFound", "NotFound")
