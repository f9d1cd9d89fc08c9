"""Field management and server-side apply."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sspcloud_magics.sandbox.store import Obj
from tests.sandbox.api.conftest import Api

DEPLOYMENTS = "/apis/apps/v1/namespaces/user-alice/deployments"
MAPS = "/api/v1/namespaces/user-alice/configmaps"


async def apply(
    api: Api, path: str, config: Obj, manager: str = "one", *, force: bool = False
) -> tuple[int, Obj]:
    query = f"fieldManager={manager}&force={str(force).lower()}"
    headers = {"Authorization": f"Bearer {api.person}", "Content-Type": "application/apply-patch+yaml"}
    async with await api.http.request(
        "PATCH", f"{path}?{query}", data=yaml.safe_dump(config), headers=headers
    ) as response:
        return response.status, await response.json(content_type=None)


def config_map(**data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data}


def deployment(replicas: int | None = 2, image: str = "nginx:1", **container: Any) -> Obj:
    labels = {"app": "web"}
    spec = {"containers": [{"name": "main", "image": image, **container}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        }
        | ({} if replicas is None else {"replicas": replicas}),
    }


def managers(obj: Obj) -> list[tuple[str, str]]:
    return [(entry["manager"], entry["operation"]) for entry in obj["metadata"]["managedFields"]]


async def test_apply_creates_and_owns_what_it_says(api: Api) -> None:
    code, made = await apply(api, f"{DEPLOYMENTS}/web", deployment(ports=[{"containerPort": 80}]))
    assert code == 201
    assert made["spec"]["strategy"]["type"] == "RollingUpdate"
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("one", "Apply", "apps/v1")
    assert entry["fieldsV1"]["f:spec"] == {
        "f:replicas": {},
        "f:selector": {},
        "f:template": {
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {
                "f:containers": {
                    'k:{"name":"main"}': {
                        ".": {},
                        "f:image": {},
                        "f:name": {},
                        "f:ports": {
                            'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}
                        },
                    }
                }
            },
        },
    }
    code, again = await apply(api, f"{DEPLOYMENTS}/web", deployment(ports=[{"containerPort": 80}]))
    assert (code, again) == (200, made)


async def test_field_left_out_goes_unless_another_owns_it(api: Api) -> None:
    path = f"{MAPS}/m"
    await apply(api, path, config_map(a="1", b="2", c="3"))
    await apply(api, path, config_map(b="2"), "two")
    _, left = await apply(api, path, config_map(c="3"))
    assert left["data"] == {"b": "2", "c": "3"}
    assert managers(left) == [("two", "Apply"), ("one", "Apply")]


async def test_conflict_names_manager_and_field(api: Api) -> None:
    await apply(api, f"{DEPLOYMENTS}/web", deployment())
    code, refused = await apply(api, f"{DEPLOYMENTS}/web", deployment(3), "two")
    assert (code, refused["reason"]) == (409, "Conflict")
    assert refused["message"] == 'Apply failed with 1 conflict: conflict with "one": .spec.replicas'
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.replicas"}
    assert refused["details"]["causes"] == [cause]
    _, refused = await apply(api, f"{DEPLOYMENTS}/web", deployment(3, "nginx:2"), "two")
    image = '.spec.template.spec.containers[name="main"].image'
    assert refused["message"] == (
        f'Apply failed with 2 conflicts: conflicts with "one":\n- .spec.replicas\n- {image}'
    )


async def test_forced_apply_takes_the_field_over(api: Api) -> None:
    await apply(api, f"{DEPLOYMENTS}/web", deployment())
    _, taken = await apply(api, f"{DEPLOYMENTS}/web", deployment(3), "two", force=True)
    assert taken["spec"]["replicas"] == 3
    first, second = taken["metadata"]["managedFields"]
    assert "f:replicas" not in first["fieldsV1"]["f:spec"]
    assert "f:replicas" in second["fieldsV1"]["f:spec"]
    _, back = await apply(api, f"{DEPLOYMENTS}/web", deployment(None))
    assert back["spec"]["replicas"] == 3


async def test_write_of_another_kind_owns_its_changes(api: Api) -> None:
    await apply(api, f"{DEPLOYMENTS}/web", deployment())
    scale = {"spec": {"replicas": 5}}
    await api.ask(
        "PATCH",
        f"{DEPLOYMENTS}/web/scale?fieldManager=kubectl",
        scale,
        Content_Type="application/merge-patch+json",
    )
    scaled = await api.get(f"{DEPLOYMENTS}/web")
    assert managers(scaled) == [("one", "Apply"), ("kubectl", "Update")]
    assert scaled["metadata"]["managedFields"][1]["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    _, refused = await apply(api, f"{DEPLOYMENTS}/web", deployment())
    words = 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas'
    assert refused["message"].endswith(words)


async def test_element_left_out_goes_and_others_stay(api: Api) -> None:
    two = deployment(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
    await apply(api, f"{DEPLOYMENTS}/web", two)
    added = {
        "spec": {
            "template": {"spec": {"containers": [{"name": "main", "env": [{"name": "C", "value": "3"}]}]}}
        }
    }
    await api.ask("PATCH", f"{DEPLOYMENTS}/web", added, Content_Type="application/strategic-merge-patch+json")
    _, left = await apply(api, f"{DEPLOYMENTS}/web", deployment(env=[{"name": "B", "value": "2"}]))
    env = left["spec"]["template"]["spec"]["containers"][0]["env"]
    assert sorted(variable["name"] for variable in env) == ["B", "C"]


async def test_element_in_use_keeps_its_key(api: Api) -> None:
    """Another manager has changed the value of a variable that the first then leaves out."""
    path = f"{DEPLOYMENTS}/web"
    await apply(api, path, deployment(env=[{"name": "A", "value": "1"}]))
    changed = {
        "spec": {
            "template": {"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "2"}]}]}}
        }
    }
    await api.ask("PATCH", path, changed, Content_Type="application/strategic-merge-patch+json")
    _, left = await apply(api, path, deployment())
    assert left["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "A", "value": "2"}]


async def test_created_object_belongs_to_its_creator(api: Api) -> None:
    made = await api.ask("POST", f"{MAPS}?fieldManager=kubectl-create", config_map(a="1"))
    assert managers(made) == [("kubectl-create", "Update")]
    replaced = await api.ask("PUT", f"{MAPS}/m", config_map(a="2"), User_Agent="tool/2.0 (linux)")
    assert managers(replaced) == [("tool", "Update")]
    forgotten = {"metadata": {"managedFields": [{}]}}
    left = await api.ask("PATCH", f"{MAPS}/m", forgotten, Content_Type="application/merge-patch+json")
    assert "managedFields" not in left["metadata"]


@pytest.mark.parametrize(
    ("query", "change", "words"),
    [
        ("", {}, "fieldManager: Required value: is required for apply patch"),
        ("fieldManager=x", {"kind": "Secret"}, "does not match the expected API version"),
        ("fieldManager=x", {"metadata": {"name": "other"}}, "does not match the name on the URL"),
        ("fieldManager=x", {"metadata": {"managedFields": [{}]}}, "metadata.managedFields must be nil"),
    ],
)
async def test_apply_that_makes_no_sense(api: Api, query: str, change: Obj, words: str) -> None:
    body = yaml.safe_dump({**config_map(), **change})
    headers = {"Authorization": "Bearer alice", "Content-Type": "application/apply-patch+yaml"}
    async with await api.http.request("PATCH", f"{MAPS}/m?{query}", data=body, headers=headers) as response:
        assert words in (await response.json(content_type=None))["message"]


async def test_apply_creates_only_what_the_user_may_create(api: Api) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/user-alice"
    await api.post(f"{rbac}/roles", {"metadata": {"name": "patcher"}, "rules": [rule]})
    binding = {
        "roleRef": {"kind": "Role", "name": "patcher"},
        "subjects": [{"kind": "User", "name": "oidc-bob"}],
    }
    await api.post(f"{rbac}/rolebindings", {"metadata": {"name": "patcher"}, **binding})
    code, refused = await apply(api.act_as("bob"), f"{MAPS}/m", config_map(a="1"))
    assert code == 403
    assert refused["message"] == (
        'configmaps "m" is forbidden: User "oidc-bob" cannot create resource "configmaps" in API group "" in the '
        'namespace "user-alice"'
    )
    await apply(api, f"{MAPS}/m", config_map(a="1"))
    assert (await apply(api.act_as("bob"), f"{MAPS}/m", config_map(b="2"), "bob"))[1]["data"] == {
        "a": "1",
        "b": "2",
    }


@pytest.mark.parametrize(
    "entries",
    [
        [{"manager": "x"}],
        ["x"],
        "x",
        [{"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": "x"}}],
        [{"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"k:x": {}}}],
    ],
)
async def test_unreadable_managers_do_not_break(api: Api, entries: Any) -> None:
    await apply(api, f"{MAPS}/m", config_map(a="1"))
    sent = config_map(a="1")
    sent["metadata"]["managedFields"] = entries
    async with await api.send("PUT", f"{MAPS}/m", sent) as response:
        assert response.status in (200, 400)
    assert managers(await api.get(f"{MAPS}/m")) == [("one", "Apply")]
