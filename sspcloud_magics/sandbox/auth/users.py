"""A user as the API server knows one: a name, groups, and nothing that is stored anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class User:
    """Who is asking."""

    name: str  # as RBAC subjects name it: ``oidc-alice`` or ``system:serviceaccount:user-alice:default``
    uid: str = ""  # empty where the credential carries none
    # ``system:authenticated`` is among them for everyone who showed a credential.
    groups: tuple[str, ...] = ()
    # What the credential says beside, such as the pod that a token is bound to.
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS = User("system:anonymous", groups=(UNAUTHENTICATED,))


def authenticate(
    name: str,
    *,
    uid: str = "",
    groups: tuple[str, ...] = (),
    extra: Mapping[str, tuple[str, ...]] | None = None,
) -> User:
    """Return a user who has shown a credential: ``system:authenticated`` is added to the groups."""
    if AUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    return User(name, uid, groups, extra or {})


def service_account(
    namespace: str, name: str, *, uid: str = "", extra: Mapping[str, tuple[str, ...]] | None = None
) -> User:
    """Return the user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return authenticate(f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}", uid=uid, groups=groups, extra=extra)
