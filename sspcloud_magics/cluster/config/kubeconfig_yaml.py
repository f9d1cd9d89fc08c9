r"""YAML as kubectl reads and writes it: a kubeconfig's text as nodes, and nodes as values.

kubectl reads YAML with a Go library, whose rules are those of YAML 1.1 with some of its own. PyYAML differs from it:
a plain scalar may be a number or a truth value to the one and text to the other (``12:30``, ``1e3``, ``y``), a tab may
stand between tokens, what follows the first document is not looked at, the last of two equal keys counts, and
a tag that is not known is no mistake.

Source: https://pkg.go.dev/go.yaml.in/yaml/v2 (``resolve.go``, ``scannerc.go``); the tests hold it against kubectl.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import BaseResolver

from sspcloud_magics.bounded_json import DEEPEST, TooMuch, check_nesting

STR, BOOL, MAP, SEQ, NULL, INT, FLOAT, MERGE = (
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "bool", "map", "seq", "null", "int", "float", "merge")
)

# Aliases can make a short text mean any number of values.
_MOST_VALUES = 100_000
_KNOWN_TO_PYYAML = ("timestamp", "merge", "value", "set", "omap", "pairs")
_SURROGATE = re.compile("[\ud800-\udfff]")
_OCTAL = re.compile(r"[-+]?0[0-7]+")
# In characters. The largest float64 has 309 digits.
_LONGEST_NUMBER = 400


class _Go(BaseResolver):
    """What a plain scalar is to Go. All numbers are one kind here; dates and times are text."""

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> Any:
        # An integer of thousands of digits cannot be written as JSON, and a long text costs a pattern time.
        if kind is ScalarNode and len(value) > _LONGEST_NUMBER:
            return STR
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


for _tag, _pattern, _first in (
    (NULL, r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    (MERGE, r"<<$", ["<"]),
    (BOOL, r"(?:[yYnN]|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$", list("yYnNoO")),
    (BOOL, r"(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    # Where a number begins with a sign or a digit, underscores count for nothing.
    (
        FLOAT,
        r"[-+]?_*0_*(?:[bB]_*[01][01_]*|[oO]_*[0-7][0-7_]*|[xX]_*[0-9a-fA-F][0-9a-fA-F_]*)$",
        list("-+0"),
    ),
    (
        FLOAT,
        r"(?!\.)[-+]?_*(?:\._*[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE]_*(?:[-+]_*)?[0-9][0-9_]*)?$",
        list("-+0123456789"),
    ),
    (FLOAT, r"\.[0-9]+(?:[eE][-+]?[0-9]+)?$", ["."]),
    (FLOAT, r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", list("-+.")),
):
    _Go.add_implicit_resolver(_tag, re.compile(_pattern), _first)


# Not the faster CSafeLoader: nested deeply enough, a file makes it crash the whole process.
class _Loader(_Go, yaml.SafeLoader):
    # How many keys all mappings have, what they merge included: nested merges double with each level.
    keys = 0

    def flatten_mapping(self, node: MappingNode) -> None:
        super().flatten_mapping(node)
        self.keys += len(node.value)
        if self.keys > _MOST_VALUES:
            raise TooMuch(f"more than {_MOST_VALUES:,} values")

    def scan_to_next_token(self) -> None:
        # PyYAML's own, but that a tab separates tokens where no key can begin.
        if self.index == 0 and self.peek() == "\ufeff":
            self.forward()
        while True:
            while self.peek() == " " or (
                self.peek() == "\t" and (self.flow_level or not self.allow_simple_key)
            ):
                self.forward()
            if self.peek() == "#":
                while self.peek() not in "\0\r\n\x85\u2028\u2029":
                    self.forward()
            if not self.scan_line_break():  # type: ignore[no-untyped-call]
                return
            if not self.flow_level:
                self.allow_simple_key = True

    def compose_scalar_node(self, anchor: dict[Any, Node]) -> ScalarNode:
        node = super().compose_scalar_node(anchor)
        if _SURROGATE.search(node.value):
            raise ConstructorError(None, None, "half a character", node.start_mark)
        return node

    def construct_any(self, node: Node) -> Any:
        """Construct what has a tag that is not known, by its form alone."""
        if isinstance(node, MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, SequenceNode):
            return self.construct_sequence(node, deep=True)
        return node.value

    def construct_number(self, node: ScalarNode) -> int | float | str:
        text = node.value.replace("_", "").lower()
        try:
            if not any(mark in text for mark in ".e") or text.startswith(("0x", "-0x", "+0x")):
                return int(text, 8 if _OCTAL.fullmatch(text) else 0)
        except ValueError:
            pass  # 08 and what is longer than int() takes
        try:
            number = float(re.sub(r"\.(?=inf|nan)", "", text))
        except ValueError:
            raise ConstructorError(None, None, "not a number", node.start_mark) from None
        # Go takes a number that is too large for a float64 for text.
        return node.value if math.isinf(number) and "inf" not in text else number

    def construct_truth(self, node: ScalarNode) -> bool:
        if self.resolve(ScalarNode, node.value, (True, False)) != BOOL:
            raise ConstructorError(None, None, "neither true nor false", node.start_mark)
        return node.value[0] in "yYtT" or node.value.lower() == "on"


_Loader.add_constructor(INT, _Loader.construct_number)
_Loader.add_constructor(FLOAT, _Loader.construct_number)
_Loader.add_constructor(BOOL, _Loader.construct_truth)
_Loader.add_constructor(None, _Loader.construct_any)  # all tags that have no constructor
for _kind in _KNOWN_TO_PYYAML:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_any)


class _Dumper(_Go, yaml.SafeDumper):
    """Writes what `_Loader` reads."""


def compose(text: str) -> Node | None:
    """Return the first document of a text; None where it holds nothing.

    Raises
    ------
    yaml.YAMLError
        If it is not YAML. Its words may quote the text.
    TooMuch
        If it is nested too deeply.
    """
    loader = _Loader(text)
    root: Node | None = None
    try:
        if loader.check_node():
            root = loader.get_node()
    except RecursionError:
        raise TooMuch(f"more than {DEEPEST} levels of nesting") from None
    finally:
        loader.dispose()
    return root if root and not is_null(root) else None


def construct(node: Node) -> Any:
    """Return what a node means, as plain values.

    Raises
    ------
    yaml.YAMLError
        If it means nothing, as a number that has no digits. Its words may quote the text.
    TooMuch
        If it is nested too deeply, or has too many values.
    """
    try:
        found = _Loader("").construct_document(node)
    except RecursionError:
        raise TooMuch(f"more than {DEEPEST} levels of nesting") from None
    check_nesting(found, _MOST_VALUES)
    return found


def serialize(node: Node) -> str:
    """Return a document's text."""
    return str(yaml.serialize(node, Dumper=_Dumper, allow_unicode=True, width=1 << 20))


def flatten(node: Node | None) -> None:
    """Put what a mapping merges (``<<``) among its own keys.

    Raises
    ------
    yaml.YAMLError
        If it merges what is no mapping.
    TooMuch
        If it merges too many.
    """
    if isinstance(node, MappingNode):
        _Loader("").flatten_mapping(node)


def get(node: MappingNode, key: str) -> Node | None:
    """Return what stands under `key`, the last time that it comes; None where there is nothing."""
    for name, value in reversed(node.value):
        if isinstance(name, ScalarNode) and name.value == key:
            return value  # type: ignore[no-any-return] # PyYAML's nodes hold nodes
    return None


def is_null(node: Node) -> bool:
    """Whether a node means nothing, such as ``~`` or an empty scalar."""
    return isinstance(node, ScalarNode) and node.tag == NULL


def is_text(node: Node) -> bool:
    """Whether a node means text, and nothing that YAML tells apart from it."""
    return isinstance(node, ScalarNode) and node.tag not in (BOOL, INT, FLOAT, NULL)
