"""The destination of a pod's connection: cluster DNS, endpoints of the service, and policies.

``X.NS.svc.cluster.local`` and its shorter forms in the pod's search path are services; a name before them is a pod
of a headless service. Cluster IPs and pod IPs work too. There is no network outside the cluster.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.network.policy import Peer, allows
from sspcloud_magics.sandbox.objects import find, name_of, namespace_of
from sspcloud_magics.sandbox.store import Obj, Store

CLUSTER_DOMAIN: Final = ("svc", "cluster", "local")


@dataclass(frozen=True, slots=True)
class Destination:
    """A port of a pod; `address` is the IP address that the source connects to."""

    namespace: str
    pod: str
    port: int
    address: str


class Unresolved(Exception):
    """The name does not exist."""


class Refused(Exception):
    """No pod is behind the address, which is the message."""


class Dropped(Exception):
    """Nothing has the address, which is the message, or a NetworkPolicy drops the packets: a timeout follows."""


class Network:
    """The pods' network."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def route(self, namespace: str, pod: str, host: str, port: int) -> Destination:
        """Return the destination of a pod's connection.

        `host`: a name or an IPv4 address. Raise `Unresolved` for an unknown name, `Refused` if the service has no
        ready pod, and `Dropped` if a policy forbids the connection or nothing has the address.
        """
        destination = self._find(namespace, host.rstrip(".").lower(), port)
        source = self._peer(namespace, pod)
        target = self._peer(destination.namespace, destination.pod)
        policies = self._store.peek_all(kinds.POLICIES, namespace)
        if destination.namespace != namespace:
            policies = policies + self._store.peek_all(kinds.POLICIES, destination.namespace)
        if not allows(policies, source, target, destination.port):
            raise Dropped(destination.address)
        return destination

    def _peer(self, namespace: str, pod: str) -> Peer:
        labels = self._store.peek(kinds.NAMESPACES, "", namespace)["metadata"].get("labels") or {}
        # The API server sets this label on all namespaces.
        labels = {"kubernetes.io/metadata.name": namespace, **labels}
        return Peer(self._store.peek(kinds.PODS, namespace, pod), labels)

    def _find(self, namespace: str, host: str, port: int) -> Destination:
        try:
            address = str(ipaddress.IPv4Address(host))
        except ValueError:
            return self._find_name(namespace, host, port)
        for pod in self._store.peek_all(kinds.PODS):
            if (pod.get("status") or {}).get("podIP") == address:
                metadata = pod["metadata"]
                return Destination(metadata["namespace"], metadata["name"], port, address)
        for service in self._store.peek_all(kinds.SERVICES):
            if service["spec"].get("clusterIP") == address:
                return self._find_pod(service, port)
        raise Dropped(address)

    def _find_name(self, namespace: str, host: str, port: int) -> Destination:
        labels = tuple(host.split("."))
        for length in (3, 2, 1):  # labels of the cluster domain in the name
            if labels[-length:] == CLUSTER_DOMAIN[:length]:
                labels = labels[:-length]
                break
        else:
            if len(labels) > 2:
                raise Unresolved(host)
        # With the search path, `x.y` can be service x in namespace y or pod x of the headless service y.
        for where, service, pod in self._readings(namespace, labels):
            found = find(self._store, kinds.SERVICES, where, service)
            if found is not None:
                return self._find_pod(found, port) if pod is None else self._pod_behind(found, pod, port)
        raise Unresolved(host)

    @staticmethod
    def _readings(namespace: str, labels: tuple[str, ...]) -> Iterator[tuple[str, str, str | None]]:
        match labels:
            case (service,):
                yield namespace, service, None
            case (first, second):
                yield second, first, None
                yield namespace, second, first
            case (pod, service, where):
                yield where, service, pod

    def _pod_behind(self, service: Obj, hostname: str, port: int) -> Destination:
        namespace = service["metadata"]["namespace"]
        for subset in self._subsets(service):
            for address in subset.get("addresses") or []:
                reference = address.get("targetRef") or {}
                if hostname in {address.get("hostname"), reference.get("name")}:
                    return Destination(namespace, reference["name"], port, address["ip"])
        raise Unresolved(f"{hostname}.{service['metadata']['name']}")

    def _find_pod(self, service: Obj, port: int) -> Destination:
        """Return the first ready pod behind a service."""
        headless = service["spec"].get("clusterIP") == "None"
        address = service["spec"].get("clusterIP", "")
        named = [entry for entry in service["spec"].get("ports") or [] if entry["port"] == port]
        if not named and not headless:
            raise Dropped(f"{address}:{port}")
        for subset in self._subsets(service):
            for ready in subset.get("addresses") or []:
                reference = ready.get("targetRef") or {}
                if reference.get("kind") != "Pod":
                    continue
                if headless:
                    number = port
                else:
                    name = named[0].get("name", "")
                    numbers = [entry["port"] for entry in subset["ports"] if entry.get("name", "") == name]
                    if not numbers:
                        continue
                    number = int(numbers[0])
                where = reference.get("namespace", service["metadata"]["namespace"])
                return Destination(where, reference["name"], number, ready["ip"] if headless else address)
        if headless:
            raise Unresolved(service["metadata"]["name"])
        raise Refused(address)

    def _subsets(self, service: Obj) -> list[Obj]:
        endpoints = find(self._store, kinds.ENDPOINTS, namespace_of(service), name_of(service)) or {}
        return endpoints.get("subsets") or []
