"""Prevention of privilege escalation."""

from __future__ import annotations

import pytest

from sspcloud_magics.sandbox.api.escalation import find_missing_permissions
from sspcloud_magics.sandbox.store import Obj
from tests.sandbox.api.conftest import Api

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROLES = f"{RBAC}/namespaces/user-alice/roles"
BINDINGS = f"{RBAC}/namespaces/user-alice/rolebindings"


def rule(verbs: str, resources: str, names: str = "", groups: tuple[str, ...] = ("",)) -> Obj:
    found: Obj = {"apiGroups": list(groups), "resources": resources.split(), "verbs": verbs.split()}
    return found | ({"resourceNames": names.split()} if names else {})


def role(*rules: Obj, name: str = "r") -> Obj:
    return {"metadata": {"name": name}, "rules": list(rules)}


@pytest.mark.parametrize(
    ("held", "wanted", "missing"),
    [
        ([rule("get list", "pods")], [rule("get", "pods")], []),
        ([rule("get", "pods")], [rule("get list", "pods")], [rule("list", "pods")]),
        ([rule("*", "*", groups=("*",))], [rule("get", "a b", "x")], []),
        ([rule("get", "pods"), rule("list", "pods")], [rule("get list", "pods")], []),
        ([rule("get", "pods", "a")], [rule("get", "pods", "a")], []),
        ([rule("get", "pods", "a")], [rule("get", "pods")], [rule("get", "pods")]),
        ([rule("get", "pods", "a")], [rule("get", "pods", "b")], [rule("get", "pods", "b")]),
        ([rule("get", "pods")], [rule("get", "pods", "b")], []),
        ([rule("get", "*/log")], [rule("get", "pods/log")], []),
        ([rule("get", "pods")], [rule("get", "pods/log")], [rule("get", "pods/log")]),
        ([rule("get", "pods")], [rule("*", "pods")], [rule("*", "pods")]),
        (
            [{"verbs": ["get"], "nonResourceURLs": ["/a/*"]}],
            [{"verbs": ["get"], "nonResourceURLs": ["/a/b"]}],
            [],
        ),
    ],
)
def test_missing_permissions(held: list[Obj], wanted: list[Obj], missing: list[Obj]) -> None:
    assert find_missing_permissions(held, wanted) == missing


async def test_role_within_own_permissions(api: Api) -> None:
    made = await api.post(
        ROLES, role(rule("get create", "pods/portforward", "p-1 p-2"), rule("get", "secrets", "s"))
    )
    assert made["kind"] == "Role"


async def test_the_refusal_names_each_right_that_is_missing(api: Api) -> None:
    wanted = role(
        rule("get create", "services services/portforward nodes"), rule("get", "pods", groups=("x",))
    )
    code, reason, message = await api.refusal("POST", ROLES, wanted)
    assert (code, reason) == (403, "Forbidden")
    assert message == (
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "oidc-alice" (groups=["system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["nodes"], Verbs:["get" "create"]}\n'
        '{APIGroups:[""], Resources:["services/portforward"], Verbs:["get" "create"]}\n'
        '{APIGroups:["x"], Resources:["pods"], Verbs:["get"]}'
    )


async def test_role_may_shrink_not_exceed_permissions(api: Api) -> None:
    made = await api.act_as("admin").post(ROLES, role(rule("get list", "nodes")))
    made["rules"] = [rule("get list watch", "nodes")]
    code, _, message = await api.refusal("PUT", f"{ROLES}/r", made)
    assert code == 403
    assert message.endswith('{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list" "watch"]}')
    made["metadata"]["labels"] = {"x": "y"}
    made["rules"] = [rule("get list", "nodes")]
    assert (await api.ask("PUT", f"{ROLES}/r", made))["metadata"]["labels"] == {"x": "y"}
    made["rules"] = []
    del made["metadata"]["resourceVersion"]
    assert (await api.ask("PUT", f"{ROLES}/r", made))["rules"] == []


def make_binding(kind: str, name: str) -> Obj:
    subject = {"kind": "User", "name": "oidc-bob"}
    return {"metadata": {"name": "b"}, "roleRef": {"kind": kind, "name": name}, "subjects": [subject]}


@pytest.mark.parametrize("name", ["admin", "edit", "view"])
async def test_held_role_can_be_bound(api: Api, name: str) -> None:
    made = await api.post(BINDINGS, make_binding("ClusterRole", name))
    assert made["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"


async def test_a_greater_role_cannot_be_bound(api: Api) -> None:
    code, _, message = await api.refusal("POST", BINDINGS, make_binding("ClusterRole", "cluster-admin"))
    assert code == 403
    assert message.endswith('{APIGroups:["*"], Resources:["*"], Verbs:["*"]}')


async def test_a_role_that_is_not_there_cannot_be_bound(api: Api) -> None:
    answer = await api.refusal("POST", BINDINGS, make_binding("Role", "ghost"))
    assert answer == (404, "NotFound", 'roles.rbac.authorization.k8s.io "ghost" not found')
    made = await api.act_as("admin").post(BINDINGS, make_binding("Role", "ghost"))
    assert made["kind"] == "RoleBinding"


async def test_bind_and_escalate_verbs_lift_the_rule(api: Api) -> None:
    admin = api.act_as("admin")
    rules = [
        rule("escalate", "roles", "r", groups=("rbac.authorization.k8s.io",)),
        rule("bind", "clusterroles", "cluster-admin", groups=("rbac.authorization.k8s.io",)),
    ]
    await admin.post(ROLES, role(*rules, name="lifter"))
    lift = make_binding("Role", "lifter")
    lift["metadata"]["name"] = "lift"
    lift["subjects"][0]["name"] = "oidc-alice"
    await admin.post(BINDINGS, lift)
    assert (await api.post(ROLES, role(rule("get", "nodes"))))["kind"] == "Role"
    assert (await api.post(BINDINGS, make_binding("ClusterRole", "cluster-admin")))["kind"] == "RoleBinding"
