"""Alice, Bob and Carol: each has a namespace and is admin in it, as an SSPCloud account has.

Their RBAC users are ``oidc-alice`` and so on. The namespace's name is not the user's name: that trips people up, so the
sandbox has it too.
"""

from __future__ import annotations

import os

from sspcloud_magics.sandbox.controllers.writes import install
from sspcloud_magics.sandbox.oidc.issuer import PREFIX
from sspcloud_magics.sandbox.store import Store

PEOPLE = ("alice", "bob", "carol")
SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease", "cnpg-system")


def username_prefix() -> str:
    """Return what stands before a person's name where RBAC sees it: ``SSPCLOUD_SANDBOX_USERNAME_PREFIX``."""
    return os.environ.get("SSPCLOUD_SANDBOX_USERNAME_PREFIX", PREFIX)


def user_of(person: str) -> str:
    """Return the name that RBAC knows a person by."""
    return f"{username_prefix()}{person}"


def person_of(user: str) -> str | None:
    """Return the person whom RBAC knows by a name; None for anybody else."""
    return next((person for person in PEOPLE if user_of(person) == user), None)


def namespace_of(person: str) -> str:
    """Return the namespace of a person."""
    return f"user-{person}"


def settle(store: Store) -> None:
    """Make the namespaces, each with its service account and, for a person, its binding."""
    for name in (*SYSTEM_NAMESPACES, *map(namespace_of, PEOPLE)):
        install(store, "namespace", name=name)
    install(store, "apiserver")
    for person in PEOPLE:
        install(store, "person", namespace=namespace_of(person), user=user_of(person))
