"""Kubeconfig files, read and merged as kubectl does it.

``KUBECONFIG`` may list several files. The first that has an entry of a name wins, whole; the first
that names a current context wins; files that do not exist are passed over. Each entry remembers its
file, since relative paths in it start at that file's directory. kubectl refuses a whole file for one malformed entry; here
such an entry is refused when it is used, and hinders no other until then. This module only reads:
`sspcloud_magics.cluster.auth.kubeconfig_context` turns a context into an access.
(https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/)
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from sspcloud_magics.bounded_json import TooMuch
from sspcloud_magics.cluster.config.kubeconfig_yaml import (
    MAP,
    compose,
    construct,
    flatten,
    get,
    is_null,
    is_text,
)
from sspcloud_magics.errors import KubeconfigInvalid
from sspcloud_magics.secret import without_frames
from sspcloud_magics.user_files import decode, user_path

LIMIT = 1 << 20
"""The size, in bytes, beyond which a file is not taken for a kubeconfig."""

OMITTED = ("REDACTED", "DATA+OMITTED")
"""What ``kubectl config view`` shows in the place of a secret and of a certificate."""

_ENTRIES = {"clusters": "cluster", "users": "user", "contexts": "context"}
_CORRECT = "correct the file, or name another: --kubeconfig FILE"


@dataclass(frozen=True, slots=True)
class Entry:
    """One cluster, user or context.

    Parameters
    ----------
    name
        Its name.
    values
        What stands under ``cluster``, ``user`` or ``context``. It may hold credentials, so it has no repr.
    file
        The file that it comes from.
    fault
        Why it cannot be used, in a sentence; empty where it can.
    """

    name: str
    values: Mapping[str, Any] = field(repr=False)
    file: Path
    fault: str = ""

    def text(self, key: str) -> str | None:
        """Return the text under `key`; None where it is missing or empty."""
        value = self.values.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise KubeconfigInvalid(
                f"{key} of {self.name} in {self.file} is not text.",
                why="YAML takes it for something else, such as a number or a list.",
                hint=f'write it in quotes: {key}: "…"',
            )
        if value in OMITTED:
            raise make_omitted_error(f"{key} of {self.name} in {self.file}", value)
        return value

    def flag(self, key: str) -> bool:
        """Return the truth value under `key`; false where it is missing."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise KubeconfigInvalid(
                f"{key} of {self.name} in {self.file} is neither true nor false.",
                hint=f"write it without quotes: {key}: true",
            )
        return bool(value)

    def path(self, key: str) -> Path | None:
        """Return the path under `key`, made absolute; None where it is missing or empty."""
        text = self.text(key)
        return self.file.parent / text if text else None


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """What the files say together.

    Parameters
    ----------
    clusters, users, contexts
        The entries by name.
    current_context
        The context that is used when none is named; None where no file names one.
    files
        The files that were read, in order.
    faults
        What in them belongs to no name and cannot be read, in sentences.
    """

    clusters: Mapping[str, Entry]
    users: Mapping[str, Entry]
    contexts: Mapping[str, Entry]
    current_context: str | None
    files: tuple[Path, ...]
    faults: tuple[str, ...] = ()

    def context(self, name: str | None = None) -> Entry:
        """Return a context.

        Parameters
        ----------
        name
            Its name; the current context where it is None.

        Raises
        ------
        KubeconfigInvalid
            If there is none of that name, or none is current.
        """
        if name is None and self.current_context is None:
            raise KubeconfigInvalid(
                f"{self.where} names no current context.",
                why=self.describe_known("contexts"),
                hint="%k8s_login --context NAME chooses one by name (context=NAME in Python)"
                if self.contexts
                else "copy the configuration again from where you have it",
            )
        name = name or self.current_context or ""
        if name not in self.contexts:
            close = get_close_matches(name, self.contexts, n=1)
            raise KubeconfigInvalid(
                f"{self.where} has no context {name!r}.",
                why=self.describe_known("contexts"),
                hint=f"did you mean {close[0]!r}?"
                if close
                else "%k8s_login --context NAME chooses one by name (context=NAME in Python)",
            )
        return usable(self.contexts[name], "context")

    def describe_known(self, plural: str) -> str:
        """Return which entries of a kind there are, and what cannot be read, in sentences."""
        names = ", ".join(sorted(filter(None, getattr(self, plural)))) or "none"
        return " ".join((f"The {plural} there: {names}.", *self.faults))

    def list_malformed(self) -> list[tuple[str, str]]:
        """Return which entries cannot be used, and why each."""
        kinds = {"cluster": self.clusters, "user": self.users, "context": self.contexts}
        named = [
            (f"the {kind} {entry.name!r} in {entry.file}", entry.fault)
            for kind, entries in kinds.items()
            for entry in entries.values()
            if entry.fault
        ]
        return named + [("an entry", fault) for fault in self.faults]

    @property
    def where(self) -> str:
        """The files, for a message."""
        return ", ".join(map(str, self.files))


def default_files(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Return the files that kubectl would read: those of ``KUBECONFIG``, else ``~/.kube/config``."""
    environ = os.environ if environ is None else environ
    listed = [user_path(part) for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return listed or [_home(environ) / ".kube" / "config"]


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) if home else Path.home()


@without_frames
def load(files: Iterable[Path], pending: Mapping[Path, str] | None = None) -> Kubeconfig | None:
    """Read and merge kubeconfig files.

    Parameters
    ----------
    files
        The files, the strongest first. Those that do not exist are passed over.
    pending
        What is to be read instead of some of the files: what they are going to hold.

    Returns
    -------
    Kubeconfig or None
        None where none of the files exists.

    Raises
    ------
    KubeconfigInvalid
        If a file cannot be read, is no kubeconfig, or all are empty.
    """
    merged: dict[str, dict[str, Entry]] = {plural: {} for plural in _ENTRIES}
    current: str | None = None
    there: list[Path] = []
    faults: list[str] = []
    for file in files:
        text = (pending or {}).get(file)
        text = read(file) if text is None else text
        if text is None:
            continue
        there.append(file)
        root = parse(text, str(file.absolute()))
        for plural, singular in _ENTRIES.items():
            for name, entry in _entries(root, plural, singular, file.absolute(), faults).items():
                merged[plural].setdefault(name, entry)
        named = get(root, "current-context")
        if current is None and named is not None and not is_null(named):
            if is_text(named):
                current = named.value or None
            else:
                faults.append(f"current-context of {file} is not text: write it in quotes.")
    if not there:
        return None
    if not any(merged.values()) and current is None and not faults:
        raise KubeconfigInvalid(
            f"{', '.join(map(str, there))} is empty.",
            hint="copy the configuration again from where you have it, or name another: --kubeconfig FILE",
        )
    return Kubeconfig(
        merged["clusters"], merged["users"], merged["contexts"], current, tuple(there), tuple(faults)
    )


def read(file: Path) -> str | None:
    """Return the text of a kubeconfig; None where it does not exist.

    Raises
    ------
    KubeconfigInvalid
        If it is a directory, far too long, not text, or not ours to read.
    """
    try:
        if not file.exists():
            return None
        if file.is_dir():
            raise KubeconfigInvalid(f"{file} is a directory, not a kubeconfig.", hint="name the file in it")
        size = file.stat().st_size
        if size > LIMIT:
            why = f"It has {size / 1e6:.1f} MB; kubeconfigs are far smaller."
            raise KubeconfigInvalid(f"{file} is not a kubeconfig.", why=why, hint=_CORRECT)
        return decode(file.read_bytes())
    except OSError as error:
        raise KubeconfigInvalid(
            f"The kubeconfig {file} cannot be read.",
            why=f"{error.strerror or error}.",
            hint="check that the file is yours to read",
        ) from None
    except UnicodeDecodeError:
        raise KubeconfigInvalid(
            f"{file} is not a kubeconfig.", why="It is not text.", hint=_CORRECT
        ) from None


def parse(text: str, name: str, outcome: str = "") -> MappingNode:
    """Return the nodes of a kubeconfig's text; an empty mapping where it holds nothing.

    Parameters
    ----------
    text
        The text.
    name
        The file's name, for messages.
    outcome
        What a message adds to what is wrong with the file.

    Raises
    ------
    KubeconfigInvalid
        If it is not YAML, or of another kind or version.
    """
    try:
        root = compose(text)
        flatten(root)
    except yaml.YAMLError as error:
        # PyYAML's own words quote the line, which may hold a token: only the place is told.
        mark = getattr(error, "problem_mark", None)
        why = f"It is not YAML (line {mark.line + 1})." if mark else "It is not YAML."
        raise KubeconfigInvalid(f"{name} is malformed{outcome}.", why=why, hint=_CORRECT) from None
    except TooMuch as error:
        why = f"It has {error}."
        raise KubeconfigInvalid(f"{name} is malformed{outcome}.", why=why, hint=_CORRECT) from None
    if root is None:
        return MappingNode(MAP, [], flow_style=False)
    other = "kind than Config" if not isinstance(root, MappingNode) else ""
    for key, expected in (("kind", "Config"), ("apiVersion", "v1")):
        found = get(root, key) if isinstance(root, MappingNode) else None
        if found and not is_null(found) and not (is_text(found) and found.value in ("", expected)):
            other = other or f"{'kind' if key == 'kind' else 'version'} than {expected}"
    if other or not isinstance(root, MappingNode):
        why = f"It is YAML, of another {other}."
        raise KubeconfigInvalid(f"{name} is not a kubeconfig{outcome}.", why=why, hint=_CORRECT)
    return root


def usable(entry: Entry, kind: str) -> Entry:
    """Return an entry, if it can be used.

    Raises
    ------
    KubeconfigInvalid
        If it has a fault.
    """
    if entry.fault:
        what = f"The {kind} {entry.name} in {entry.file} cannot be used."
        raise KubeconfigInvalid(what, why=entry.fault, hint=_CORRECT)
    return entry


def make_omitted_error(what: str, value: str) -> KubeconfigInvalid:
    """Return the error for what ``kubectl config view`` has left out."""
    return KubeconfigInvalid(
        f"{what} is missing.",
        why=f"It says {value}: kubectl config view wrote the file, and leaves secrets out.",
        hint="where you have the whole configuration: kubectl config view --raw > FILE",
    )


def _entries(
    root: MappingNode, plural: str, singular: str, file: Path, faults: list[str]
) -> dict[str, Entry]:
    """Return the entries of one list by name; what has no name that can be used is added to `faults`."""
    listed = get(root, plural)
    if listed is None or is_null(listed):
        return {}
    if not isinstance(listed, SequenceNode):
        why = f"{plural} is not a list of entries with a name and a {singular}."
        raise KubeconfigInvalid(f"{file} is malformed.", why=why, hint=_CORRECT)
    found: dict[str, Entry] = {}
    for at, each in enumerate(listed.value, 1):
        item = MappingNode(MAP, []) if is_null(each) else each
        where = f"Entry {at} of the {plural} in {file}"
        if not isinstance(item, MappingNode):
            faults.append(f"{where} is not a {singular} with a name.")
            continue
        named = get(item, "name")
        if named is not None and not isinstance(named, ScalarNode):
            faults.append(f"{where} has a name that is not text.")
            continue
        name = "" if named is None or is_null(named) else named.value
        values, fault = _values(item, singular)
        if named is not None and not is_null(named) and not is_text(named):
            fault = f"YAML does not take its name for text: write it in quotes (name: {name!r})."
        if name in found:
            fault = f"There are two {plural} of that name: remove one of them."
        found[name] = Entry(name, values, file, fault)
    return found


def _values(item: MappingNode, singular: str) -> tuple[dict[str, Any], str]:
    """Return what stands in an entry, and why it cannot be used."""
    try:
        flatten(item)
        node = get(item, singular)
        values = {} if node is None else construct(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return (
            {},
            f"A value in it is not YAML (line {mark.line + 1})." if mark else "A value in it is not YAML.",
        )
    except TooMuch as error:
        return {}, f"It has {error}."
    if values is not None and not isinstance(values, dict):
        return {}, f"What stands under {singular} is not a mapping."
    return values or {}, ""
