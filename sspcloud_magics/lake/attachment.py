"""A PostgreSQL database in DuckDB: the statements that attach it through the connection's own route.

The login goes into a secret of DuckDB, which never shows the password; all other parameters of libpq go into the path of
the attachment, because the images of the platform set ``PG*`` variables of another database.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sspcloud_magics.databases.login import Login, Tls
from sspcloud_magics.databases.postgres import libpq
from sspcloud_magics.private_file import private_file

if TYPE_CHECKING:
    import duckdb

    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection

CONNECTIONS = 2
"""The connections that DuckDB opens to one server. A share allows ten, and other notebooks need some."""

_IN_SECRET = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "DATABASE"}


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attached database.

    Parameters
    ----------
    alias
        Its name in DuckDB.
    login
        The login that it uses.
    read_only
        Whether DuckDB may only read it.
    application
        The name of its connections at the server.
    """

    alias: str
    login: Login
    read_only: bool
    application: str


def attach(
    duck: duckdb.DuckDBPyConnection, source: DatabaseConnection, attachment: Attachment, owner: object
) -> None:
    """Attach a database.

    Parameters
    ----------
    duck
        A connection of the DuckDB instance.
    source
        The open connection whose route is used.
    attachment
        The name, login and mode.
    owner
        The file with the certificate authority exists as long as this object: DuckDB opens connections later, too.
    """
    file = None
    if source.tls is Tls.VERIFIED and attachment.login.ca is not None:
        file, remove = private_file(attachment.login.ca)
        weakref.finalize(owner, remove)
    values = libpq.parameters(attachment.login, tls=source.tls, ca_file=file)
    values["application_name"] = attachment.application
    secret = ", ".join(f"{key} {literal(values.pop(name))}" for name, key in _IN_SECRET.items())
    path = " ".join(f"{name}={_quote(value)}" for name, value in values.items() if value)
    name = identifier(attachment.alias)
    hidden = identifier(f"__sspcloud_{attachment.alias}")
    duck.execute(f"CREATE OR REPLACE SECRET {hidden} (TYPE postgres, {secret})")
    mode = ", READ_ONLY" if attachment.read_only else ""
    duck.execute(f"ATTACH {literal(path)} AS {name} (TYPE postgres, SECRET {hidden}{mode})")


def detach(duck: duckdb.DuckDBPyConnection, alias: str) -> None:
    """Detach a database, and forget its login."""
    duck.execute(f"DETACH DATABASE IF EXISTS {identifier(alias)}")
    duck.execute(f"DROP SECRET IF EXISTS {identifier(f'__sspcloud_{alias}')}")


def literal(text: str) -> str:
    """Quote a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _quote(value: str) -> str:
    r"""Quote a value of libpq's connection strings, in which ``\`` and ``'`` are escaped."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
