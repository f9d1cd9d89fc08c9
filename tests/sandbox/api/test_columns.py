"""The cells of each kind's table."""

from __future__ import annotations

from typing import Any

import pytest

from sspcloud_magics.sandbox.api.columns import cells, definitions
from sspcloud_magics.sandbox.store import Obj

LONG_AGO = "2001-01-01T00:00:00Z"


def row(plural: str, obj: Obj) -> dict[str, Any]:
    """Return the cells by their headings, without the age."""
    obj.setdefault("metadata", {}).setdefault("creationTimestamp", LONG_AGO)
    obj["metadata"].setdefault("name", "x")
    headings = [column["name"] for column in definitions(plural)]
    found = dict(zip(headings, cells(plural, obj), strict=True))
    assert found.pop("Age", "25y").endswith("y")
    found.pop("Name")
    return found


def service(**spec: Any) -> Obj:
    return {"spec": {"type": "ClusterIP", "clusterIP": "10.43.0.2", **spec}}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (
            service(ports=[{"port": 80}, {"port": 53, "protocol": "UDP"}], selector={"b": "2", "a": "1"}),
            ["ClusterIP", "10.43.0.2", "<none>", "80/TCP,53/UDP", "a=1,b=2"],
        ),
        (service(clusterIP="None"), ["ClusterIP", "None", "<none>", "<none>", "<none>"]),
        (
            service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}]),
            ["NodePort", "10.43.0.2", "<none>", "80:30080/TCP", "<none>"],
        ),
        (
            {"spec": {"type": "ExternalName", "externalName": "db.org"}},
            ["ExternalName", "<none>", "db.org", "<none>", "<none>"],
        ),
        (service(type="LoadBalancer"), ["LoadBalancer", "10.43.0.2", "<pending>", "<none>", "<none>"]),
    ],
)
def test_service(obj: Obj, expected: list[str]) -> None:
    assert list(row("services", obj).values()) == expected


def test_endpoints_shows_three_addresses() -> None:
    addresses = [{"ip": f"10.42.0.{n}"} for n in range(1, 6)]
    subsets = [{"addresses": addresses, "ports": [{"port": 5432}]}]
    shown = "10.42.0.1:5432,10.42.0.2:5432,10.42.0.3:5432 + 2 more..."
    assert row("endpoints", {"subsets": subsets}) == {"Endpoints": shown}
    assert row("endpoints", {}) == {"Endpoints": "<none>"}


def test_endpoint_slice() -> None:
    full = {"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.42.0.1"]}]}
    assert row("endpointslices", full) == {"AddressType": "IPv4", "Ports": "80", "Endpoints": "10.42.0.1"}
    empty = row("endpointslices", {"addressType": "IPv4"})
    assert (empty["Ports"], empty["Endpoints"]) == ("<unset>", "<unset>")


def job(spec: Obj, **status: Any) -> Obj:
    return {
        "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}, **spec},
        "status": status,
    }


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (job({"completions": 2}, succeeded=1), ["Running", "1/2", ""]),
        (job({"parallelism": 0}), ["Running", "0/1", ""]),
        (job({"parallelism": 3}, succeeded=1), ["Running", "1/1 of 3", ""]),
        (
            job(
                {"completions": 1},
                succeeded=1,
                startTime="2026-01-01T00:00:00Z",
                completionTime="2026-01-01T00:00:42Z",
                conditions=[{"type": "Complete", "status": "True"}],
            ),
            ["Complete", "1/1", "42s"],
        ),
        (job({"completions": 1}, conditions=[{"type": "Failed", "status": "True"}]), ["Failed", "0/1", ""]),
        (
            job({"completions": 1}, conditions=[{"type": "Suspended", "status": "True"}]),
            ["Suspended", "0/1", ""],
        ),
    ],
)
def test_job(obj: Obj, expected: list[str]) -> None:
    assert list(row("jobs", obj).values())[:3] == expected


def workload(desired: int, **status: Any) -> Obj:
    template = {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]}}
    selector = {"matchLabels": {"app": "web"}}
    return {"spec": {"replicas": desired, "template": template, "selector": selector}, "status": status}


def test_workloads() -> None:
    deployment = workload(3, readyReplicas=2, updatedReplicas=3, availableReplicas=2)
    assert row("deployments", deployment) == {
        "Ready": "2/3",
        "Up-to-date": 3,
        "Available": 2,
        "Containers": "a,b",
        "Images": "x:1,y:2",
        "Selector": "app=web",
    }
    replica_set = row("replicasets", workload(3, replicas=3, readyReplicas=1))
    assert (replica_set["Desired"], replica_set["Current"], replica_set["Ready"]) == (3, 3, 1)
    assert row("statefulsets", workload(2)) == {"Ready": "0/2", "Containers": "a,b", "Images": "x:1,y:2"}


def test_node() -> None:
    obj = {
        "metadata": {
            "labels": {"node-role.kubernetes.io/control-plane": "", "node-role.kubernetes.io/etcd": ""}
        },
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "False"}],
            "nodeInfo": {"kubeletVersion": "v1.36.1"},
        },
    }
    shown = row("nodes", obj)
    assert (shown["Status"], shown["Roles"]) == ("NotReady,SchedulingDisabled", "control-plane,etcd")
    assert row("nodes", {"status": {}})["Status"] == "Unknown"


def test_event() -> None:
    obj = {
        "type": "Warning",
        "reason": "BackOff",
        "message": " Back-off restarting \n",
        "count": 4,
        "firstTimestamp": LONG_AGO,
        "lastTimestamp": LONG_AGO,
        "involvedObject": {"kind": "Pod", "name": "web"},
    }
    shown = row("events", obj)
    assert shown["Last Seen"].endswith("y)")
    assert "(x4 over " in shown["Last Seen"]
    assert (shown["Object"], shown["Message"]) == ("pod/web", "Back-off restarting")


def test_claim() -> None:
    obj = {
        "spec": {"volumeName": "pvc-1", "storageClassName": "local-path"},
        "status": {"phase": "Bound", "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"]},
    }
    assert list(row("persistentvolumeclaims", obj).values()) == [
        "Bound",
        "pvc-1",
        "10Gi",
        "RWO",
        "local-path",
        "<unset>",
    ]
    obj["metadata"] = {"deletionTimestamp": LONG_AGO}
    assert row("persistentvolumeclaims", obj)["Status"] == "Terminating"


def test_quota() -> None:
    status = {"hard": {"pods": "3", "limits.cpu": "2"}, "used": {"pods": "1"}}
    assert row("resourcequotas", {"status": status}) == {"Request": "pods: 1/3", "Limit": "limits.cpu: 0/2"}


def test_binding() -> None:
    obj = {
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [
            {"kind": "User", "name": "oidc-bob"},
            {"kind": "User", "name": "oidc-carol"},
            {"kind": "Group", "name": "team"},
            {"kind": "ServiceAccount", "name": "nb", "namespace": "user-bob"},
        ],
    }
    assert row("rolebindings", obj) == {
        "Role": "ClusterRole/view",
        "Users": "oidc-bob, oidc-carol",
        "Groups": "team",
        "ServiceAccounts": "user-bob/nb",
    }


def test_small_kinds() -> None:
    assert row("secrets", {"data": {"a": "", "b": ""}}) == {"Type": "Opaque", "Data": 2}
    assert row("configmaps", {"data": {"a": ""}, "binaryData": {"b": ""}}) == {"Data": 2}
    assert row("serviceaccounts", {}) == {"Secrets": 0}
    assert row("namespaces", {"status": {"phase": "Active"}}) == {"Status": "Active"}
    assert row("networkpolicies", {"spec": {"podSelector": {}}}) == {"Pod-Selector": "<none>"}
    assert row("roles", {"metadata": {"creationTimestamp": LONG_AGO}}) == {"Created At": LONG_AGO}
    cluster = {
        "spec": {"instances": 1},
        "status": {"readyInstances": 1, "phase": "fine", "currentPrimary": "x-1"},
    }
    assert row("clusters", cluster) == {"Instances": 1, "Ready": 1, "Status": "fine", "Primary": "x-1"}
