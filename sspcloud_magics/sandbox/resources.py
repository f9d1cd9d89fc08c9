"""The resource types of the sandbox: the one table behind paths, discovery, RBAC and watches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource type."""

    group: str  # the API group; empty for core
    version: str
    kind: str  # ``Pod``
    plural: str  # ``pods``
    singular: str  # ``pod``
    namespaced: bool = True
    short_names: tuple[str, ...] = ()  # ``po``
    categories: tuple[str, ...] = ()  # such as ``all``
    subresources: tuple[str, ...] = ()  # such as ``status``, ``log`` or ``portforward``
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
        """The ``apiVersion`` of its objects: ``v1`` or ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The name in messages: ``pods`` or ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def is_custom(self) -> bool:
        """Whether it is a custom resource, without a built-in schema."""
        return "." in self.group and not self.group.endswith(".k8s.io")

    @property
    def counts_generations(self) -> bool:
        """Whether ``metadata.generation`` counts the changes of the spec."""
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


def _resource(line: str) -> Resource:
    """Read one line of `_TABLE`."""
    api_version, kind, short_names, categories, subresources = line.split()
    group, _, version = api_version.rpartition("/")
    singular = kind.lower()
    plural = (
        singular
        if singular.endswith("s")
        else f"{singular[:-1]}ies"
        if singular.endswith("y")
        else f"{singular}s"
    )
    names = (
        () if text == "-" else tuple(text.split(",")) for text in (short_names, categories, subresources)
    )
    return Resource(group, version, kind, plural, singular, kind not in _CLUSTER_WIDE, *names)


_CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "Namespace", "Node"}
# API version, kind, short names, categories, sub-resources.
_TABLE = f"""
v1 Namespace ns - status
v1 Node no - status
v1 Pod po all attach,exec,log,portforward,status
v1 Service svc all status
v1 Endpoints ep - -
v1 Secret - - -
v1 ConfigMap cm - -
v1 ServiceAccount sa - token
v1 Event ev - -
v1 PersistentVolumeClaim pvc - status
v1 ResourceQuota quota - status
apps/v1 Deployment deploy all status,scale
apps/v1 ReplicaSet rs all status,scale
apps/v1 StatefulSet sts all status,scale
batch/v1 Job - all status
discovery.k8s.io/v1 EndpointSlice - - -
networking.k8s.io/v1 NetworkPolicy netpol - -
{_RBAC}/v1 Role - - -
{_RBAC}/v1 RoleBinding - - -
{_RBAC}/v1 ClusterRole - - -
{_RBAC}/v1 ClusterRoleBinding - - -
postgresql.cnpg.io/v1 Cluster - - status
"""
RESOURCES: tuple[Resource, ...] = tuple(map(_resource, filter(None, _TABLE.splitlines())))


def by_plural(group: str, plural: str) -> Resource:
    """Return the resource with that group and plural name; raise `KeyError` if there is none."""
    return _BY_PLURAL[group, plural]


def by_kind(api_version: str, kind: str) -> Resource:
    """Return the resource with that ``apiVersion`` and ``kind``; raise `KeyError` if there is none."""
    return _BY_KIND[api_version, kind]


_BY_PLURAL = {(resource.group, resource.plural): resource for resource in RESOURCES}
_BY_KIND = {(resource.api_version, resource.kind): resource for resource in RESOURCES}

NAMESPACES, NODES, PODS, SERVICES, ENDPOINTS, SECRETS, CONFIG_MAPS, SERVICE_ACCOUNTS = RESOURCES[:8]
EVENTS, CLAIMS, QUOTAS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, JOBS, SLICES = RESOURCES[8:16]
POLICIES, ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, CLUSTERS = RESOURCES[16:]
