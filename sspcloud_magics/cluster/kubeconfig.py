"""Kubeconfig files, read and merged as kubectl does it.

``KUBECONFIG`` may list several files. The first that has an entry of a name wins, whole; the first
that names a current context wins; files that do not exist are passed over. Each entry remembers its
file, since relative paths in it start at that file's directory. This module only reads:
`sspcloud_magics.cluster.contexts` turns a context into an access.
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

from sspcloud_magics.errors import KubeconfigInvalid
from sspcloud_magics.secret import without_frames

LIMIT = 1 << 20
"""The size, in bytes, beyond which a file is not taken for a kubeconfig."""

_ENTRIES = {"clusters": "cluster", "users": "user", "contexts": "context"}


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
    """

    name: str
    values: Mapping[str, Any] = field(repr=False)
    file: Path

    def text(self, key: str) -> str | None:
        """Return the text under `key`; None where it is missing or empty."""
        value = self.values.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise KubeconfigInvalid(f"{key} of {self.name} in {self.file} is not text.")
        return value

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
    """

    clusters: Mapping[str, Entry]
    users: Mapping[str, Entry]
    contexts: Mapping[str, Entry]
    current_context: str | None
    files: tuple[Path, ...]

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
        where = self.where
        known = ", ".join(sorted(self.contexts)) or "none"
        if name is None:
            name = self.current_context
            if name is None:
                raise KubeconfigInvalid(
                    f"{where} names no current context.",
                    why=f"Its contexts: {known}.",
                    mend="%k8s_login --context NAME chooses one by name (context=NAME in Python)"
                    if self.contexts
                    else "copy the configuration again from where you have it",
                )
        if name not in self.contexts:
            close = get_close_matches(name, self.contexts, n=1)
            raise KubeconfigInvalid(
                f"{where} has no context {name!r}.",
                why=f"Its contexts: {known}.",
                mend=f"did you mean {close[0]!r}?"
                if close
                else "%k8s_login --context NAME chooses one by name (context=NAME in Python)",
            )
        return self.contexts[name]

    @property
    def where(self) -> str:
        """The files, for a message."""
        return ", ".join(map(str, self.files))


def default_files(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Return the files that kubectl would read: those of ``KUBECONFIG``, else ``~/.kube/config``."""
    environ = os.environ if environ is None else environ
    listed = [Path(part).expanduser() for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
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
    read: list[Path] = []
    for file in files:
        document = _document(file.absolute(), (pending or {}).get(file))
        if document is None:
            continue
        read.append(file)
        for plural, singular in _ENTRIES.items():
            for entry in _entries(document, plural, singular, file.absolute()):
                merged[plural].setdefault(entry.name, entry)
        named = document.get("current-context")
        if current is None and named:
            current = str(named)
    if not read:
        return None
    if not any(merged.values()) and current is None:
        raise KubeconfigInvalid(
            f"{', '.join(map(str, read))} is empty.",
            mend="copy the configuration again from where you have it, or name another: --kubeconfig FILE",
        )
    return Kubeconfig(merged["clusters"], merged["users"], merged["contexts"], current, tuple(read))


def read(file: Path) -> str | None:
    """Return the text of a kubeconfig; None where it does not exist.

    Raises
    ------
    KubeconfigInvalid
        If it is a directory, far too long, not text, or not ours to read.
    """
    mend = "mend the file, or name another: --kubeconfig FILE"
    try:
        if not file.exists():
            return None
        if file.is_dir():
            raise KubeconfigInvalid(f"{file} is a directory, not a kubeconfig.", mend="name the file in it")
        size = file.stat().st_size
        if size > LIMIT:
            why = f"It has {size / 1e6:.1f} MB; kubeconfigs are far smaller."
            raise KubeconfigInvalid(f"{file} is not a kubeconfig.", why=why, mend=mend)
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise KubeconfigInvalid(
            f"The kubeconfig {file} cannot be read.",
            why=f"{error.strerror or error}.",
            mend="check that the file is yours to read",
        ) from None
    except UnicodeDecodeError:
        raise KubeconfigInvalid(f"{file} is not a kubeconfig.", why="It is not text.", mend=mend) from None


def _document(file: Path, text: str | None) -> dict[str, Any] | None:
    mend = "mend the file, or name another: --kubeconfig FILE"
    try:
        if text is None:
            text = read(file)
        if text is None:
            return None
        # Not the faster CSafeLoader: nested deeply enough, a file makes it crash the whole process.
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        # PyYAML's own words quote the line, which may hold a token: only the place is told.
        mark = getattr(error, "problem_mark", None)
        why = f"It is not YAML (line {mark.line + 1})." if mark else "It is not YAML."
        raise KubeconfigInvalid(f"{file} is malformed.", why=why, mend=mend) from None
    if document is None:
        return {}
    if not isinstance(document, dict) or document.get("kind", "Config") != "Config":
        raise KubeconfigInvalid(
            f"{file} is not a kubeconfig.", why="It is YAML, of another kind than Config.", mend=mend
        )
    return document


def _entries(document: dict[str, Any], plural: str, singular: str, file: Path) -> Iterable[Entry]:
    listed = document.get(plural) or []
    malformed = KubeconfigInvalid(
        f"{file} is malformed.",
        why=f"{plural} is not a list of entries with a name and a {singular}.",
        mend="mend the file, or name another: --kubeconfig FILE",
    )
    if not isinstance(listed, list):
        raise malformed
    for item in listed:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise malformed
        values = item.get(singular) or {}
        if not isinstance(values, dict):
            raise malformed
        yield Entry(item["name"], values, file)
