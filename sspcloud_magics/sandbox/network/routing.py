"""Where a connection of a pod leads: cluster DNS, then the service's endpoints, then the policies.

``X.NS.svc.cluster.local`` and what is shorter by the pod's search path name a service; a name in front of it names a pod of
a headless one. Cluster IPs and pods' IPs are taken too. There is nothing outside the cluster.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.network.policy import Peer, allows
from sspcloud_magics.sandbox.store import NotFound, Obj, Store

CLUSTER_DOMAIN: Final = ("svc", "cluster", "local")


@dataclass(frozen=True, slots=True)
class Destination:
    """A port of a pod; `address` is what the caller sees."""

    namespace: str
    pod: str
    port: int
    address: str


class Unresolved(Exception):
    """There is no such name."""


class Refused(Exception):
    """The address is there, and nothing behind it; the text is the address."""


class Dropped(Exception):
    """The packets lead nowhere, or a NetworkPolicy drops them: the caller waits; the text is the address."""


class Network:
    """The pods' network."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def route(self, namespace: str, pod: str, host: str, port: int) -> Destination:
        """Return where a pod's connection to a host and port leads.

        `host`: a name or an IPv4 address. Raise `Unresolved` if there is no such name; `Refused` if a service
        has no ready pod; `Dropped` if a policy forbids it, or nothing has that address.
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
        # The API server puts this label on every namespace.
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
        for length in (3, 2, 1):  # of the domain that may have been left out
            if labels[-length:] == CLUSTER_DOMAIN[:length]:
                labels = labels[:-length]
                break
        else:
            if len(labels) > 2:
                raise Unresolved(host)
        # With the search path, `x.y` may be service x of namespace y or pod x of the headless service y.
        for where, service, pod in self._readings(namespace, labels):
            try:
                found = self._store.peek(kinds.SERVICES, where, service)
            except NotFound:
                continue
            if pod is None:
                return self._find_pod(found, port)
            return self._pod_behind(found, pod, port)
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
        metadata = service["metadata"]
        try:
            endpoints = self._store.peek(kinds.ENDPOINTS, metadata["namespace"], metadata["name"])
        except NotFound:
            return []
        subsets: list[Obj] = endpoints.get("subsets") or []
        return subsets
