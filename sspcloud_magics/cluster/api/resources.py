"""The kinds of object that are asked for, as the API names them, and what a request asks."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

ALL_NAMESPACES = "*"
"""In the place of a namespace: all of them."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object.

    Parameters
    ----------
    plural
        As in URLs and in rights: ``pods``.
    group, version
        The API group, empty for the core, and its version.
    namespaced
        Whether its objects live in a namespace.
    """

    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True


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


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a request would do, in the words of RBAC.

    Parameters
    ----------
    verb
        ``get``, ``list``, ``create``, …
    resource
        The kind of object.
    namespace
        Where; None for all namespaces, or where the kind has none.
    name, subresource
        The object, and a part of it such as ``portforward``; empty where not meant.
    """

    verb: str
    resource: Resource
    namespace: str | None = None
    name: str = ""
    subresource: str = ""

    @property
    def path(self) -> str:
        """The path of the URL; names are quoted."""
        resource = self.resource
        parts = ["apis", resource.group] if resource.group else ["api"]
        parts.append(resource.version)
        if resource.namespaced and self.namespace is not None:
            parts += ["namespaces", self.namespace]
        parts += [part for part in (resource.plural, self.name, self.subresource) if part]
        return "".join(f"/{quote(part, safe='')}" for part in parts)

    @property
    def words(self) -> str:
        """The attempt in words: ``get pods/portforward db-1 in the namespace user-alice``."""
        what = "/".join(part for part in (self.resource.plural, self.subresource) if part)
        if self.resource.group and "." in self.resource.group:
            what = f"{what} ({self.resource.group})"
        words = " ".join(part for part in (self.verb, what, self.name) if part)
        if not self.resource.namespaced:
            return words
        return f"{words} in {f'the namespace {self.namespace}' if self.namespace else 'all namespaces'}"
