"""Kubeconfig files, read and merged as in kubectl.

``KUBECONFIG`` may list several files. The first entry of a name and the first current context are used, without merging
the fields of two entries; missing files are skipped. Each entry remembers its file, since relative paths refer to the
directory of that file. kubectl refuses a whole file because of one malformed entry; here such an entry raises an error
only when it is used. This module only reads: `sspcloud_magics.cluster.auth.kubeconfig_context` turns a context into an access.
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

from sspcloud_magics.bounded_json import LimitExceeded
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
from sspcloud_magics.i18n import N_, _, format_bytes
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.secret import without_frames
from sspcloud_magics.user_files import decode, user_path

LIMIT = 1 << 20
"""Maximum size of a kubeconfig, in bytes."""

OMITTED = ("REDACTED", "DATA+OMITTED")
"""The placeholders of ``kubectl config view`` for secrets and certificates."""

_ENTRIES = {"clusters": "cluster", "users": "user", "contexts": "context"}
# Sentences about an entry by its kind: its noun has a gender in other languages.
_KNOWN = {
    "clusters": N_("The clusters there: {names}."),
    "users": N_("The users there: {names}."),
    "contexts": N_("The contexts there: {names}."),
}
_ENTRY_NAMES = {
    "cluster": N_("the cluster {name!r} in {file}"),
    "user": N_("the user {name!r} in {file}"),
    "context": N_("the context {name!r} in {file}"),
}
_UNUSABLE = {
    "cluster": N_("The cluster {name} in {file} cannot be used."),
    "user": N_("The user {name} in {file} cannot be used."),
    "context": N_("The context {name} in {file} cannot be used."),
}


def correct_file() -> str:
    """Return the hint for a malformed kubeconfig."""
    return _("correct the file, or name another: --kubeconfig FILE")


@dataclass(frozen=True, slots=True)
class Entry:
    """A cluster, user or context."""

    name: str
    # The mapping under ``cluster``, ``user`` or ``context``. It may hold credentials, so the repr omits it.
    values: Mapping[str, Any] = field(repr=False)
    file: Path  # the file of the entry
    fault: str = ""  # the reason why it cannot be used, as a sentence; empty if it can

    def text(self, key: str) -> str | None:
        """Return the text of a field; None if it is missing or empty."""
        value = self.values.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise KubeconfigInvalid(
                _("{key} of {name} in {file} is not text.", key=key, name=self.name, file=self.file),
                why=_("In YAML it is something else, such as a number or a list."),
                hint=_('write it in quotes: {key}: "…"', key=key),
            )
        if value in OMITTED:
            raise KubeconfigInvalid(
                _("{key} of {name} in {file} is missing.", key=key, name=self.name, file=self.file),
                why=_(
                    "Its value is {value}: the file is the output of kubectl config view, which omits secrets.",
                    value=value,
                ),
                hint=_("on the machine with the whole configuration: kubectl config view --raw > FILE"),
            )
        return value

    def flag(self, key: str) -> bool:
        """Return the boolean of a field; False if it is missing."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise KubeconfigInvalid(
                _(
                    "{key} of {name} in {file} is neither true nor false.",
                    key=key,
                    name=self.name,
                    file=self.file,
                ),
                hint=_("write it without quotes: {key}: true", key=key),
            )
        return bool(value)

    def path(self, key: str) -> Path | None:
        """Return the absolute path of a field; None if it is missing or empty."""
        text = self.text(key)
        return self.file.parent / text if text else None


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """The merged content of kubeconfig files."""

    # The entries by name.
    clusters: Mapping[str, Entry]
    users: Mapping[str, Entry]
    contexts: Mapping[str, Entry]
    current_context: str | None  # the default context; None if no file names one
    files: tuple[Path, ...]  # the files that were read, in order
    faults: tuple[str, ...] = ()  # sentences about malformed parts that belong to no named entry

    def context(self, name: str | None = None) -> Entry:
        """Return a context.

        Parameters
        ----------
        name
            Its name; the current context if None.

        Raises
        ------
        KubeconfigInvalid
            If it does not exist, or there is no current context.
        """
        if name is None and self.current_context is None:
            raise KubeconfigInvalid(
                _("{files} has no current context.", files=self.where),
                why=self.describe_known("contexts"),
                hint=_("%k8s_login --context NAME chooses one by name (context=NAME in Python)")
                if self.contexts
                else _("copy the configuration again from its source"),
            )
        name = name or self.current_context or ""
        if name not in self.contexts:
            close = get_close_matches(name, self.contexts, n=1)
            raise KubeconfigInvalid(
                _("{files} has no context {name!r}.", files=self.where, name=name),
                why=self.describe_known("contexts"),
                hint=_("did you mean {name!r}?", name=close[0])
                if close
                else _("%k8s_login --context NAME chooses one by name (context=NAME in Python)"),
            )
        return usable(self.contexts[name], "context")

    def describe_known(self, plural: str) -> str:
        """Return sentences that list the entries of a kind, and the malformed parts."""
        names = ", ".join(sorted(filter(None, getattr(self, plural)))) or _("none")
        return " ".join((_(_KNOWN[plural], names=names), *self.faults))

    def list_malformed(self) -> list[tuple[str, str]]:
        """Return the entries that cannot be used, each with its fault."""
        kinds = {"cluster": self.clusters, "user": self.users, "context": self.contexts}
        named = [
            (_(_ENTRY_NAMES[kind], name=entry.name, file=entry.file), entry.fault)
            for kind, entries in kinds.items()
            for entry in entries.values()
            if entry.fault
        ]
        return named + [(_("an entry"), fault) for fault in self.faults]

    @property
    def where(self) -> str:
        """The files, for a message."""
        return ", ".join(map(str, self.files))


def default_files(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Return the files that kubectl reads: those of ``KUBECONFIG``, else ``~/.kube/config``."""
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
        The files in order of precedence. Missing files are skipped.
    pending
        New texts of some of the files, which are read instead of the files.

    Returns
    -------
    Kubeconfig or None
        None if none of the files exists.

    Raises
    ------
    KubeconfigInvalid
        If a file cannot be read or is not a kubeconfig, or all are empty.
    """
    merged: dict[str, dict[str, Entry]] = {plural: {} for plural in _ENTRIES}
    current: str | None = None
    existing: list[Path] = []
    faults: list[str] = []
    for file in files:
        text = (pending or {}).get(file)
        text = read(file) if text is None else text
        if text is None:
            continue
        existing.append(file)
        root = parse(text, str(file.absolute()))
        for plural, singular in _ENTRIES.items():
            for name, entry in _entries(root, plural, singular, file.absolute(), faults).items():
                merged[plural].setdefault(name, entry)
        named = get(root, "current-context")
        if current is None and named is not None and not is_null(named):
            if is_text(named):
                current = named.value or None
            else:
                faults.append(_("current-context of {file} is not text: write it in quotes.", file=file))
    if not existing:
        return None
    if not any(merged.values()) and current is None and not faults:
        raise KubeconfigInvalid(
            _("{files} is empty.", files=", ".join(map(str, existing))),
            hint=_("copy the configuration again from its source, or name another: --kubeconfig FILE"),
        )
    return Kubeconfig(
        merged["clusters"], merged["users"], merged["contexts"], current, tuple(existing), tuple(faults)
    )


def read(file: Path) -> str | None:
    """Return the text of a kubeconfig; None if it does not exist.

    Raises
    ------
    KubeconfigInvalid
        If it is a directory, too large, not text, or not readable.
    """
    try:
        if not file.exists():
            return None
        if file.is_dir():
            raise KubeconfigInvalid(
                _("{file} is a directory, not a kubeconfig.", file=file), hint=_("name the file in it")
            )
        size = file.stat().st_size
        if size > LIMIT:
            why = _("It has {size}; kubeconfigs are far smaller.", size=format_bytes(size))
            raise KubeconfigInvalid(_("{file} is not a kubeconfig.", file=file), why=why, hint=correct_file())
        return decode(file.read_bytes())
    except OSError as error:
        raise KubeconfigInvalid(
            _("The kubeconfig {file} cannot be read.", file=file),
            why=system_reason(error),
            hint=_("check the permissions of the file"),
        ) from None
    except UnicodeDecodeError:
        raise KubeconfigInvalid(
            _("{file} is not a kubeconfig.", file=file), why=_("It is not text."), hint=correct_file()
        ) from None


def parse(text: str, name: str, *, unchanged: bool = False) -> MappingNode:
    """Parse the text of a kubeconfig to YAML nodes; an empty text gives an empty mapping.

    Parameters
    ----------
    name
        The name of the file, for messages.
    unchanged
        Whether an error says that the file was not changed.

    Raises
    ------
    KubeconfigInvalid
        If it is not YAML, or of another kind or version.
    """
    if unchanged:
        malformed = _("{file} is malformed, and was not changed.", file=name)
        other = _("{file} is not a kubeconfig, and was not changed.", file=name)
    else:
        malformed = _("{file} is malformed.", file=name)
        other = _("{file} is not a kubeconfig.", file=name)
    try:
        root = compose(text)
        flatten(root)
    except yaml.YAMLError as error:
        # PyYAML's message quotes the line, which may hold a token: report only the line number.
        mark = getattr(error, "problem_mark", None)
        why = _("It is not YAML (line {line}).", line=mark.line + 1) if mark else _("It is not YAML.")
        raise KubeconfigInvalid(malformed, why=why, hint=correct_file()) from None
    except LimitExceeded as error:
        raise KubeconfigInvalid(
            malformed, why=_("It has {error}.", error=error), hint=correct_file()
        ) from None
    if root is None:
        return MappingNode(MAP, [], flow_style=False)
    if not isinstance(root, MappingNode) or _is_another(root, "kind", "Config"):
        why = _("It is YAML, of another kind than Config.")
        raise KubeconfigInvalid(other, why=why, hint=correct_file())
    if _is_another(root, "apiVersion", "v1"):
        why = _("It is YAML, of another version than v1.")
        raise KubeconfigInvalid(other, why=why, hint=correct_file())
    return root


def _is_another(root: MappingNode, key: str, expected: str) -> bool:
    """Whether a field of a kubeconfig has another value than the expected one, rather than none."""
    found = get(root, key)
    return bool(found and not is_null(found) and not (is_text(found) and found.value in ("", expected)))


def usable(entry: Entry, kind: str) -> Entry:
    """Return an entry unchanged if it has no fault.

    Raises
    ------
    KubeconfigInvalid
        If it has a fault.
    """
    if entry.fault:
        what = _(_UNUSABLE[kind], name=entry.name, file=entry.file)
        raise KubeconfigInvalid(what, why=entry.fault, hint=correct_file())
    return entry


def _entries(
    root: MappingNode, plural: str, singular: str, file: Path, faults: list[str]
) -> dict[str, Entry]:
    """Return the entries of a list by name; entries without a usable name are reported in `faults`."""
    listed = get(root, plural)
    if listed is None or is_null(listed):
        return {}
    if not isinstance(listed, SequenceNode):
        why = _(
            "{key} is not a list of entries with a name and a {part}.",
            key=plural,
            part=singular,
        )
        raise KubeconfigInvalid(_("{file} is malformed.", file=file), why=why, hint=correct_file())
    found: dict[str, Entry] = {}
    for at, each in enumerate(listed.value, 1):
        item = MappingNode(MAP, []) if is_null(each) else each
        if not isinstance(item, MappingNode):
            faults.append(
                _(
                    "Entry {number} of the {key} in {file} is not a {part} with a name.",
                    number=at,
                    key=plural,
                    file=file,
                    part=singular,
                )
            )
            continue
        named = get(item, "name")
        if named is not None and not isinstance(named, ScalarNode):
            faults.append(
                _(
                    "Entry {number} of the {key} in {file} has a name that is not text.",
                    number=at,
                    key=plural,
                    file=file,
                )
            )
            continue
        name = "" if named is None or is_null(named) else named.value
        values, fault = _values(item, singular)
        if named is not None and not is_null(named) and not is_text(named):
            fault = _("In YAML its name is not text: write it in quotes (name: {name!r}).", name=name)
        if name in found:
            fault = _("There are two {key} with that name: remove one of them.", key=plural)
        found[name] = Entry(name, values, file, fault)
    return found


def _values(item: MappingNode, singular: str) -> tuple[dict[str, Any], str]:
    """Return the values of an entry, and the fault if it has one."""
    try:
        flatten(item)
        node = get(item, singular)
        values = {} if node is None else construct(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        if mark is None:
            return {}, _("A value in it is not YAML.")
        return {}, _("A value in it is not YAML (line {line}).", line=mark.line + 1)
    except LimitExceeded as error:
        return {}, _("It has {error}.", error=error)
    if values is not None and not isinstance(values, dict):
        return {}, _("The value of {key} is not a mapping.", key=singular)
    return values or {}, ""
