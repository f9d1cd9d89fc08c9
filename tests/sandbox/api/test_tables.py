"""Ages, pods' states and tables, in the words of kubectl."""

from __future__ import annotations

from typing import Any

import pytest

from sspcloud_magics.sandbox.api.columns import TABLES
from sspcloud_magics.sandbox.api.humanize import format_selector, human_duration
from sspcloud_magics.sandbox.api.pod_status import summarize
from sspcloud_magics.sandbox.api.rendering import Form, parse_accept
from sspcloud_magics.sandbox.resources import RESOURCES
from sspcloud_magics.sandbox.store import Obj

MINUTE, HOUR, DAY = 60, 3600, 86400


# The examples of k8s.io/apimachinery/pkg/util/duration.
@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (1, "1s"),
        (70, "70s"),
        (119, "119s"),
        (190, "3m10s"),
        (600, "10m"),
        (599, "9m59s"),
        (2 * MINUTE, "2m"),
        (179 * MINUTE, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 5 * MINUTE, "3h5m"),
        (8 * HOUR, "8h"),
        (8 * HOUR + 59 * MINUTE, "8h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (49 * HOUR, "2d1h"),
        (8 * DAY + 3 * HOUR, "8d"),
        (2 * 365 * DAY, "2y"),
        (2 * 365 * DAY + 4 * DAY, "2y4d"),
        (8 * 365 * DAY + 4 * DAY, "8y"),
    ],
)
def test_human_duration(seconds: float, words: str) -> None:
    assert human_duration(seconds) == words


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        (None, "<none>"),
        ({}, "<none>"),
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        (
            {
                "matchExpressions": [
                    {"key": "k", "operator": "In", "values": ["y", "x"]},
                    {"key": "e", "operator": "Exists"},
                    {"key": "n", "operator": "DoesNotExist"},
                ]
            },
            "k in (x,y),e,!n",
        ),
    ],
)
def test_format_selector(selector: Any, words: str) -> None:
    assert format_selector(selector) == words


def pod(status: Obj, *, containers: int = 1, init: int = 0, deleting: bool = False) -> Obj:
    metadata: Obj = {"name": "web"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    spec = {
        "containers": [{"name": f"c{i}"} for i in range(containers)],
        "initContainers": [{"name": f"i{i}"} for i in range(init)],
    }
    return {"metadata": metadata, "spec": spec, "status": status}


def state(restarts: int = 0, *, ready: bool = False, name: str = "c0", **kind: Obj) -> Obj:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": kind}


RUNNING = state(ready=True, running={})


@pytest.mark.parametrize(
    ("given", "ready", "reason", "restarts"),
    [
        (pod({"phase": "Pending"}), "0/1", "Pending", "0"),
        (pod({"phase": "Running", "containerStatuses": [RUNNING]}), "1/1", "Running", "0"),
        (pod({"phase": "Running", "containerStatuses": [RUNNING]}, deleting=True), "1/1", "Terminating", "0"),
        (pod({"phase": "Succeeded"}, deleting=True), "0/1", "Succeeded", "0"),
        (pod({"phase": "Failed", "reason": "Evicted"}), "0/1", "Evicted", "0"),
        (pod({"phase": "Failed", "reason": "DeadlineExceeded"}), "0/1", "DeadlineExceeded", "0"),
        (
            pod(
                {"phase": "Running", "containerStatuses": [state(7, waiting={"reason": "CrashLoopBackOff"})]}
            ),
            "0/1",
            "CrashLoopBackOff",
            "7",
        ),
        (
            pod({"phase": "Pending", "containerStatuses": [state(waiting={"reason": "ImagePullBackOff"})]}),
            "0/1",
            "ImagePullBackOff",
            "0",
        ),
        (
            pod({"phase": "Succeeded", "containerStatuses": [state(terminated={"reason": "Completed"})]}),
            "0/1",
            "Completed",
            "0",
        ),
        (
            pod({"phase": "Failed", "containerStatuses": [state(terminated={"exitCode": 3})]}),
            "0/1",
            "ExitCode:3",
            "0",
        ),
        (
            pod({"phase": "Failed", "containerStatuses": [state(terminated={"signal": 9})]}),
            "0/1",
            "Signal:9",
            "0",
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "containerStatuses": [RUNNING, state(2, name="c1", terminated={"reason": "Completed"})],
                    "conditions": [{"type": "Ready", "status": "False"}],
                },
                containers=2,
            ),
            "1/2",
            "NotReady",
            "2",
        ),
        (
            pod({"phase": "Pending", "initContainerStatuses": [state(name="i0", running={})]}, init=2),
            "0/1",
            "Init:0/2",
            "0",
        ),
        (
            pod(
                {"phase": "Pending", "initContainerStatuses": [state(name="i0", terminated={"exitCode": 1})]},
                init=1,
            ),
            "0/1",
            "Init:ExitCode:1",
            "0",
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "containerStatuses": [RUNNING],
                    "initContainerStatuses": [state(name="i0", terminated={"exitCode": 0})],
                },
                init=1,
            ),
            "1/1",
            "Running",
            "0",
        ),
    ],
)
def test_state_of_a_pod(given: Obj, ready: str, reason: str, restarts: str) -> None:
    found = summarize(given)
    assert (f"{found.ready}/{found.total}", found.reason, found.restarts) == (ready, reason, restarts)


def test_restarts_say_how_long_ago_the_last_was() -> None:
    status = state(3, ready=True, running={})
    status["lastState"] = {"terminated": {"finishedAt": "2020-01-01T00:00:00Z"}}
    assert summarize(pod({"phase": "Running", "containerStatuses": [status]})).restarts.startswith("3 (")


def test_every_kind_has_its_columns() -> None:
    assert {resource.plural for resource in RESOURCES} == set(TABLES)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form.OBJECT),
        ("*/*", Form.OBJECT),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Form.TABLE),
        ("application/json, application/json;as=Table;v=v1;g=meta.k8s.io", Form.OBJECT),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Form.OBJECT),
        ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Form.METADATA),
        ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json", Form.OBJECT),
    ],
)
def test_form_that_a_client_accepts(accept: str, form: Form) -> None:
    assert parse_accept(accept, "").form is form
