"""Endpoints and EndpointSlices: the addresses of the pods of services with a selector.

A ready pod is in ``addresses``, any other in ``notReadyAddresses``. The target port of a service can be a name,
which each pod maps to a number; pods of one service can therefore be in several subsets. A narrow Role can name
an Endpoints object, which has the name of its service, but no slice, whose name is generated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers.loop import Controller, Key
from sspcloud_magics.sandbox.controllers.writes import new_object, owner_reference
from sspcloud_magics.sandbox.names import suffix
from sspcloud_magics.sandbox.objects import find, labels_of, name_of, namespace_of
from sspcloud_magics.sandbox.pods import is_terminating, pod_over, pod_ready, sidecars_of
from sspcloud_magics.sandbox.store import Change, Obj, Store

Ports: TypeAlias = tuple[tuple[str, int, str], ...]

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SLICE_CONTROLLER = "endpointslice-controller.k8s.io"


def keys(store: Store, change: Change) -> Iterator[Key]:
    """Yield the services affected by a change."""
    namespace = namespace_of(change.object)
    if change.resource in (kinds.SERVICES, kinds.ENDPOINTS):
        yield namespace, name_of(change.object)
    elif change.resource == kinds.SLICES:
        if name := labels_of(change.object).get(SERVICE_NAME):
            yield namespace, name
    elif change.resource == kinds.PODS:
        versions = [labels_of(obj) for obj in (change.object, change.old) if obj]
        for service in store.peek_all(kinds.SERVICES, namespace):
            if any(_matches(service, labels) for labels in versions):
                yield namespace, name_of(service)


def target_port(port: Obj, pod: Obj) -> int | None:
    """Return the container port behind a service port; None if the pod has no port of that name."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    for container in [*pod["spec"]["containers"], *sidecars_of(pod)]:
        for offered in container.get("ports") or ():
            same_protocol = offered.get("protocol", "TCP") == port.get("protocol", "TCP")
            if offered.get("name") == target and same_protocol:
                return int(offered["containerPort"])
    return None


def _list_addressed(service: Obj, pods: list[Obj]) -> Iterator[tuple[Obj, str, Ports, Obj]]:
    """Yield each pod with an address, the address, its ports, and the fields that describe it."""
    for pod in sorted(pods, key=name_of):
        address = (pod.get("status") or {}).get("podIP")
        if address and not pod_over(pod):
            target = {"kind": "Pod", "name": name_of(pod), "namespace": namespace_of(pod)}
            about: Obj = {"targetRef": target | {"uid": pod["metadata"]["uid"]}}
            if pod["spec"].get("nodeName"):
                about["nodeName"] = pod["spec"]["nodeName"]
            yield pod, address, _resolve_ports(service, pod), about


def subsets(service: Obj, pods: list[Obj]) -> list[Obj]:
    """Return the ``subsets`` of a service's Endpoints."""
    found: dict[Ports, Obj] = {}
    for pod, address, ports, about in _list_addressed(service, pods):
        if not is_terminating(pod):
            subset = found.setdefault(ports, {})
            ready = pod_ready(pod) or service["spec"].get("publishNotReadyAddresses")
            if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == name_of(service):
                about["hostname"] = pod["spec"]["hostname"]
            subset.setdefault("addresses" if ready else "notReadyAddresses", []).append(
                {"ip": address, **about}
            )
    return [subset | {"ports": [_port(*port) for port in ports]} for ports, subset in found.items()]


def slices(service: Obj, pods: list[Obj]) -> list[Obj]:
    """Return ``ports`` and ``endpoints`` of a service's EndpointSlices."""
    found: dict[Ports, list[Obj]] = {}
    for pod, address, ports, about in _list_addressed(service, pods):
        serving = pod_ready(pod)
        ready = (serving and not is_terminating(pod)) or bool(service["spec"].get("publishNotReadyAddresses"))
        conditions = {"ready": ready, "serving": serving, "terminating": is_terminating(pod)}
        found.setdefault(ports, []).append({"addresses": [address], "conditions": conditions, **about})
    if not found:
        return [{"ports": None, "endpoints": None}]
    return [
        # Clients expect a name, which may be empty.
        {"ports": [{"name": ""} | _port(*port) for port in ports], "endpoints": endpoints}
        for ports, endpoints in found.items()
    ]


def reconcile(store: Store, key: Key) -> None:
    """Reconcile the Endpoints and EndpointSlices of a service."""
    namespace, name = map(str, key)
    service = find(store, kinds.SERVICES, namespace, name)
    if service is None:
        # The garbage collector deletes slices, which the service owns. It does not own Endpoints.
        endpoints = find(store, kinds.ENDPOINTS, namespace, name)
        if endpoints and labels_of(endpoints).get("endpoints.kubernetes.io/managed-by"):
            store.delete(kinds.ENDPOINTS, namespace, name)
        return
    if not service["spec"].get("selector") or is_terminating(service):
        return
    pods = [pod for pod in store.peek_all(kinds.PODS, namespace) if _matches(service, labels_of(pod))]
    _write_endpoints(store, service, subsets(service, pods))
    _write_slices(store, service, slices(service, pods))


def _write_endpoints(store: Store, service: Obj, found: list[Obj]) -> None:
    labels = {**labels_of(service), "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    if service["spec"].get("clusterIP") == "None":
        labels["service.kubernetes.io/headless"] = ""
    namespace, name = namespace_of(service), name_of(service)
    old = find(store, kinds.ENDPOINTS, namespace, name)
    new = old or new_object(kinds.ENDPOINTS, namespace, name)
    new["metadata"]["labels"] = labels
    new.pop("subsets", None)
    if found:
        new["subsets"] = found
    if old is None:
        store.create(new)
    else:
        store.update(new)


def _write_slices(store: Store, service: Obj, wanted: list[Obj]) -> None:
    namespace, name = namespace_of(service), name_of(service)
    present = [
        one
        for one in store.list_objects(kinds.SLICES, namespace)
        if labels_of(one).get(SERVICE_NAME) == name and labels_of(one).get(MANAGED_BY) == SLICE_CONTROLLER
    ]
    for content in wanted:
        if present:
            store.update(present.pop(0) | content)
            continue
        labels = {**labels_of(service), SERVICE_NAME: name, MANAGED_BY: SLICE_CONTROLLER}
        about = {"generateName": f"{name}-", "labels": labels, "ownerReferences": [owner_reference(service)]}
        made = new_object(kinds.SLICES, namespace, f"{name}-{suffix()}", **about)
        store.create({**made, "addressType": "IPv4", **content})
    for one in present:
        store.delete(kinds.SLICES, namespace, name_of(one))


def _matches(service: Obj, labels: dict[str, str]) -> bool:
    selector: dict[str, str] = service["spec"].get("selector") or {}
    return bool(selector) and selector.items() <= labels.items()


def _resolve_ports(service: Obj, pod: Obj) -> Ports:
    return tuple(
        (port.get("name", ""), number, port.get("protocol", "TCP"))
        for port in service["spec"].get("ports") or ()
        if (number := target_port(port, pod)) is not None
    )


def _port(name: str, number: int, protocol: str) -> Obj:
    port: Obj = {"port": number, "protocol": protocol}
    return {"name": name, **port} if name else port


CONTROLLER = Controller("endpoints", keys, reconcile)
