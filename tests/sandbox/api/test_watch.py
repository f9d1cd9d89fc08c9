"""Lists and watches."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.store import Obj
from tests.sandbox.api.conftest import Api

MAPS = "/api/v1/namespaces/user-alice/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def config_map(name: str, *, namespace: str = "user-alice", **labels: str) -> Obj:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


@contextlib.asynccontextmanager
async def open_watch(api: Api, path: str, **headers: str) -> AsyncIterator[ClientResponse]:
    response = await api.send("GET", path, **headers)
    try:
        yield response
    finally:
        response.close()


async def read_events(response: ClientResponse, count: int) -> list[tuple[str, str]]:
    """Return the next events: type and name."""
    events = [await event(response) for _ in range(count)]
    return [(e["type"], e["object"]["metadata"].get("name", "")) for e in events]


async def event(response: ClientResponse) -> Any:
    return json.loads(await response.content.readline())


async def test_watch_begins_with_what_is_there(api: Api) -> None:
    api.store.create(config_map("a"))
    async with open_watch(api, f"{MAPS}?watch=true") as response:
        assert await read_events(response, 1) == [("ADDED", "a")]
        api.store.create(config_map("b"))
        api.store.delete(kinds.CONFIG_MAPS, "user-alice", "a")
        assert await read_events(response, 2) == [("ADDED", "b"), ("DELETED", "a")]


async def test_watch_goes_on_where_the_list_ended(api: Api) -> None:
    api.store.create(config_map("a"))
    version = (await api.get(MAPS))["metadata"]["resourceVersion"]
    api.store.create(config_map("between"))
    async with open_watch(api, f"{MAPS}?watch=true&resourceVersion={version}") as response:
        api.store.create(config_map("after"))
        assert await read_events(response, 2) == [("ADDED", "between"), ("ADDED", "after")]


async def test_watch_keeps_to_its_namespace_and_kind(api: Api) -> None:
    async with open_watch(api, f"{MAPS}?watch=true") as response:
        api.store.create(config_map("elsewhere", namespace="user-bob"))
        api.store.create({**config_map("secret"), "kind": "Secret"})
        api.store.create(config_map("here"))
        assert await read_events(response, 1) == [("ADDED", "here")]


async def test_object_that_stops_matching_is_deleted(api: Api) -> None:
    made = api.store.create(config_map("a", role="x"))
    async with open_watch(api, f"{MAPS}?watch=true&labelSelector=role%3Dx") as response:
        made["metadata"]["labels"] = {"role": "y"}
        made = api.store.update(made)
        made["data"] = {"unseen": "1"}
        made = api.store.update(made)
        made["metadata"]["labels"] = {"role": "x"}
        api.store.update(made)
        assert await read_events(response, 3) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]


async def test_watch_of_one_name(api: Api) -> None:
    async with open_watch(api, f"{MAPS}?watch=true&fieldSelector=metadata.name%3Da") as response:
        api.store.create(config_map("b"))
        api.store.create(config_map("a"))
        assert await read_events(response, 1) == [("ADDED", "a")]


async def test_initial_events_end_with_a_bookmark(api: Api) -> None:
    api.store.create(config_map("a"))
    options = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    async with open_watch(api, f"{MAPS}?{options}") as response:
        assert await read_events(response, 1) == [("ADDED", "a")]
        bookmark = await event(response)
        assert bookmark["type"] == "BOOKMARK"
        metadata = bookmark["object"]["metadata"]
        assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert metadata["resourceVersion"] == str(api.store.version)


async def test_watch_from_too_long_ago_is_told_to_list_again(api: Api) -> None:
    api.store._history.clear()
    api.store.create(config_map("a"))
    async with open_watch(api, f"{MAPS}?watch=true&resourceVersion=1") as response:
        gone = await event(response)
        assert (gone["type"], gone["object"]["code"], gone["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert await response.content.read() == b""


async def test_watch_ends_at_its_timeout(api: Api) -> None:
    async with open_watch(api, f"{MAPS}?watch=true&timeoutSeconds=0") as response:
        assert await response.content.read() == b""


async def test_watch_that_falls_behind_ends_without_a_gap(api: Api) -> None:
    api.store.create(config_map("first"))
    async with open_watch(api, f"{MAPS}?watch=true") as response:
        version = (await event(response))["object"]["metadata"]["resourceVersion"]
        names = [f"m{number:04}" for number in range(1500)]
        for name in names:  # without a pause in which anything could be sent
            api.store.create(config_map(name))
        seen = []
        async for line in response.content:
            told_object = json.loads(line)["object"]
            seen.append(told_object["metadata"]["name"])
            version = told_object["metadata"]["resourceVersion"]
    assert seen == names[: len(seen)]
    assert len(seen) < len(names)
    async with open_watch(api, f"{MAPS}?watch=true&resourceVersion={version}") as response:
        rest = await read_events(response, len(names) - len(seen))
    assert rest == [("ADDED", name) for name in names[len(seen) :]]


async def test_watch_of_a_table_names_its_columns_once(api: Api) -> None:
    api.store.create(config_map("a"))
    api.store.create(config_map("b"))
    async with open_watch(api, f"{MAPS}?watch=true", Accept=TABLE) as response:
        first, second = await event(response), await event(response)
        assert [c["name"] for c in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert second["object"]["columnDefinitions"] is None
        assert second["object"]["rows"][0]["cells"][:2] == ["b", 0]


async def test_a_client_that_has_gone_is_forgotten(api: Api) -> None:
    before = len(api.store._subscribers)
    api.store.create(config_map("a"))
    async with open_watch(api, f"{MAPS}?watch=true") as response:
        await read_events(response, 1)
        assert len(api.store._subscribers) == before + 1
    while len(api.store._subscribers) > before:  # the server hears of it between two requests
        await api.get(MAPS)


@pytest.mark.parametrize("query", ["resourceVersion=abc", "timeoutSeconds=soon", "labelSelector=a+b"])
async def test_invalid_watch(api: Api, query: str) -> None:
    code, reason, _ = await api.refusal("GET", f"{MAPS}?watch=true&{query}")
    assert (code, reason) == (400, "BadRequest")


async def test_list_in_pages(api: Api) -> None:
    for number in range(5):
        api.store.create(config_map(f"m{number}"))
    seen: list[str] = []
    query = "limit=2"
    while True:
        page = await api.get(f"{MAPS}?{query}")
        seen += [item["metadata"]["name"] for item in page["items"]]
        if "continue" not in page["metadata"]:
            break
        assert page["metadata"]["remainingItemCount"] == 5 - len(seen)
        query = f"limit=2&continue={page['metadata']['continue']}"
    assert seen == [f"m{number}" for number in range(5)]


async def test_later_page_shows_what_the_first_saw(api: Api) -> None:
    for name in ("a", "b", "c", "d"):
        api.store.create(config_map(name))
    page = await api.get(f"{MAPS}?limit=1")
    api.store.delete(kinds.CONFIG_MAPS, "user-alice", "b")
    api.store.create(config_map("bb"))
    api.store.update({**api.store.get(kinds.CONFIG_MAPS, "user-alice", "c"), "data": {"new": "1"}})
    rest = await api.get(f"{MAPS}?continue={page['metadata']['continue']}")
    assert [(item["metadata"]["name"], item.get("data")) for item in rest["items"]] == [
        ("b", None),
        ("c", None),
        ("d", None),
    ]
    assert rest["metadata"] == {"resourceVersion": page["metadata"]["resourceVersion"]}


async def test_old_page_expires_with_a_token_for_the_rest(api: Api) -> None:
    for name in ("a", "b", "c"):
        api.store.create(config_map(name))
    page = await api.get(f"{MAPS}?limit=1")
    api.store.create(config_map("c2"))
    api.store._history.clear()
    api.store.create(config_map("c3"))
    answer = await api.get(f"{MAPS}?limit=1&continue={page['metadata']['continue']}")
    assert (answer["code"], answer["reason"]) == (410, "Expired")
    assert answer["message"].startswith(
        "The provided continue parameter is too old to display a consistent list"
    )
    rest = await api.get(f"{MAPS}?continue={answer['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest["items"]] == ["b", "c", "c2", "c3"]


async def test_page_that_cannot_be_continued(api: Api) -> None:
    code, _, message = await api.refusal("GET", f"{MAPS}?continue=nonsense")
    assert (code, message.partition(":")[0]) == (400, "continue key is not valid")


async def test_list_of_built_in_kinds_names_the_kind_once(api: Api) -> None:
    api.store.create(config_map("a"))
    found = await api.get(MAPS)
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert "kind" not in found["items"][0]


async def test_table_has_metadata_the_object_or_nothing(api: Api) -> None:
    api.store.create(config_map("a"))
    rows = {
        include: (await api.get(f"{MAPS}?includeObject={include}", Accept=TABLE))["rows"][0]
        for include in ("Metadata", "Object", "None")
    }
    assert rows["Metadata"]["object"]["kind"] == "PartialObjectMetadata"
    assert rows["Object"]["object"]["kind"] == "ConfigMap"
    assert "object" not in rows["None"]
