"""The roles that every cluster has from the start, and the controller that aggregates them.

``view``, ``edit`` and ``admin`` are sums: their rules are those of all cluster roles that carry the label
``rbac.authorization.k8s.io/aggregate-to-…``, kept up to date while such roles come and go.

Source: Kubernetes' bootstrap policy; "Aggregated ClusterRoles" in its RBAC reference.
"""

from __future__ import annotations

from collections.abc import Callable

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.auth.rbac import GROUP
from sspcloud_magics.sandbox.auth.users import AUTHENTICATED, MASTERS, UNAUTHENTICATED
from sspcloud_magics.sandbox.store import AlreadyExists, Change, Obj, Store

_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_VERBS = {"read": _READ, "write": _WRITE, "all": tuple(sorted((*_READ, *_WRITE)))}
_AGGREGATE = f"{GROUP}/aggregate-to-"

# Verbs, API group (- for core) and resources of each line. Kinds that the sandbox does not have can be granted all the same.
_VIEW = """
read - configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status
read - bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status
read - namespaces
read discovery.k8s.io endpointslices
read apps controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status
read autoscaling horizontalpodautoscalers horizontalpodautoscalers/status
read batch cronjobs cronjobs/status jobs jobs/status
read policy poddisruptionbudgets poddisruptionbudgets/status
read networking.k8s.io ingresses ingresses/status networkpolicies
"""
_EDIT = """
read - pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy
impersonate - serviceaccounts
write - pods pods/attach pods/exec pods/portforward pods/proxy
create - pods/eviction
write - configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy
create - serviceaccounts/token
write apps daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale
write autoscaling horizontalpodautoscalers
write batch cronjobs jobs
write policy poddisruptionbudgets
write networking.k8s.io ingresses networkpolicies
all coordination.k8s.io leases
"""
_ADMIN = f"""
create authorization.k8s.io localsubjectaccessreviews
all {GROUP} rolebindings roles
"""
_BASIC_USER = """
create authorization.k8s.io selfsubjectaccessreviews selfsubjectrulesreviews
create authentication.k8s.io selfsubjectreviews
"""
_PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY_PATHS = (*_PUBLIC_PATHS, "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*")


def install_bootstrap_policy(store: Store) -> Callable[[], None]:
    """Create the built-in cluster roles and bindings, and keep the aggregated ones up to date.

    What is there already is left as it is. Returns a function that ends the keeping up to date.
    """
    for obj in (*_cluster_roles(), *_cluster_role_bindings()):
        try:
            store.create(obj)
        except AlreadyExists:
            continue
    _aggregate(store)

    def on_change(change: Change) -> None:
        if change.resource is kinds.CLUSTER_ROLES:
            _aggregate(store)

    return store.subscribe(on_change)


def _aggregate(store: Store) -> None:
    roles = store.peek_all(kinds.CLUSTER_ROLES)
    for role in roles:
        if not role.get("aggregationRule"):
            continue
        selectors = role["aggregationRule"].get("clusterRoleSelectors") or ()
        rules: list[Obj] = []
        for other in roles:
            labels = other["metadata"].get("labels") or {}
            chosen = any((s.get("matchLabels") or {}).items() <= labels.items() for s in selectors)
            if chosen and other["metadata"]["name"] != role["metadata"]["name"]:
                rules.extend(rule for rule in other.get("rules") or () if rule not in rules)
        if rules != (role.get("rules") or []):
            # The change calls this function again, through the subscription, and ends here then.
            store.update({**role, "rules": rules})
            return _aggregate(store)
    return None


def _rules(table: str) -> list[Obj]:
    rules = []
    for verb, group, *resources in map(str.split, filter(None, table.splitlines())):
        verbs = list(_VERBS.get(verb, (verb,)))
        rules.append({"apiGroups": [group.strip("-")], "resources": resources, "verbs": verbs})
    return rules


def _object(kind: str, name: str, labels: dict[str, str] | None = None, **rest: object) -> Obj:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults", **(labels or {})},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
        **rest,
    }


def _role(name: str, rules: list[Obj], **labels: str) -> Obj:
    to = {_AGGREGATE + key: value for key, value in labels.items()}
    return _object("ClusterRole", name, to, rules=rules)


def _sum(name: str, **labels: str) -> Obj:
    selector = {"matchLabels": {_AGGREGATE + name: "true"}}
    return {**_role(name, [], **labels), "aggregationRule": {"clusterRoleSelectors": [selector]}}


def _cluster_roles() -> list[Obj]:
    everything = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]
    return [
        _role("cluster-admin", everything),
        _sum("admin"),
        _sum("edit", admin="true"),
        _sum("view", edit="true"),
        _role("system:aggregate-to-admin", _rules(_ADMIN), admin="true"),
        _role("system:aggregate-to-edit", _rules(_EDIT), edit="true"),
        _role("system:aggregate-to-view", _rules(_VIEW), view="true"),
        _role("system:basic-user", _rules(_BASIC_USER)),
        _role("system:discovery", [{"nonResourceURLs": list(_DISCOVERY_PATHS), "verbs": ["get"]}]),
        _role("system:public-info-viewer", [{"nonResourceURLs": list(_PUBLIC_PATHS), "verbs": ["get"]}]),
    ]


def _cluster_role_bindings() -> list[Obj]:
    bindings = {
        "cluster-admin": (MASTERS,),
        "system:basic-user": (AUTHENTICATED,),
        "system:discovery": (AUTHENTICATED,),
        "system:public-info-viewer": (AUTHENTICATED, UNAUTHENTICATED),
    }
    return [
        _object(
            "ClusterRoleBinding",
            name,
            roleRef={"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
            subjects=[{"apiGroup": GROUP, "kind": "Group", "name": group} for group in groups],
        )
        for name, groups in bindings.items()
    ]
