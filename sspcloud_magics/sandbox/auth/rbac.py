"""RBAC: the decisions of the API server's RBAC authorizer.

Rules only allow, so the first matching rule ends the search: in the cluster role bindings, then in the role
bindings of the request's namespace. A binding to a missing role grants nothing, and the refusal mentions it.

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
    """The attributes of a request that RBAC decides on."""

    verb: str  # ``get``, ``list`` … for a resource; the HTTP method in lower case for a path
    group: str = ""  # ``apps``
    resource: str = ""  # ``deployments``
    subresource: str = ""  # ``scale``
    namespace: str = ""  # empty at cluster scope
    name: str = ""  # empty for a whole kind
    path: str = ""  # of a request without a resource, such as ``/version``

    @property
    def full_resource(self) -> str:
        """Resource and subresource in the form of a rule."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision; `reason` mentions missing roles."""

    allowed: bool
    reason: str = ""


@dataclass(slots=True)
class Held:
    """The rules of a user in a namespace, and the errors for missing roles."""

    rules: list[Obj] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def decide(store: Store, user: User, attributes: Attributes) -> Decision:
    """Decide whether `user` has the permission for a request."""
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
    """Return the rules of `user` in a namespace, or at cluster scope if it is empty."""
    held = Held()
    for binding in _bindings_of(store, user, namespace):
        rules = _role_rules(store, binding)
        if isinstance(rules, str):
            held.errors.append(rules)
        else:
            held.rules.extend(rules)
    return held


def rules_of_reference(store: Store, role_ref: Mapping[str, str], namespace: str) -> list[Obj]:
    """Return the rules of the role in a ``roleRef``; raise `NotFound` if it does not exist."""
    if role_ref["kind"] == "ClusterRole":
        role = store.peek(kinds.CLUSTER_ROLES, "", role_ref["name"])
    else:
        role = store.peek(kinds.ROLES, namespace, role_ref["name"])
    return role.get("rules") or []


def rule_allows(rule: Obj, attributes: Attributes) -> bool:
    """Return whether a rule allows a request."""
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
