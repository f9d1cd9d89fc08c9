"""The kinds of object that the sandbox knows, as the API server names them.

One table is the truth for paths, discovery, RBAC and watches.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object.

    Parameters
    ----------
    group, version
        The API group (empty for core) and its version.
    kind, plural, singular
        As in ``Pod``, ``pods``, ``pod``.
    namespaced
        Whether its objects live in a namespace.
    short_names
        What kubectl accepts beside its name.
    categories
        Such as ``all``.
    subresources
        Such as ``status``, ``log`` or ``portforward``.
    verbs
        What may be done with it.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = (
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    )

    @property
    def api_version(self) -> str:
        """As it stands in an object: ``v1`` or ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As it stands in messages: ``pods`` or ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def is_custom(self) -> bool:
        """Whether it is a custom resource: one whose fields the API server itself knows nothing of."""
        return "." in self.group and not self.group.endswith(".k8s.io")

    @property
    def counts_generations(self) -> bool:
        """Whether its objects count the changes of what is wanted, in ``metadata.generation``."""
        return self.plural in _COUNT_GENERATIONS


_COUNT_GENERATIONS = {
    "clusters",
    "deployments",
    "endpointslices",
    "jobs",
    "networkpolicies",
    "pods",
    "replicasets",
    "statefulsets",
}
_RBAC = "rbac.authorization.k8s.io"

RESOURCES: tuple[Resource, ...] = (
    Resource("", "v1", "Namespace", "namespaces", "namespace", False, ("ns",), (), ("status",)),
    Resource("", "v1", "Node", "nodes", "node", False, ("no",), (), ("status",)),
    Resource(
        "",
        "v1",
        "Pod",
        "pods",
        "pod",
        True,
        ("po",),
        ("all",),
        ("attach", "exec", "log", "portforward", "status"),
    ),
    Resource("", "v1", "Service", "services", "service", True, ("svc",), ("all",), ("status",)),
    Resource("", "v1", "Endpoints", "endpoints", "endpoints", True, ("ep",)),
    Resource("", "v1", "Secret", "secrets", "secret"),
    Resource("", "v1", "ConfigMap", "configmaps", "configmap", True, ("cm",)),
    Resource("", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount", True, ("sa",), (), ("token",)),
    Resource("", "v1", "Event", "events", "event", True, ("ev",)),
    Resource(
        "",
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        "persistentvolumeclaim",
        True,
        ("pvc",),
        (),
        ("status",),
    ),
    Resource("", "v1", "ResourceQuota", "resourcequotas", "resourcequota", True, ("quota",), (), ("status",)),
    Resource(
        "apps",
        "v1",
        "Deployment",
        "deployments",
        "deployment",
        True,
        ("deploy",),
        ("all",),
        ("status", "scale"),
    ),
    Resource(
        "apps", "v1", "ReplicaSet", "replicasets", "replicaset", True, ("rs",), ("all",), ("status", "scale")
    ),
    Resource(
        "apps",
        "v1",
        "StatefulSet",
        "statefulsets",
        "statefulset",
        True,
        ("sts",),
        ("all",),
        ("status", "scale"),
    ),
    Resource("batch", "v1", "Job", "jobs", "job", True, (), ("all",), ("status",)),
    Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice"),
    Resource(
        "networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "networkpolicy", True, ("netpol",)
    ),
    Resource(_RBAC, "v1", "Role", "roles", "role"),
    Resource(_RBAC, "v1", "RoleBinding", "rolebindings", "rolebinding"),
    Resource(_RBAC, "v1", "ClusterRole", "clusterroles", "clusterrole", False),
    Resource(_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding", False),
    Resource("postgresql.cnpg.io", "v1", "Cluster", "clusters", "cluster", True, (), (), ("status",)),
)


def by_plural(group: str, plural: str) -> Resource:
    """Return the resource with that group and plural name.

    Raises
    ------
    KeyError
        If the sandbox knows none.
    """
    return _BY_PLURAL[group, plural]


def by_kind(api_version: str, kind: str) -> Resource:
    """Return the resource of an object, from its ``apiVersion`` and ``kind``.

    Raises
    ------
    KeyError
        If the sandbox knows none.
    """
    return _BY_KIND[api_version, kind]


_BY_PLURAL = {(resource.group, resource.plural): resource for resource in RESOURCES}
_BY_KIND = {(resource.api_version, resource.kind): resource for resource in RESOURCES}
