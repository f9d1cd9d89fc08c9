"""The owner's own server, as the one login that may make roles there.

The user of a chart may not create roles. The superuser may, and the owner holds its password: in ``F-superuser``
of a CNPG release ``F``, under ``postgres-password`` in the Secret of an older one.

Its session has the search path pinned from the login on (`databases.postgres.session.search_path`): no name in a statement of sharing can mean
an object that a colleague has made. A pooler may drop such options without a word, so they are compared afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests import object_reads
from sspcloud_magics.databases.credentials import DatabaseCredentials
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection, open_connection
from sspcloud_magics.databases.postgres.session.search_path import PATH
from sspcloud_magics.errors import CredentialsNotFound, Forbidden, QueryFailed
from sspcloud_magics.forwards.manager import ForwardManager
from sspcloud_magics.sharing.lock_watch import LOCK_TIMEOUT

_PLACES = (("{}-superuser", "username", "password"), ("{}", None, "postgres-password"))
_SUPERUSER = "postgres"
_WANTED = (PATH, LOCK_TIMEOUT)
_SHOWN = b"SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_setting('lock_timeout')"
OPTIONS = "-c search_path={} -c lock_timeout={}".format(PATH.replace(" ", r"\ "), LOCK_TIMEOUT)


def open_as_superuser(
    cluster: Cluster, manager: ForwardManager, database: Database, dbname: str | None = None
) -> DatabaseConnection:
    """Connect to one's own server as its superuser.

    Raises
    ------
    CredentialsNotFound
        If the superuser's password is not there, or may not be read.
    QueryFailed
        If the session does not keep its settings.
    """
    used = _superuser(cluster, database)
    connection = open_connection(cluster, manager, database, used, dbname=dbname, options=OPTIONS)
    try:
        check_settings(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def check_settings(connection: DatabaseConnection) -> None:
    """Raise where a session does not have the settings that it asked for at its login.

    Raises
    ------
    QueryFailed
        If it has others, or keeps none.
    """
    found = connection.psycopg.execute(_SHOWN).fetchone()
    if connection.is_pooled or found != _WANTED:
        raise QueryFailed(
            "Sharing needs a session that keeps its settings, and a connection pooler keeps none.",
            why=f"search_path and lock_timeout of {connection.database.path} are {_join_values(found or ())}, "
            f"and have to be {_join_values(_WANTED)} all along.",
            hint="share through the server's own service, without the pooler",
        )


@contextmanager
def word_refusal(what: str, hint: str) -> Iterator[None]:
    """Raise what the server refuses in a block as an error in words of sharing.

    Raises
    ------
    QueryFailed
        Says `what`, the server's reason, and `hint`.
    """
    try:
        yield
    except psycopg.Error as error:
        raise QueryFailed(what, why=(error.diag.message_primary or str(error)).strip(), hint=hint) from None


def _join_values(values: tuple[str, ...]) -> str:
    return " and ".join(map(repr, values))


def _superuser(cluster: Cluster, database: Database) -> DatabaseCredentials:
    looked_for: list[str] = []
    for pattern, user_key, password_key in _PLACES:
        name = pattern.format(database.name)
        looked_for.append(f"{name} ({password_key})")
        try:
            found = object_reads.secret(cluster, name, database.namespace)
        except Forbidden as error:
            raise CredentialsNotFound(
                f"The superuser's password of {database.path} may not be read, and only a superuser may "
                "make the role of a colleague.",
                why=error.what,
                hint=error.hint,
            ) from None
        password = found.value(password_key) if found else None
        if found and password:
            user = found.value(user_key) if user_key else None
            return DatabaseCredentials(
                user=user.reveal() if user else _SUPERUSER, password=password, source=f"the secret {name}"
            )
    raise CredentialsNotFound(
        f"No login of {database.path} may make the role of a colleague.",
        why=f"The superuser's password was looked for in: {', '.join(looked_for)}.",
        hint="share a database that the catalogue's chart made, with its superuser enabled",
    )
