"""The resource types that the package requests, and the description of a request in RBAC's terms."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.target import describe_request

ALL_NAMESPACES = "*"
"""Stands for all namespaces in place of a namespace's name."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource type of the API."""

    plural: str  # the name in URLs and in RBAC rules, such as ``pods``
    # The API group, empty for the core group, and its version.
    group: str = ""
    version: str = "v1"
    namespaced: bool = True  # whether its objects live in a namespace


PODS = Resource("pods")
SERVICES = Resource("services")
ENDPOINTS = Resource("endpoints")
SECRETS = Resource("secrets")
EVENTS = Resource("events")
NAMESPACES = Resource("namespaces", namespaced=False)
DEPLOYMENTS = Resource("deployments", "apps")
STATEFULSETS = Resource("statefulsets", "apps")
REPLICASETS = Resource("replicasets", "apps")
DAEMONSETS = Resource("daemonsets", "apps")
JOBS = Resource("jobs", "batch")
NETWORK_POLICIES = Resource("networkpolicies", "networking.k8s.io")
ROLES = Resource("roles", "rbac.authorization.k8s.io")
ROLE_BINDINGS = Resource("rolebindings", "rbac.authorization.k8s.io")
CNPG_CLUSTERS = Resource("clusters", "postgresql.cnpg.io")
SELF_SUBJECT_REVIEWS = Resource("selfsubjectreviews", "authentication.k8s.io", namespaced=False)
SELF_SUBJECT_ACCESS_REVIEWS = Resource("selfsubjectaccessreviews", "authorization.k8s.io", namespaced=False)
SELF_SUBJECT_RULES_REVIEWS = Resource("selfsubjectrulesreviews", "authorization.k8s.io", namespaced=False)


_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def parse_attempt(method: str, path: str) -> Attempt:
    """Return the attempt that a request makes; for a path without a resource, such as ``/version``, the path itself.

    Examples
    --------
    >>> parse_attempt("GET", "/apis/apps/v1/namespaces/user-bob/deployments?limit=1").words
    'list deployments in user-bob'
    >>> parse_attempt("GET", "/version").words
    'read /version'
    """
    path = path.partition("?")[0]
    root, *parts = [unquote(part) for part in path.split("/") if part] or [""]
    group = parts.pop(0) if root == "apis" and parts else ""
    if root not in ("api", "apis") or len(parts) < 2:
        return Attempt(_VERBS.get(method, "get"), Resource(path, namespaced=False))
    version, *parts = parts
    namespace = parts[1] if parts[0] == "namespaces" and len(parts) > 2 else None
    plural, name, *subresource = [*(parts[2:] if namespace else parts), ""]
    resource = Resource(plural, group, version, namespaced=namespace is not None)
    verb = _VERBS.get(method, "get" if name else "list")
    return Attempt(verb, resource, namespace, name, "/".join(filter(None, subresource)))


def _check_name(name: str) -> None:
    """Refuse a name that would be another path, as kubectl does: ``pods/..`` is the namespace of the pods."""
    if name in (".", "..") or "/" in name or "%" in name:
        raise UsageProblem(
            _("{name} is not a name that Kubernetes allows.", name=name),
            why=_("A name contains no / and no %, and is neither . nor .. itself."),
            hint=_("check the spelling; %k8s_get KIND lists the names"),
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request in the terms of RBAC: verb, resource, namespace and name."""

    verb: str  # ``get``, ``list``, ``create``, …
    resource: Resource  # the resource type
    # The namespace; None for all namespaces, or for a resource without namespaces.
    namespace: str | None = None
    # The object and its subresource, such as ``portforward``; empty for neither.
    name: str = ""
    subresource: str = ""

    @property
    def path(self) -> str:
        """The path of the URL, with names quoted."""
        resource = self.resource
        if resource.plural.startswith("/"):  # the path of a request for no resource, such as discovery
            return resource.plural
        parts = ["apis", resource.group] if resource.group else ["api"]
        parts.append(resource.version)
        if resource.namespaced and self.namespace is not None:
            parts += ["namespaces", self.namespace]
        for name in filter(None, (self.namespace, self.name)):
            _check_name(name)
        parts += [part for part in (resource.plural, self.name, self.subresource) if part]
        return "".join(f"/{quote(part, safe='')}" for part in parts)

    @property
    def words(self) -> str:
        """The attempt in words: ``read the pod db-1 in user-alice``."""
        what = "/".join(part for part in (self.resource.plural, self.subresource) if part)
        words = describe_request(self.verb, what, self.name)
        if "." in self.resource.group:
            words = f"{words} ({self.resource.group})"
        if not self.resource.namespaced:
            return words
        if self.namespace is None:
            return _("{request} in all namespaces", request=words)
        return _("{request} in {namespace}", request=words, namespace=self.namespace)
