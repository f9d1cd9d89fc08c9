from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.workloads.inventory import Pod, Service, TargetPort, pods, services
from sspcloud_magics.cluster.workloads.tables import pod_table
from tests.support.api_server import ApiServer


def ago(**parts: float) -> str:
    return (datetime.now(UTC) - timedelta(**parts)).strftime("%Y-%m-%dT%H:%M:%SZ")


POD: dict[str, Any] = {
    "metadata": {
        "name": "mon-api-abcdef-12345",
        "namespace": "user-bob",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"app": "mon-api"},
        "ownerReferences": [
            {"kind": "Other", "name": "x"},
            {"kind": "ReplicaSet", "name": "mon-api-abcdef", "controller": True},
        ],
    },
    "spec": {
        "nodeName": "node-1",
        "containers": [{"name": "api", "ports": [{"containerPort": 8000, "name": "http"}]}, {"name": "log"}],
        "initContainers": [
            {"name": "setup", "ports": [{"containerPort": 1, "name": "http"}]},
            {"name": "proxy", "restartPolicy": "Always", "ports": [{"containerPort": 15001}]},
        ],
    },
    "status": {
        "phase": "Running",
        "podIP": "10.42.0.7",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "api", "ready": True, "restartCount": 3, "state": {"running": {}}}],
    },
}


def test_a_pod_has_what_users_look_for() -> None:
    pod = Pod.from_object(POD)
    assert pod.name == "mon-api-abcdef-12345"
    assert (pod.ready, pod.status, pod.restarts, pod.is_ready) == ("1/3", "Running", 3, False)
    assert (pod.node, pod.ip, pod.owner) == ("node-1", "10.42.0.7", "ReplicaSet/mon-api-abcdef")
    assert pod.ports == (TargetPort(8000, "http"), TargetPort(15001))
    assert pod.labels == {"app": "mon-api"}
    assert pod.age is not None
    assert pod.age > timedelta(days=1)
    assert hash(pod)


def test_a_pod_of_which_little_is_known() -> None:
    pod = Pod.from_object({"metadata": {"name": "x"}})
    assert (pod.namespace, pod.ready, pod.status, pod.age, pod.owner) == ("", "0/0", "", None, "")


def test_restarts_say_how_long_ago() -> None:
    last = {"terminated": {"finishedAt": ago(minutes=5, seconds=30)}}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    statuses = [{"name": "api", "restartCount": 3, "lastState": last, "state": state}]
    pod = Pod.from_object(POD | {"status": {"phase": "Running", "containerStatuses": statuses}})
    told = repr(pod_table([pod, Pod.from_object(POD)])).splitlines()
    assert " 3 (5m3" in told[1]
    assert told[1].count(" ago)") == 1
    assert " ago)" not in told[2]


def service(spec: dict[str, Any], status: dict[str, Any] | None = None) -> Service:
    return Service.from_object({"metadata": {"name": "s"}, "spec": spec, "status": status or {}})


def test_service_ports_lead_to_pod_ports() -> None:
    ports = [{"port": 80, "name": "http", "targetPort": "web"}, {"port": 53, "protocol": "UDP"}]
    found = service({"clusterIP": "10.43.0.9", "ports": ports, "selector": {"app": "x"}})
    assert found.ports == (TargetPort(80, "http", "TCP", "web"), TargetPort(53, "", "UDP", 53))
    assert [str(port) for port in found.ports] == ["80→web (http)", "53/UDP"]
    assert str(TargetPort(80, "http", "TCP", "http")) == "80→http"
    assert (found.type, found.cluster_ip, found.selector) == ("ClusterIP", "10.43.0.9", {"app": "x"})


@pytest.mark.parametrize(
    ("spec", "status", "words"),
    [
        ({"type": "ClusterIP"}, {}, "<none>"),
        ({"type": "ClusterIP", "externalIPs": ["1.2.3.4", "5.6.7.8"]}, {}, "1.2.3.4,5.6.7.8"),
        ({"type": "LoadBalancer"}, {}, "<pending>"),
        (
            {"type": "LoadBalancer"},
            {"loadBalancer": {"ingress": [{"ip": "9.9.9.9"}, {"hostname": "h"}]}},
            "9.9.9.9,h",
        ),
        ({"type": "ExternalName", "externalName": "db.example"}, {}, "db.example"),
        ({"type": "NodePort"}, {}, "<none>"),
    ],
)
def test_external_addresses_are_worded_as_kubectl_does(spec: Any, status: Any, words: str) -> None:
    assert service(spec, status).external_ip == words


def test_a_headless_service_says_none() -> None:
    assert service({"clusterIP": "None"}).cluster_ip == "None"
    assert service({"type": "ExternalName"}).cluster_ip == "<none>"


def test_lists_come_from_the_server_in_its_order(api: ApiServer, cluster: Cluster) -> None:
    items = [{"metadata": {"name": name, "namespace": "user-bob"}} for name in ("b", "a")]
    api.answers["/api/v1/namespaces/user-bob/pods"] = {"items": items}
    api.answers["/api/v1/services"] = {"items": items}
    assert [pod.name for pod in pods(cluster)] == ["b", "a"]
    assert [found.name for found in services(cluster, "*")] == ["b", "a"]
