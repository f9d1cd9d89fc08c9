"""Descriptions of the network policies around a database."""

import pytest

from sspcloud_magics.sharing.network_policies import describe_policies, selects


def policy(name="p", labels=None, expressions=None, types=None):
    selector = {}
    if labels is not None:
        selector["matchLabels"] = labels
    if expressions is not None:
        selector["matchExpressions"] = expressions
    return {
        "metadata": {"name": name},
        "spec": {"podSelector": selector, "policyTypes": types or ["Ingress"]},
    }


def expression(key, operator, *values):
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (policy(), True),
        (policy(labels={"a": "1"}), True),
        (policy(labels={"a": "2"}), False),
        (policy(labels={"a": "1", "c": "1"}), False),
        (policy(expressions=[expression("a", "In", "1", "2")]), True),
        (policy(expressions=[expression("a", "In", "2")]), False),
        (policy(expressions=[expression("a", "NotIn", "1")]), False),
        (policy(expressions=[expression("x", "NotIn", "1")]), True),
        (policy(expressions=[expression("a", "Exists")]), True),
        (policy(expressions=[expression("a", "DoesNotExist")]), False),
        (policy(expressions=[expression("x", "DoesNotExist")]), True),
        (policy(types=["Egress"]), False),
    ],
)
def test_a_selector_selects_as_kubernetes_says(given, expected):
    assert selects(given, {"a": "1", "b": "2"}) is expected


def test_policy_that_selects_nothing_protects_nothing():
    pod = {"cnpg.io/cluster": "postgresql-cnpg-951239"}
    chart = policy("chart", labels={"cnpg.io/cluster": "postgresql-cnpg"})
    first, second = describe_policies([chart], pod, [pod])
    assert first == "The network policy chart selects no pod, so it protects nothing."
    assert second.startswith("No network policy selects this database")


def test_a_policy_that_isolates_the_database_is_named():
    pod = {"a": "1"}
    (said,) = describe_policies([policy("isolate")], pod, [pod])
    assert "isolate" in said
