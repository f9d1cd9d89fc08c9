"""Tab completion on the line of a magic.

Completion must answer at once, so it never sends a request. After a magic has used the cluster, a short-lived thread
fetches the existing names, and the matcher reads its results. The name of an argument in the parser determines its
words: every ``target`` is completed with targets, every ``namespace`` with namespaces, and so on (`SOURCES`).
"""

from __future__ import annotations

import argparse
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias, cast

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from sspcloud_magics import fork_hooks, session
from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.i18n import _
from sspcloud_magics.magics.cell_input import ASSIGNMENT
from sspcloud_magics.printable import printable
from sspcloud_magics.target import SHORT_KIND, Target
from sspcloud_magics.user_files import user_path

FRESH = 20.0
"""Seconds before names are fetched again."""

_LINE = re.compile(rf"^\s*{ASSIGNMENT}(?P<escape>%%?)(?P<name>\w+)[ \t](?P<rest>.*)$")


@dataclass(frozen=True, slots=True)
class ClusterNames:
    """Names found in the cluster."""

    # The targets of `forward`, and the ports of each.
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    databases: tuple[str, ...] = ()  # the databases for `connect_db`
    namespaces: tuple[str, ...] = ()  # the used namespaces
    # The names of kinds, each with the plural that it means.
    kinds: Mapping[str, str] = field(default_factory=dict)
    # The names of objects, by plural and namespace, of the kinds that were completed.
    objects: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


class KnownNames:
    """Cache of names in the cluster, refreshed by a background thread after a use of the cluster."""

    def __init__(self) -> None:
        # The latest names; replaced as a whole by the thread.
        self.names = ClusterNames()
        # Guards all attributes except `_uses`.
        self._lock = threading.Lock()
        # The last thread, which may have ended.
        self._thread: threading.Thread | None = None
        # The time of the last fetch.
        self._fetched = float("-inf")
        # The cluster that `names` come from.
        self._cluster: object = None
        # The value of `Use.count` at the last refresh.
        self._uses = 0
        # The kinds and namespaces whose objects a line has asked for.
        self._wanted: set[tuple[str, str]] = set()
        fork_hooks.register(self)

    def reset_in_child(self) -> None:
        """Drop the parent's lock and thread in a forked child."""
        self._lock = threading.Lock()
        self._thread = None

    def after_cell(self, *_unused: Any) -> None:
        """Fetch the names in the background if the cell used the cluster."""
        if session.recent_use().count != self._uses:
            self.refresh_soon()

    def refresh_soon(self) -> None:
        """Fetch the names in the background, unless they are fresh or no cluster is in use."""
        use = session.recent_use()
        self._uses = use.count
        if use.cluster is None:
            return
        with self._lock:
            if self._cluster is not use.cluster:
                self.names, self._cluster = ClusterNames(), use.cluster
                self._wanted.clear()
            new = use.namespaces != self.names.namespaces or not self._wanted <= self.names.objects.keys()
            busy = self._thread is not None and self._thread.is_alive()
            if busy or not (new or time.monotonic() - self._fetched > FRESH):
                return
            self._fetched = time.monotonic()
            self._thread = threading.Thread(
                target=self._fetch, args=(use.cluster, use.namespaces), name="sspcloud-names", daemon=True
            )
            self._thread.start()

    def want_objects(self, plural: str, namespace: str) -> None:
        """Fetch the names of a kind's objects with the next refresh, which begins now."""
        if (plural, namespace) not in self._wanted:
            self._wanted.add((plural, namespace))
            self.refresh_soon()

    def wait(self, timeout: float | None = None) -> None:
        """Wait for a running fetch."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _fetch(self, cluster: Any, namespaces: tuple[str, ...]) -> None:
        targets: dict[str, tuple[str, ...]] = {}
        databases: list[str] = []
        for namespace in namespaces:
            prefix = "" if namespace == cluster.namespace else f"{namespace}/"
            targets |= _fetch_targets(cluster, namespace, prefix)
            databases += _fetch_databases(cluster, namespace, prefix)
        shared = _fetch_quietly(lambda: _list_shared(cluster))
        databases += [path for path in shared if path not in databases]
        kinds = dict(_fetch_quietly(lambda: _list_kinds(cluster)))
        objects = {
            wanted: tuple(_fetch_quietly(lambda wanted=wanted: _list_names(cluster, *wanted)))  # type: ignore[misc]
            for wanted in sorted(self._wanted)
        }
        with self._lock:
            if self._cluster is cluster:
                self.names = ClusterNames(targets, tuple(databases), namespaces, kinds, objects)


def _fetch_quietly(fetch: Callable[[], list[Any]]) -> list[Any]:
    """Return the listed names, or none after an error: a thread's output would appear in an arbitrary cell."""
    try:
        return fetch()
    except Exception:  # noqa: BLE001 - a magic that needs the same list reports the error
        return []


def _list_kinds(cluster: Any) -> list[tuple[str, str]]:
    from sspcloud_magics.cluster.requests.kinds import list_kinds  # noqa: PLC0415 - on the thread, after first use

    found: dict[str, str] = {}
    for kind in list_kinds(cluster):
        for name in (kind.resource.plural, kind.singular, *kind.short_names):
            if "list" in kind.verbs:
                found.setdefault(name, kind.resource.plural)
    return list(found.items())


def _list_names(cluster: Any, plural: str, namespace: str) -> list[str]:
    from sspcloud_magics.cluster.requests.kinds import find_kind  # noqa: PLC0415 - as above
    from sspcloud_magics.cluster.requests.object_reads import list_metadata  # noqa: PLC0415

    resource = find_kind(cluster, plural).resource
    return [metadata["name"] for metadata in list_metadata(cluster, resource, namespace)]


def _fetch_targets(cluster: Any, namespace: str, prefix: str) -> dict[str, tuple[str, ...]]:
    from sspcloud_magics.cluster.workloads import inventory  # noqa: PLC0415 - on the thread, after first use

    found: dict[str, tuple[str, ...]] = {}
    for pod in _fetch_quietly(lambda: inventory.pods(cluster, namespace)):
        found[f"{prefix}pod/{pod.name}" if prefix else pod.name] = _format_ports(pod.ports)
    for service in _fetch_quietly(lambda: inventory.services(cluster, namespace)):
        found[f"{prefix}svc/{service.name}"] = _format_ports(service.ports)
    return found


def _format_ports(ports: Iterable[Any]) -> tuple[str, ...]:
    words: list[str] = []
    for port in ports:
        words.append(str(port.number))
        if port.name:
            words.append(port.name)
    return tuple(words)


def _fetch_databases(cluster: Any, namespace: str, prefix: str) -> list[str]:
    from sspcloud_magics.databases import discovery  # noqa: PLC0415 - as above

    return [prefix + each.name for each in _fetch_quietly(lambda: discovery.databases(cluster, namespace))]


def _list_shared(cluster: Any) -> list[str]:
    """List the databases that colleagues share, in recently used namespaces."""
    from sspcloud_magics.databases.credentials import list_received  # noqa: PLC0415 - as above

    return [each.path for each in list_received(cluster, session.colleagues_namespaces(cluster))]


# --- Words for the arguments of magics ------------------------------------------------------------------


def _target_words(names: ClusterNames, _words: list[str]) -> Iterable[str]:
    """Return the targets of `forward`; those of open forwards are included, because you may not list a colleague's."""
    used = [each.target for each in session.open_forwards()]
    return {**names.targets, **{_write_target(target): () for target in used}}


def _write_target(target: Target) -> str:
    cluster = session.recent_use().cluster
    if cluster is None or cluster.namespace != target.namespace:
        return str(target)
    return target.name if target.kind == "pod" else f"{SHORT_KIND[target.kind]}/{target.name}"


def _namespace_words(names: ClusterNames, _words: list[str]) -> Iterable[str]:
    """Return the namespaces used in this session and earlier."""
    cluster = session.recent_use().cluster
    before = session.colleagues_namespaces(cluster) if cluster is not None else ()
    return dict.fromkeys([*names.namespaces, *before])


def _context_words(_names: ClusterNames, words: list[str]) -> Iterable[str]:
    """Return the contexts of the kubeconfig that the line names, or of the default one."""
    from sspcloud_magics.cluster.config import kubeconfig  # noqa: PLC0415 - imports YAML

    named = dict(pairwise(words)).get("--kubeconfig")
    try:
        read = kubeconfig.load([user_path(named)] if named else kubeconfig.default_files())
    except SspcloudError:
        return []
    return [] if read is None else read.contexts


def _port_words(names: ClusterNames, words: list[str]) -> Iterable[str]:
    """Return the ports of the line's target, with the local port if one is being typed."""
    target = next((word for word in words if word in names.targets), "")
    local = words[-1].rpartition(":")[0] if ":" in words[-1] else None
    return [port if local is None else f"{local}:{port}" for port in names.targets.get(target, ())]


def _forward_words(_names: ClusterNames, _words: list[str]) -> Iterable[str]:
    """Return the arguments of `unforward`: local ports and targets."""
    found: dict[str, None] = {}
    for each in session.open_forwards():
        found |= {str(where): None for where in each.sockets or [local for local, _unused in each.ports]}
        found[_write_target(each.target)] = None
    return found


def _connection_words(_names: ClusterNames, _words: list[str]) -> Iterable[str]:
    """Return the connected databases."""
    return dict.fromkeys(each.database.path for each in session.open_connections())


Source: TypeAlias = Callable[[ClusterNames, list[str]], Iterable[str]]

SOURCES: dict[str, Source] = {
    "target": _target_words,
    "ports": _port_words,
    "open_forward": _forward_words,
    "namespace": _namespace_words,
    "database_name": lambda names, _unused: names.databases,
    "context": _context_words,
    "open_database": _connection_words,
}
"""The words for an argument, by its name in the parser."""


def candidates(
    parser: argparse.ArgumentParser,
    words: list[str],
    names: ClusterNames,
    sources: Mapping[str, Source] | None = None,
) -> list[str]:
    """Return the completions of the last of `words`.

    Parameters
    ----------
    parser
        The magic's parser.
    words
        The words after the magic's name; the last one is being typed and may be empty.
    sources
        More words, as in `SOURCES`.
    """
    known = SOURCES if sources is None else {**SOURCES, **sources}
    actions = parser._actions  # noqa: SLF001 - no public attribute lists them
    options = {flag: action for action in actions for flag in action.option_strings}
    last = words[-1]
    if last.startswith("-"):
        return sorted(flag for flag in options if flag.startswith(last) and flag not in words[:-1])
    before = words[:-1]
    flag = next((word for word in reversed(before) if word in options), "")
    option = options.get(flag)
    if option is not None and option.nargs != 0 and (flag == before[-1] or option.nargs == "+"):
        action: argparse.Action | None = option
    else:
        action = _find_positional(actions, options, before)
    if action is None:
        return []
    if action.choices is not None:
        offered: Iterable[str] = map(str, action.choices)
    elif action.dest in known:
        offered = known[action.dest](names, words)
    else:
        return []
    return [word for word in offered if word.startswith(last) and printable(word, one_line=True) == word]


def _find_positional(
    actions: list[argparse.Action], options: Mapping[str, argparse.Action], before: list[str]
) -> argparse.Action | None:
    """Return the positional argument that comes after these words."""
    given = 0
    takes_value = False
    for word in before:
        if takes_value:
            takes_value = False
        elif word in options:
            takes_value = options[word].nargs != 0
        else:
            given += 1
    due: argparse.Action | None = None
    for action in actions:
        if action.option_strings:
            continue
        due = action
        if action.nargs in {"*", "+"} or given == 0:
            return due
        given -= 1
    return None


Matcher: TypeAlias = Callable[[CompletionContext], SimpleMatcherResult]


def matcher(
    known: KnownNames, magics: Mapping[str, Any], sources: Mapping[str, Source] | None = None
) -> Matcher:
    """Build the matcher for `Completer.custom_matchers`.

    Parameters
    ----------
    known
        The cache of names in the cluster.
    magics
        The functions of magics with arguments, by name with ``%`` or ``%%``.
    sources
        Words of the notebook and its databases, as in `SOURCES`.
    """

    def sspcloud_magics(context: CompletionContext) -> SimpleMatcherResult:
        line = _LINE.match(context.text_until_cursor)
        parser = getattr(magics.get(line["escape"] + line["name"]), "parser", None) if line else None
        if line is None or parser is None:
            return SimpleMatcherResult(completions=[], suppress=False)
        known.refresh_soon()
        words = (line["rest"] + "|").split()
        words[-1] = words[-1][:-1]
        # IPython splits words at more characters than a magic does, so complete only the rest of the word.
        done = len(words[-1]) - len(context.token)
        if done < 0:
            return SimpleMatcherResult(completions=[], suppress=False)
        found = [word for word in candidates(parser, words, known.names, sources) if len(word) >= done]
        completions = [SimpleCompletion(text=word[done:], type=_("magic argument")) for word in found]
        return SimpleMatcherResult(completions=completions, suppress=True, matched_fragment=context.token)

    matching: Matcher = cast("Any", context_matcher)(identifier="sspcloud_magics")(sspcloud_magics)
    return matching
