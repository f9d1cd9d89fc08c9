"""The users Alice, Bob and Carol: each is admin of a namespace, like an SSPCloud account.

Their RBAC names are ``oidc-alice`` and so on, and their namespaces ``user-alice``. The names differ as on SSPCloud,
where they are often confused.
"""

from __future__ import annotations

import os

from sspcloud_magics.sandbox.controllers.writes import install
from sspcloud_magics.sandbox.oidc.issuer import PREFIX
from sspcloud_magics.sandbox.store import Store

PEOPLE = ("alice", "bob", "carol")
SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease", "cnpg-system")


def username_prefix() -> str:
    """Return the prefix of a person's RBAC name: ``SSPCLOUD_SANDBOX_USERNAME_PREFIX`` or the default."""
    return os.environ.get("SSPCLOUD_SANDBOX_USERNAME_PREFIX", PREFIX)


def user_of(person: str) -> str:
    """Return the RBAC name of a person."""
    return f"{username_prefix()}{person}"


def person_of(user: str) -> str | None:
    """Return the person with that RBAC name, None for other users."""
    return next((person for person in PEOPLE if user_of(person) == user), None)


def namespace_of(person: str) -> str:
    """Return the namespace of a person."""
    return f"user-{person}"


def settle(store: Store) -> None:
    """Create all namespaces, and the role bindings of the people."""
    for name in (*SYSTEM_NAMESPACES, *map(namespace_of, PEOPLE)):
        install(store, "namespace", name=name)
    install(store, "apiserver")
    for person in PEOPLE:
        install(store, "person", namespace=namespace_of(person), user=user_of(person))
