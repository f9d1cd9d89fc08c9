"""Describe the NetworkPolicies around a database to its owner.

Policies add up, and a pod that no policy selects is open to all. The chart's own policy ("only allow access from the
same namespace") may select a label that no pod has: it then protects nothing, whatever its name suggests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sspcloud_magics.i18n import N_, _, _n, format_list

Policy = Mapping[str, Any]

OPEN = N_("No network policy selects this database: every pod in the cluster can reach its port.")


def selects(policy: Policy, labels: Mapping[str, str]) -> bool:
    """Whether an ingress policy selects a pod with these labels."""
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
    """List the policies that select a database's pod, or whose names suggest that they do."""
    return [
        policy
        for policy in policies
        if selects(policy, pod) or policy["metadata"]["name"].startswith(database)
    ]


def describe_policies(
    policies: Iterable[Policy],
    pod: Mapping[str, str],
    pods: Sequence[Mapping[str, str]],
    *,
    stays_open: bool = True,
) -> list[str]:
    """Return one sentence per policy that protects nothing, and one about access to the database.

    Parameters
    ----------
    policies, pod, pods
        The policies, and the labels of the database's pod and of all pods.
    stays_open
        Whether to mention that no policy selects the database.
    """
    known = list(policies)
    sentences = [
        _(
            "The network policy {name} selects no pod, so it protects nothing.",
            name=policy["metadata"]["name"],
        )
        for policy in known
        if not any(selects(policy, labels) for labels in pods)
    ]
    isolating = [policy["metadata"]["name"] for policy in known if selects(policy, pod)]
    if isolating:
        sentences.append(
            _n(
                "The network policy {names} restricts access to this database.",
                "The network policies {names} restrict access to this database.",
                len(isolating),
                names=format_list(isolating),
            )
        )
    elif stays_open:
        sentences.append(_(OPEN))
    return sentences
