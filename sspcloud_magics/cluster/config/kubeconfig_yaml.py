r"""YAML as kubectl reads and writes it: parse a kubeconfig to nodes, and convert nodes to values.

kubectl uses a Go library with the rules of YAML 1.1 and some of its own. It differs from PyYAML:
it resolves some plain scalars to other types (``12:30``, ``1e3``, ``y``), accepts a tab
between tokens, ignores everything after the first document, uses the last of two equal keys, and
accepts unknown tags.

Source: https://pkg.go.dev/go.yaml.in/yaml/v2 (``resolve.go``, ``scannerc.go``); the tests compare with kubectl.
"""

from __future__ import annotations

import base64
import math
import re
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import BaseResolver

from sspcloud_magics.bounded_json import check_nesting, too_deep, too_many_values

STR, BOOL, MAP, SEQ, NULL, INT, FLOAT, MERGE = (
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "bool", "map", "seq", "null", "int", "float", "merge")
)

# Aliases can expand a short text to any number of values.
_MAX_VALUES = 100_000
# More brackets than this are too deep for the recursion of the composer. PyYAML looks ahead by 1,024 characters, in
# quadratic time: 1.5 s for a file of brackets.
_MAX_BRACKETS = 500
_KNOWN_TO_PYYAML = ("timestamp", "merge", "value", "set", "omap", "pairs")
_SURROGATE = re.compile("[\ud800-\udfff]")
_OCTAL = re.compile(r"[-+]?0[0-7]+")
# In characters. The largest float64 has 309 digits.
_LONGEST_NUMBER = 400


class _Go(BaseResolver):
    """Go's rules for plain scalars. All numbers have one type here; dates and times are text."""

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> Any:
        # Python refuses to format an integer of thousands of digits, and the patterns are slow on long texts.
        if kind is ScalarNode and len(value) > _LONGEST_NUMBER:
            return STR
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


for _tag, _pattern, _first in (
    (NULL, r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    (MERGE, r"<<$", ["<"]),
    (BOOL, r"(?:[yYnN]|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$", list("yYnNoO")),
    (BOOL, r"(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    # Underscores are ignored in a number that begins with a sign or a digit.
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


# Not the faster CSafeLoader: a deeply nested file crashes the process there.
class _Loader(_Go, yaml.SafeLoader):
    # The number of keys of all mappings, including merged ones: nested merges double it with each level.
    keys = 0

    def flatten_mapping(self, node: MappingNode) -> None:
        super().flatten_mapping(node)
        self.keys += len(node.value)
        if self.keys > _MAX_VALUES:
            raise too_many_values(_MAX_VALUES)

    def fetch_flow_collection_start(self, kind: type[yaml.Token]) -> None:
        super().fetch_flow_collection_start(kind)
        if self.flow_level > _MAX_BRACKETS:
            raise too_deep()

    def scan_to_next_token(self) -> None:
        # As in PyYAML, except that a tab separates tokens where no key can begin.
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
            raise ConstructorError(None, None, "a lone surrogate", node.start_mark)
        return node

    def construct_any(self, node: Node) -> Any:
        """Construct a node with an unknown tag by its node type."""
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
            pass  # such as 08, or more digits than int() accepts
        try:
            number = float(re.sub(r"\.(?=inf|nan)", "", text))
        except ValueError:
            raise ConstructorError(None, None, "not a number", node.start_mark) from None
        # In Go, a number that is too large for a float64 is text.
        return node.value if math.isinf(number) and "inf" not in text else number

    def construct_bytes(self, node: ScalarNode) -> str:
        try:
            return base64.b64decode("".join(node.value.splitlines()), validate=True).decode()
        except ValueError:
            raise ConstructorError(None, None, "not text in base64", node.start_mark) from None

    def construct_truth(self, node: ScalarNode) -> bool:
        if self.resolve(ScalarNode, node.value, (True, False)) != BOOL:
            raise ConstructorError(None, None, "neither true nor false", node.start_mark)
        return node.value[0] in "yYtT" or node.value.lower() == "on"


_Loader.add_constructor(INT, _Loader.construct_number)
_Loader.add_constructor(FLOAT, _Loader.construct_number)
_Loader.add_constructor(BOOL, _Loader.construct_truth)
_Loader.add_constructor("tag:yaml.org,2002:binary", _Loader.construct_bytes)
_Loader.add_constructor(None, _Loader.construct_any)  # all tags that have no constructor
for _kind in _KNOWN_TO_PYYAML:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_any)


class _Dumper(_Go, yaml.SafeDumper):
    """Dumper with the rules of `_Loader`."""


def compose(text: str) -> Node | None:
    """Return the first document of a text; None if it is empty.

    Raises
    ------
    yaml.YAMLError
        If it is not YAML. The message may quote the text.
    LimitExceeded
        If it is nested too deeply.
    """
    loader = _Loader(text)
    root: Node | None = None
    try:
        if loader.check_node():
            root = loader.get_node()
    except RecursionError:
        raise too_deep() from None
    finally:
        loader.dispose()
    return root if root and not is_null(root) else None


def compose_all(text: str) -> list[Node]:
    """Return the documents of a text that are not empty.

    Raises
    ------
    yaml.YAMLError, LimitExceeded
        As in `compose`.
    """
    loader = _Loader(text)
    found: list[Node] = []
    try:
        while loader.check_node():
            found += filter(None, [loader.get_node()])
    except RecursionError:
        raise too_deep() from None
    finally:
        loader.dispose()
    return [node for node in found if not is_null(node)]


def construct(node: Node) -> Any:
    """Convert a node to plain values.

    Raises
    ------
    yaml.YAMLError
        If a value is invalid, such as a number without digits. The message may quote the text.
    LimitExceeded
        If it is nested too deeply, or has too many values.
    """
    try:
        found = _Loader("").construct_document(node)
    except RecursionError:
        raise too_deep() from None
    check_nesting(found, _MAX_VALUES)
    return found


def serialize(node: Node) -> str:
    """Return the text of a document."""
    return str(yaml.serialize(node, Dumper=_Dumper, allow_unicode=True, width=1 << 20))


def flatten(node: Node | None) -> None:
    """Replace the merge keys (``<<``) of a mapping by the merged fields.

    Raises
    ------
    yaml.YAMLError
        If a merged node is not a mapping.
    LimitExceeded
        If there are too many merged fields.
    """
    if isinstance(node, MappingNode):
        _Loader("").flatten_mapping(node)


def get(node: MappingNode, key: str) -> Node | None:
    """Return the value of `key`, of duplicates the last; None if it is missing."""
    for name, value in reversed(node.value):
        if isinstance(name, ScalarNode) and name.value == key:
            return value  # type: ignore[no-any-return] # PyYAML's nodes hold nodes
    return None


def is_null(node: Node) -> bool:
    """Whether a node is null, such as ``~`` or an empty scalar."""
    return isinstance(node, ScalarNode) and node.tag == NULL


def is_text(node: Node) -> bool:
    """Whether a node is a string, not a boolean, a number or null."""
    return isinstance(node, ScalarNode) and node.tag not in (BOOL, INT, FLOAT, NULL)
