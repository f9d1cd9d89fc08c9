"""What the controllers make of the store, without a node: its part is played by these tests, step by step."""

from __future__ import annotations

import copy

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers import (
    deployments,
    garbage,
    jobs,
    replicasets,
    statefulsets,
)
from sspcloud_magics.sandbox.controllers.deployments import Rollout
from sspcloud_magics.sandbox.controllers.loop import RETRY_SECONDS
from sspcloud_magics.sandbox.controllers.writes import create
from sspcloud_magics.sandbox.objects import find, name_of
from sspcloud_magics.sandbox.pods import is_terminating
from sspcloud_magics.sandbox.store import Obj, Store, now
from tests.sandbox.controllers.stage import CONTAINER, LABELS, NS, make, pods

CLAIM = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}


def workload(kind: str, name: str = "web", replicas: int = 1, **spec: object) -> Obj:
    template = {"metadata": {"labels": dict(LABELS)}, "spec": {"containers": [copy.deepcopy(CONTAINER)]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template, **spec}
    return make(kind, name, spec, "apps/v1")


def list_events(store: Store, name: str) -> list[tuple[str, str]]:
    """Return the events of an object: reason and message."""
    events = store.list_objects(kinds.EVENTS, NS)
    return [(e["reason"], e["message"]) for e in events if e["involvedObject"]["name"] == name]


def run(store: Store, *, ready: bool = True) -> None:
    """Play the node: every pod runs, and those that are being deleted go."""
    for number, pod in enumerate(store.list_objects(kinds.PODS, NS), start=1):
        if is_terminating(pod):
            store.delete(kinds.PODS, NS, name_of(pod))
        else:
            pod["status"] = {
                "phase": "Running",
                "podIP": f"10.42.0.{number}",
                "conditions": [{"type": "Ready", "status": str(ready)}],
            }
            store.update(pod)


def settle(store: Store, *, ready: bool = True, rounds: int = 12) -> None:
    for _ in range(rounds):
        for deployment in store.list_objects(kinds.DEPLOYMENTS):
            deployments.reconcile(store, (NS, name_of(deployment)))
        for replica_set in store.list_objects(kinds.REPLICA_SETS):
            replicasets.reconcile(store, (NS, name_of(replica_set)))
        run(store, ready=ready)


class TestReplicaSet:
    def test_makes_as_many_pods_as_it_says(self, store: Store) -> None:
        create(store, workload("ReplicaSet", replicas=3))
        replicasets.reconcile(store, (NS, "web"))
        assert len(pods(store)) == 3
        assert all(name.startswith("web-") and len(name) == len("web-xxxxx") for name in pods(store))
        assert store.get(kinds.REPLICA_SETS, NS, "web")["status"]["replicas"] == 3

    def test_removes_what_is_not_ready_first(self, store: Store) -> None:
        create(store, workload("ReplicaSet", replicas=2))
        replicasets.reconcile(store, (NS, "web"))
        run(store)
        lame = store.list_objects(kinds.PODS, NS)[0]
        lame["status"]["conditions"][0]["status"] = "False"
        store.update(lame)
        owner = store.get(kinds.REPLICA_SETS, NS, "web")
        owner["spec"]["replicas"] = 1
        store.update(owner)
        replicasets.reconcile(store, (NS, "web"))
        going = [name_of(pod) for pod in store.list_objects(kinds.PODS, NS) if is_terminating(pod)]
        assert going == [name_of(lame)]

    def test_replaces_a_pod_under_another_name(self, store: Store) -> None:
        create(store, workload("ReplicaSet"))
        settle(store)
        (before,) = pods(store)
        store.delete(kinds.PODS, NS, before)
        settle(store)
        (after,) = pods(store)
        assert after != before

    def test_adopts_a_pod_that_it_selects(self, store: Store) -> None:
        orphan = make("Pod", "mine", {"containers": [CONTAINER]}, labels=LABELS)
        store.create(orphan)
        create(store, workload("ReplicaSet"))
        replicasets.reconcile(store, (NS, "web"))
        assert pods(store) == ["mine"]
        assert store.get(kinds.PODS, NS, "mine")["metadata"]["ownerReferences"][0]["name"] == "web"

    def test_makes_no_pod_that_the_quota_has_no_room_for(self, store: Store) -> None:
        quota = make("ResourceQuota", "small", {"hard": {"pods": "1"}})
        store.create(quota)
        create(store, workload("ReplicaSet", replicas=2))
        assert replicasets.reconcile(store, (NS, "web")) == RETRY_SECONDS
        assert len(pods(store)) == 1
        (failure,) = store.get(kinds.REPLICA_SETS, NS, "web")["status"]["conditions"]
        assert (failure["type"], failure["reason"]) == ("ReplicaFailure", "FailedCreate")
        assert "exceeded quota: small" in failure["message"]
        assert list_events(store, "web")[-1] == ("FailedCreate", f"Error creating: {failure['message']}")
        store.delete(kinds.QUOTAS, NS, "small")
        replicasets.reconcile(store, (NS, "web"))
        assert len(pods(store)) == 2
        assert "conditions" not in store.get(kinds.REPLICA_SETS, NS, "web")["status"]


class TestDeployment:
    def test_rollout_loses_no_replica(self, store: Store) -> None:
        create(store, workload("Deployment", replicas=4))
        settle(store)
        old = set(pods(store))
        changed = store.get(kinds.DEPLOYMENTS, NS, "web")
        changed["spec"]["template"]["spec"]["containers"][0]["image"] = "x:2"
        store.update(changed)
        fewest = 4
        for _ in range(12):
            settle(store, rounds=1)
            fewest = min(fewest, len(store.list_objects(kinds.PODS, NS)))
        assert fewest >= 3  # maxUnavailable 25 %
        assert len(pods(store)) == 4
        assert not old & set(pods(store))
        status = store.get(kinds.DEPLOYMENTS, NS, "web")["status"]
        assert (status["replicas"], status["updatedReplicas"], status["readyReplicas"]) == (4, 4, 4)

    def test_rollout_keeps_old_pods_until_new_are_ready(self, store: Store) -> None:
        create(store, workload("Deployment", replicas=4))
        settle(store)
        old = set(pods(store))
        changed = store.get(kinds.DEPLOYMENTS, NS, "web")
        changed["spec"]["template"]["spec"]["containers"][0]["image"] = "broken"
        store.update(changed)
        for _ in range(6):
            deployments.reconcile(store, (NS, "web"))
            for replica_set in store.list_objects(kinds.REPLICA_SETS):
                replicasets.reconcile(store, (NS, name_of(replica_set)))
            for pod in store.list_objects(kinds.PODS, NS):
                if is_terminating(pod):
                    store.delete(kinds.PODS, NS, name_of(pod))
        assert len(old & set(pods(store))) == 3
        available = store.get(kinds.DEPLOYMENTS, NS, "web")["status"]["conditions"][0]
        assert (available["type"], available["status"]) == ("Available", "True")

    def test_events_tell_every_scaling(self, store: Store) -> None:
        create(store, workload("Deployment", replicas=2))
        settle(store)
        (first,) = (name_of(one) for one in store.list_objects(kinds.REPLICA_SETS))
        changed = store.get(kinds.DEPLOYMENTS, NS, "web")
        changed["spec"]["replicas"] = 1
        store.update(changed)
        settle(store)
        assert list_events(store, "web") == [
            ("ScalingReplicaSet", f"Scaled up replica set {first} from 0 to 2"),
            ("ScalingReplicaSet", f"Scaled down replica set {first} from 2 to 1"),
        ]
        reasons = [reason for reason, _ in list_events(store, first)]
        assert reasons == ["SuccessfulCreate", "SuccessfulCreate", "SuccessfulDelete"]

    def test_quota_failure_reaches_the_deployment(self, store: Store) -> None:
        store.create(make("ResourceQuota", "none", {"hard": {"pods": "0"}}))
        create(store, workload("Deployment"))
        settle(store)
        deployments.reconcile(store, (NS, "web"))
        conditions = {
            c["type"]: c["reason"] for c in store.get(kinds.DEPLOYMENTS, NS, "web")["status"]["conditions"]
        }
        assert conditions["ReplicaFailure"] == "FailedCreate"

    def test_goes_back_to_a_template_that_it_had(self, store: Store) -> None:
        create(store, workload("Deployment"))
        settle(store)
        (first,) = (name_of(one) for one in store.list_objects(kinds.REPLICA_SETS))
        for image in ("x:2", "x:1"):
            changed = store.get(kinds.DEPLOYMENTS, NS, "web")
            changed["spec"]["template"]["spec"]["containers"][0]["image"] = image
            store.update(changed)
            settle(store)
        assert len(store.list_objects(kinds.REPLICA_SETS)) == 2
        assert store.get(kinds.REPLICA_SETS, NS, first)["spec"]["replicas"] == 1
        assert store.get(kinds.DEPLOYMENTS, NS, "web")["metadata"]["annotations"][deployments.REVISION] == "3"

    def test_recreate_stops_all_before_it_starts_any(self) -> None:
        deployment = workload("Deployment", replicas=2, strategy={"type": "Recreate"})
        old = workload("ReplicaSet", "old", replicas=2) | {"status": {"replicas": 2}}
        assert deployments.rollout(deployment, None, [old]) == Rollout(0, {"old": 0})
        old["spec"]["replicas"] = 0
        assert deployments.rollout(deployment, None, [old]) == Rollout(0, {"old": 0}), "its pods still run"
        old["status"]["replicas"] = 0
        assert deployments.rollout(deployment, None, [old]) == Rollout(2, {"old": 0})

    def test_surge_and_unavailable_bound_each_step(self) -> None:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        deployment = workload("Deployment", replicas=3, strategy=rolling)
        old = workload("ReplicaSet", "old", replicas=3) | {"status": {"replicas": 3, "availableReplicas": 3}}
        assert deployments.rollout(deployment, None, [old]) == Rollout(1, {"old": 3})
        new = workload("ReplicaSet", "new", replicas=1) | {"status": {"replicas": 1, "availableReplicas": 1}}
        assert deployments.rollout(deployment, new, [old]) == Rollout(1, {"old": 2})


class TestStatefulSet:
    def step(self, store: Store) -> None:
        statefulsets.reconcile(store, (NS, "db"))

    def test_stateful_set_waits_for_its_claim_and_pods(self, store: Store) -> None:
        create(store, workload("StatefulSet", "db", 2, volumeClaimTemplates=[CLAIM]))
        self.step(store)
        assert pods(store) == []
        for number in (0, 1):
            claim = store.get(kinds.CLAIMS, NS, f"data-db-{number}")
            claim["status"] = {"phase": "Bound"}
            store.update(claim)
            self.step(store)
            assert pods(store) == [f"db-{n}" for n in range(number + 1)]
            self.step(store)
            assert find(store, kinds.CLAIMS, NS, f"data-db-{number + 1}") is None
            run(store)
            self.step(store)
        pod = store.get(kinds.PODS, NS, "db-1")
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}
        assert volume in pod["spec"]["volumes"]

    def test_replaces_under_the_same_name(self, store: Store) -> None:
        create(store, workload("StatefulSet", "db"))
        self.step(store)
        before = store.get(kinds.PODS, NS, "db-0")["metadata"]["uid"]
        store.delete(kinds.PODS, NS, "db-0")
        self.step(store)
        assert store.get(kinds.PODS, NS, "db-0")["metadata"]["uid"] != before

    def test_updates_from_the_last_pod_to_the_first(self, store: Store) -> None:
        create(store, workload("StatefulSet", "db", 2))
        for _ in range(3):
            self.step(store)
            run(store)
        owner = store.get(kinds.STATEFUL_SETS, NS, "db")
        owner["spec"]["template"]["spec"]["containers"][0]["image"] = "x:2"
        store.update(owner)
        self.step(store)
        assert [is_terminating(pod) for pod in store.list_objects(kinds.PODS, NS)] == [False, True]

    def test_scales_down_one_by_one(self, store: Store) -> None:
        create(store, workload("StatefulSet", "db", 3))
        for _ in range(4):
            self.step(store)
            run(store)
        owner = store.get(kinds.STATEFUL_SETS, NS, "db")
        owner["spec"]["replicas"] = 1
        store.update(owner)
        self.step(store)
        assert [name_of(pod) for pod in store.list_objects(kinds.PODS, NS) if is_terminating(pod)] == ["db-2"]

    def test_claims_are_kept(self, store: Store) -> None:
        create(store, workload("StatefulSet", "db", 1, volumeClaimTemplates=[CLAIM]))
        self.step(store)
        claim = store.get(kinds.CLAIMS, NS, "data-db-0")
        store.update(claim | {"status": {"phase": "Bound"}})
        self.step(store)
        run(store)
        owner = store.get(kinds.STATEFUL_SETS, NS, "db")
        owner["spec"]["replicas"] = 0
        store.update(owner)
        self.step(store)
        run(store)
        garbage.reconcile(store, (kinds.CLAIMS, NS, "data-db-0"))
        assert find(store, kinds.CLAIMS, NS, "data-db-0")
        assert [message for _, message in list_events(store, "db")] == [
            "create Claim data-db-0 Pod db-0 in StatefulSet db success",
            "create Pod db-0 in StatefulSet db successful",
            "delete Pod db-0 in StatefulSet db successful",
        ]


class TestJob:
    def job(self, store: Store, **spec: object) -> Obj:
        template = {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}
        return create(store, make("Job", "job", {"template": template, **spec}, "batch/v1"))

    def age(self, store: Store, field: str = "startTime") -> None:
        job = store.get(kinds.JOBS, NS, "job")
        if field == "startTime":
            job["status"]["startTime"] = "2020-01-01T00:00:00Z"
        else:
            for condition in job["status"]["conditions"]:
                condition["lastTransitionTime"] = "2020-01-01T00:00:00Z"
        store.update(job)

    def finish(self, store: Store, phase: str, ended: str = "2020-01-01T00:00:00Z") -> None:
        for pod in store.list_objects(kinds.PODS, NS):
            state = {"terminated": {"finishedAt": ended}}
            pod["status"] = {"phase": phase, "containerStatuses": [{"state": state}]}
            store.update(pod)

    def test_zero_parallelism_runs_nothing_but_a_deadline(self, store: Store) -> None:
        self.job(store, parallelism=0, activeDeadlineSeconds=60, ttlSecondsAfterFinished=0)
        wait = jobs.reconcile(store, (NS, "job"))
        assert wait is not None
        assert 0 < wait <= 60
        assert pods(store) == []
        self.age(store)
        jobs.reconcile(store, (NS, "job"))
        failed = store.get(kinds.JOBS, NS, "job")["status"]["conditions"][-1]
        assert (failed["type"], failed["reason"]) == ("Failed", "DeadlineExceeded")
        jobs.reconcile(store, (NS, "job"))
        assert find(store, kinds.JOBS, NS, "job") is None

    def test_is_complete_when_its_pods_have_succeeded(self, store: Store) -> None:
        self.job(store, completions=2, parallelism=1)
        jobs.reconcile(store, (NS, "job"))
        assert len(pods(store)) == 1
        self.finish(store, "Succeeded")
        jobs.reconcile(store, (NS, "job"))
        assert len(pods(store)) == 2
        self.finish(store, "Succeeded")
        jobs.reconcile(store, (NS, "job"))
        job = store.get(kinds.JOBS, NS, "job")
        assert jobs.is_finished(job)
        assert [one["type"] for one in job["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]
        assert job["status"]["succeeded"] == 2
        assert job["status"]["completionTime"]

    def test_fails_when_too_many_pods_have_failed(self, store: Store) -> None:
        self.job(store, backoffLimit=1)
        for _ in range(3):
            jobs.reconcile(store, (NS, "job"))
            self.finish(store, "Failed")
        jobs.reconcile(store, (NS, "job"))
        reason = store.get(kinds.JOBS, NS, "job")["status"]["conditions"][-1]["reason"]
        assert reason == "BackoffLimitExceeded"
        words = "Job has reached the specified backoff limit"
        assert list_events(store, "job")[-1] == ("BackoffLimitExceeded", words)
        assert [reason for reason, _ in list_events(store, "job")][:2] == [
            "SuccessfulCreate",
            "SuccessfulCreate",
        ]

    def test_waits_longer_after_each_failure(self, store: Store) -> None:
        self.job(store)
        jobs.reconcile(store, (NS, "job"))
        self.finish(store, "Failed", ended=now())
        wait = jobs.reconcile(store, (NS, "job"))
        assert wait is not None
        assert 8 < wait <= 10
        assert len(pods(store)) == 1
        old = [(f"2020-01-01T00:00:0{second}Z", True) for second in range(3)]
        assert jobs.back_off([]) == 0
        assert jobs.back_off(old) < 0
        assert 38 < jobs.back_off([*old[:2], (now(), True)]) <= 40
        assert jobs.back_off([*old, (now(), False)]) == 0
        assert 598 < jobs.back_off([*old * 9, (now(), True)]) <= 600

    def test_counts_restarts_of_a_pod_that_restarts(self, store: Store) -> None:
        template = {"spec": {"containers": [CONTAINER], "restartPolicy": "OnFailure"}}
        self.job(store, backoffLimit=2, template=template)
        for restarts, ended in ((1, False), (2, True)):
            jobs.reconcile(store, (NS, "job"))
            (pod,) = store.list_objects(kinds.PODS, NS)
            store.update(
                pod | {"status": {"phase": "Running", "containerStatuses": [{"restartCount": restarts}]}}
            )
            jobs.reconcile(store, (NS, "job"))
            assert jobs.is_finished(store.get(kinds.JOBS, NS, "job")) is ended

    def test_lives_on_for_its_time_to_live(self, store: Store) -> None:
        self.job(store, parallelism=0, activeDeadlineSeconds=0, ttlSecondsAfterFinished=3600)
        jobs.reconcile(store, (NS, "job"))
        wait = jobs.reconcile(store, (NS, "job"))
        assert wait is not None
        assert wait > 3000
        self.age(store, "end")
        jobs.reconcile(store, (NS, "job"))
        assert find(store, kinds.JOBS, NS, "job") is None

    def test_at_its_deadline_its_pods_end(self, store: Store) -> None:
        self.job(store, parallelism=2, activeDeadlineSeconds=60)
        jobs.reconcile(store, (NS, "job"))
        assert store.get(kinds.JOBS, NS, "job")["status"]["active"] == len(pods(store)) == 2
        run(store)
        self.age(store)
        jobs.reconcile(store, (NS, "job"))
        assert all(is_terminating(pod) for pod in store.list_objects(kinds.PODS, NS))
        status = store.get(kinds.JOBS, NS, "job")["status"]
        assert [one["type"] for one in status["conditions"]] == ["FailureTarget", "Failed"]
        assert "active" not in status
        assert "completionTime" not in status

    def test_pods_that_are_too_many_end(self, store: Store) -> None:
        self.job(store, parallelism=2)
        jobs.reconcile(store, (NS, "job"))
        run(store)
        job = store.get(kinds.JOBS, NS, "job")
        job["spec"]["suspend"] = True
        store.update(job)
        jobs.reconcile(store, (NS, "job"))
        assert all(is_terminating(pod) for pod in store.list_objects(kinds.PODS, NS))

    def test_suspended_runs_nothing(self, store: Store) -> None:
        self.job(store, suspend=True, activeDeadlineSeconds=1)
        assert jobs.reconcile(store, (NS, "job")) is None
        assert pods(store) == []
