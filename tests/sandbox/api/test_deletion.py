"""Deletion: grace periods, preconditions, finalizers and dependents."""

from __future__ import annotations

from typing import Any

import pytest

from sspcloud_magics.sandbox.resources import by_plural
from sspcloud_magics.sandbox.store import NotFound, Obj
from tests.sandbox.api.conftest import Api, pod

PODS = "/api/v1/namespaces/user-alice/pods"
MAPS = "/api/v1/namespaces/user-alice/configmaps"
POD, CONFIG_MAP = by_plural("", "pods"), by_plural("", "configmaps")


async def schedule(api: Api, **spec: Any) -> Obj:
    """Create a pod and give it to a node."""
    wanted = pod()
    wanted["spec"] |= spec
    await api.post(PODS, wanted)
    made = api.store.get(POD, "user-alice", "web")
    made["spec"]["nodeName"] = "sandbox-node"
    return api.store.update(made)


def is_gone(api: Api, resource: Any, name: str) -> bool:
    try:
        api.store.peek(resource, "user-alice", name)
    except NotFound:
        return True
    return False


async def test_a_pods_program_has_its_grace(api: Api) -> None:
    await schedule(api)
    answer = await api.ask("DELETE", f"{PODS}/web")
    assert answer["kind"] == "Pod"
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 30
    assert answer["metadata"]["deletionTimestamp"]
    assert not is_gone(api, POD, "web")


async def test_grace_of_the_pod_and_of_the_request(api: Api) -> None:
    await schedule(api, terminationGracePeriodSeconds=7)
    answer = await api.ask("DELETE", f"{PODS}/web")
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 7
    shorter = await api.ask("DELETE", f"{PODS}/web?gracePeriodSeconds=3")
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 3
    longer = await api.ask("DELETE", f"{PODS}/web", {"gracePeriodSeconds": 90})
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 3
    assert longer["metadata"]["deletionTimestamp"] == shorter["metadata"]["deletionTimestamp"]


@pytest.mark.parametrize("path", [PODS, f"{PODS}/web"])
@pytest.mark.parametrize(("query", "body"), [("", {"dryRun": ["All"]}), ("?dryRun=All", None)])
async def test_dry_run_of_any_form_deletes_nothing(api: Api, path: str, query: str, body: Obj | None) -> None:
    """The option comes in the body from most clients, kubectl among them."""
    await api.post(PODS, pod())
    answer = await api.ask("DELETE", path + query, body)
    assert answer["kind"] in ("Pod", "PodList")
    assert not is_gone(api, POD, "web")


async def test_unknown_dry_run_refused(api: Api) -> None:
    await api.post(PODS, pod())
    code, reason, message = await api.refusal("DELETE", f"{PODS}/web", {"dryRun": ["some"]})
    assert (code, reason) == (422, "Invalid")
    assert message.endswith('dryRun: Unsupported value: ["some"]: supported values: "All"')
    assert not is_gone(api, POD, "web")


async def test_no_grace_is_at_once(api: Api) -> None:
    await schedule(api)
    await api.ask("DELETE", f"{PODS}/web", {"gracePeriodSeconds": 0})
    assert is_gone(api, POD, "web")


async def test_a_pod_that_never_ran_goes_at_once(api: Api) -> None:
    await api.post(PODS, pod())
    await api.ask("DELETE", f"{PODS}/web")
    assert is_gone(api, POD, "web")


async def test_other_kinds_go_at_once_with_a_status(api: Api) -> None:
    made = await api.post(MAPS, {"metadata": {"name": "a"}})
    answer = await api.ask("DELETE", f"{MAPS}/a")
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert answer["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert is_gone(api, CONFIG_MAP, "a")


@pytest.mark.parametrize("precondition", [{"uid": "other"}, {"resourceVersion": "1"}])
async def test_precondition_that_does_not_hold(api: Api, precondition: Obj) -> None:
    await api.post(MAPS, {"metadata": {"name": "a"}})
    code, reason, message = await api.refusal("DELETE", f"{MAPS}/a", {"preconditions": precondition})
    assert (code, reason) == (409, "Conflict")
    assert "Precondition failed: " in message
    assert not is_gone(api, CONFIG_MAP, "a")


async def test_finalizer_holds_the_object_until_removed(api: Api) -> None:
    await api.post(MAPS, {"metadata": {"name": "a", "finalizers": ["example.org/mine"]}})
    answer = await api.ask("DELETE", f"{MAPS}/a")
    assert answer["metadata"]["deletionTimestamp"]
    assert not is_gone(api, CONFIG_MAP, "a")
    answer["metadata"]["finalizers"] = []
    await api.ask("PUT", f"{MAPS}/a", answer)
    assert is_gone(api, CONFIG_MAP, "a")


async def test_foreground_leaves_it_to_the_garbage_collector(api: Api) -> None:
    await api.post(MAPS, {"metadata": {"name": "a"}})
    answer = await api.ask("DELETE", f"{MAPS}/a", {"propagationPolicy": "Foreground"})
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]


async def test_orphans_lose_their_owner_and_live(api: Api) -> None:
    owner = await api.post(MAPS, {"metadata": {"name": "owner"}})
    references = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}]
    await api.post(MAPS, {"metadata": {"name": "owned", "ownerReferences": references}})
    await api.ask("DELETE", f"{MAPS}/owner?propagationPolicy=Orphan")
    assert "ownerReferences" not in (await api.get(f"{MAPS}/owned"))["metadata"]


async def test_unknown_policy(api: Api) -> None:
    await api.post(MAPS, {"metadata": {"name": "a"}})
    code, _, message = await api.refusal("DELETE", f"{MAPS}/a?propagationPolicy=Sideways")
    assert code == 422
    assert 'Unsupported value: "Sideways"' in message


async def test_dry_run_deletes_nothing(api: Api) -> None:
    await api.post(MAPS, {"metadata": {"name": "a"}})
    answer = await api.ask("DELETE", f"{MAPS}/a?dryRun=All")
    assert answer["status"] == "Success"
    assert not is_gone(api, CONFIG_MAP, "a")


async def test_collection_is_deleted_by_its_selector(api: Api) -> None:
    for name, label in (("a", "x"), ("b", "y")):
        await api.post(MAPS, {"metadata": {"name": name, "labels": {"l": label}}})
    answer = await api.ask("DELETE", f"{MAPS}?labelSelector=l%3Dx")
    assert [item["metadata"]["name"] for item in answer["items"]] == ["a"]
    assert is_gone(api, CONFIG_MAP, "a")
    assert not is_gone(api, CONFIG_MAP, "b")


async def test_namespace_begins_to_end(api: Api) -> None:
    answer = await api.act_as("admin").ask("DELETE", "/api/v1/namespaces/user-bob")
    assert answer["status"]["phase"] == "Terminating"
