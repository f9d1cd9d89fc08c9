"""Completion of kinds, and of the names of objects of a kind.

The names of pods are known after each use of the cluster. Those of another kind are fetched in the background when a line
names the kind, so that the next Tab has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from sspcloud_magics import session
from sspcloud_magics.magics.completion import ClusterNames, KnownNames, Source


def object_sources(known: KnownNames) -> dict[str, Source]:
    """Return the words for the arguments ``kind``, ``object_name`` and ``pod``, as in `completion.SOURCES`."""

    def list_objects(names: ClusterNames, words: list[str]) -> Iterable[str]:
        kind = next((word for word in words[:-1] if word in names.kinds), "")
        return _objects(known, names, kind, words)

    def list_kinds(names: ClusterNames, words: list[str]) -> Iterable[str]:
        kind, slash, _name = words[-1].partition("/")
        if slash:
            return [f"{kind}/{name}" for name in _objects(known, names, kind, words)]
        # The short names are only recognized: a list with each kind thrice is hard to read.
        return [*dict.fromkeys(names.kinds.values()), "kinds"]

    return {
        "kind": list_kinds,
        "object_name": list_objects,
        "pod": lambda names, words: _objects(known, names, "pods", words),
    }


def _objects(known: KnownNames, names: ClusterNames, kind: str, words: list[str]) -> Iterable[str]:
    cluster = session.recent_use().cluster
    plural = names.kinds.get(kind)
    if cluster is None or plural is None:
        return ()
    named = [after for word, after in pairwise(words) if word in ("-n", "--namespace")]
    key = plural, (named or [cluster.namespace])[0]
    known.want_objects(*key)
    return names.objects.get(key, ())
