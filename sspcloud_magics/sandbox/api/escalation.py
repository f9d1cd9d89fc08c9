"""Prevention of privilege escalation.

A user who writes or binds a role must hold all its permissions, or have the verb ``escalate`` on roles or
``bind`` on this role. A namespace's admin, for example, cannot create a Role for ``services/portforward``: only
a cluster-admin holds permissions on a subresource that does not exist.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sspcloud_magics.sandbox.api import status
from sspcloud_magics.sandbox.api.call import Call
from sspcloud_magics.sandbox.auth.rbac import GROUP, Attributes, decide, rules_held, rules_of_reference
from sspcloud_magics.sandbox.auth.users import MASTERS
from sspcloud_magics.sandbox.store import Obj

_FIELDS = (
    ("apiGroups", "APIGroups"),
    ("resources", "Resources"),
    ("resourceNames", "ResourceNames"),
    ("verbs", "Verbs"),
)


def check_escalation(call: Call, obj: Obj, old: Obj | None) -> None:
    """Raise `ApiError` 403 if a role or binding grants permissions that the user does not hold.

    Raise `NotFound` if the role of a binding does not exist.
    """
    if call.resource.group != GROUP or MASTERS in call.user.groups:
        return
    if call.resource.plural.endswith("roles"):
        unchanged = old is not None and obj.get("rules") == old.get("rules")
        if not unchanged and not _may(call, "escalate", call.resource.plural, obj["metadata"]["name"]):
            _check_holds(call, obj.get("rules") or [], obj["metadata"]["name"])
        return
    reference = obj["roleRef"]
    if old is not None and (reference, obj.get("subjects")) == (old["roleRef"], old.get("subjects")):
        return
    plural = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
    if _may(call, "bind", plural, reference["name"]):
        return
    rules = rules_of_reference(call.store, reference, call.namespace)
    _check_holds(call, rules, obj["metadata"]["name"])


def find_missing_permissions(held: list[Obj], wanted: list[Obj]) -> list[Obj]:
    """Return the parts of the rules `wanted` that no rule of `held` covers, each with one verb."""
    return [
        part for rule in wanted for part in _parts(rule) if not any(_covers(owner, part) for owner in held)
    ]


def _check_holds(call: Call, wanted: list[Obj], name: str) -> None:
    held = rules_held(call.store, call.user, call.namespace)
    missing = find_missing_permissions(held.rules, wanted)
    if not missing:
        return
    words = sorted({_compact_string(rule) for rule in _compact(missing)})
    groups = " ".join(f'"{group}"' for group in call.user.groups)
    why = (
        f'user "{call.user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n'
        + "\n".join(words)
    )
    if held.errors:
        why += f"; resolution errors: [{', '.join(held.errors)}]"
    raise status.make_forbidden(GROUP, call.resource.plural, name, why)


def _may(call: Call, verb: str, plural: str, name: str) -> bool:
    attributes = Attributes(verb, GROUP, plural, namespace=call.namespace, name=name)
    return decide(call.store, call.user, attributes).allowed


def _parts(rule: Obj) -> Iterator[Obj]:
    """Split a rule into rules of one group, resource, verb and name."""
    for group in rule.get("apiGroups") or ():
        for resource in rule.get("resources") or ():
            for verb in rule.get("verbs") or ():
                part: Obj = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                for name in rule.get("resourceNames") or ():
                    yield {**part, "resourceNames": [name]}
                if not rule.get("resourceNames"):
                    yield part


def _covers(owner: Obj, part: Obj) -> bool:
    if not _has(owner.get("verbs"), part["verbs"][0]):
        return False
    resource = part["resources"][0]
    _, slash, subresource = resource.partition("/")
    resources = owner.get("resources") or ()
    names = owner.get("resourceNames") or ()
    return (
        _has(owner.get("apiGroups"), part["apiGroups"][0])
        and (_has(resources, resource) or (bool(slash) and f"*/{subresource}" in resources))
        and (not names or ("resourceNames" in part and part["resourceNames"][0] in names))
    )


def _has(values: Collection[str] | None, value: str) -> bool:
    return values is not None and ("*" in values or value in values)


def _compact(rules: list[Obj]) -> list[Obj]:
    """Merge parts that differ only in their verb."""
    joined: dict[tuple[Any, ...], Obj] = {}
    for rule in rules:
        key = tuple((name, tuple(rule[name])) for name, _ in _FIELDS[:-1] if name in rule)
        if key in joined:
            verbs = joined[key]["verbs"]
            verbs.extend(verb for verb in rule["verbs"] if verb not in verbs)
        else:
            joined[key] = {**rule, "verbs": list(rule["verbs"])}
    return list(joined.values())


def _compact_string(rule: Mapping[str, list[str]]) -> str:
    words = []
    for name, title in _FIELDS:
        if rule.get(name):
            values = " ".join(f'"{value}"' for value in rule[name])
            words.append(f"{title}:[{values}]")
    return "{" + ", ".join(words) + "}"
