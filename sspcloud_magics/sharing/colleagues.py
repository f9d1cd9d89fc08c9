"""Whom a share is for: a person or a group, and the names under which the cluster knows them.

A person is a User to the API server when they work on a laptop, and any service account of their namespace
when they work in a notebook, whose name changes at each launch: so both are bound. The prefix of users and
groups (``oidc-``) is the server's choice; Onyxia's own RoleBinding in every namespace shows it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.share_keys import colleague_name

FULL_CONTROL = "full_control_namespace"
"""The RoleBinding that Onyxia makes in every namespace for whom it belongs to."""

DEFAULT_PREFIX = "oidc-"

_PERSON, _GROUP = "user-", "projet-"
_PREFIX = re.compile(r"|[^:]*[-_/#.|]")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,52}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject of a RoleBinding: `kind` is ``User`` or ``Group``."""

    kind: str
    name: str

    def to_manifest(self) -> dict[str, str]:
        """Return it as it stands in a RoleBinding."""
        return {"apiGroup": "rbac.authorization.k8s.io", "kind": self.kind, "name": self.name}


@dataclass(frozen=True, slots=True)
class Colleague:
    """A person or a group.

    Parameters
    ----------
    name
        As the owner writes it and as objects are named: ``bob``, or ``projet-x`` for a group.
    namespace
        Where their services run: ``user-bob`` or ``projet-x``.
    subjects
        Who they are to the API server: on a laptop, and in a notebook.
    """

    name: str
    namespace: str
    subjects: tuple[Subject, Subject]


def parse_colleague(text: str, *, prefix: str = DEFAULT_PREFIX, owner: str = "") -> Colleague:
    """Return the colleague that `text` names.

    Parameters
    ----------
    text
        ``bob`` or ``user-bob`` for a person, ``projet-x`` for a group.
    prefix
        What the server puts before the names of users and groups.
    owner
        The owner's namespace: sharing with oneself is refused.

    Raises
    ------
    UsageProblem
        If that is no name, the owner's own, or could be two people's.

    Examples
    --------
    >>> parse_colleague("bob").subjects[0]
    Subject(kind='User', name='oidc-bob')
    >>> parse_colleague("projet-x").subjects[1]
    Subject(kind='Group', name='system:serviceaccounts:projet-x')
    """
    typed = text.strip()
    if prefix and typed.startswith(prefix):
        account = typed.removeprefix(prefix)
        raise UsageProblem(
            f"{text!r} can be read in two ways.",
            why=f"The server calls the account {account} {typed}, and an account may have the name {typed} itself.",
            hint=f"write {account}   for the first\nwrite {_PERSON}{typed}   for the second",
        )
    group = typed.startswith(_GROUP)
    bare = typed.removeprefix(_GROUP if group else _PERSON)
    if not _NAME.fullmatch(bare):
        raise UsageProblem(
            f"{text!r} is not the name of a colleague.",
            why="Names on the datalab have lower-case letters, digits and '-' only.",
            hint="write the name of their account, such as bob, or projet-NAME for a group"
            + (f"\nin lower case: {bare.lower()}" if _NAME.fullmatch(bare.lower()) else ""),
        )
    namespace = f"{_GROUP if group else _PERSON}{bare}"
    if namespace == owner:
        raise UsageProblem(
            f"{text!r} is you: what is yours needs no share.",
            hint="name a colleague: --with bob, or --with projet-NAME for a group",
        )
    person = Subject("Group" if group else "User", f"{prefix}{bare}")
    notebooks = Subject("Group", f"system:serviceaccounts:{namespace}")
    return Colleague(colleague_name(namespace), namespace, (person, notebooks))


def colleague_named(text: str, shared_with: Collection[str]) -> str:
    """Return which of the colleagues a word means, as `parse_colleague` reads it; the word where it means none."""
    bare = text.removeprefix(DEFAULT_PREFIX)
    if text in shared_with or bare in shared_with:
        return text if text in shared_with else bare
    try:
        return parse_colleague(text).name
    except UsageProblem:
        return text


def learn_prefix(namespace: str, bindings: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the prefix of users and groups, from the RoleBindings of a namespace.

    Returns
    -------
    str or None
        Such as ``oidc-``; None where Onyxia's binding is not there or says nothing.
    """
    kind, owner = (
        ("Group", namespace.removeprefix(_GROUP))
        if namespace.startswith(_GROUP)
        else ("User", namespace.removeprefix(_PERSON))
    )
    found = [
        name.removesuffix(owner)
        for binding in bindings
        if binding["metadata"]["name"] == FULL_CONTROL
        for subject in binding.get("subjects") or ()
        if subject.get("kind") == kind and (name := str(subject.get("name", ""))).endswith(owner)
    ]
    # Others may be bound as well: oidc-a-bob ends like bob, and so does oidc-jacob.
    return min((each for each in found if _PREFIX.fullmatch(each)), key=len, default=None)
