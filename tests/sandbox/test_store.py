"""The store: resource versions, copies of objects, and the order of notifications."""

from __future__ import annotations

import pytest

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.resources import RESOURCES, by_plural
from sspcloud_magics.sandbox.store import AlreadyExists, Change, Conflict, Gone, NotFound, Obj, Store


def config_map(name: str, namespace: str = "here", **data: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def pod(name: str, image: str = "one") -> Obj:
    spec = {"containers": [{"name": "c", "image": image}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "here"}, "spec": spec}


def test_created_object_gets_what_the_server_sets() -> None:
    metadata = Store().create(pod("a"))["metadata"]
    assert metadata["uid"]
    assert metadata["creationTimestamp"].endswith("Z")
    assert metadata["resourceVersion"] == "2"
    assert metadata["generation"] == 1


def test_kind_without_a_spec_counts_no_generations() -> None:
    store = Store()
    assert "generation" not in store.create(config_map("a"))["metadata"]


def test_generation_rises_with_the_spec_alone() -> None:
    store = Store()
    obj = store.create(pod("a"))
    obj["metadata"]["labels"] = {"x": "y"}
    obj = store.update(obj)
    assert obj["metadata"]["generation"] == 1
    obj["spec"]["containers"][0]["image"] = "two"
    obj = store.update(obj)
    assert obj["metadata"]["generation"] == 2
    obj["spec"]["nodeName"] = "n"
    obj = store.update(obj)
    assert obj["metadata"]["generation"] == 2
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert store.update(obj)["metadata"]["generation"] == 3


def test_changed_dict_does_not_change_the_store() -> None:
    store = Store()
    given = config_map("a", key="before")
    returned = store.create(given)
    read = store.get(kinds.CONFIG_MAPS, "here", "a")
    listed = store.list_objects(kinds.CONFIG_MAPS)[0]
    for obj in (given, returned, read, listed):
        obj["data"]["key"] = "after"
    assert store.get(kinds.CONFIG_MAPS, "here", "a")["data"] == {"key": "before"}


def test_what_was_peeked_at_stays_as_it_was() -> None:
    store = Store()
    store.create(config_map("a", key="before"))
    seen = store.peek(kinds.CONFIG_MAPS, "here", "a")
    store.update(config_map("a", key="after"))
    assert seen["data"] == {"key": "before"}
    assert store.peek_all(kinds.CONFIG_MAPS, "here")[0]["data"] == {"key": "after"}


def test_list_is_sorted_and_keeps_to_its_namespace() -> None:
    store = Store()
    for name, namespace in (("b", "here"), ("a", "there"), ("a", "here")):
        store.create(config_map(name, namespace))
    names = [
        (o["metadata"]["namespace"], o["metadata"]["name"]) for o in store.list_objects(kinds.CONFIG_MAPS)
    ]
    assert names == [("here", "a"), ("here", "b"), ("there", "a")]
    assert [o["metadata"]["name"] for o in store.list_objects(kinds.CONFIG_MAPS, "there")] == ["a"]


def test_second_of_a_name_is_refused() -> None:
    store = Store()
    store.create(config_map("a"))
    with pytest.raises(AlreadyExists, match='configmaps "a" already exists'):
        store.create(config_map("a"))


def test_update_with_an_old_version_is_a_conflict() -> None:
    store = Store()
    first = store.create(config_map("a"))
    store.update(config_map("a", key="theirs"))
    first["data"]["key"] = "mine"
    with pytest.raises(Conflict, match="the object has been modified"):
        store.update(first)
    assert store.get(kinds.CONFIG_MAPS, "here", "a")["data"] == {"key": "theirs"}


def test_update_that_changes_nothing_is_no_change() -> None:
    store = Store()
    obj = store.create(config_map("a", key="x"))
    before = store.version
    store.update(obj)
    assert store.version == before


def test_deleting_or_updating_the_missing_says_so() -> None:
    store = Store()
    with pytest.raises(NotFound, match='configmaps "a" not found'):
        store.delete(kinds.CONFIG_MAPS, "here", "a")
    with pytest.raises(NotFound):
        store.update(config_map("a"))


def test_changes_have_the_object_before_them() -> None:
    store = Store()
    heard: list[Change] = []
    unsubscribe = store.subscribe(heard.append)
    store.create(config_map("a", key="1"))
    store.update(config_map("a", key="2"))
    store.delete(kinds.CONFIG_MAPS, "here", "a")
    unsubscribe()
    store.create(config_map("unheard"))
    assert [change.type for change in heard] == ["ADDED", "MODIFIED", "DELETED"]
    assert [(change.old or {}).get("data") for change in heard] == [None, {"key": "1"}, {"key": "2"}]
    assert heard[-1].object["metadata"]["resourceVersion"] == str(heard[-1].version)


def test_writing_subscriber_does_not_disturb_the_order() -> None:
    store = Store()
    heard: list[str] = []

    def answer(change: Change) -> None:
        if change.object["metadata"]["name"] == "question":
            store.create(config_map("answer"))

    store.subscribe(answer)
    store.subscribe(lambda change: heard.append(change.object["metadata"]["name"]))
    store.create(config_map("question"))
    assert heard == ["question", "answer"]


def test_watch_can_go_back_as_far_as_the_history() -> None:
    store = Store(history=3)
    for number in range(5):
        store.create(config_map(f"m{number}"))
    newest = store.version
    assert [c.object["metadata"]["name"] for c in store.changes_since(newest - 2)] == ["m3", "m4"]
    assert store.changes_since(newest) == []
    with pytest.raises(Gone, match="too old resource version"):
        store.changes_since(newest - 4)


def test_resources_are_told_apart_by_group_and_name() -> None:
    assert len({(r.group, r.plural) for r in RESOURCES}) == len(RESOURCES)
    assert by_plural("apps", "deployments").qualified == "deployments.apps"
    assert kinds.PODS.api_version == "v1"
