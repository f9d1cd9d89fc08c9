from __future__ import annotations

from typing import Any

import pytest

from sspcloud_magics.sandbox.network.routing import Destination, Dropped, Network, Refused, Unresolved
from sspcloud_magics.sandbox.store import Store


def create(
    store: Store, kind: str, name: str, namespace: str = "alice", version: str = "v1", **body: Any
) -> None:
    metadata = {"name": name, "namespace": namespace} if kind != "Namespace" else {"name": name}
    store.create({"apiVersion": version, "kind": kind, "metadata": metadata, **body})


def endpoints(store: Store, name: str, pod: str, ip: str, port: int) -> None:
    address = {"ip": ip, "targetRef": {"kind": "Pod", "name": pod, "namespace": "alice"}}
    subset = {"addresses": [address], "ports": [{"name": "pg", "port": port}]}
    create(store, "Endpoints", name, subsets=[subset])


@pytest.fixture
def store() -> Store:
    store = Store()
    for namespace in ("alice", "bob"):
        create(store, "Namespace", namespace)
    for namespace, pod, ip in (("alice", "db-1", "10.42.0.5"), ("bob", "proxy", "10.42.0.9")):
        create(store, "Pod", pod, namespace, spec={"containers": []}, status={"podIP": ip})
    port = {"name": "pg", "port": 5432, "targetPort": 6543}
    create(store, "Service", "db-rw", spec={"clusterIP": "10.96.0.7", "ports": [port]})
    endpoints(store, "db-rw", "db-1", "10.42.0.5", 6543)
    create(store, "Service", "db", spec={"clusterIP": "None", "ports": [port]})
    endpoints(store, "db", "db-1", "10.42.0.5", 6543)
    create(store, "Service", "idle", spec={"clusterIP": "10.96.0.8", "ports": [port]})
    return store


@pytest.mark.parametrize(
    "name",
    [
        "db-rw.alice",
        "db-rw.alice.svc",
        "db-rw.alice.svc.cluster.local",
        "DB-RW.alice.svc.cluster.local.",
        "10.96.0.7",
    ],
)
def test_service_name_leads_to_its_ready_pods_port(store, name):
    found = Network(store).route("bob", "proxy", name, 5432)
    assert found == Destination("alice", "db-1", 6543, "10.96.0.7")


def test_a_short_name_is_one_of_the_own_namespace(store):
    assert Network(store).route("alice", "db-1", "db-rw", 5432).pod == "db-1"
    with pytest.raises(Unresolved):
        Network(store).route("bob", "proxy", "db-rw", 5432)


def test_headless_service_keeps_the_port_asked_for(store):
    assert Network(store).route("bob", "proxy", "db.alice.svc", 6543).address == "10.42.0.5"
    assert Network(store).route("bob", "proxy", "db-1.db.alice.svc.cluster.local", 1).port == 1
    with pytest.raises(Unresolved):
        Network(store).route("bob", "proxy", "db-2.db.alice.svc.cluster.local", 1)


@pytest.mark.parametrize("name", ["nobody", "db-rw.nowhere.svc", "example.com", "a.b.c.d"])
def test_there_is_no_other_name(store, name):
    with pytest.raises(Unresolved):
        Network(store).route("bob", "proxy", name, 5432)


def test_a_service_without_a_ready_pod_refuses(store):
    with pytest.raises(Refused, match=r"10\.96\.0\.8"):
        Network(store).route("bob", "proxy", "idle.alice", 5432)


@pytest.mark.parametrize(("host", "port"), [("10.42.0.77", 80), ("db-rw.alice", 80)])
def test_packets_to_nowhere_are_dropped(store, host, port):
    with pytest.raises(Dropped):
        Network(store).route("bob", "proxy", host, port)


def test_pod_address_leads_to_it_unless_denied(store):
    network = Network(store)
    assert network.route("bob", "proxy", "10.42.0.5", 6543) == Destination("alice", "db-1", 6543, "10.42.0.5")
    spec = {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}
    create(store, "NetworkPolicy", "same", version="networking.k8s.io/v1", spec=spec)
    with pytest.raises(Dropped):
        network.route("bob", "proxy", "10.42.0.5", 6543)
