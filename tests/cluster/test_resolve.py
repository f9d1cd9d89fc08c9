"""Targets against a real HTTPS server that holds a small namespace; the sandbox repeats the main of it with real rights."""

from __future__ import annotations

from typing import Any

import pytest

from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.workloads.inventory import TargetPort
from sspcloud_magics.cluster.workloads.resolve import ResolvedTarget, check_ports, resolve, short
from sspcloud_magics.errors import (
    AmbiguousTarget,
    Forbidden,
    PodNotReady,
    PortNotFound,
    TargetError,
    TargetNotFound,
    UsageProblem,
)
from sspcloud_magics.target import PortText, Target, TargetText, parse_port
from tests.support.api_server import ApiServer

GROUPS = {"pods": "/api/v1", "services": "/api/v1", "endpoints": "/api/v1", "secrets": "/api/v1"}
GROUPS |= {"jobs": "/apis/batch/v1"}


def path(plural: str, namespace: str, name: str = "") -> str:
    base = GROUPS.get(plural, "/apis/apps/v1")
    return f"{base}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def put(
    api: ApiServer, plural: str, name: str, spec: dict[str, Any] | None = None, namespace: str = "user-bob"
) -> None:
    item = {"metadata": {"name": name, "namespace": namespace}, "spec": spec or {}}
    api.answers[path(plural, namespace, name)] = item
    api.answers.setdefault(path(plural, namespace), {"items": []})["items"].append(item)


def container(*ports: tuple[Any, ...]) -> dict[str, Any]:
    keys = ("containerPort", "name", "protocol")
    return {"containers": [{"name": "c", "ports": [dict(zip(keys, port, strict=False)) for port in ports]}]}


@pytest.fixture(autouse=True)
def world(api: ApiServer) -> None:
    for plural in ("pods", "services", "deployments", "statefulsets", "replicasets", "daemonsets", "jobs"):
        for namespace in ("user-bob", "user-alice"):
            api.answers[path(plural, namespace)] = {"items": []}
    api.answers["/api/v1/namespaces/user-bob"] = {"metadata": {"name": "user-bob"}}
    api.answers["/api/v1/namespaces/user-alice"] = {"metadata": {"name": "user-alice"}}
    put(api, "pods", "mon-api-abcdef-12345", container((8000, "http")))
    put(api, "pods", "worker-0", container((9000,), (9001, "metrics"), (53, "dns", "UDP")))
    put(api, "pods", "worker-1", container((9000,)))
    put(api, "services", "mon-api", {"ports": [{"port": 80, "name": "http", "targetPort": 8000}]})
    dns = [
        {"port": 53, "name": "dns", "protocol": "UDP"},
        {"port": 53, "name": "dns-tcp"},
        {"port": 514, "protocol": "UDP"},
    ]
    put(api, "services", "dns", {"ports": dns})
    put(api, "deployments", "mon-api", {"template": {"spec": container((8000, "http"))}})
    put(api, "statefulsets", "database", {"template": {"spec": container((5432, "postgres"))}})
    for plural in ("replicasets", "daemonsets", "jobs"):
        put(api, plural, f"{plural}-1", {"template": {"spec": container((8000, "http"))}})
    put(api, "services", "postgres-rw", {"ports": [{"port": 5432}]}, "user-alice")


def test_external_name_refused(cluster: Cluster, api: ApiServer) -> None:
    put(api, "services", "legacy", {"type": "ExternalName", "externalName": "db.example.org"})
    with pytest.raises(TargetError, match="selects no pods") as refused:
        resolve(cluster, "svc/legacy")
    assert "db.example.org" in refused.value.why
    assert "--relay legacy.user-bob.svc.cluster.local:PORT" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("mon-api-abcdef-12345", Target("user-bob", "pod", "mon-api-abcdef-12345")),
        ("pod/worker-0", Target("user-bob", "pod", "worker-0")),
        ("mon-api", Target("user-bob", "service", "mon-api")),
        ("svc/mon-api", Target("user-bob", "service", "mon-api")),
        ("deploy/mon-api", Target("user-bob", "deployment", "mon-api")),
        ("database", Target("user-bob", "statefulset", "database")),
        ("sts/database", Target("user-bob", "statefulset", "database")),
        ("statefulset/data", Target("user-bob", "statefulset", "database")),
        ("mon-api-ab", Target("user-bob", "pod", "mon-api-abcdef-12345")),
        ("pod/mon", Target("user-bob", "pod", "mon-api-abcdef-12345")),
        ("svc/mon", Target("user-bob", "service", "mon-api")),
        ("worker-0", Target("user-bob", "pod", "worker-0")),
        ("datab", Target("user-bob", "statefulset", "database")),
        ("user-alice/svc/postgres-rw", Target("user-alice", "service", "postgres-rw")),
        ("user-alice/postgres-rw", Target("user-alice", "service", "postgres-rw")),
        ("user-alice/svc/postgres", Target("user-alice", "service", "postgres-rw")),
        ("rs/replicasets-1", Target("user-bob", "replicaset", "replicasets-1")),
        ("ds/daemonsets-1", Target("user-bob", "daemonset", "daemonsets-1")),
        ("job/jobs-1", Target("user-bob", "job", "jobs-1")),
        ("job.batch/jobs-", Target("user-bob", "job", "jobs-1")),
        ("deployment.apps/mon-api", Target("user-bob", "deployment", "mon-api")),
        ("mon-api-", Target("user-bob", "pod", "mon-api-abcdef-12345")),
    ],
)
def test_what_users_type_finds_what_they_mean(cluster: Cluster, text: str, target: Target) -> None:
    assert resolve(cluster, text).target == target


def test_a_target_that_is_already_taken_apart(cluster: Cluster) -> None:
    assert resolve(cluster, TargetText("mon-api", "service")).target.kind == "service"


def test_the_ports_come_along(cluster: Cluster) -> None:
    assert resolve(cluster, "svc/mon-api").ports == (TargetPort(80, "http", "TCP", 8000),)
    assert resolve(cluster, "deploy/mon-api").ports == (TargetPort(8000, "http"),)
    assert resolve(cluster, "worker-0").ports == (
        TargetPort(9000),
        TargetPort(9001, "metrics"),
        TargetPort(53, "dns", "UDP"),
    )


def test_ambiguous_prefix_lists_the_candidates(cluster: Cluster) -> None:
    with pytest.raises(AmbiguousTarget) as caught:
        resolve(cluster, "worker")
    assert "There are: worker-0, worker-1." in str(caught.value)


def test_evicted_leftovers_make_no_prefix_ambiguous(api: ApiServer, cluster: Cluster) -> None:
    for name, phase in (("web-a", "Failed"), ("web-b", "Running"), ("web-c", "Succeeded")):
        put(api, "pods", name)
        api.answers[path("pods", "user-bob", name)]["status"] = {"phase": phase, "reason": "Evicted"}
    assert resolve(cluster, "web-").target.name == "web-b"
    api.answers[path("pods", "user-bob", "web-b")]["status"]["phase"] = "Failed"
    with pytest.raises(AmbiguousTarget):
        resolve(cluster, "web-")


def test_a_typo_is_answered_with_what_comes_near(cluster: Cluster) -> None:
    with pytest.raises(TargetNotFound) as caught:
        resolve(cluster, "mon-apu")
    assert "did you mean svc/mon-api or deploy/mon-api" in str(caught.value)
    with pytest.raises(TargetNotFound) as caught:
        resolve(cluster, "svc/zzzzzz")
    assert "There are: svc/dns, svc/mon-api." in str(caught.value)


def test_of_many_things_an_error_names_some(api: ApiServer, cluster: Cluster) -> None:
    for number in range(30):
        put(api, "pods", f"batch-{number:02}")
    with pytest.raises(AmbiguousTarget, match="30 pods") as caught:
        resolve(cluster, "batch")
    assert "batch-11, and 18 more." in str(caught.value)


def test_a_pod_that_has_ended_is_refused(api: ApiServer, cluster: Cluster) -> None:
    put(api, "pods", "job-1")
    terminated = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    found = api.answers[path("pods", "user-bob", "job-1")]
    found["status"] = {"phase": "Succeeded", "containerStatuses": [{"name": "c", "state": terminated}]}
    with pytest.raises(PodNotReady, match=r"has ended \(Completed\)"):
        resolve(cluster, "job-1")
    found["status"] = {
        "phase": "Running",
        "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
    }
    assert resolve(cluster, "job-1").status == "CrashLoopBackOff"


def test_an_empty_namespace_says_how_to_look(cluster: Cluster) -> None:
    with pytest.raises(TargetNotFound, match="%k8s_pods -n user-alice"):
        resolve(cluster, "user-alice/pod/anything")


def test_an_unknown_namespace_is_told(cluster: Cluster) -> None:
    with pytest.raises(TargetNotFound, match="There is no namespace user-alicf") as caught:
        resolve(cluster, "user-alicf/svc/postgres-rw")
    assert "user-bob is yours" in str(caught.value)


@pytest.mark.parametrize("text", ["", "a/b/c/d", "/x", "svc/", "x/thing/y", "UPPER", "a b", "<script>"])
def test_what_is_no_target_is_refused_without_asking(api: ApiServer, cluster: Cluster, text: str) -> None:
    with pytest.raises(UsageProblem):
        resolve(cluster, text)
    assert api.asked == []


# -- narrow rights --------------------------------------------------------------------------------


def forbid(api: ApiServer, namespace: str, *names: str) -> None:
    for plural in ("pods", "services", "deployments", "statefulsets", "endpoints"):
        api.forbidden.add(path(plural, namespace))
        api.forbidden.update(path(plural, namespace, name) for name in names)


def allow_forwarding(api: ApiServer, *names: str) -> None:
    def decide(asked: Any) -> dict[str, Any]:
        wanted = asked.body["spec"]["resourceAttributes"]
        allowed = (
            wanted["resource"] == "pods"
            and wanted["subresource"] == "portforward"
            and wanted["name"] in names
        )
        return {"status": {"allowed": allowed}}

    api.answers["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"] = decide


def test_endpoints_alone_are_enough_for_a_service(api: ApiServer, cluster: Cluster) -> None:
    forbid(api, "user-alice", "db-rw")
    api.forbidden.discard(path("endpoints", "user-alice", "db-rw"))
    subsets = [{"addresses": [{"ip": "10.42.0.7"}], "ports": [{"port": 5432, "name": "postgres"}]}]
    api.answers[path("endpoints", "user-alice", "db-rw")] = {
        "metadata": {"name": "db-rw"},
        "subsets": subsets,
    }
    for text in ("user-alice/svc/db-rw", "user-alice/db-rw"):
        found = resolve(cluster, text)
        assert found.target == Target("user-alice", "service", "db-rw")
        assert found.ports == (TargetPort(5432, "postgres"),)
        assert not found.ports_known


def test_pod_with_forward_right_only_is_believed(api: ApiServer, cluster: Cluster) -> None:
    forbid(api, "user-alice", "db-1")
    allow_forwarding(api, "db-1")
    for text in ("user-alice/pod/db-1", "user-alice/db-1"):
        found = resolve(cluster, text)
        assert (found.target, found.ports_known) == (Target("user-alice", "pod", "db-1"), False)


def test_no_right_to_look_or_forward_is_told(api: ApiServer, cluster: Cluster) -> None:
    forbid(api, "user-alice", "db-1")
    allow_forwarding(api, "another")
    with pytest.raises(Forbidden, match="user-alice") as caught:
        resolve(cluster, "user-alice/db-1")
    assert "namespace that does not exist" in str(caught.value)


def test_exact_name_is_found_without_listing(api: ApiServer, cluster: Cluster) -> None:
    forbid(api, "user-bob")
    assert resolve(cluster, "svc/mon-api").target.name == "mon-api"


# -- ports ----------------------------------------------------------------------------------------


def ports(*texts: str) -> list[PortText]:
    return [parse_port(text) for text in texts]


def test_ports_that_the_target_has(cluster: Cluster) -> None:
    service = resolve(cluster, "svc/mon-api")
    assert check_ports(service, ports("1500:80")) == (PortText(80, 1500),)
    assert check_ports(service, ports("http", ":80")) == (PortText("http"), PortText(80, 0))


def test_without_a_port_the_only_one_is_meant(cluster: Cluster) -> None:
    assert check_ports(resolve(cluster, "svc/mon-api"), []) == (PortText(80),)
    with pytest.raises(PortNotFound, match="2 ports: name one") as caught:
        check_ports(resolve(cluster, "worker-0"), [])
    assert "9000, 9001 (metrics)" in str(caught.value)


def test_without_a_port_and_none_declared(cluster: Cluster) -> None:
    nothing = ResolvedTarget(Target("user-bob", "pod", "x"))
    with pytest.raises(PortNotFound, match="name one") as caught:
        check_ports(nothing, [])
    assert "declares no ports" in str(caught.value)


@pytest.mark.parametrize(
    ("port", "hint"),
    [("8000", "use 80, the port of the service"), ("https", "did you mean http?"), ("81", "use 80")],
)
def test_a_service_has_its_own_ports_only(cluster: Cluster, port: str, hint: str) -> None:
    with pytest.raises(PortNotFound, match=f"has no port {port}") as caught:
        check_ports(resolve(cluster, "svc/mon-api"), ports(port))
    assert "80→8000 (http)" in str(caught.value)
    assert hint in caught.value.hint


def test_undeclared_port_is_allowed_as_a_number_only(cluster: Cluster) -> None:
    pod = resolve(cluster, "worker-0")
    assert check_ports(pod, ports("7777")) == (PortText(7777),)
    with pytest.raises(PortNotFound, match="no port postgres"):
        check_ports(pod, ports("postgres"))


def test_udp_is_refused_with_the_reason(cluster: Cluster) -> None:
    for text in ("514", "dns"):
        with pytest.raises(PortNotFound, match="is UDP") as caught:
            check_ports(resolve(cluster, "svc/dns"), ports(text))
        assert "only TCP" in str(caught.value)
    # The same number under both protocols: the TCP one is meant.
    assert check_ports(resolve(cluster, "svc/dns"), ports("53")) == (PortText(53),)


def test_any_number_is_taken_where_ports_are_hidden(api: ApiServer, cluster: Cluster) -> None:
    unseen = ResolvedTarget(Target("user-alice", "pod", "db-1"), ports_known=False)
    assert check_ports(unseen, ports("5432", "postgres")) == (PortText(5432), PortText("postgres"))
    from_endpoints = ResolvedTarget(
        Target("user-alice", "service", "db-rw"), (TargetPort(5432, "postgres"),), ports_known=False
    )
    assert check_ports(from_endpoints, ports("15432:80")) == (PortText(80, 15432),)
    with pytest.raises(PortNotFound, match="no port http"):
        check_ports(from_endpoints, ports("http"))


def test_short_names_are_what_one_would_type(cluster: Cluster) -> None:
    written = [
        short(Target("user-bob", "pod", "x"), cluster),
        short(Target("user-bob", "service", "x"), cluster),
        short(Target("user-alice", "pod", "x"), cluster),
        short(Target("user-alice", "service", "x"), cluster),
    ]
    assert written == ["x", "svc/x", "user-alice/pod/x", "user-alice/svc/x"]
