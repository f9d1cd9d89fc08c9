"""Parsing of manifests: what is refused before anything is sent, and where."""

from __future__ import annotations

import json

import pytest

from sspcloud_magics.cluster.requests.manifests import (
    LONGEST,
    find_placeholders,
    parse_manifests,
    refuse_placeholders,
)
from sspcloud_magics.errors import UsageProblem

POD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n"

REFUSED = {
    "empty": ("", "There is no object to apply"),
    "comments": ("# nothing\n---\n---\n", "There is no object to apply"),
    "colon": ("a: b: c", "not YAML: line 1, column 5"),
    "tab": ("a:\n\t- b", "not YAML: line 2, column 1"),
    "unclosed": ('a: "b', "not YAML"),
    "list": ("- a\n- b", "line 1 is not an object"),
    "word": ("pods", "line 1 is not an object"),
    "kind": ("apiVersion: v1\nmetadata: {name: a}", "line 1 is not an object"),
    "name": ("apiVersion: v1\nkind: Pod\nmetadata: {}", "line 1 is not an object"),
    "number": ("apiVersion: v1\nkind: 7\nmetadata: {name: a}", "line 1 is not an object"),
    "generated": ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}", "line 1 is not an object"),
    "second": (POD.format(name="a") + "---\nfoo: bar", "line 6 is not an object"),
    "item": ("kind: List\nitems:\n- 3", "line 3 is not an object"),
    "nested": ("{" * 5000, "not a usable manifest"),
    "aliases": ("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
    ), "not a usable manifest"),
    "control": ("a: 1\nb: '\a'", "not YAML: line 2, column 5"),
    "surrogate": ("a: \ud800", "not YAML: line 1, column 4"),
    "template": ("a: {{ name }}", "not YAML: line 1, column 5"),
    "namespace": ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: 12}", "line 1 is not an object"),
    "large": ("a: " + "x" * LONGEST, "too large"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "what"), REFUSED.values(), ids=REFUSED)
def test_bad_text_is_refused_with_a_hint(text: str, what: str) -> None:
    with pytest.raises(UsageProblem, match=what) as raised:
        parse_manifests(text)
    assert raised.value.hint or what == "not a usable manifest"
    assert len(raised.value.what) <= 100


def test_several_documents_and_lists_are_objects() -> None:
    text = (
        POD.format(name="a")
        + "---\nkind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n"
    )
    assert [(each.name, each.line) for each in parse_manifests(text)] == [
        ("a", 1),
        ("b", 9),
    ]


def test_values_are_read_as_kubectl_reads_them() -> None:
    (pod,) = parse_manifests(POD.format(name="a") + "spec: {hostNetwork: yes, x: 012, z: 12:30}")
    assert pod.body["spec"] == {"hostNetwork": True, "x": 10, "z": "12:30"}


def test_json_may_escape_any_character() -> None:
    (pod,) = parse_manifests(
        json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a🐘\\ud83d"}})
    )
    assert pod.name == "a🐘\\ud83d"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["x", "ab-", "{{", "<a", "your-", "a://b:"])
def test_long_words_are_searched_in_linear_time(piece: str) -> None:
    manifests = parse_manifests(POD.format(name="a") + f"spec: {{a: '{piece * (900_000 // len(piece))}'}}")
    find_placeholders(manifests)


def test_field_is_found_in_the_text() -> None:
    (pod,) = parse_manifests(POD.format(name="a") + "spec:\n  containers:\n  - name: b\n    imagee: c\n")
    assert pod.find_line("spec.containers[0].imagee") == 8
    assert pod.find_line("spec.containers[1].image") == 7
    assert pod.find_line('.spec.containers[name="b"].imagee') == 8
    assert pod.find_line('.spec.containers[name="c"].imagee') == 7
    assert pod.find_line("status") is None


PLACEHOLDERS = {
    "metadata: {name: a, namespace: user-XXXXXXXX}": ["user-XXXXXXXX"],
    "metadata: {name: a, namespace: mon-namespace}": ["mon-namespace"],
    "metadata: {name: $POD}": ["$POD"],
    "metadata: {name: '${POD}'}": ["${POD}"],
    "metadata: {name: <your pod>}": ["<your pod>"],
    "metadata: {name: '{{ name }}'}": ["{{ name }}"],
    "metadata: {name: a}\nspec: {containers: [{name: b, args: ['TCP:x.user-XXXX.svc:1']}]}": ["user-XXXX"],
    "metadata: {name: a}\nspec: {containers: [{name: b, args: ['echo $HOME <b> {{x}}', '$(POD)']}]}": [],
    "metadata: {name: a}\nspec: {containers: [{name: b, env: [{name: C, value: $HOME}]}]}": [],
    "metadata: {name: a, annotations: {note: 'XXX see $POD'}}\ndata: {script: 'cd $HOME; grep XXXX'}": [],
    "metadata: {name: max-1}": [],
    "metadata: {name: your-pod, namespace: user-xxxxxxxx}": ["your-pod", "user-xxxxxxxx"],
    "metadata: {name: CHANGE_ME, namespace: user-...}": ["CHANGE_ME", "user-..."],
    "metadata: {name: VOTRE_NOM, namespace: YOUR-NAMESPACE}": ["VOTRE_NOM", "YOUR-NAMESPACE"],
    "metadata: {name: a}\nspec: {containers: [{name: b, args: ['select 1 from your_table']}]}": [],
    "metadata: {name: fox-xx, namespace: user-xxl}": [],
}


@pytest.mark.parametrize(("fields", "found"), PLACEHOLDERS.items())
def test_placeholders_are_found(fields: str, found: list[str]) -> None:
    manifests = parse_manifests(f"apiVersion: v1\nkind: Pod\n{fields}")
    assert [each.text for each in find_placeholders(manifests)] == found


def test_placeholders_are_refused_by_line() -> None:
    manifests = parse_manifests(POD.format(name="$POD") + "---\n" + POD.format(name="user-XXXXXX"))
    with pytest.raises(UsageProblem, match="2 placeholders") as raised:
        refuse_placeholders(manifests, "user-bob")
    assert raised.value.why == "line 4: $POD (metadata.name)\nline 9: user-XXXXXX (metadata.name)"
    assert "user-bob" in raised.value.hint
