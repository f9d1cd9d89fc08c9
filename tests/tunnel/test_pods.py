"""The choice of the pod, from Kubernetes objects alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sspcloud_magics.errors import PortNotFound
from sspcloud_magics.tunnel.pod_selection import (
    Candidate,
    choose,
    container_port,
    labels_of_siblings,
    not_ready_words,
    pod_is_ready,
    pod_serves,
    pod_state,
    pods_behind,
    pods_of_endpoints,
    runs_for,
    selector_text,
    service_ports,
)


def pod(name: str = "web-0", *, ready: bool = True, deleting: bool = False, **status: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "uid": f"uid-{name}"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": metadata,
        "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8000}]}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"state": {"running": {}}}],
            **status,
        },
    }


def candidate(name: str, uid: str = "1", *, usable: bool = True) -> Candidate:
    return Candidate(name, uid, (80,), usable)


NOON = "Mon, 30 Nov 2026 12:00:00 GMT"


def make_running_pod(*moments: str) -> dict[str, Any]:
    return pod(containerStatuses=[{"state": {"running": {"startedAt": moment}}} for moment in moments])


@pytest.mark.parametrize(
    ("found", "date", "seconds"),
    [
        (make_running_pod("2026-11-30T11:59:00Z"), NOON, 60.0),
        (make_running_pod("2026-11-30T11:00:00Z", "2026-11-30T11:59:58Z"), NOON, 2.0),
        (make_running_pod("2026-11-30T11:59:00Z"), "", None),
        (make_running_pod("yesterday"), NOON, None),
        (make_running_pod(), NOON, None),
        (pod(containerStatuses=[{"state": {"waiting": {}}}]), NOON, None),
        (pod(containerStatuses=[{"state": {"running": {}}}]), NOON, None),
    ],
)
def test_pod_runs_since_its_last_container_started(found, date, seconds):
    assert runs_for(found, date) == seconds


class TestChoose:
    def test_the_current_pod_stays_as_long_as_it_is_usable(self):
        both = [candidate("a"), candidate("b")]
        assert choose(both, candidate("b")) is both[1]

    def test_a_pod_of_the_same_name_is_another_pod(self):
        next_one = candidate("a", "2")
        assert choose([next_one], candidate("a", "1")) is next_one

    def test_the_first_usable_one_follows(self):
        found = choose([candidate("a", usable=False), candidate("b"), candidate("c")], candidate("a"))
        assert found == candidate("b")

    def test_none_is_usable(self):
        assert choose([candidate("a", usable=False)], None) is None
        assert choose([], candidate("a")) is None


class TestPods:
    @pytest.mark.parametrize(
        ("found", "state", "ready", "runs"),
        [
            (pod(), "Running", True, True),
            (pod(ready=False), "Running", False, True),
            (pod(deleting=True), "Terminating", False, False),
            (pod(ready=False, phase="Pending", containerStatuses=[]), "Pending", False, False),
            (
                pod(ready=False, containerStatuses=[{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]),
                "CrashLoopBackOff",
                False,
                False,
            ),
            (
                pod(ready=False, containerStatuses=[{"state": {"terminated": {"reason": "Error"}}}]),
                "Error",
                False,
                False,
            ),
            (pod(ready=False, phase="Failed", reason="Evicted"), "Evicted", False, False),
        ],
    )
    def test_states(self, found, state, ready, runs):
        serves = pod_serves(found, [8000], named=True)
        assert (pod_state(found), pod_is_ready(found), serves) == (state, ready, runs)

    def test_ports_by_number_name_and_guess(self):
        assert container_port(pod(), 8000) == 8000
        assert container_port(pod(), "http") == 8000
        assert container_port(pod(), 5432) == 5432  # not declared, and yet perhaps there
        with pytest.raises(PortNotFound):
            container_port(pod(), "grpc")

    def test_named_pod_comes_first_ready_or_not(self):
        pods = [pod("a"), pod("b", ready=False)]
        found = pods_behind(pods, [8000], named="b")
        assert [(one.name, one.usable) for one in found] == [("b", True), ("a", True)]
        assert [one.usable for one in pods_behind(pods, [8000])] == [True, False]

    def test_siblings_are_those_of_a_known_controller(self):
        mine, other = pod("a"), pod("b")
        for one, uid in ((mine, "mine"), (other, "other")):
            one["metadata"]["ownerReferences"] = [{"uid": uid, "controller": True}]
        assert [one.name for one in pods_behind([mine, other], [80], owner="mine")] == ["a"]

    def test_usable_pod_without_the_port_is_an_error(self):
        with pytest.raises(PortNotFound):
            pods_behind([pod()], ["grpc"])
        assert pods_behind([pod(ready=False)], ["grpc"])[0].ports == ()

    def test_sibling_labels_leave_out_the_pods_own(self):
        labels = {"app": "web", "pod-template-hash": "abc", "statefulset.kubernetes.io/pod-name": "web-0"}
        assert labels_of_siblings({"metadata": {"labels": labels}}) == "app=web"


def make_mixed_pod(
    *containers: tuple[str, Any, dict[str, Any], bool], init: bool = False, ready: bool = False
) -> dict[str, Any]:
    """Return a pod; each container has a name, a port's name or number, a state, and its readiness."""
    found = pod(ready=ready)
    kind, statuses = (
        ("initContainers", "initContainerStatuses") if init else ("containers", "containerStatuses")
    )
    found["spec"][kind] = [
        {"name": name, "restartPolicy": "Always", "ports": [port] if port else []}
        for name, port, _, _ in containers
    ]
    found["status"][statuses] = [
        {"name": name, "state": state, "ready": is_ready} for name, _, state, is_ready in containers
    ]
    return found


RUNS: dict[str, Any] = {"running": {}}
CRASHES = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}}
HTTP, METRICS = {"name": "http", "containerPort": 8000}, {"name": "metrics", "containerPort": 9100}


class TestContainers:
    """Pods with several containers: crashing ones, init containers and sidecars."""

    def test_port_of_an_init_container_loses(self):
        found = pod()
        found["spec"]["initContainers"] = [{"name": "setup", "ports": [HTTP | {"containerPort": 1}]}]
        assert container_port(found, "http") == 8000
        found["spec"]["containers"][0]["ports"] = []
        with pytest.raises(PortNotFound):
            container_port(found, "http")

    def test_port_of_a_sidecar_counts(self):
        found = pod()
        found["spec"]["initContainers"] = [
            {"name": "proxy", "restartPolicy": "Always", "ports": [METRICS, HTTP | {"containerPort": 1}]}
        ]
        assert (container_port(found, "metrics"), container_port(found, "http")) == (9100, 8000)

    def test_same_name_on_udp_and_tcp_means_tcp(self):
        found = pod()
        udp, tcp = (
            {"name": "dns", "containerPort": 50 + at, "protocol": name}
            for at, name in enumerate(("UDP", "TCP"))
        )
        found["spec"]["containers"] = [{"ports": [udp]}, {"ports": [tcp]}]
        assert container_port(found, "dns") == 51

    @pytest.mark.parametrize("wanted", ["http", 8000])
    @pytest.mark.parametrize("named", [True, False])
    def test_crashing_sidecar_leaves_the_port_reachable(self, wanted, named):
        found = make_mixed_pod(("app", HTTP, RUNS, True), ("side", METRICS, CRASHES, False))
        assert pod_serves(found, [wanted], named=named)
        assert not pod_serves(found, ["metrics"], named=named)
        assert not pod_serves(found, [wanted, "metrics"], named=named)

    def test_unready_container_serves_who_names_its_pod(self):
        found = make_mixed_pod(("app", HTTP, RUNS, False))
        assert pod_serves(found, ["http"], named=True)
        assert not pod_serves(found, ["http"])

    def test_undeclared_port_may_be_of_any_that_runs(self):
        found = make_mixed_pod(("app", None, RUNS, False), ("side", METRICS, CRASHES, False))
        assert pod_serves(found, [5432], named=True)
        assert not pod_serves(found, [5432])
        assert pod_serves(
            make_mixed_pod(("app", None, RUNS, True), ("side", METRICS, CRASHES, False)), [5432]
        )

    def test_ready_pod_comes_before_a_partly_ready_one(self):
        partly = make_mixed_pod(("app", None, RUNS, True), ("side", METRICS, CRASHES, False))
        whole = pod("zz-ready")
        assert pods_behind([partly, whole], [5432])[0].name == "zz-ready"

    def test_crashing_sidecar_gives_the_pods_state(self):
        found = make_mixed_pod(("proxy", METRICS, CRASHES, False), init=True)
        assert pod_state(found) == "CrashLoopBackOff"
        assert pod_serves(found, ["http"], named=True)

    def test_pod_without_the_port_hides_none_with_it(self):
        other = pod("a")
        other["spec"]["containers"] = [{"ports": [METRICS]}]
        found = pods_behind([other, pod("b")], ["http"])
        assert [(one.name, one.usable) for one in found] == [("a", False), ("b", True)]

    def test_nulls_are_nothing(self):
        found = {
            "metadata": {"name": "odd", "labels": None, "ownerReferences": None},
            "spec": {"containers": None, "initContainers": None},
            "status": {"conditions": None, "containerStatuses": [{"name": "a", "state": None}]},
        }
        (one,) = pods_behind([found], [80])
        assert (one.name, one.usable, one.state) == ("odd", False, "Unknown")
        assert pods_behind([found | {"status": None, "spec": None}], [80])[0].state == "Unknown"
        assert labels_of_siblings(found) == ""


class TestReasons:
    """The message when no pod is usable."""

    def test_pod_that_matters_comes_before_forty_leftovers(self):
        evicted = [pod(f"a-{number}", ready=False, phase="Failed", reason="Evicted") for number in range(40)]
        message = 'Back-off pulling image "nope:1"'
        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
        stuck = pod("z", ready=False, phase="Pending", containerStatuses=[{"state": waiting}])
        assert not_ready_words(pods_behind([*evicted, stuck], [8000])) == (
            f"The pod z is ImagePullBackOff: {message}. 40 pods are Evicted, such as a-0."
        )

    def test_pod_that_cannot_be_scheduled_says_why(self):
        why = "0/1 nodes are available: 1 Insufficient cpu."
        condition = {"type": "PodScheduled", "status": "False", "message": why}
        found = pod("a", ready=False, phase="Pending", conditions=[condition], containerStatuses=[])
        assert not_ready_words(pods_behind([found], [8000])) == f"The pod a is Pending: {why}"

    def test_pod_that_runs_is_said_not_to_be_ready(self):
        assert (
            not_ready_words(pods_behind([pod("a", ready=False)], [1]))
            == "The pod a is Running and not ready."
        )

    def test_no_more_than_five_kinds_are_named(self):
        found = [candidate(f"pod-{number}", usable=False) for number in range(9)]
        words = not_ready_words([replace(one, state=f"State{one.name}") for one in found])
        assert words.count("The pod") == 5


def test_selectors_in_the_form_of_a_query():
    selector = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]},
            {"key": "env", "operator": "NotIn", "values": ["test"]},
            {"key": "x", "operator": "Exists"},
            {"key": "y", "operator": "DoesNotExist"},
        ],
    }
    assert selector_text(selector) == "app=web,tier in (a,b),env notin (test),x,!y"


class TestServices:
    PORTS = (
        {"name": "http", "port": 80, "targetPort": "web"},
        {"name": "dns", "port": 53, "protocol": "UDP"},
    )

    def service(self) -> dict[str, Any]:
        return {"metadata": {"name": "web"}, "spec": {"ports": list(self.PORTS)}}

    def test_ports_by_number_and_name(self):
        assert service_ports(self.service(), [80, "http"]) == (self.PORTS[0], self.PORTS[0])

    @pytest.mark.parametrize("wanted", [81, "grpc", 53, "dns"])
    def test_ports_that_are_not_there_or_not_for_tcp(self, wanted):
        with pytest.raises(PortNotFound, match=str(wanted)):
            service_ports(self.service(), [wanted])

    def endpoints(self, **subset: Any) -> dict[str, Any]:
        address = {"targetRef": {"kind": "Pod", "name": "web-0", "uid": "1"}}
        ports = [{"name": "http", "port": 8000}, {"name": "admin", "port": 9000}]
        return {
            "metadata": {"name": "web"},
            "subsets": [{"addresses": [address], "ports": ports, **subset}],
        }

    def test_endpoints_have_pod_ports_by_service_names(self):
        (found,) = pods_of_endpoints(self.endpoints(), [80], [self.PORTS[0]])
        assert (found.name, found.uid, found.ports, found.usable) == ("web-0", "1", (8000,), True)

    @pytest.mark.parametrize("wanted", [9000, "admin"])
    def test_without_the_service_a_number_is_the_pods(self, wanted):
        assert pods_of_endpoints(self.endpoints(), [wanted], None)[0].ports == (9000,)

    def test_unknown_number_is_refused_without_the_service(self):
        with pytest.raises(PortNotFound, match="80"):
            pods_of_endpoints(self.endpoints(), [80], None)

    def test_unready_pods_are_known_and_not_used(self):
        endpoints = self.endpoints()
        endpoints["subsets"][0]["notReadyAddresses"] = endpoints["subsets"][0].pop("addresses")
        (found,) = pods_of_endpoints(endpoints, [80], [self.PORTS[0]])
        assert not found.usable

    def test_an_address_without_a_pod_is_passed_over(self):
        assert pods_of_endpoints(self.endpoints(addresses=[{"ip": "192.0.2.1"}]), [80], None) == []
        assert pods_of_endpoints({"metadata": {"name": "web"}}, [80], None) == []
