"""Colleagues: users and groups, and the names under which the API server knows them.

On a laptop, the API server sees a User. In a notebook, it sees a service account of the user's namespace, whose name
changes at each launch. A share therefore binds both. The server chooses the prefix of users and groups
(``oidc-``); Onyxia's own RoleBinding in every namespace shows it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sspcloud_magics import platforms
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.share_keys import colleague_name

FULL_CONTROL = "full_control_namespace"
"""Name of the RoleBinding that Onyxia creates in every namespace for its owner."""

_PREFIX = re.compile(r"|[^:]*[-_/#.|]")
# At most 54 characters, so that the namespace ``projet-NAME`` fits into the 63 of a label.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,52}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject of a RoleBinding: `kind` is ``User`` or ``Group``."""

    kind: str
    name: str

    def to_manifest(self) -> dict[str, str]:
        """Return the subject's entry in a RoleBinding."""
        return {"apiGroup": "rbac.authorization.k8s.io", "kind": self.kind, "name": self.name}


@dataclass(frozen=True, slots=True)
class Colleague:
    """A user or a group that receives a share."""

    # The name that the owner types and that objects are named after: ``bob``, or ``projet-x`` for a group.
    name: str
    namespace: str  # the namespace of their services: ``user-bob`` or ``projet-x``
    subjects: tuple[Subject, Subject]  # their identities to the API server: on a laptop, and in a notebook


def parse_colleague(text: str, *, prefix: str | None = None, owner: str = "") -> Colleague:
    """Parse the name of a colleague.

    Parameters
    ----------
    text
        ``bob`` or ``user-bob`` for a user, ``projet-x`` for a group.
    prefix
        The server's prefix of the names of users and groups; the platform's if None.
    owner
        The owner's namespace: a share with its owner is refused.

    Raises
    ------
    UsageProblem
        If `text` is not a name, names the owner, or is ambiguous.

    Examples
    --------
    >>> parse_colleague("bob").subjects[0]
    Subject(kind='User', name='oidc-bob')
    >>> parse_colleague("projet-x").subjects[1]
    Subject(kind='Group', name='system:serviceaccounts:projet-x')
    """
    typed, platform = text.strip(), platforms.current()
    prefix = platform.accounts if prefix is None else prefix
    if prefix and typed.startswith(prefix):
        account = typed.removeprefix(prefix)
        raise UsageProblem(
            _("{text!r} is ambiguous.", text=text),
            why=_(
                "The server calls the account {account} {typed}, but an account named {typed} may exist too.",
                account=account,
                typed=typed,
            ),
            hint=_(
                "write {account}   for the first\nwrite {person}{typed}   for the second",
                account=account,
                person=platform.users,
                typed=typed,
            ),
        )
    group = typed.startswith(platform.groups)
    bare = typed.removeprefix(platform.groups if group else platform.users)
    if not _NAME.fullmatch(bare):
        raise UsageProblem(
            _("{text!r} is not the name of a colleague.", text=text),
            why=_("Names on the datalab have only lower-case letters, digits and '-'."),
            hint="\n".join(
                [
                    _(
                        "write the name of their account, such as bob, or {groups}NAME for a group",
                        groups=platform.groups,
                    ),
                    *(
                        [_("in lower case: {name}", name=bare.lower())]
                        if _NAME.fullmatch(bare.lower())
                        else ()
                    ),
                ]
            ),
        )
    namespace = f"{platform.groups if group else platform.users}{bare}"
    if namespace == owner:
        raise UsageProblem(
            _("{text!r} is you: you do not need a share of your own database.", text=text),
            hint=_(
                "name a colleague: --with bob, or --with {groups}NAME for a group", groups=platform.groups
            ),
        )
    person = Subject("Group" if group else "User", f"{prefix}{bare}")
    notebooks = Subject("Group", f"system:serviceaccounts:{namespace}")
    return Colleague(colleague_name(namespace), namespace, (person, notebooks))


def find_colleague(text: str, shared_with: Collection[str]) -> str:
    """Return the name of the colleague that a word means, or the word itself if it is no name."""
    bare = text.removeprefix(platforms.current().accounts)
    if text in shared_with or bare in shared_with:
        return text if text in shared_with else bare
    try:
        return parse_colleague(text).name
    except UsageProblem:
        return text


def learn_prefix(namespace: str, bindings: Iterable[Mapping[str, Any]]) -> str | None:
    """Read the prefix of users and groups from the RoleBindings of a namespace.

    Returns
    -------
    str or None
        For example ``oidc-``; None without Onyxia's binding or without a matching subject.
    """
    users, groups = platforms.current().users, platforms.current().groups
    kind, owner = (
        ("Group", namespace.removeprefix(groups))
        if namespace.startswith(groups)
        else ("User", namespace.removeprefix(users))
    )
    found = [
        name.removesuffix(owner)
        for binding in bindings
        if binding["metadata"]["name"] == FULL_CONTROL
        for subject in binding.get("subjects") or ()
        if subject.get("kind") == kind and (name := str(subject.get("name", ""))).endswith(owner)
    ]
    # The binding may have other subjects whose names end the same: oidc-a-bob, or oidc-jacob for the owner cob.
    return min((each for each in found if _PREFIX.fullmatch(each)), key=len, default=None)
