"""The words of kubectl for a pod's state, after TestPrintPod and its neighbours in printers_test.go."""

from __future__ import annotations

from typing import Any

import pytest

from sspcloud_magics.cluster.workloads.pod_status import pod_status

RUNNING: dict[str, Any] = {"running": {}}
DONE: dict[str, Any] = {"terminated": {"exitCode": 0, "reason": "Completed"}}


def make_waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason}}


def make_terminated(code: int = 1, reason: str = "", signal: int = 0, at: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "signal": signal, "finishedAt": at}}


def container(
    state: dict[str, Any],
    *,
    ready: bool = False,
    restarts: int = 0,
    last: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    return {"state": state, "ready": ready, "restartCount": restarts, "lastState": last or {}, **more}


def pod(
    *main: dict[str, Any],
    phase: str = "Running",
    init: tuple[dict[str, Any], ...] = (),
    sidecars: tuple[int, ...] = (),
    containers: int | None = None,
    conditions: dict[str, str] | None = None,
    deleted: bool = False,
    **status: Any,
) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {})},
        "spec": {
            "containers": [{"name": f"c{i}"} for i in range(len(main) if containers is None else containers)],
            "initContainers": [
                {"name": f"i{i}", **({"restartPolicy": "Always"} if i in sidecars else {})}
                for i in range(len(init))
            ],
        },
        "status": {
            "phase": phase,
            "conditions": [{"type": kind, "status": value} for kind, value in (conditions or {}).items()],
            "containerStatuses": [{"name": f"c{i}", **found} for i, found in enumerate(main)],
            "initContainerStatuses": [{"name": f"i{i}", **found} for i, found in enumerate(init)],
            **status,
        },
    }


READY = {"Ready": "True", "Initialized": "True"}

CASES: dict[str, tuple[dict[str, Any], str, str, int]] = {
    "running": (pod(container(RUNNING, ready=True)), "1/1", "Running", 0),
    "not yet ready": (pod(container(RUNNING)), "0/1", "Running", 0),
    "no statuses yet": (pod(phase="Pending", containers=2), "0/2", "Pending", 0),
    "one of two": (pod(container(RUNNING, ready=True), container(make_waiting(""))), "1/2", "Running", 0),
    "creating": (
        pod(container(make_waiting("ContainerCreating")), phase="Pending"),
        "0/1",
        "ContainerCreating",
        0,
    ),
    "crash loop": (
        pod(container(make_waiting("CrashLoopBackOff"), restarts=7)),
        "0/1",
        "CrashLoopBackOff",
        7,
    ),
    "image": (pod(container(make_waiting("ErrImagePull")), phase="Pending"), "0/1", "ErrImagePull", 0),
    "image again": (
        pod(container(make_waiting("ImagePullBackOff")), phase="Pending"),
        "0/1",
        "ImagePullBackOff",
        0,
    ),
    "out of memory": (pod(container(make_terminated(137, "OOMKilled"), restarts=1)), "0/1", "OOMKilled", 1),
    "completed": (pod(container(DONE), phase="Succeeded"), "0/1", "Completed", 0),
    "error": (pod(container(make_terminated(1, "Error")), phase="Failed"), "0/1", "Error", 0),
    "exit code without a reason": (pod(container(make_terminated(3))), "0/1", "ExitCode:3", 0),
    "signal without a reason": (pod(container(make_terminated(0, signal=9))), "0/1", "Signal:9", 0),
    "evicted": (pod(phase="Failed", containers=1, reason="Evicted"), "0/1", "Evicted", 0),
    "the first container has the last word": (
        pod(container(make_waiting("CrashLoopBackOff")), container(make_terminated(1, "Error"))),
        "0/2",
        "CrashLoopBackOff",
        0,
    ),
    "one completed, one runs, and the pod is ready": (
        pod(container(DONE), container(RUNNING, ready=True), conditions=READY),
        "1/2",
        "Running",
        0,
    ),
    "one completed, one runs, and the pod is not ready": (
        pod(container(DONE), container(RUNNING, ready=True), conditions={"Ready": "False"}),
        "1/2",
        "NotReady",
        0,
    ),
    "gated": (
        pod(
            phase="Pending",
            containers=1,
        )
        | {
            "status": {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            }
        },
        "0/1",
        "SchedulingGated",
        0,
    ),
    "terminating": (pod(container(RUNNING, ready=True), deleted=True), "1/1", "Terminating", 0),
    "finished, and being deleted": (
        pod(container(DONE), phase="Succeeded", deleted=True),
        "0/1",
        "Completed",
        0,
    ),
    "on a lost node": (pod(container(RUNNING), deleted=True, reason="NodeLost"), "0/1", "Unknown", 0),
    "first init container runs": (
        pod(
            container(make_waiting("PodInitializing")),
            phase="Pending",
            init=(container(RUNNING), container(make_waiting(""))),
        ),
        "0/1",
        "Init:0/2",
        0,
    ),
    "second init container waits for its turn": (
        pod(
            container(make_waiting("PodInitializing")),
            phase="Pending",
            init=(container(DONE, restarts=2), container(make_waiting("PodInitializing"))),
        ),
        "0/1",
        "Init:1/2",
        2,
    ),
    "init container fails": (
        pod(
            container(make_waiting("PodInitializing")),
            phase="Pending",
            init=(container(make_terminated(1, "Error"), restarts=3),),
        ),
        "0/1",
        "Init:Error",
        3,
    ),
    "init container fails without a reason": (
        pod(container(make_waiting("")), phase="Pending", init=(container(make_terminated(2)),)),
        "0/1",
        "Init:ExitCode:2",
        0,
    ),
    "init container killed": (
        pod(container(make_waiting("")), phase="Pending", init=(container(make_terminated(1, signal=9)),)),
        "0/1",
        "Init:Signal:9",
        0,
    ),
    "init container in a crash loop": (
        pod(
            container(make_waiting("")),
            phase="Pending",
            init=(container(make_waiting("CrashLoopBackOff"), restarts=4),),
        ),
        "0/1",
        "Init:CrashLoopBackOff",
        4,
    ),
    "restarts of finished init containers do not count": (
        pod(container(RUNNING, ready=True, restarts=1), init=(container(DONE, restarts=5),)),
        "1/1",
        "Running",
        1,
    ),
    "a sidecar that runs counts among the ready": (
        pod(
            container(RUNNING, ready=True),
            init=(container(RUNNING, ready=True, started=True, restarts=2),),
            sidecars=(0,),
        ),
        "2/2",
        "Running",
        2,
    ),
    "a sidecar that has not started holds the pod up": (
        pod(
            container(make_waiting("PodInitializing")),
            phase="Pending",
            init=(container(RUNNING, started=False),),
            sidecars=(0,),
        ),
        "0/2",
        "Init:0/1",
        0,
    ),
    "a sidecar that crashes after the start is told by the containers": (
        pod(
            container(RUNNING, ready=True),
            init=(container(make_terminated(1, "Error"), restarts=1, started=False),),
            sidecars=(0,),
            conditions={"Initialized": "True"},
        ),
        "1/2",
        "Init:Error",
        1,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_pod_is_worded_as_kubectl_does(case: str) -> None:
    found, ready, word, restarts = CASES[case]
    shown = pod_status(found)
    assert (f"{shown.ready}/{shown.containers}", shown.status, shown.restarts) == (ready, word, restarts)


def test_last_restart_is_the_latest_of_all_containers() -> None:
    early, late = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    shown = pod_status(
        pod(
            container(RUNNING, ready=True, restarts=1, last=make_terminated(at=late)),
            container(RUNNING, ready=True, restarts=1, last=make_terminated(at=early)),
        )
    )
    assert shown.last_restart is not None
    assert shown.last_restart.isoformat() == "2026-01-02T00:00:00+00:00"


def test_an_object_without_status_is_no_error() -> None:
    shown = pod_status({"metadata": {"name": "p"}})
    assert (shown.ready, shown.containers, shown.status, shown.restarts) == (0, 0, "", 0)
