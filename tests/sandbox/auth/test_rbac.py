"""RBAC decides as Kubernetes' reference describes it."""

from __future__ import annotations

from typing import Any

import pytest

from sspcloud_magics.sandbox.auth.bootstrap import install_bootstrap_policy
from sspcloud_magics.sandbox.auth.rbac import GROUP, Attributes, decide, rule_allows
from sspcloud_magics.sandbox.auth.users import User, authenticate, service_account
from sspcloud_magics.sandbox.store import Obj, Store

BOB = authenticate("oidc-bob")


def role(name: str, *rules: Obj, namespace: str | None = "home") -> Obj:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    kind = "Role" if namespace else "ClusterRole"
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "rules": list(rules)}


def make_binding(kind: str, role_name: str, *subjects: Obj, namespace: str | None = "home") -> Obj:
    metadata = {"name": f"bind-{role_name}"} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role_name},
        "subjects": list(subjects),
    }


def user(name: str) -> Obj:
    return {"kind": "User", "name": name, "apiGroup": GROUP}


def rule(verbs: str, resources: str, groups: str = "", names: str = "") -> Obj:
    found: dict[str, Any] = {
        "verbs": verbs.split(),
        "resources": resources.split(),
        "apiGroups": groups.split(",") if groups else [""],
    }
    if names:
        found["resourceNames"] = names.split()
    return found


@pytest.mark.parametrize(
    ("given", "asked", "expected"),
    [
        (rule("get", "pods"), Attributes("get", resource="pods", name="x"), True),
        (rule("get", "pods"), Attributes("list", resource="pods"), False),
        (rule("*", "pods"), Attributes("deletecollection", resource="pods"), True),
        (rule("get", "*"), Attributes("get", resource="pods", subresource="log"), True),
        (rule("get", "pods"), Attributes("get", resource="pods", subresource="log"), False),
        (rule("get", "pods/log"), Attributes("get", resource="pods", subresource="log"), True),
        (rule("get", "pods/log"), Attributes("get", resource="pods"), False),
        (rule("get", "*/log"), Attributes("get", resource="pods", subresource="log"), True),
        (
            rule("get", "services/portforward"),
            Attributes("get", resource="pods", subresource="portforward"),
            False,
        ),
        (rule("get", "deployments"), Attributes("get", "apps", "deployments"), False),
        (rule("get", "deployments", "apps"), Attributes("get", "apps", "deployments"), True),
        (rule("get", "deployments", "*"), Attributes("get", "apps", "deployments"), True),
        (
            rule("get list", "endpoints", names="F-rw"),
            Attributes("get", resource="endpoints", name="F-rw"),
            True,
        ),
        (
            rule("get list", "endpoints", names="F-rw"),
            Attributes("get", resource="endpoints", name="G-rw"),
            False,
        ),
        # list with fieldSelector metadata.name=F-rw is a request for that name
        (
            rule("get list", "endpoints", names="F-rw"),
            Attributes("list", resource="endpoints", name="F-rw"),
            True,
        ),
        (rule("get list", "endpoints", names="F-rw"), Attributes("list", resource="endpoints"), False),
        (rule("create", "pods", names="x"), Attributes("create", resource="pods"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/openapi/*"]}, Attributes("get", path="/openapi/v3"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/version"]}, Attributes("get", path="/version/x"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["*"]}, Attributes("get", path="/metrics"), True),
        (rule("*", "*", "*"), Attributes("get", path="/metrics"), False),
    ],
)
def test_rule_allows(given: Obj, asked: Attributes, *, expected: bool) -> None:
    assert rule_allows(given, asked) is expected


def test_a_role_binding_holds_in_its_namespace_alone() -> None:
    store = Store()
    store.create(role("reader", rule("get", "pods")))
    store.create(make_binding("Role", "reader", user("oidc-bob")))
    assert decide(store, BOB, Attributes("get", resource="pods", namespace="home")).allowed
    assert not decide(store, BOB, Attributes("get", resource="pods", namespace="elsewhere")).allowed
    assert not decide(store, BOB, Attributes("get", resource="pods")).allowed


def test_cluster_role_bound_in_a_namespace_holds_there() -> None:
    store = Store()
    store.create(role("reader", rule("get", "pods"), namespace=None))
    store.create(make_binding("ClusterRole", "reader", user("oidc-bob")))
    assert decide(store, BOB, Attributes("get", resource="pods", namespace="home")).allowed
    assert not decide(store, BOB, Attributes("get", resource="pods", namespace="elsewhere")).allowed


def test_a_cluster_role_binding_holds_everywhere() -> None:
    store = Store()
    store.create(role("reader", rule("get", "pods"), namespace=None))
    store.create(make_binding("ClusterRole", "reader", user("oidc-bob"), namespace=None))
    for namespace in ("home", "elsewhere", ""):
        assert decide(store, BOB, Attributes("get", resource="pods", namespace=namespace)).allowed


@pytest.mark.parametrize(
    ("subject", "who", "expected"),
    [
        ({"kind": "User", "name": "oidc-bob"}, BOB, True),
        ({"kind": "User", "name": "user-bob"}, BOB, False),
        ({"kind": "Group", "name": "oidc-team"}, authenticate("x", groups=("oidc-team",)), True),
        ({"kind": "Group", "name": "system:authenticated"}, BOB, True),
        (
            {"kind": "Group", "name": "system:serviceaccounts:user-bob"},
            service_account("user-bob", "nb"),
            True,
        ),
        (
            {"kind": "Group", "name": "system:serviceaccounts:user-bob"},
            service_account("user-carol", "nb"),
            False,
        ),
        (
            {"kind": "ServiceAccount", "name": "nb", "namespace": "user-bob"},
            service_account("user-bob", "nb"),
            True,
        ),
        ({"kind": "ServiceAccount", "name": "nb"}, service_account("home", "nb"), True),
        ({"kind": "ServiceAccount", "name": "nb"}, service_account("user-bob", "nb"), False),
        # a name that looks like a service account's is one to RBAC
        (
            {"kind": "User", "name": "system:serviceaccount:user-bob:nb"},
            service_account("user-bob", "nb"),
            True,
        ),
    ],
)
def test_subjects(subject: Obj, who: User, *, expected: bool) -> None:
    store = Store()
    store.create(role("reader", rule("get", "pods")))
    store.create(make_binding("Role", "reader", subject))
    assert decide(store, who, Attributes("get", resource="pods", namespace="home")).allowed is expected


def test_binding_to_a_missing_role_grants_nothing() -> None:
    store = Store()
    store.create(make_binding("Role", "ghost", user("oidc-bob")))
    decision = decide(store, BOB, Attributes("get", resource="pods", namespace="home"))
    assert not decision.allowed
    assert decision.reason == 'RBAC: roles.rbac.authorization.k8s.io "ghost" not found'


def test_masters_may_everything() -> None:
    root = authenticate("root", groups=("system:masters",))
    assert decide(Store(), root, Attributes("delete", resource="nodes")).allowed


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        ("view", Attributes("list", resource="pods", namespace="home"), True),
        ("view", Attributes("get", resource="secrets", namespace="home"), False),
        ("view", Attributes("get", resource="pods", subresource="portforward", namespace="home"), False),
        ("view", Attributes("list", "networking.k8s.io", "networkpolicies", namespace="home"), True),
        ("edit", Attributes("get", resource="secrets", namespace="home"), True),
        ("edit", Attributes("create", resource="pods", subresource="portforward", namespace="home"), True),
        ("edit", Attributes("create", "batch", "jobs", namespace="home"), True),
        ("edit", Attributes("list", GROUP, "roles", namespace="home"), False),
        ("edit", Attributes("create", resource="endpoints", namespace="home"), False),
        ("admin", Attributes("create", GROUP, "rolebindings", namespace="home"), True),
        ("admin", Attributes("create", resource="resourcequotas", namespace="home"), False),
        ("admin", Attributes("get", "postgresql.cnpg.io", "clusters", namespace="home"), False),
        ("cluster-admin", Attributes("get", "postgresql.cnpg.io", "clusters", namespace="home"), True),
    ],
)
def test_built_in_roles(name: str, asked: Attributes, *, expected: bool) -> None:
    store = Store()
    install_bootstrap_policy(store)
    store.create(make_binding("ClusterRole", name, user("oidc-bob")))
    assert decide(store, BOB, asked).allowed is expected


def test_any_credential_may_discover_and_review_itself() -> None:
    store = Store()
    install_bootstrap_policy(store)
    assert decide(store, BOB, Attributes("get", path="/apis/apps/v1")).allowed
    asked = Attributes("create", "authorization.k8s.io", "selfsubjectaccessreviews")
    assert decide(store, BOB, asked).allowed
    anonymous = User("system:anonymous", groups=("system:unauthenticated",))
    assert decide(store, anonymous, Attributes("get", path="/version")).allowed
    assert not decide(store, anonymous, Attributes("get", path="/api")).allowed


def test_labelled_role_is_aggregated_into_admin() -> None:
    store = Store()
    install_bootstrap_policy(store)
    store.create(make_binding("ClusterRole", "admin", user("oidc-bob")))
    asked = Attributes("get", "postgresql.cnpg.io", "clusters", namespace="home")
    more = role("cnpg-edit", rule("get", "clusters", "postgresql.cnpg.io"), namespace=None)
    more["metadata"]["labels"] = {f"{GROUP}/aggregate-to-edit": "true"}
    created = store.create(more)
    assert decide(store, BOB, asked).allowed
    created["metadata"]["labels"] = {}
    store.update(created)
    assert not decide(store, BOB, asked).allowed
