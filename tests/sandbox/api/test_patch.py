"""The three kinds of patch, by the examples of their specifications and of kubectl."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.sandbox.api.patch import json_patch, merge_patch, strategic_merge


# RFC 7386, appendix A.
@pytest.mark.parametrize(
    ("value", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(value: Any, patch: Any, result: Any) -> None:
    assert merge_patch(value, patch) == result


# RFC 6902, appendix A.
@pytest.mark.parametrize(
    ("value", "operations", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/0", "value": "q"}], {"foo": ["q", "bar"]}),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["a"]}], {"foo": ["bar", ["a"]]}),
        ({"foo": 1, "baz": 2}, [{"op": "remove", "path": "/baz"}], {"foo": 1}),
        ({"foo": ["a", "b"]}, [{"op": "remove", "path": "/foo/0"}], {"foo": ["b"]}),
        ({"foo": 1}, [{"op": "replace", "path": "/foo", "value": 2}], {"foo": 2}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1}),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        ({"a/b": 1}, [{"op": "replace", "path": "/a~1b", "value": 2}], {"a/b": 2}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
    ],
)
def test_json_patch(value: Any, operations: list[Any], result: Any) -> None:
    before = copy.deepcopy(value)
    assert json_patch(value, operations) == result
    assert value == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/b", "value": 1},
        {"op": "add", "path": "/b/c", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "shuffle", "path": "/a"},
        {"op": "add", "path": "/list/3", "value": 1},
    ],
)
def test_json_patch_that_does_not_fit(operation: Any) -> None:
    with pytest.raises((ValueError, KeyError, IndexError)):
        json_patch({"a": 1, "list": []}, [operation])


def test_containers_are_told_apart_by_name() -> None:
    value = {"containers": [{"name": "a", "image": "1", "tty": True}, {"name": "b", "image": "1"}]}
    patch = {"containers": [{"name": "a", "image": "2"}, {"name": "c", "image": "1"}]}
    assert strategic_merge(value, patch) == {
        "containers": [
            {"name": "a", "image": "2", "tty": True},
            {"name": "b", "image": "1"},
            {"name": "c", "image": "1"},
        ]
    }


def test_service_and_container_ports_have_their_keys() -> None:
    service = {"spec": {"ports": [{"port": 80, "name": "a"}]}}
    patch = {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}
    assert strategic_merge(service, patch)["spec"]["ports"] == [{"port": 80, "name": "a", "targetPort": 8080}]
    container = {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}
    patch_ports = {"containers": [{"name": "c", "ports": [{"containerPort": 80, "name": "http"}]}]}
    (merged,) = strategic_merge(container, patch_ports)["containers"]
    assert merged["ports"] == [{"containerPort": 80, "name": "http"}]


def test_list_without_a_key_is_replaced() -> None:
    assert strategic_merge({"args": ["a", "b"]}, {"args": ["c"]}) == {"args": ["c"]}


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"env": [{"name": "A", "$patch": "delete"}]}, {"env": [{"name": "B", "value": "2"}]}),
        ({"env": [{"$patch": "replace"}, {"name": "C"}]}, {"env": [{"name": "C"}]}),
        (
            {"$setElementOrder/env": [{"name": "B"}, {"name": "A"}]},
            {"env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]},
        ),
        ({"env": None}, {}),
    ],
)
def test_directives_for_lists(patch: Any, result: Any) -> None:
    value = {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    assert strategic_merge(value, patch) == result


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}, {"strategy": {"type": "Recreate"}}),
        ({"strategy": {"$patch": "replace", "x": 1}}, {"strategy": {"x": 1}}),
        ({"strategy": {"$patch": "delete"}}, {"strategy": {}}),
    ],
)
def test_directives_for_maps(patch: Any, result: Any) -> None:
    value = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}
    assert strategic_merge(value, patch) == result


def test_finalizers_are_a_set() -> None:
    value = {"finalizers": ["a", "b"]}
    assert strategic_merge(value, {"finalizers": ["b", "c"]}) == {"finalizers": ["a", "b", "c"]}
    assert strategic_merge(value, {"$deleteFromPrimitiveList/finalizers": ["a"]}) == {"finalizers": ["b"]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, JSON)
def test_merge_patch_is_pure_and_idempotent(value: Any, patch: Any) -> None:
    before = copy.deepcopy((value, patch))
    once = merge_patch(value, patch)
    assert merge_patch(once, patch) == once
    assert (value, patch) == before
