"""Changing a kubeconfig as kubectl does, and nothing else in it.

A file is changed as YAML nodes, not as values: what is not touched keeps its order, its unknown
fields and the very text of its scalars (``010`` stays ``010``, ``yes`` stays ``yes``). Comments are lost,
as they are to kubectl. `sspcloud_magics.cluster.kubeconfig_file` reads and writes the files.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sspcloud_magics.errors import KubeconfigInvalid

_STR, _BOOL, _MAP, _SEQ = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "bool", "map", "seq"))
_SINGULAR = {"clusters": "cluster", "users": "user", "contexts": "context"}


class KubeconfigEdit:
    """One kubeconfig that is being changed.

    Parameters
    ----------
    text
        What stands in the file; empty for a new one.
    name
        The file's name, for messages.

    Raises
    ------
    KubeconfigInvalid
        If it is not a kubeconfig.
    """

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            why = f"It is not YAML (line {mark.line + 1})." if mark else "It is not YAML."
            raise self._malformed(why) from None
        if root is None or (isinstance(root, ScalarNode) and root.value in ("", "~", "null")):
            root = _mapping()
            for key, value in (("apiVersion", _scalar("v1")), ("kind", _scalar("Config"))):
                _put(root, key, value)
        if not isinstance(root, MappingNode):
            raise self._malformed("It is YAML, of another kind than Config.")
        self._root = root

    def text(self) -> str:
        """Return the file's new text."""
        return str(yaml.serialize(self._root, Dumper=yaml.SafeDumper, allow_unicode=True, width=1 << 20))

    def has(self, plural: str, name: str) -> bool:
        """Whether there is an entry of that name among the ``clusters``, ``users`` or ``contexts``."""
        return self._find(plural, name) is not None

    def entry(self, plural: str, name: str) -> MappingNode:
        """Return the values of an entry, which is made where it is missing.

        Parameters
        ----------
        plural
            ``clusters``, ``users`` or ``contexts``.
        name
            The entry's name.
        """
        found = self._find(plural, name)
        if found is None:
            found = _mapping()
            _put(found, "name", _scalar(name))
            self._listed(plural).value.append(found)
        return self.mapping(found, _SINGULAR[plural])

    def mapping(self, node: MappingNode, key: str) -> MappingNode:
        """Return the mapping under `key`, which is made where it is missing or empty."""
        inner = get(node, key)
        if inner is None or _is_null(inner):
            inner = _mapping()
            _put(node, key, inner)
        if not isinstance(inner, MappingNode):
            raise self._malformed(f"{key} is not a mapping.")
        return inner

    def changed(self, text: str) -> bool:
        """Whether it says another thing than `text`, the way in which it is written apart."""
        return KubeconfigEdit(text, self._name).text() != self.text()

    @staticmethod
    def texts(node: MappingNode) -> dict[str, str]:
        """Return the scalars of a mapping, as they are written."""
        return {
            key.value: value.value
            for key, value in node.value
            if isinstance(key, ScalarNode) and isinstance(value, ScalarNode)
        }

    def use_context(self, name: str) -> None:
        """Make a context the current one."""
        _put(self._root, "current-context", _scalar(name))

    def _listed(self, plural: str) -> SequenceNode:
        listed = get(self._root, plural)
        if listed is None or _is_null(listed):
            listed = SequenceNode(_SEQ, [], flow_style=False)
            _put(self._root, plural, listed)
        if not isinstance(listed, SequenceNode):
            raise self._malformed(f"{plural} is not a list.")
        if not listed.value:
            listed.flow_style = False
        return listed

    def _find(self, plural: str, name: str) -> MappingNode | None:
        listed = get(self._root, plural)
        if listed is None or _is_null(listed):
            return None
        for each in self._listed(plural).value:
            named = get(each, "name") if isinstance(each, MappingNode) else None
            if isinstance(named, ScalarNode) and named.value == name:
                return each  # type: ignore[no-any-return] # a MappingNode, by the line above
        return None

    def _malformed(self, why: str) -> KubeconfigInvalid:
        return KubeconfigInvalid(
            f"{self._name} is malformed, and was not changed.",
            why=why,
            mend="mend the file, or name another: --kubeconfig FILE",
        )


def get(node: MappingNode, key: str) -> Node | None:
    """Return what stands under `key`; None where there is nothing."""
    for name, value in node.value:
        if isinstance(name, ScalarNode) and name.value == key:
            return value  # type: ignore[no-any-return] # PyYAML's nodes hold nodes
    return None


def assign(node: MappingNode, values: Mapping[str, str | bool]) -> None:
    """Set fields: where they are, or at the end."""
    for key, value in values.items():
        _put(node, key, _scalar(value))


def remove(node: MappingNode, *keys: str) -> None:
    """Take fields away; those that are not there are no mistake."""
    node.value = [
        pair for pair in node.value if not (isinstance(pair[0], ScalarNode) and pair[0].value in keys)
    ]


def _put(node: MappingNode, key: str, value: Node) -> None:
    for at, (name, _) in enumerate(node.value):
        if isinstance(name, ScalarNode) and name.value == key:
            node.value[at] = (name, value)
            return
    node.flow_style = False if not node.value else node.flow_style
    node.value.append((_scalar(key), value))


def _mapping() -> MappingNode:
    return MappingNode(_MAP, [], flow_style=False)


def _scalar(value: str | bool) -> ScalarNode:
    if isinstance(value, bool):
        return ScalarNode(_BOOL, str(value).lower())
    # Go's YAML takes more words than PyYAML for numbers and truth values (1e3, y): those are quoted.
    plain = len(value) > 1 and value[0].isalpha() and value.isprintable()
    return ScalarNode(_STR, value, style=None if plain else '"')


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag == "tag:yaml.org,2002:null"
