"""PostgreSQL for clients outside of this process: R, psql, DBeaver, QGIS."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from sspcloud_magics.databases import credentials
from sspcloud_magics.databases.postgres import client_files
from sspcloud_magics.errors import PortTaken, UsageProblem
from sspcloud_magics.i18n import N_, _, format_datetime
from sspcloud_magics.printable import printable
from sspcloud_magics.session import recent_namespaces, session
from sspcloud_magics.session.forwarding import forward
from sspcloud_magics.tunnel.ipc import State

if TYPE_CHECKING:
    from datetime import datetime

    from sspcloud_magics.databases.discovery import Database
    from sspcloud_magics.forwards import Forward

_FIRST_PORT, _PORTS = 15_000, 10_000
"""The range of the local ports, below those that systems give to outgoing connections."""
_TRIES = 5
"""Ports to try if another program listens on the first."""

CLIENTS = {
    "r": (
        N_("In R, with the packages DBI and RPostgres:"),
        'library(DBI)\ncon <- dbConnect(RPostgres::Postgres(), service = "{service}")',
    ),
    "psql": (N_("In a terminal:"), 'psql "service={service}"'),
    "dbeaver": (
        N_(
            "In DBeaver, a PostgreSQL connection by URL, with the authentication PostgreSQL Pgpass; started with the first line:"
        ),
        "PGPASSFILE={passfile} dbeaver\njdbc:postgresql://localhost:{port}/{dbname}?user={user}",
    ),
    "qgis": (
        N_("In QGIS, a new PostgreSQL connection with this service, and nothing else:"),
        "{service}",
    ),
}
"""For each client, where to put its lines, and the lines."""


@dataclass(frozen=True, slots=True)
class ClientLines:
    """The lines for another client; they hold no password.

    Parameters
    ----------
    lead
        Where to put them, as a sentence.
    code
        The lines.
    service
        The name of the service of libpq.
    forward
        The forward that they use.
    until
        The expiry of the share; None for a database of your own.
    database
        The database, as you name it.
    """

    lead: str
    code: str
    service: str
    forward: Forward
    until: datetime | None
    database: str

    @property
    def note(self) -> str:
        """What stays on this machine, and until when."""
        if self.until is None:
            return _(
                "The port works while this process runs. The login stays in your files: %connect_db {name} --forget removes it.",
                name=self.database,
            )
        return _(
            "The port works while this process runs. The login ends with the share, on {until}; "
            "%connect_db {name} --forget removes it from your files.",
            until=format_datetime(self.until),
            name=self.database,
        )

    def __repr__(self) -> str:
        return printable(f"{self.lead}\n\n{self.code}\n\n{self.note}")

    def _repr_mimebundle_(self, **_bundle: object) -> dict[str, str]:
        code = f"<pre style='user-select:all'><code>{escape(self.code)}</code></pre>"
        html = f"<p>{escape(self.lead)}</p>{code}<p>{escape(self.note)}</p>"
        return {"text/plain": repr(self), "text/html": printable(html)}


def connect_client(
    name: str,
    client: str,
    *,
    namespace: str | None = None,
    progress: Callable[[str], None] = lambda _unused: None,
) -> ClientLines:
    """Open a local port to a PostgreSQL database, and store its login, for a client outside of Python.

    The port is the same each time, if it is free. The login is an entry of ``pg_service.conf``, with a password file that
    only you can read; they are removed when the share has ended, at the next use of this function, or by `forget_client`.

    Parameters
    ----------
    name
        The database: ``NAME``, or ``NAMESPACE/NAME`` for a colleague's.
    client
        ``r``, ``psql``, ``dbeaver`` or ``qgis``.
    namespace
        Its namespace, if `name` does not contain it; yours if None.
    progress
        Called with a description of each step.

    Returns
    -------
    ClientLines
        The lines to type in the client.

    Raises
    ------
    UsageProblem
        If the client is not one of these, or the database is not PostgreSQL.
    DatabaseNotFound, DatabaseHibernated, CredentialsNotFound
        As for `connect_db`.
    PortTaken, Forbidden, DialFailed
        If the forward cannot be opened.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.connect_client("user-alice/postgresql-cnpg-951239", "r")  # doctest: +SKIP
    """
    if client not in CLIENTS:
        raise UsageProblem(
            _("{client!r} is not a client that is known here.", client=client),
            hint=_("use one of: {clients}", clients=", ".join(CLIENTS)),
        )
    cluster = session.current_cluster(namespace or name.rpartition("/")[0] or None)
    client_files.sweep()
    found, used = credentials.find_credentials(cluster, name, namespace=namespace)
    if found.kind != "postgres":
        raise UsageProblem(
            _("{path} is not a PostgreSQL database.", path=found.path),
            hint=_("%connect_db {path}", path=found.path),
        )
    progress(_("opening a port to {path}", path=found.path))
    opened = _open_port(found)
    service = _name_service(found)
    entry = {
        "host": f"{found.service}.{found.namespace}.svc",
        "hostaddr": "127.0.0.1",
        "port": str(opened.local_port),
        "dbname": used.dbname or found.database or used.user,
        "user": used.user,
    }
    ca = used.ca or credentials.authority(cluster, found)
    client_files.write(service, entry, used.password, ca=ca, until=found.until)
    recent_namespaces.remember_namespace(cluster, found.namespace)
    lead, code = CLIENTS[client]
    code = code.format(service=service, passfile=client_files.pass_file(service), **entry)
    return ClientLines(_(lead), code, service, opened, found.until, found.path)


def forget_client(name: str, *, namespace: str | None = None) -> bool:
    """Remove the stored login of a database, and stop its port.

    Parameters
    ----------
    name, namespace
        As for `connect_client`.

    Returns
    -------
    bool
        Whether a login was stored.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.forget_client("user-alice/postgresql-cnpg-951239")  # doctest: +SKIP
    """
    where, _slash, bare = name.rpartition("/")
    where = namespace or where or session.current_cluster().namespace
    path = f"{where}/{bare}"
    for each in session.open_forwards():
        if each.local_port in _list_ports(path):
            each.stop()
    return client_files.forget(f"{where}.{bare}")


def _name_service(database: Database) -> str:
    return f"{database.namespace}.{database.name}"


def _list_ports(path: str) -> range:
    """Return the ports for a database: always the same, and most likely not those of another one."""
    first = _FIRST_PORT + zlib.crc32(path.encode()) % _PORTS
    return range(first, first + _TRIES)


def _open_port(database: Database) -> Forward:
    """Return a forward to a database on its own port, or the next one that is free; an open one is used again."""
    ports = _list_ports(database.path)
    for each in session.open_forwards():
        if each.state is State.ACTIVE and each.local_port in ports:
            return each
    for port in ports:
        try:
            return forward(f"{database.namespace}/svc/{database.service}", f"{port}:{database.port}")
        except PortTaken:
            if port == ports[-1]:
                raise
    raise AssertionError  # the range is not empty
