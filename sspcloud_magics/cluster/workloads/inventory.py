"""Pods and services as frozen values, in kubectl's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sspcloud_magics.cluster.api.api_errors import report_malformed
from sspcloud_magics.cluster.api.resources import PODS, SERVICES
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests.object_reads import list_objects
from sspcloud_magics.cluster.timefmt import timestamp
from sspcloud_magics.cluster.workloads.pod_status import pod_status


@dataclass(frozen=True, slots=True)
class TargetPort:
    """A port that a target declares."""

    number: int  # the port of the container or the service
    name: str = ""  # its name; may be empty
    protocol: str = "TCP"  # ``TCP``, ``UDP`` or ``SCTP``
    target: int | str | None = None  # for a service, the port of its pods, as a number or a name

    def __str__(self) -> str:
        leads = f"→{self.target}" if self.target not in (None, self.number) else ""
        protocol = "" if self.protocol == "TCP" else f"/{self.protocol}"
        name = f" ({self.name})" if self.name and self.name != self.target else ""
        return f"{self.number}{leads}{protocol}{name}"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, as `kubectl get pods -o wide` shows it."""

    name: str
    namespace: str
    ready: str  # ready containers out of all: ``1/1``
    status: str  # kubectl's status: ``Running``, ``CrashLoopBackOff``, ``Init:0/1``, ``Terminating``, …
    restarts: int  # the number of restarts of its containers
    last_restart: datetime | None  # the time of the last restart; None without any
    created: datetime | None  # the creation time; None if the server does not report it
    ports: tuple[TargetPort, ...]  # the ports that its containers declare
    # Its node, and its address in the cluster; empty until it is scheduled.
    node: str
    ip: str
    labels: Mapping[str, str] = field(hash=False)
    owner: str  # its controller, such as ``ReplicaSet/mon-api-abcdef``; empty without one
    is_ready: bool  # its Ready condition: whether it accepts connections

    @property
    def age(self) -> timedelta | None:
        """The time since its creation."""
        return _age(self.created)

    @classmethod
    def from_object(cls, item: Mapping[str, Any]) -> Pod:
        """Convert a Pod of the API."""
        metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
        shown = pod_status(item)
        owners = metadata.get("ownerReferences") or ()
        controllers = [owner for owner in owners if owner.get("controller")]
        return cls(
            name=metadata["name"],
            namespace=metadata.get("namespace") or "",
            ready=f"{shown.ready}/{shown.containers}",
            status=shown.status,
            restarts=shown.restarts,
            last_restart=shown.last_restart,
            created=timestamp(metadata.get("creationTimestamp")),
            ports=container_ports(spec),
            node=spec.get("nodeName") or "",
            ip=status.get("podIP") or "",
            labels=metadata.get("labels") or {},
            owner=f"{controllers[0]['kind']}/{controllers[0]['name']}" if controllers else "",
            is_ready=any(
                condition.get("type") == "Ready" and condition.get("status") == "True"
                for condition in status.get("conditions") or ()
            ),
        )


@dataclass(frozen=True, slots=True)
class Service:
    """A service, as `kubectl get services -o wide` shows it."""

    name: str
    namespace: str
    type: str  # ``ClusterIP``, ``NodePort``, ``LoadBalancer`` or ``ExternalName``
    cluster_ip: str  # its address in the cluster; the text ``None`` for a headless service
    external_ip: str  # its external address in kubectl's format: ``<none>``, ``<pending>``, …
    ports: tuple[TargetPort, ...]
    created: datetime | None  # the creation time; None if the server does not report it
    # Its labels, and the labels that select its pods.
    labels: Mapping[str, str] = field(hash=False)
    selector: Mapping[str, str] = field(hash=False)

    @property
    def age(self) -> timedelta | None:
        """The time since its creation."""
        return _age(self.created)

    @classmethod
    def from_object(cls, item: Mapping[str, Any]) -> Service:
        """Convert a Service of the API."""
        metadata, spec = item["metadata"], item.get("spec") or {}
        return cls(
            name=metadata["name"],
            namespace=metadata.get("namespace") or "",
            type=spec.get("type") or "ClusterIP",
            cluster_ip=spec.get("clusterIP") or "<none>",
            external_ip=_external_ip(item),
            ports=service_ports(spec),
            created=timestamp(metadata.get("creationTimestamp")),
            labels=metadata.get("labels") or {},
            selector=dict(spec.get("selector") or {}),
        )


def pods(cluster: Cluster, namespace: str | None = None, *, label_selector: str = "") -> list[Pod]:
    """Return the pods of a namespace.

    Parameters
    ----------
    namespace
        The namespace; the cluster's default if None; ``*`` for all.
    label_selector
        A selector of labels, such as ``app=x``.

    Returns
    -------
    list of Pod
        In the server's order, which is by name.

    Raises
    ------
    Forbidden
        If the permission to list pods there is missing.
    ClusterError
        If the request fails.
    """
    listed = list_objects(cluster, PODS, namespace, label_selector=label_selector)
    with report_malformed(cluster):
        return [Pod.from_object(item) for item in listed]


def services(cluster: Cluster, namespace: str | None = None) -> list[Service]:
    """Return the services of a namespace.

    Returns
    -------
    list of Service
        In the server's order, which is by name.

    Raises
    ------
    Forbidden
        If the permission to list services there is missing.
    ClusterError
        If the request fails.
    """
    listed = list_objects(cluster, SERVICES, namespace)
    with report_malformed(cluster):
        return [Service.from_object(item) for item in listed]


def container_ports(spec: Mapping[str, Any]) -> tuple[TargetPort, ...]:
    """Return the ports that the containers and sidecars of a pod's spec declare."""
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    return tuple(
        TargetPort(port["containerPort"], port.get("name") or "", port.get("protocol") or "TCP")
        for container in [*(spec.get("containers") or ()), *sidecars]
        for port in container.get("ports") or ()
    )


def service_ports(spec: Mapping[str, Any]) -> tuple[TargetPort, ...]:
    """Return the ports of a service's spec."""
    return tuple(
        TargetPort(
            port["port"],
            port.get("name") or "",
            port.get("protocol") or "TCP",
            port.get("targetPort") or port["port"],
        )
        for port in spec.get("ports") or ()
    )


def _age(created: datetime | None) -> timedelta | None:
    return None if created is None else datetime.now(UTC) - created


def _external_ip(item: Mapping[str, Any]) -> str:
    """Format external addresses as ``getServiceExternalIP`` in kubectl's printers.go does."""
    spec = item.get("spec") or {}
    listed = list(spec.get("externalIPs") or ())
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName") or "<none>")
    if spec.get("type") == "LoadBalancer":
        ingress = ((item.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        found = [point.get("ip") or point.get("hostname") for point in ingress]
        return ",".join([*(address for address in found if address), *listed]) or "<pending>"
    return ",".join(listed) or "<none>"
