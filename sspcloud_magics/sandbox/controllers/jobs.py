"""Jobs: pods that run to completion, a deadline, and deletion some time after the end.

A failed pod is replaced after 10 s, and the delay doubles with each further failure, up to the Job's back-off
limit. If the pods restart their containers, the restarts count.

A Job with ``parallelism: 0`` runs no pod but still has a deadline. With ``ttlSecondsAfterFinished: 0`` it is then
deleted, and the garbage collector deletes all objects that it owns. Shares expire in this way.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from itertools import takewhile

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers.loop import Controller, reconcile_kind, yield_owner
from sspcloud_magics.sandbox.controllers.writes import (
    delete_owned,
    make_owned,
    pod_from,
    set_condition,
    set_status,
)
from sspcloud_magics.sandbox.events import record_event
from sspcloud_magics.sandbox.names import suffix
from sspcloud_magics.sandbox.objects import list_controlled, name_of, namespace_of
from sspcloud_magics.sandbox.pods import active, condition, is_terminating, pod_over, pod_ready
from sspcloud_magics.sandbox.store import Obj, Store, count_seconds_since, now

# Seconds, as in kube-controller-manager.
_FIRST_BACK_OFF = 10.0
_LONGEST_BACK_OFF = 600.0


@reconcile_kind(kinds.JOBS)
def reconcile(store: Store, job: Obj) -> float | None:
    """Reconcile a Job; return the seconds until its deadline, its next pod or its deletion."""
    namespace = namespace_of(job)
    if is_finished(job):
        return _expire(store, job)
    pods = list_controlled(store.peek_all(kinds.PODS, namespace), job)
    status = copy.deepcopy(job.get("status") or {})
    suspended = bool(job["spec"].get("suspend"))
    if not suspended:
        status.setdefault("startTime", now())
    succeeded = sum(_phase(pod) == "Succeeded" for pod in pods)
    failed = sum(_phase(pod) == "Failed" for pod in pods)
    running = active(pods)
    end = None if suspended else _end(job, status, succeeded, failed, _restarts(job, running))
    pause = None
    if end:
        for pod in running:
            delete_owned(store, job, pod)
        _finish(store, job, status, end)
        running = []
    else:
        pause = _size(store, job, pods, 0 if suspended else _count_wanted(job, succeeded))
        running = active(list_controlled(store.peek_all(kinds.PODS, namespace), job))
    ready = sum(pod_ready(pod) for pod in running)
    for field, count in (("active", len(running)), ("succeeded", succeeded), ("failed", failed)):
        status.pop(field, None)
        if count:
            status[field] = count
    status["ready"] = ready
    status["terminating"] = sum(is_terminating(pod) for pod in pods)
    set_status(store, job, status)
    deadline = job["spec"].get("activeDeadlineSeconds")
    if end or suspended:
        return None
    left = None if deadline is None else max(float(deadline) - count_seconds_since(status["startTime"]), 0.05)
    return min((seconds for seconds in (left, pause) if seconds is not None), default=None)


def is_finished(job: Obj) -> bool:
    """Return whether a Job has ended, successfully or not."""
    return condition(job, "Complete") == "True" or condition(job, "Failed") == "True"


def _end(job: Obj, status: Obj, succeeded: int, failed: int, restarts: int) -> tuple[str, str, str] | None:
    """Return type, reason and message of the condition if the Job must end now, else None."""
    spec = job["spec"]
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and count_seconds_since(status["startTime"]) >= deadline:
        return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
    limit = spec.get("backoffLimit", 6)
    if failed > limit or restarts >= max(limit, 1):
        return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    completions = spec.get("completions")
    done = succeeded > 0 if completions is None else succeeded >= completions
    if done:
        return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
    return None


def _restarts(job: Obj, running: list[Obj]) -> int:
    """Return the restarts of the containers in running pods, 0 if the Job does not count them."""
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return 0
    statuses = [status for pod in running for status in _statuses(pod)]
    return sum(status.get("restartCount", 0) for status in statuses)


def _finish(store: Store, job: Obj, status: Obj, end: tuple[str, str, str]) -> None:
    kind, reason, message = end
    before = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
    for each in (before, kind):
        set_condition(status, each, "True", reason, message)
    if kind == "Complete":
        status["completionTime"] = now()
        record_event(store, job, "Completed", "Job completed", component="job-controller")
    else:
        record_event(store, job, reason, message, component="job-controller", warning=True)


def _count_wanted(job: Obj, succeeded: int) -> int:
    parallelism = int(job["spec"].get("parallelism", 1))
    completions = job["spec"].get("completions")
    if completions is None:
        return 0 if succeeded else parallelism
    return min(parallelism, max(int(completions) - succeeded, 0))


def _size(store: Store, job: Obj, pods: list[Obj], wanted: int) -> float | None:
    """Create or delete pods so that `wanted` run; return the seconds to wait if the back-off delays new ones."""
    running = active(pods)
    for pod in running[wanted:]:
        delete_owned(store, job, pod)
    if wanted <= len(running):
        return None
    pause = back_off([(_get_end(pod), _phase(pod) == "Failed") for pod in pods if pod_over(pod)])
    if pause > 0:
        return pause
    uid = job["metadata"]["uid"]
    labels = {"controller-uid": uid, "job-name": name_of(job)}
    labels |= {f"batch.kubernetes.io/{key}": value for key, value in labels.items()}
    for _ in range(wanted - len(running)):
        name = f"{name_of(job)}-{suffix()}"
        make_owned(store, job, pod_from(job["spec"]["template"], job, name, **labels))
    return None


def back_off(ends: Iterable[tuple[str, bool]]) -> float:
    """Return the seconds until the next pod may be created.

    `ends`: for each pod that has ended, its end and whether it failed. Failures after the last success count.
    """
    newest_first = sorted(ends, reverse=True)
    failures = [moment for moment, _ in takewhile(lambda end: end[1], newest_first)]
    if not failures:
        return 0.0
    delay = _FIRST_BACK_OFF * 2.0 ** (len(failures) - 1)
    return min(delay, _LONGEST_BACK_OFF) - count_seconds_since(failures[0])


def _expire(store: Store, job: Obj) -> float | None:
    seconds = job["spec"].get("ttlSecondsAfterFinished")
    if seconds is None:
        return None
    ended = next(
        found["lastTransitionTime"]
        for found in job["status"]["conditions"]
        if found["type"] in ("Complete", "Failed")
    )
    left = float(seconds) - count_seconds_since(ended)
    if left > 0:
        return left
    store.delete(kinds.JOBS, namespace_of(job), name_of(job))
    return None


def _statuses(pod: Obj) -> list[Obj]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _get_end(pod: Obj) -> str:
    ends = [(status.get("state") or {}).get("terminated") or {} for status in _statuses(pod)]
    return max((end["finishedAt"] for end in ends if "finishedAt" in end), default=now())


def _phase(pod: Obj) -> str | None:
    return (pod.get("status") or {}).get("phase")


CONTROLLER = Controller("job", yield_owner(kinds.JOBS, kinds.PODS), reconcile)
