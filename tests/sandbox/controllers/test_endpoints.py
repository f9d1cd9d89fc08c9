"""Endpoints and EndpointSlices follow the pods that a service selects."""

from __future__ import annotations

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers import endpoints, garbage
from sspcloud_magics.sandbox.controllers.writes import create
from sspcloud_magics.sandbox.objects import find, name_of
from sspcloud_magics.sandbox.store import Store
from tests.sandbox.controllers.stage import CONTAINER, LABELS, NS, make, pods


def make_service(store: Store, target: int | str = "http") -> None:
    spec = {"selector": LABELS, "ports": [{"name": "web", "port": 80, "targetPort": target}]}
    create(store, make("Service", "web", spec))


def make_pod(store: Store, name: str, *, ready: bool = True, port: int = 8000, **metadata: object) -> None:
    container = CONTAINER | {"ports": [{"name": "http", "containerPort": port}]}
    pod = make("Pod", name, {"containers": [container], "nodeName": "n"}, labels=LABELS, **metadata)
    address = f"10.42.0.{len(pods(store)) + 1}"
    conditions = [{"type": "Ready", "status": str(ready)}]
    pod["status"] = {"phase": "Running", "podIP": address, "conditions": conditions}
    store.create(pod)


def test_endpoints_follow_readiness_and_name_the_pod(store: Store) -> None:
    make_service(store)
    make_pod(store, "a")
    make_pod(store, "b", ready=False)
    endpoints.reconcile(store, (NS, "web"))
    (subset,) = store.get(kinds.ENDPOINTS, NS, "web")["subsets"]
    assert [one["targetRef"]["name"] for one in subset["addresses"]] == ["a"]
    assert [one["targetRef"]["name"] for one in subset["notReadyAddresses"]] == ["b"]
    assert subset["ports"] == [{"name": "web", "port": 8000, "protocol": "TCP"}]


def test_slice_names_every_port_if_only_emptily(store: Store) -> None:
    """kubectl reads the name unasked: without one, every ``describe svc`` panics."""
    create(store, make("Service", "web", {"selector": LABELS, "ports": [{"port": 8000}]}))
    make_pod(store, "a")
    endpoints.reconcile(store, (NS, "web"))
    (one,) = store.list_objects(kinds.SLICES, NS)
    assert one["ports"] == [{"name": "", "port": 8000, "protocol": "TCP"}]
    assert store.get(kinds.ENDPOINTS, NS, "web")["subsets"][0]["ports"] == [{"port": 8000, "protocol": "TCP"}]


def test_a_name_means_another_number_in_another_pod(store: Store) -> None:
    make_service(store)
    make_pod(store, "a")
    make_pod(store, "b", port=9000)
    endpoints.reconcile(store, (NS, "web"))
    found = {subset["ports"][0]["port"] for subset in store.get(kinds.ENDPOINTS, NS, "web")["subsets"]}
    assert found == {8000, 9000}


def test_a_pod_that_is_being_deleted_is_out_at_once(store: Store) -> None:
    make_service(store)
    make_pod(store, "a", deletionTimestamp="2026-01-01T00:00:00Z")
    endpoints.reconcile(store, (NS, "web"))
    assert "subsets" not in store.get(kinds.ENDPOINTS, NS, "web")
    (one,) = store.list_objects(kinds.SLICES, NS)
    conditions = {"ready": False, "serving": True, "terminating": True}
    assert one["endpoints"][0]["conditions"] == conditions


def test_the_node_is_said_where_there_is_one(store: Store) -> None:
    make_service(store)
    make_pod(store, "a")
    unplaced = store.get(kinds.PODS, NS, "a")
    unplaced["metadata"] = {"name": "b", "namespace": NS, "labels": LABELS}
    del unplaced["spec"]["nodeName"]
    store.create(unplaced)
    endpoints.reconcile(store, (NS, "web"))
    (subset,) = store.get(kinds.ENDPOINTS, NS, "web")["subsets"]
    assert [one.get("nodeName") for one in subset["addresses"]] == ["n", None]
    (one,) = store.list_objects(kinds.SLICES, NS)
    assert [endpoint.get("nodeName") for endpoint in one["endpoints"]] == ["n", None]


def test_unready_pod_is_published_if_the_service_wants(store: Store) -> None:
    make_service(store)
    service = store.get(kinds.SERVICES, NS, "web")
    service["spec"]["publishNotReadyAddresses"] = True
    store.update(service)
    make_pod(store, "a", ready=False)
    endpoints.reconcile(store, (NS, "web"))
    (subset,) = store.get(kinds.ENDPOINTS, NS, "web")["subsets"]
    assert [one["targetRef"]["name"] for one in subset["addresses"]] == ["a"]
    (one,) = store.list_objects(kinds.SLICES, NS)
    conditions = {"ready": True, "serving": False, "terminating": False}
    assert one["endpoints"][0]["conditions"] == conditions


def test_endpoints_are_queued_when_sources_change(store: Store) -> None:
    make_service(store)
    spec = {"selector": {"app": "other"}, "ports": [{"port": 80}]}
    create(store, make("Service", "other", spec))
    seen: list[endpoints.Change] = []
    store.subscribe(seen.append)

    def take_concerned() -> list[object]:
        found = [key for change in seen for key in endpoints.keys(store, change)]
        seen.clear()
        return found

    make_pod(store, "a")
    assert take_concerned() == [(NS, "web")]
    moved = store.get(kinds.PODS, NS, "a")
    moved["metadata"]["labels"] = {"app": "other"}
    store.update(moved)
    assert sorted(map(str, take_concerned())) == [f"('{NS}', 'other')", f"('{NS}', 'web')"]
    endpoints.reconcile(store, (NS, "other"))
    assert set(take_concerned()) == {(NS, "other")}
    store.delete(kinds.ENDPOINTS, NS, "other")
    assert take_concerned() == [(NS, "other")]
    create(store, make("ConfigMap", "web"))
    assert take_concerned() == []


def test_endpoints_go_with_their_service(store: Store) -> None:
    make_service(store)
    endpoints.reconcile(store, (NS, "web"))
    (one,) = store.list_objects(kinds.SLICES, NS)
    service = endpoints.find(store, kinds.SERVICES, NS, "web")
    assert service is not None
    store.delete(kinds.SERVICES, NS, "web")
    endpoints.reconcile(store, (NS, "web"))
    garbage.reconcile(store, (kinds.SLICES, NS, name_of(one)))
    assert find(store, kinds.ENDPOINTS, NS, "web") is None
    assert store.list_objects(kinds.SLICES, NS) == []
