"""What is true of the NetworkPolicies around a database, in sentences for its owner.

Policies add up, and a pod that none selects is open to all. The chart's own policy ("only allow access from the
same namespace") may select a label that no pod has: then it protects nothing, whatever its name says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sspcloud_magics.sharing.rendering import join_names

Policy = Mapping[str, Any]

OPEN = "No network policy selects this database: every pod of the cluster reaches its port."


def selects(policy: Policy, labels: Mapping[str, str]) -> bool:
    """Return whether a policy on ingress selects a pod with these labels."""
    spec = policy.get("spec") or {}
    if "Ingress" not in (spec.get("policyTypes") or ["Ingress"]):
        return False
    selector = spec.get("podSelector") or {}
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    return all(_matches(expression, labels) for expression in selector.get("matchExpressions") or ())


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    operator = expression["operator"]
    if operator == "In":
        return bool(labels.get(key) in values)
    if operator == "NotIn":
        return bool(labels.get(key) not in values)
    return (key in labels) is (operator == "Exists")


def list_policies_about(policies: Iterable[Policy], pod: Mapping[str, str], database: str) -> list[Policy]:
    """Return those policies that select a database's pod, or are called as if they did."""
    return [
        policy
        for policy in policies
        if selects(policy, pod) or policy["metadata"]["name"].startswith(database)
    ]


def observations(
    policies: Iterable[Policy], pod: Mapping[str, str], pods: Sequence[Mapping[str, str]]
) -> list[str]:
    """Return what the owner ought to know, one sentence each."""
    known = list(policies)
    said = [
        f"The network policy {policy['metadata']['name']} selects no pod at all: it protects nothing."
        for policy in known
        if not any(selects(policy, labels) for labels in pods)
    ]
    isolating = [policy["metadata"]["name"] for policy in known if selects(policy, pod)]
    if isolating:
        verb = "policy allows" if len(isolating) == 1 else "policies allow"
        said.append(f"The network reaches this database only as the {verb}: {join_names(isolating)}.")
    else:
        said.append(OPEN)
    return said
