"""Switch the current namespace, and renew the current token."""

from __future__ import annotations

import re
from datetime import datetime

from sspcloud_magics import platforms
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.session import session

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123, as Kubernetes names namespaces


def use_namespace(namespace: str) -> str:
    """Switch to another namespace as the same user; forwards and connections stay open.

    Parameters
    ----------
    namespace
        Its name, such as ``projet-x``. Your permissions there are not checked.

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
        platform = platforms.current()
        raise UsageProblem(
            _("{name!r} cannot be the name of a namespace.", name=name[:80]),
            hint=_(
                "use lower-case letters, digits and hyphens, such as {users}bob or {groups}x",
                users=platform.users,
                groups=platform.groups,
            ),
        )
    with session.session.lock:
        before = session.current_cluster()
        if name != before.namespace:
            session.session.cluster = before.with_namespace(name)
            session.session.namespaces |= {name: None}
    return name


def renew() -> datetime | None:
    """Fetch a new token now, if the configuration can; it is also renewed automatically before it expires.

    Returns
    -------
    datetime or None
        The expiry of the new token; None if it is not known.

    Raises
    ------
    TokenExpired
        If no new token is available: log in again.
    NotLoggedIn, KubeconfigInvalid, ServerUnreachable
        If there is no usable configuration, or the server does not answer.

    Examples
    --------
    >>> from sspcloud_magics import session
    >>> session.renew()  # doctest: +SKIP
    """
    cluster = session.current_cluster()
    cluster.renew_access()
    return cluster.expiry().token_ends
