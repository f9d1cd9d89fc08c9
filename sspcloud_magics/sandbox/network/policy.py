"""NetworkPolicies: whether a pod may connect to a port of another pod.

A pod without policies accepts all connections. In a direction for which at least one policy selects the pod, it
accepts only connections that one of these policies allows. The egress of the source and the ingress of the
destination must both allow a connection.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sspcloud_magics.sandbox.labels import selects
from sspcloud_magics.sandbox.objects import labels_of, namespace_of
from sspcloud_magics.sandbox.store import Obj


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection."""

    pod: Obj
    namespace_labels: Mapping[str, str]


def allows(policies: Iterable[Obj], source: Peer, destination: Peer, port: int) -> bool:
    """Return whether `source` may connect to a port of `destination`."""
    policies = list(policies)
    ingress = _open(policies, "Ingress", destination, source, destination=destination, port=port)
    return ingress and _open(policies, "Egress", source, destination, destination=destination, port=port)


def list_selecting(policies: Iterable[Obj], pod: Peer, direction: str) -> list[Obj]:
    """Return the policies that isolate a pod in a direction, ``Ingress`` or ``Egress``."""
    return [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == namespace_of(pod.pod)
        and direction in _types(policy["spec"])
        and selects(policy["spec"].get("podSelector") or {}, labels_of(pod.pod))
    ]


def _types(spec: Obj) -> list[str]:
    # The default of policyTypes is Ingress, with Egress if there are egress rules.
    default = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    types: list[str] = spec.get("policyTypes") or default
    return types


def _open(
    policies: list[Obj], direction: str, selected: Peer, other: Peer, *, destination: Peer, port: int
) -> bool:
    isolating = list_selecting(policies, selected, direction)
    rules, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return not isolating or any(
        _peer_fits(rule.get(peers), policy["metadata"]["namespace"], other)
        and _port_fits(rule.get("ports"), destination, port)
        for policy in isolating
        for rule in policy["spec"].get(rules) or []
    )


def _peer_fits(peers: list[Obj] | None, namespace: str, other: Peer) -> bool:
    """Return whether the peers of a rule include the other end; no peers are all peers."""
    return not peers or any(_one_peer_fits(peer, namespace, other) for peer in peers)


def _one_peer_fits(peer: Obj, namespace: str, other: Peer) -> bool:
    if "ipBlock" in peer:
        return _in_block(peer["ipBlock"], (other.pod.get("status") or {}).get("podIP", ""))
    if peer.get("namespaceSelector") is not None:
        if not selects(peer["namespaceSelector"] or {}, other.namespace_labels):
            return False
    elif namespace_of(other.pod) != namespace:
        return False
    return selects(peer.get("podSelector") or {}, labels_of(other.pod))


def _in_block(block: Obj, address: str) -> bool:
    if not address:
        return False
    ip = ipaddress.ip_address(address)
    return ip in ipaddress.ip_network(block["cidr"], strict=False) and not any(
        ip in ipaddress.ip_network(cidr, strict=False) for cidr in block.get("except") or []
    )


def _port_fits(ports: list[Obj] | None, destination: Peer, port: int) -> bool:
    return not ports or any(_one_port_fits(allowed, destination, port) for allowed in ports)


def _one_port_fits(allowed: Obj, destination: Peer, port: int) -> bool:
    if allowed.get("protocol", "TCP") != "TCP":
        return False
    wanted: Any = allowed.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return port in list_named_ports(destination.pod, wanted)
    return int(wanted) <= port <= int(allowed.get("endPort", wanted))


def list_named_ports(pod: Obj, name: str) -> set[int]:
    """Return the numbers of the pod's TCP ports of that name."""
    return {
        int(port["containerPort"])
        for container in pod["spec"].get("containers") or []
        for port in container.get("ports") or []
        if port.get("name") == name and port.get("protocol", "TCP") == "TCP"
    }
