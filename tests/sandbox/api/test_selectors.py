"""Label and field selectors choose as Kubernetes' do."""

from __future__ import annotations

import pytest

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.api.selectors import FieldSelector, LabelSelector
from sspcloud_magics.sandbox.api.status import ApiError
from sspcloud_magics.sandbox.store import Obj


def make_labelled(**labels: str) -> Obj:
    return {"metadata": {"name": "x", "labels": labels}}


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("", {}, True),
        ("app=web", {"app": "web"}, True),
        ("app==web", {"app": "web"}, True),
        ("app=web", {}, False),
        ("app!=web", {"app": "db"}, True),
        ("app!=web", {}, True),  # what has no such label is not equal to it
        ("app", {"app": ""}, True),
        ("!app", {}, True),
        ("!app", {"app": "web"}, False),
        ("app in (web, db)", {"app": "db"}, True),
        ("app in (web,db)", {"app": "x"}, False),
        ("app notin (web)", {}, True),
        ("app notin (web)", {"app": "web"}, False),
        ("app=web,tier in (a,b),!beta", {"app": "web", "tier": "b"}, True),
        ("app=web,tier in (a,b),!beta", {"app": "web", "tier": "b", "beta": "1"}, False),
        ("app=", {"app": ""}, True),
        (" app = web , x ", {"app": "web", "x": "1"}, True),
    ],
)
def test_label_selector(text: str, labels: dict[str, str], *, expected: bool) -> None:
    assert LabelSelector.parse(text).matches(make_labelled(**labels)) is expected


@pytest.mark.parametrize("text", ["app in (", "app in web", "=web", "app=web,,x", "(", "app web"])
def test_label_selector_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        LabelSelector.parse(text)
    assert caught.value.code == 400


def test_label_with_a_prefix() -> None:
    obj: Obj = {"metadata": {"labels": {"cnpg.io/cluster": "postgresql-cnpg-951239"}}}
    assert LabelSelector.parse("cnpg.io/cluster=postgresql-cnpg-951239").matches(obj)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("metadata.name=web", True),
        ("metadata.name!=web", False),
        ("status.phase=Running,metadata.namespace=here", True),
        ("status.phase==Pending", False),
        ("spec.nodeName=", True),
    ],
)
def test_field_selector(text: str, *, expected: bool) -> None:
    pod: Obj = {"metadata": {"name": "web", "namespace": "here"}, "spec": {}, "status": {"phase": "Running"}}
    assert FieldSelector.parse(text, kinds.PODS).matches(pod) is expected


def test_field_that_cannot_be_selected_by() -> None:
    with pytest.raises(ApiError, match=r"field label not supported: spec\.containers"):
        FieldSelector.parse("spec.containers=x", kinds.PODS)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("metadata.name=web", "web"),
        ("status.phase=Running,metadata.name==web", "web"),
        ("metadata.name!=web", ""),
        ("", ""),
    ],
)
def test_name_that_a_selector_asks_for(text: str, name: str) -> None:
    assert FieldSelector.exact_name(text) == name
