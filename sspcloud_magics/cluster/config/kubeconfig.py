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
from sspcloud_magics.i18n import N_, _, format_number
from sspcloud_magics.secret import without_frames
from sspcloud_magics.user_files import decode, user_path

LIMIT = 1 << 20
"""Maximum size of a kubeconfig, in bytes."""

OMITTED = ("REDACTED", "DATA+OMITTED")
"""The placeholders of ``kubectl config view`` for secrets and certificates."""

_ENTRIES = {"clusters": "cluster", "users": "user", "contexts": "context"}
_CORRECT = N_("correct the file, or name another: --kubeconfig FILE")


@dataclass(frozen=True, slots=True)
class Entry:
    """A cluster, user or context.

    Parameters
    ----------
    name
        Its name.
    values
        The mapping under ``cluster``, ``user`` or ``context``. It may hold credentials, so the repr omits it.
    file
        The file of the entry.
    fault
        The reason why it cannot be used, as a sentence; empty if it can.
    """

    name: str
    values: Mapping[str, Any] = field(repr=False)
    file: Path
    fault: str = ""

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
            raise make_omitted_error(
                _("{key} of {name} in {file}", key=key, name=self.name, file=self.file), value
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
    """The merged content of kubeconfig files.

    Parameters
    ----------
    clusters, users, contexts
        The entries by name.
    current_context
        The default context; None if no file names one.
    files
        The files that were read, in order.
    faults
        Sentences about malformed parts that belong to no named entry.
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
            Its name; the current context if None.

        Raises
        ------
        KubeconfigInvalid
            If it does not exist, or there is no current context.
        """
        if name is None and self.current_context is None:
            raise KubeconfigInvalid(
                _("{where} has no current context.", where=self.where),
                why=self.describe_known("contexts"),
                hint=_("%k8s_login --context NAME chooses one by name (context=NAME in Python)")
                if self.contexts
                else _("copy the configuration again from its source"),
            )
        name = name or self.current_context or ""
        if name not in self.contexts:
            close = get_close_matches(name, self.contexts, n=1)
            raise KubeconfigInvalid(
                _("{where} has no context {name!r}.", where=self.where, name=name),
                why=self.describe_known("contexts"),
                hint=_("did you mean {close!r}?", close=close[0])
                if close
                else _("%k8s_login --context NAME chooses one by name (context=NAME in Python)"),
            )
        return usable(self.contexts[name], "context")

    def describe_known(self, plural: str) -> str:
        """Return sentences that list the entries of a kind, and the malformed parts."""
        names = ", ".join(sorted(filter(None, getattr(self, plural)))) or "none"
        return " ".join((_("The {plural} there: {names}.", plural=plural, names=names), *self.faults))

    def list_malformed(self) -> list[tuple[str, str]]:
        """Return the entries that cannot be used, each with its fault."""
        kinds = {"cluster": self.clusters, "user": self.users, "context": self.contexts}
        named = [
            (_("the {kind} {name!r} in {file}", kind=kind, name=entry.name, file=entry.file), entry.fault)
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
            _("{map} is empty.", map=", ".join(map(str, existing))),
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
            why = _("It has {size} MB; kubeconfigs are far smaller.", size=format_number(size / 1000000.0, 1))
            raise KubeconfigInvalid(_("{file} is not a kubeconfig.", file=file), why=why, hint=_CORRECT)
        return decode(file.read_bytes())
    except OSError as error:
        raise KubeconfigInvalid(
            _("The kubeconfig {file} cannot be read.", file=file),
            why=f"{error.strerror or error}.",
            hint=_("check the permissions of the file"),
        ) from None
    except UnicodeDecodeError:
        raise KubeconfigInvalid(
            _("{file} is not a kubeconfig.", file=file), why=_("It is not text."), hint=_CORRECT
        ) from None


def parse(text: str, name: str, outcome: str = "") -> MappingNode:
    """Parse the text of a kubeconfig to YAML nodes; an empty text gives an empty mapping.

    Parameters
    ----------
    text
        The text.
    name
        The name of the file, for messages.
    outcome
        A text that a message appends to its first sentence.

    Raises
    ------
    KubeconfigInvalid
        If it is not YAML, or of another kind or version.
    """
    try:
        root = compose(text)
        flatten(root)
    except yaml.YAMLError as error:
        # PyYAML's message quotes the line, which may hold a token: report only the line number.
        mark = getattr(error, "problem_mark", None)
        why = _("It is not YAML (line {line}).", line=mark.line + 1) if mark else _("It is not YAML.")
        raise KubeconfigInvalid(
            _("{name} is malformed{outcome}.", name=name, outcome=outcome), why=why, hint=_CORRECT
        ) from None
    except LimitExceeded as error:
        why = _("It has {error}.", error=error)
        raise KubeconfigInvalid(
            _("{name} is malformed{outcome}.", name=name, outcome=outcome), why=why, hint=_CORRECT
        ) from None
    if root is None:
        return MappingNode(MAP, [], flow_style=False)
    other = _("kind than Config") if not isinstance(root, MappingNode) else ""
    for key, expected in (("kind", "Config"), ("apiVersion", "v1")):
        found = get(root, key) if isinstance(root, MappingNode) else None
        if found and not is_null(found) and not (is_text(found) and found.value in ("", expected)):
            other = other or _(
                "{choice} than {expected}", choice="kind" if key == "kind" else "version", expected=expected
            )
    if other or not isinstance(root, MappingNode):
        why = _("It is YAML, of another {other}.", other=other)
        raise KubeconfigInvalid(
            _("{name} is not a kubeconfig{outcome}.", name=name, outcome=outcome), why=why, hint=_CORRECT
        )
    return root


def usable(entry: Entry, kind: str) -> Entry:
    """Return an entry unchanged if it has no fault.

    Raises
    ------
    KubeconfigInvalid
        If it has a fault.
    """
    if entry.fault:
        what = _("The {kind} {name} in {file} cannot be used.", kind=kind, name=entry.name, file=entry.file)
        raise KubeconfigInvalid(what, why=entry.fault, hint=_CORRECT)
    return entry


def make_omitted_error(what: str, value: str) -> KubeconfigInvalid:
    """Return the error for a value that ``kubectl config view`` has replaced by a placeholder."""
    return KubeconfigInvalid(
        _("{what} is missing.", what=what),
        why=_(
            "Its value is {value}: the file is the output of kubectl config view, which omits secrets.",
            value=value,
        ),
        hint=_("on the machine with the whole configuration: kubectl config view --raw > FILE"),
    )


def _entries(
    root: MappingNode, plural: str, singular: str, file: Path, faults: list[str]
) -> dict[str, Entry]:
    """Return the entries of a list by name; entries without a usable name are reported in `faults`."""
    listed = get(root, plural)
    if listed is None or is_null(listed):
        return {}
    if not isinstance(listed, SequenceNode):
        why = _(
            "{plural} is not a list of entries with a name and a {singular}.",
            plural=plural,
            singular=singular,
        )
        raise KubeconfigInvalid(_("{file} is malformed.", file=file), why=why, hint=_CORRECT)
    found: dict[str, Entry] = {}
    for at, each in enumerate(listed.value, 1):
        item = MappingNode(MAP, []) if is_null(each) else each
        where = _("Entry {at} of the {plural} in {file}", at=at, plural=plural, file=file)
        if not isinstance(item, MappingNode):
            faults.append(_("{where} is not a {singular} with a name.", where=where, singular=singular))
            continue
        named = get(item, "name")
        if named is not None and not isinstance(named, ScalarNode):
            faults.append(_("{where} has a name that is not text.", where=where))
            continue
        name = "" if named is None or is_null(named) else named.value
        values, fault = _values(item, singular)
        if named is not None and not is_null(named) and not is_text(named):
            fault = _("In YAML its name is not text: write it in quotes (name: {name!r}).", name=name)
        if name in found:
            fault = _("There are two {plural} with that name: remove one of them.", plural=plural)
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
        return {}, _("A value in it is not YAML{choice}.", choice=f" (line {mark.line + 1})" if mark else "")
    except LimitExceeded as error:
        return {}, _("It has {error}.", error=error)
    if values is not None and not isinstance(values, dict):
        return {}, _("The value of {singular} is not a mapping.", singular=singular)
    return values or {}, ""
