"""Objects as text: no secret value, whatever holds it, and differences that still show that one has changed."""

from __future__ import annotations

from typing import Any

import pytest

from sspcloud_magics.cluster.requests.object_text import LAST_APPLIED, compare, hide_values, is_same, to_yaml
from sspcloud_magics.magics.arguments import URL_WITH_PASSWORD
from sspcloud_magics.secret import HIDDEN

CANARY = "s3cret-canary"


def pod(*env: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    container = {"name": "a", "image": "b", "env": list(env)}
    return {"kind": "Pod", "metadata": {"name": "p", **metadata}, "spec": {"containers": [container]}}


HOLDERS = {
    "data": {"kind": "Secret", "metadata": {"name": "s"}, "data": {"a": CANARY}},
    "stringData": {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": CANARY}},
    "annotation": {"kind": "Secret", "metadata": {"name": "s", "annotations": {LAST_APPLIED: CANARY}}},
    "annotation of a pod": pod(annotations={LAST_APPLIED: f'{{"env": "{CANARY}"}}'}),
    "password": pod({"name": "DB_PASSWORD", "value": CANARY}),
    "token": pod({"name": "gitlab_token", "value": CANARY}),
    "key": pod({"name": "AWS_SECRET_ACCESS_KEY", "value": CANARY}),
    "url": pod({"name": "WHERE", "value": f"postgresql://ana:{CANARY}@db:5432/x"}),
    "argument": {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"args": [f"http://a:{CANARY}@b/"]}},
    "template": {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": pod({"name": "PASSWORD", "value": CANARY})}},
}  # fmt: skip


@pytest.mark.parametrize("item", HOLDERS.values(), ids=HOLDERS)
def test_secret_value_is_hidden(item: dict[str, Any]) -> None:
    before = repr(item)
    assert CANARY not in to_yaml(hide_values(item))
    assert HIDDEN in to_yaml(hide_values(item))
    assert CANARY not in "\n".join(compare(None, item) + compare(item, {**item, "kind": "Other"}))
    assert repr(item) == before


def test_references_and_other_values_stay() -> None:
    reference = {"secretKeyRef": {"name": "db", "key": "password"}}
    item = pod(
        {"name": "PASSWORD", "valueFrom": reference}, {"name": "COLOUR", "value": "blue"}, labels={"a": "b"}
    )
    assert hide_values(item) == item


def test_managed_fields_are_left_out() -> None:
    assert "managedFields" not in hide_values(pod(managedFields=[{}]))["metadata"]


def test_difference_shows_which_secret_has_changed() -> None:
    def secret(one: str, two: str) -> dict[str, Any]:
        return {"kind": "Secret", "metadata": {"name": "s"}, "data": {"one": one, "two": two}}

    lines = compare(secret("a", "b"), secret("a", "c"))
    assert [line for line in lines if line[0] in "+-"] == [
        f"-  two: {HIDDEN} (before)",
        f"+  two: {HIDDEN} (after)",
    ]
    assert compare(secret("a", "b"), secret("a", "b")) == []


def test_servers_own_fields_are_no_difference() -> None:
    before = {
        **pod(resourceVersion="1", uid="u", generation=1, annotations={LAST_APPLIED: "x"}),
        "status": {"a": 1},
    }
    after = {**pod(resourceVersion="2", generation=2, managedFields=[]), "status": {"a": 2}}
    assert is_same(before, after)
    assert compare(before, after) == []
    assert not is_same(before, pod(labels={"a": "b"}))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["x", "x://y", "a.b:"])
def test_long_words_are_searched_in_linear_time(piece: str) -> None:
    text = piece * (900_000 // len(piece))
    item = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": text}}
    assert hide_values(item)["data"]["a"] == text
    assert URL_WITH_PASSWORD.search(text) is None


def test_text_of_several_lines_is_shown_line_by_line() -> None:
    item = {"data": {"script": "cd /tmp\nls -l\n", "one": "été"}}
    assert to_yaml(item) == "data:\n  script: |\n    cd /tmp\n    ls -l\n  one: été\n"
