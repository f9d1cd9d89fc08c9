"""Users of the API server: names and groups from credentials, without stored objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class User:
    """A user."""

    name: str  # in RBAC subjects: ``oidc-alice`` or ``system:serviceaccount:user-alice:default``
    uid: str = ""  # empty if the credentials have none
    groups: tuple[str, ...] = ()
    # Further attributes of the credentials, such as the pod that a token is bound to.
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS = User("system:anonymous", groups=(UNAUTHENTICATED,))


def authenticate(
    name: str,
    *,
    uid: str = "",
    groups: tuple[str, ...] = (),
    extra: Mapping[str, tuple[str, ...]] | None = None,
) -> User:
    """Return an authenticated user, in the group ``system:authenticated``."""
    if AUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    return User(name, uid, groups, extra or {})


def service_account(
    namespace: str, name: str, *, uid: str = "", extra: Mapping[str, tuple[str, ...]] | None = None
) -> User:
    """Return the user of a service account."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return authenticate(f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}", uid=uid, groups=groups, extra=extra)
