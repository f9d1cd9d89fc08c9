"""RBAC: may this user do this to that, as the API server's RBAC authorizer decides it.

A right is never taken away by a rule, so the first rule that allows ends the search. Cluster role
bindings are looked at first, then the role bindings of the request's namespace. A binding to a role
that does not exist grants nothing, and the refusal says so.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.auth.users import MASTERS, SERVICE_ACCOUNT_PREFIX, User
from sspcloud_magics.sandbox.store import NotFound, Obj, Store

GROUP = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked for."""

    verb: str  # ``get``, ``list`` … for an object; the HTTP method in lower case for a plain path
    group: str = ""  # as in ``apps``, ``deployments``, ``scale``
    resource: str = ""
    subresource: str = ""
    namespace: str = ""  # empty at cluster scope
    name: str = ""  # empty for a whole kind
    # The path of a request that is for no object, such as ``/version``; then the others are empty.
    path: str = ""

    @property
    def full_resource(self) -> str:
        """Resource and sub-resource as a rule writes them."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer; `reason` names the roles that could not be found."""

    allowed: bool
    reason: str = ""


@dataclass(slots=True)
class Held:
    """What a user holds in one namespace: the rules, and the roles that could not be found."""

    rules: list[Obj] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def decide(store: Store, user: User, attributes: Attributes) -> Decision:
    """Decide whether `user` may do what `attributes` say."""
    if MASTERS in user.groups:
        return Decision(allowed=True)
    errors = []
    for binding in _bindings_of(store, user, attributes.namespace):
        rules = _role_rules(store, binding)
        if isinstance(rules, str):
            errors.append(rules)
        elif any(rule_allows(rule, attributes) for rule in rules):
            return Decision(allowed=True)
    return Decision(allowed=False, reason=_resolution_errors(errors))


def rules_held(store: Store, user: User, namespace: str) -> Held:
    """Return every rule that `user` holds in a namespace (at cluster scope where it is empty)."""
    held = Held()
    for binding in _bindings_of(store, user, namespace):
        rules = _role_rules(store, binding)
        if isinstance(rules, str):
            held.errors.append(rules)
        else:
            held.rules.extend(rules)
    return held


def rules_of_reference(store: Store, role_ref: Mapping[str, str], namespace: str) -> list[Obj]:
    """Return the rules of the role that a ``roleRef`` names; raise `NotFound` if there is no such role."""
    if role_ref["kind"] == "ClusterRole":
        role = store.peek(kinds.CLUSTER_ROLES, "", role_ref["name"])
    else:
        role = store.peek(kinds.ROLES, namespace, role_ref["name"])
    return role.get("rules") or []


def rule_allows(rule: Obj, attributes: Attributes) -> bool:
    """Say whether one rule allows what is asked for."""
    verbs = rule.get("verbs") or ()
    if "*" not in verbs and attributes.verb not in verbs:
        return False
    if attributes.path:
        return any(_path_matches(url, attributes.path) for url in rule.get("nonResourceURLs") or ())
    groups = rule.get("apiGroups") or ()
    if "*" not in groups and attributes.group not in groups:
        return False
    if not _resource_matches(rule.get("resources") or (), attributes):
        return False
    names = rule.get("resourceNames") or ()
    return not names or attributes.name in names


def _resource_matches(resources: Collection[str], attributes: Attributes) -> bool:
    return (
        "*" in resources
        or attributes.full_resource in resources
        or bool(attributes.subresource and f"*/{attributes.subresource}" in resources)
    )


def _path_matches(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url[:-1]))


def _bindings_of(store: Store, user: User, namespace: str) -> Iterator[Obj]:
    local = store.peek_all(kinds.ROLE_BINDINGS, namespace) if namespace else []
    for binding in (*store.peek_all(kinds.CLUSTER_ROLE_BINDINGS), *local):
        if any(_is_meant(subject, binding, user) for subject in binding.get("subjects") or ()):
            yield binding


def _is_meant(subject: Obj, binding: Obj, user: User) -> bool:
    match subject["kind"]:
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            home = subject.get("namespace") or binding["metadata"].get("namespace", "")
            return bool(home) and user.name == f"{SERVICE_ACCOUNT_PREFIX}{home}:{subject['name']}"
    return False


def _role_rules(store: Store, binding: Obj) -> list[Obj] | str:
    try:
        return rules_of_reference(store, binding["roleRef"], binding["metadata"].get("namespace", ""))
    except NotFound as error:
        return str(error)


def _resolution_errors(errors: list[str]) -> str:
    distinct = list(dict.fromkeys(errors))
    if not distinct:
        return ""
    return f"RBAC: {distinct[0] if len(distinct) == 1 else '[' + ', '.join(distinct) + ']'}"
