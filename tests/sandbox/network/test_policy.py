from __future__ import annotations

from typing import Any

import pytest

from sspcloud_magics.sandbox.network.policy import Peer, allows


def peer(namespace: str, address: str = "10.42.0.2", **labels: str) -> Peer:
    container = {"name": "c", "ports": [{"name": "pg", "containerPort": 5432}]}
    pod = {
        "metadata": {"name": "p", "namespace": namespace, "labels": labels},
        "spec": {"containers": [container]},
        "status": {"podIP": address},
    }
    return Peer(pod, {"kubernetes.io/metadata.name": namespace})


def policy(namespace: str = "alice", selector: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace}, "spec": {"podSelector": selector or {}, **spec}}


DATABASE = peer("alice", app="db")
NEIGHBOUR = peer("alice", app="notebook")
STRANGER = peer("bob", "10.42.0.9", app="proxy")
SAME_NAMESPACE = {"from": [{"podSelector": {}}]}
BOB = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "bob"}}}


def test_without_a_policy_everything_is_open():
    assert allows([], STRANGER, DATABASE, 5432)


def test_only_access_from_the_same_namespace():
    policies = [policy(ingress=[SAME_NAMESPACE])]
    assert allows(policies, NEIGHBOUR, DATABASE, 5432)
    assert not allows(policies, STRANGER, DATABASE, 5432)


def test_a_policy_that_selects_no_pod_closes_nothing():
    chart = policy(selector={"matchLabels": {"cnpg.io/cluster": "postgresql-cnpg"}}, ingress=[SAME_NAMESPACE])
    assert allows([chart], STRANGER, peer("alice", **{"cnpg.io/cluster": "postgresql-cnpg-951239"}), 5432)


def test_policies_add_up():
    policies = [policy(ingress=[SAME_NAMESPACE]), policy(ingress=[{"from": [BOB]}])]
    assert allows(policies, STRANGER, DATABASE, 5432)
    assert allows(policies, NEIGHBOUR, DATABASE, 5432)
    assert not allows(policies, peer("carol"), DATABASE, 5432)


def test_a_policy_without_rules_closes_its_pods():
    assert not allows([policy()], NEIGHBOUR, DATABASE, 5432)


def test_a_policy_of_another_namespace_is_none_of_ours():
    assert allows([policy("carol")], STRANGER, DATABASE, 5432)


def test_selectors_of_a_peer_combine_and_peers_add_up():
    both = policy(ingress=[{"from": [BOB | {"podSelector": {"matchLabels": {"app": "other"}}}]}])
    either = policy(ingress=[{"from": [BOB, {"podSelector": {"matchLabels": {"app": "other"}}}]}])
    assert not allows([both], STRANGER, DATABASE, 5432)
    assert allows([either], STRANGER, DATABASE, 5432)


@pytest.mark.parametrize(
    ("ports", "open_"),
    [
        ([{"port": 5432}], True),
        ([{"port": 5433}], False),
        ([{"port": "pg"}], True),
        ([{"port": "http"}], False),
        ([{"port": 5000, "endPort": 6000}], True),
        ([{"port": 5432, "protocol": "UDP"}], False),
        ([{}], True),
        ([], True),
    ],
)
def test_ports_of_a_rule(ports, open_):
    assert allows([policy(ingress=[{"ports": ports}])], STRANGER, DATABASE, 5432) is open_


@pytest.mark.parametrize(
    ("block", "open_"),
    [
        ({"cidr": "10.42.0.0/24"}, True),
        ({"cidr": "10.42.0.0/24", "except": ["10.42.0.8/30"]}, False),
        ({"cidr": "192.168.0.0/16"}, False),
    ],
)
def test_blocks_of_addresses(block, open_):
    assert allows([policy(ingress=[{"from": [{"ipBlock": block}]}])], STRANGER, DATABASE, 5432) is open_


def test_egress_of_the_sender_counts_too():
    closed = policy("bob", policyTypes=["Egress"])
    assert not allows([closed], STRANGER, DATABASE, 5432)
    assert allows([closed], NEIGHBOUR, STRANGER, 80)  # ingress of the same pod stays open
    to_alice = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "alice"}}}
    opened = policy("bob", egress=[{"to": [to_alice], "ports": [{"port": 5432}]}], policyTypes=["Egress"])
    assert allows([closed, opened], STRANGER, DATABASE, 5432)
    assert not allows([closed, opened], STRANGER, DATABASE, 8000)


def test_egress_rules_without_types_isolate_both_ways():
    assert not allows([policy("bob", egress=[{}])], NEIGHBOUR, STRANGER, 80)
