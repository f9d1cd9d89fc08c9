"""Edit single fields of a kubeconfig, as kubectl does.

An edit changes YAML nodes, not values: the rest of the file keeps its order, its unknown
fields and the exact text of its scalars (``010`` stays ``010``, ``yes`` stays ``yes``). Comments are lost,
as with kubectl. `sspcloud_magics.cluster.config.kubeconfig_file` reads and writes the files.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sspcloud_magics import pem
from sspcloud_magics.bounded_json import LimitExceeded
from sspcloud_magics.cluster.config import kubeconfig
from sspcloud_magics.cluster.config.kubeconfig_yaml import (
    BOOL,
    MAP,
    SEQ,
    STR,
    flatten,
    get,
    is_null,
    is_text,
    serialize,
)
from sspcloud_magics.errors import KubeconfigInvalid
from sspcloud_magics.i18n import _

_SINGULAR = {"clusters": "cluster", "users": "user", "contexts": "context"}
_TEXTS = (
    *("server", "tls-server-name", "proxy-url", "certificate-authority"),
    *("client-certificate", "client-key", "as", "as-uid", "namespace"),
)
_BOOLEANS = ("insecure-skip-tls-verify", "disable-compression")


class KubeconfigEdit:
    """An edit of a kubeconfig.

    Parameters
    ----------
    text
        The text of the file; empty for a new one.
    name
        The name of the file, for messages.

    Raises
    ------
    KubeconfigInvalid
        If it is not a kubeconfig.
    """

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._root = kubeconfig.parse(text, name, unchanged=True)
        if not self._root.value:
            assign(self._root, {"apiVersion": "v1", "kind": "Config"})

    def text(self) -> str:
        """Return the new text of the file."""
        return serialize(self._root)

    def has(self, plural: str, name: str) -> bool:
        """Whether ``clusters``, ``users`` or ``contexts`` has an entry of that name."""
        listed = get(self._root, plural)
        return isinstance(listed, SequenceNode) and any(_is_named(each, name) for each in listed.value)

    def entry(self, plural: str, name: str) -> MappingNode:
        """Return the values of an entry, which is created if it is missing."""
        listed = self._ensure_list(plural)
        found = [each for each in listed.value if _is_named(each, name)]
        entry = _copy(found[0]) if found else _make_mapping()
        # Keep only the first entry of that name: kubectl refuses a file with two.
        kept = [each for each in listed.value if each not in found[1:]]
        listed.value = [entry if found and each is found[0] else each for each in kept]
        if not found:
            listed.value.append(entry)
        assign(entry, {"name": name})
        return self.ensure_mapping(entry, _SINGULAR[plural])

    @staticmethod
    def ensure_mapping(node: MappingNode, key: str) -> MappingNode:
        """Return the mapping under `key`; a missing or other value is replaced by an empty mapping."""
        inner = get(node, key)
        # A copy, since an alias in another entry may refer to the same node.
        inner = _copy(inner) if isinstance(inner, MappingNode) else _make_mapping()
        _put(node, key, inner)
        return inner

    def has_changed(self, text: str) -> bool:
        """Whether the content differs from `text`, apart from formatting."""
        return KubeconfigEdit(text, self._name).text() != self.text()

    @staticmethod
    def texts(node: MappingNode) -> dict[str, str]:
        """Return the scalars of a mapping as they are written in the file."""
        return {
            key.value: value.value
            for key, value in node.value
            if isinstance(key, ScalarNode) and isinstance(value, ScalarNode)
        }

    def use_context(self, name: str) -> None:
        """Make a context the current one."""
        _put(self._root, "current-context", _scalar(name))

    def _ensure_list(self, plural: str) -> SequenceNode:
        listed = get(self._root, plural)
        if listed is not None and not is_null(listed) and not isinstance(listed, SequenceNode):
            raise KubeconfigInvalid(
                _("{file} is malformed, and was not changed.", file=self._name),
                why=_("{key} is not a list.", key=plural),
                hint=_("correct the file, or name another: --kubeconfig FILE"),
            )
        own = SequenceNode(SEQ, [], flow_style=False)
        if isinstance(listed, SequenceNode) and listed.value:
            own = SequenceNode(SEQ, list(listed.value), flow_style=listed.flow_style)
        _put(self._root, plural, own)
        return own


def assign(node: MappingNode, values: Mapping[str, str | bool]) -> None:
    """Set fields in place, or append them."""
    for key, value in values.items():
        _put(node, key, _scalar(value))


def remove(node: MappingNode, *keys: str) -> None:
    """Remove fields, if they exist."""
    node.value = [
        pair for pair in node.value if not (isinstance(pair[0], ScalarNode) and pair[0].value in keys)
    ]


def remove_malformed(node: MappingNode) -> None:
    """Remove fields that kubectl cannot read, and placeholders of ``kubectl config view``."""
    node.value = [
        (key, value)
        for key, value in node.value
        if not isinstance(key, ScalarNode) or is_null(value) or _is_well_formed(key.value, value)
    ]


def _is_well_formed(key: str, node: Node) -> bool:
    if key in _BOOLEANS:
        return node.tag == BOOL
    if key in ("as-groups", "extensions"):
        return isinstance(node, SequenceNode)
    if key == "as-user-extra":
        return isinstance(node, MappingNode)
    if key.endswith("-data"):
        return is_text(node) and node.value not in kubeconfig.OMITTED and pem.decode(node.value) is not None
    return key not in _TEXTS or is_text(node)


def _is_named(node: Node, name: str) -> bool:
    named = get(node, "name") if isinstance(node, MappingNode) else None
    return isinstance(named, ScalarNode) and named.value == name


def _put(node: MappingNode, key: str, value: Node) -> None:
    places = [
        at
        for at, (name, _unused) in enumerate(node.value)
        if isinstance(name, ScalarNode) and name.value == key
    ]
    if not places:
        node.flow_style = False if not node.value else node.flow_style
        node.value.append((_scalar(key), value))
        return
    node.value[places[0]] = (node.value[places[0]][0], value)
    for at in reversed(places[1:]):  # remove duplicates of the key
        del node.value[at]


def _copy(node: MappingNode) -> MappingNode:
    """Return a copy of a mapping with its merge keys resolved; an empty mapping if they cannot be resolved."""
    copy = MappingNode(node.tag, list(node.value), flow_style=node.flow_style)
    try:
        flatten(copy)
    except (yaml.YAMLError, LimitExceeded):
        return _make_mapping()
    return copy


def _make_mapping() -> MappingNode:
    return MappingNode(MAP, [], flow_style=False)


def _scalar(value: str | bool) -> ScalarNode:
    return ScalarNode(BOOL, str(value).lower()) if isinstance(value, bool) else ScalarNode(STR, value)
