"""Being somewhere else, or the same a while longer: the namespace of the moment, and the token's renewal."""

from __future__ import annotations

import re
from datetime import datetime

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.session import session

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123, as Kubernetes names namespaces


def use_namespace(namespace: str) -> str:
    """Work in another namespace from now on, as the same user; what is open stays open.

    Parameters
    ----------
    namespace
        Its name, such as ``projet-x``. Whether one may do anything there is for the server to say.

    Returns
    -------
    str
        The namespace.

    Raises
    ------
    UsageProblem
        If it cannot be the name of a namespace.
    NotLoggedIn, KubeconfigInvalid
        If there is no usable configuration.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.use_namespace("projet-x")  # doctest: +SKIP
    'projet-x'
    """
    name = namespace.strip()
    if not _LABEL.fullmatch(name):
        raise UsageProblem(
            f"{name[:80]!r} cannot be the name of a namespace.",
            hint="small letters, digits and hyphens, such as user-bob or projet-x",
        )
    with session.session.lock:
        before = session.current_cluster()
        if name != before.namespace:
            session.session.cluster = before.with_namespace(name)
            session.session.namespaces |= {name: None}
    return name


def renew() -> datetime | None:
    """Fetch a fresh token now, where the configuration can; it is renewed in time by itself, too.

    Returns
    -------
    datetime or None
        When the fresh token ends; None where it does not say.

    Raises
    ------
    TokenExpired
        If no other token can be had: one has to log in again.
    NotLoggedIn, KubeconfigInvalid, ServerUnreachable
        If there is no usable configuration, or nobody answers.

    Examples
    --------
    >>> from sspcloud_magics import session
    >>> session.renew()  # doctest: +SKIP
    """
    cluster = session.current_cluster()
    cluster.renew_access()
    return cluster.validity().token_ends
