"""The endpoint of a database, for a client of its own: a local port, and the login from its Secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sspcloud_magics.databases import credentials, discovery
from sspcloud_magics.errors import CredentialsNotFound
from sspcloud_magics.i18n import _
from sspcloud_magics.secret import HIDDEN
from sspcloud_magics.session import session
from sspcloud_magics.session.forwarding import forward

if TYPE_CHECKING:
    from sspcloud_magics.databases.credentials import DatabaseCredentials
    from sspcloud_magics.forwards import Forward

# The kinds that clients reach by the address in their discovery Secret, and not through a forward.
_BY_INGRESS = frozenset({"trino"})
_HTTPS = 443


class HiddenLogin(tuple[str, str]):
    """A user and a password, which only a client that takes a tuple sees."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"({self[0]!r}, {HIDDEN})"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a database, and its login.

    Parameters
    ----------
    name
        The database, as you name it.
    host, port
        The address to connect to.
    credentials
        The login; None if its Secret has none, or cannot be read.
    forward
        The forward that the port belongs to; None if the address needs none.
    """

    name: str
    host: str
    port: int
    credentials: DatabaseCredentials | None = None
    forward: Forward | None = field(default=None, repr=False)

    @property
    def user(self) -> str:
        """The user, with the errors of `login`."""
        return self.login[0]

    @property
    def login(self) -> tuple[str, str]:
        """The user and the password, for a client; displayed without the password.

        Raises
        ------
        CredentialsNotFound
            If no Secret has them.
        """
        if self.credentials is None:
            raise CredentialsNotFound(
                _("No user and password can be read for {path}.", path=self.name),
                why=_("Its discovery Secret has none, or you may not read it."),
                hint=_("ask for the password: from getpass import getpass; password = getpass()"),
            )
        return HiddenLogin((self.credentials.user, self.credentials.password.reveal()))


def endpoint(name: str, *, namespace: str | None = None, timeout: float = 30.0) -> Endpoint:
    """Return the address and the login of a database, for a client of its own.

    The address is a local port that leads to its service. ``%connect_db NAME`` shows the lines that use it.

    Parameters
    ----------
    name
        The database: ``NAME``, or ``NAMESPACE/NAME`` for a colleague's.
    namespace
        Its namespace, if `name` does not contain it; yours if None.
    timeout
        How long to wait for the first dial, in seconds.

    Returns
    -------
    Endpoint
        ``host``, ``port``, ``user``, and ``login``, a tuple of user and password that hides the password when displayed.

    Raises
    ------
    DatabaseNotFound, DatabaseHibernated
        If the database does not exist, or is paused.
    TargetNotFound, PodNotReady, DialFailed, Forbidden
        If the forward cannot be opened.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> endpoint = ssp.endpoint("elastic-650118")  # doctest: +SKIP
    >>> client = Elasticsearch(f"https://127.0.0.1:{endpoint.port}", basic_auth=endpoint.login)  # doctest: +SKIP
    """
    cluster = session.current_cluster(namespace or name.rpartition("/")[0] or None)
    found, _shared = credentials.locate(cluster, name, namespace)
    discovery.require_running(found)
    address, used = credentials.read_discovery(cluster, found)
    if found.kind in _BY_INGRESS and address:
        return Endpoint(found.path, address, _HTTPS, used)
    opened = forward(f"{found.namespace}/svc/{found.service}", found.port, timeout=timeout)
    return Endpoint(found.path, "127.0.0.1", opened.local_port, used, opened)
