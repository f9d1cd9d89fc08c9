"""Jobs: pods that run to their end, a deadline, and an end after the end.

A Job of ``parallelism: 0`` runs no pod, and its deadline still counts: with ``ttlSecondsAfterFinished: 0`` it is
deleted then, and the garbage collector takes all that it owns along. That is how a share ends by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from sspcloud_magics.sandbox.controllers.loop import Controller, Key
from sspcloud_magics.sandbox.controllers.objects import (
    JOBS,
    PODS,
    active,
    condition,
    controlled_by,
    create,
    delete_pod,
    find,
    name_of,
    namespace_of,
    owner_keys,
    pod_from,
    pod_ready,
    set_condition,
    since,
    suffix,
    terminating,
)
from sspcloud_magics.sandbox.store import Change, Obj, Store, now


def keys(store: Store, change: Change) -> Iterator[Key]:
    """Yield the Jobs that a change concerns."""
    del store
    if change.resource == JOBS:
        yield namespace_of(change.object), name_of(change.object)
    elif change.resource == PODS:
        yield from owner_keys(change.object, "Job")


def reconcile(store: Store, key: Key) -> float | None:
    """Take one Job further; returns when its deadline or its time to live is due."""
    namespace, name = map(str, key)
    job = find(store, JOBS, namespace, name)
    if job is None or terminating(job):
        return None
    if finished(job):
        return _expire(store, job)
    pods = controlled_by(store.list_objects(PODS, namespace), job)
    status = copy.deepcopy(job.get("status") or {})
    suspended = bool(job["spec"].get("suspend"))
    if not suspended:
        status.setdefault("startTime", now())
    succeeded = sum(_phase(pod) == "Succeeded" for pod in pods)
    failed = sum(_phase(pod) == "Failed" for pod in pods)
    running = active(pods)
    end = None if suspended else _end(job, status, succeeded, failed)
    if end:
        for pod in running:
            delete_pod(store, pod)
        _finish(status, *end)
        running = []
    else:
        _size(store, job, running, 0 if suspended else _wanted(job, succeeded))
        running = active(controlled_by(store.list_objects(PODS, namespace), job))
    ready = sum(pod_ready(pod) for pod in running)
    for field, count in (("active", len(running)), ("succeeded", succeeded), ("failed", failed)):
        status.pop(field, None)
        if count:
            status[field] = count
    status["ready"] = ready
    status["terminating"] = sum(terminating(pod) for pod in pods)
    fresh = store.get(JOBS, namespace, name)
    fresh["status"] = status
    store.update(fresh)
    deadline = job["spec"].get("activeDeadlineSeconds")
    if end or suspended or deadline is None:
        return None
    return max(float(deadline) - since(status["startTime"]), 0.05)


def finished(job: Obj) -> bool:
    """Return whether a Job has ended, well or badly."""
    return condition(job, "Complete") == "True" or condition(job, "Failed") == "True"


def _end(job: Obj, status: Obj, succeeded: int, failed: int) -> tuple[str, str, str] | None:
    """Return type, reason and message of the condition that ends a Job now, if it ends."""
    spec = job["spec"]
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and since(status["startTime"]) >= deadline:
        return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
    if failed > spec.get("backoffLimit", 6):
        return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    completions = spec.get("completions")
    done = succeeded > 0 if completions is None else succeeded >= completions
    if done:
        return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
    return None


def _finish(status: Obj, kind: str, reason: str, message: str) -> None:
    before = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
    for each in (before, kind):
        set_condition(status, each, "True", reason, message)
    if kind == "Complete":
        status["completionTime"] = now()


def _wanted(job: Obj, succeeded: int) -> int:
    parallelism = int(job["spec"].get("parallelism", 1))
    completions = job["spec"].get("completions")
    if completions is None:
        return 0 if succeeded else parallelism
    return min(parallelism, max(int(completions) - succeeded, 0))


def _size(store: Store, job: Obj, running: list[Obj], wanted: int) -> None:
    for pod in running[wanted:]:
        delete_pod(store, pod)
    uid = job["metadata"]["uid"]
    labels = {"controller-uid": uid, "job-name": name_of(job)}
    labels |= {f"batch.kubernetes.io/{key}": value for key, value in labels.items()}
    for _ in range(wanted - len(running)):
        create(store, pod_from(job["spec"]["template"], job, f"{name_of(job)}-{suffix()}", **labels))


def _expire(store: Store, job: Obj) -> float | None:
    seconds = job["spec"].get("ttlSecondsAfterFinished")
    if seconds is None:
        return None
    ended = next(
        found["lastTransitionTime"]
        for found in job["status"]["conditions"]
        if found["type"] in ("Complete", "Failed")
    )
    left = float(seconds) - since(ended)
    if left > 0:
        return left
    store.delete(JOBS, namespace_of(job), name_of(job))
    return None


def _phase(pod: Obj) -> str | None:
    return (pod.get("status") or {}).get("phase")


CONTROLLER = Controller("job", keys, reconcile)
