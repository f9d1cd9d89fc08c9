"""Objects as YAML for people: without values that may be secret, and the difference of two versions.

Hidden are the values of Secrets, environment variables with a name such as ``DB_PASSWORD``, passwords in URLs, and the annotation in which
``kubectl apply`` keeps a copy of the whole object. References to Secrets hold only names, and stay.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from sspcloud_magics.printable import printable
from sspcloud_magics.secret import HIDDEN

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
WIDTH = 100
"""Characters per line of YAML, and of the texts around it."""

_SECRET_NAME = re.compile(
    r"PASS|PWD|TOKEN|SECRET|CREDENTIAL|(?:API|ACCESS|PRIVATE)_?KEY|(?:DATABASE|DB|PG)_?(?:URL|URI|DSN)",
    re.IGNORECASE,
)
# Each part has a beginning and an end, or a text of one long word takes hours.
_PASSWORD_IN_URL = re.compile(r"(\b\w+://[^/\s:@]{0,256}:)[^@\s]{1,2048}@")
# The parts of an object that change without a change of its configuration.
_VOLATILE = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")


class _Readable(yaml.SafeDumper):
    """YAML without anchors, with lists of strings on one line, and with long texts line by line."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = "|" if "\n" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    def ignore_aliases(self, _data: object) -> bool:
        return True

    def represent_sequence(
        self, tag: str, sequence: Iterable[Any], flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        words = list(sequence)
        flat = all(isinstance(word, str) for word in words)
        return super().represent_sequence(tag, words, flow_style=flat or flow_style)


_Readable.add_representer(str, _Readable.represent_str)


def to_yaml(value: Any) -> str:
    """Format a value as YAML."""
    text = yaml.dump(value, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=WIDTH)
    return printable(text)


def hide_values(item: Mapping[str, Any], mark: str = HIDDEN) -> dict[str, Any]:
    """Return a copy of an object without its secret values, and without its managed fields.

    Examples
    --------
    >>> hide_values({"kind": "Secret", "metadata": {"name": "s"}, "data": {"password": "czNjcmV0"}})["data"]
    {'password': '●●●●●●'}
    """
    shown: dict[str, Any] = _copy(item, mark)
    metadata = shown["metadata"] = dict(shown.get("metadata") or {})
    metadata.pop("managedFields", None)
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict) and LAST_APPLIED in annotations:
        metadata["annotations"] = {**annotations, LAST_APPLIED: HIDDEN}
    if item.get("kind") == "Secret":
        for part in ("data", "stringData"):
            if isinstance(shown.get(part), dict):
                shown[part] = dict.fromkeys(shown[part], mark)
    return shown


def _copy(value: Any, mark: str) -> Any:
    if isinstance(value, str):
        return _PASSWORD_IN_URL.sub(rf"\1{HIDDEN}@", value)
    if isinstance(value, list):
        return [_copy(each, mark) for each in value]
    if not isinstance(value, Mapping):
        return value
    copied = {key: _copy(each, mark) for key, each in value.items()}
    if isinstance(copied.get("value"), str) and _SECRET_NAME.search(str(copied.get("name") or "")):
        copied["value"] = mark
    return copied


def compare(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[str]:
    """Return the unified difference of two versions of an object, without the parts that the server keeps to itself.

    A secret value that differs is shown as changed, without its text.

    Examples
    --------
    >>> old = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    >>> compare(old, {**old, "data": {"a": "2"}})[-2:]
    ["-  a: '1'", "+  a: '2'"]
    """
    texts = []
    for item, mark in ((before, "(before)"), (after, "(after)")):
        shown = hide_values(item, f"{HIDDEN} {mark}") if item else {}
        texts.append(_drop_volatile(shown))
    _unify_marks(before or {}, after, *texts)
    old, new = ([] if not text else to_yaml(text).splitlines() for text in texts)
    return list(difflib.unified_diff(old, new, lineterm="", n=3))[2:]


def is_same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether two versions of an object have the same configuration; the status and kubectl's own annotation do not count."""
    return _drop_volatile(before) == _drop_volatile(after)


def _drop_volatile(item: Mapping[str, Any]) -> dict[str, Any]:
    if not item:
        return {}
    kept = {key: value for key, value in item.items() if key != "status"}
    metadata = {key: value for key, value in (kept.get("metadata") or {}).items() if key not in _VOLATILE}
    annotations = {
        key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key != LAST_APPLIED
    }
    return {**kept, "metadata": metadata | ({"annotations": annotations} if annotations else {})}


def _unify_marks(before: Any, after: Any, old: Any, new: Any) -> None:
    """Show equal secret values with the same mark, so that only those that differ are in the difference."""
    if isinstance(old, dict) and isinstance(new, dict):
        pairs: Iterable[tuple[Any, Any]] = [(key, key) for key in old.keys() & new.keys()]
    elif isinstance(old, list) and isinstance(new, list):
        pairs = [(place, place) for place in range(min(len(old), len(new)))]
    else:
        return
    for key, same in pairs:
        if isinstance(old[key], str) and old[key].startswith(HIDDEN):
            if before[key] == after[same]:
                old[key] = new[same] = HIDDEN
        else:
            _unify_marks(before[key], after[same], old[key], new[same])


class Text(str):
    """A string that IPython displays as it is, with its line ends."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, _cycle: object) -> None:
        printer.text(str(self))
