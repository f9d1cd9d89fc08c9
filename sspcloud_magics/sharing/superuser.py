"""Superuser connections to the owner's server: the only login that can create roles.

The user of a chart may not create roles. The superuser may, and the owner has its password: in the Secret
``F-superuser`` of a CNPG release ``F``, or under ``postgres-password`` in the Secret of an older release.

The session's search path is pinned from the login on (`databases.postgres.session.search_path`): no name in a statement
of sharing can resolve to a colleague's object. A pooler may silently drop such options, so they are checked after login.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests import object_reads
from sspcloud_magics.databases.credentials import DatabaseCredentials
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.session.search_path import PATH
from sspcloud_magics.errors import CredentialsNotFound, Forbidden, QueryFailed
from sspcloud_magics.forwards.manager import ForwardManager
from sspcloud_magics.i18n import _, format_list, quote_words
from sspcloud_magics.sharing.lock_watch import LOCK_TIMEOUT

# Pattern of a Secret's name, key of the user (None: `_SUPERUSER`), key of the password.
_PLACES = (("{}-superuser", "username", "password"), ("{}", None, "postgres-password"))
_SUPERUSER = "postgres"
_WANTED = (PATH, LOCK_TIMEOUT)
_SHOWN = b"SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_setting('lock_timeout')"
OPTIONS = "-c search_path={} -c lock_timeout={}".format(PATH.replace(" ", r"\ "), LOCK_TIMEOUT)


def open_as_superuser(
    cluster: Cluster, manager: ForwardManager, database: Database, dbname: str | None = None
) -> DatabaseConnection:
    """Connect to the owner's server as its superuser.

    Raises
    ------
    CredentialsNotFound
        If the superuser's password does not exist or may not be read.
    QueryFailed
        If the session does not keep its settings.
    """
    used = _superuser(cluster, database)
    connection = DatabaseConnection.open(cluster, manager, database, used, dbname=dbname, options=OPTIONS)
    try:
        check_settings(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def check_settings(connection: DatabaseConnection) -> None:
    """Check that a session has the settings that it requested at login.

    Raises
    ------
    QueryFailed
        If a setting differs, or a pooler is in between.
    """
    found = connection.psycopg.execute(_SHOWN).fetchone()
    if connection.is_pooled or found != _WANTED:
        raise QueryFailed(
            _("Sharing needs a session that keeps its settings, and a connection pooler does not."),
            why=_(
                "search_path and lock_timeout of {path} are {found}, and must stay {wanted}.",
                path=connection.database.path,
                found=format_list([repr(value) for value in found or ()]),
                wanted=format_list([repr(value) for value in _WANTED]),
            ),
            hint=_("share the database through its own service, without the pooler"),
        )


@contextmanager
def translate_errors(what: str, hint: str) -> Iterator[None]:
    """Raise the server's errors in a block as `QueryFailed` with `what`, the server's message, and `hint`."""
    try:
        yield
    except psycopg.Error as error:
        raise QueryFailed(
            what, why=quote_words((error.diag.message_primary or str(error)).strip()), hint=hint
        ) from None


def _superuser(cluster: Cluster, database: Database) -> DatabaseCredentials:
    searched: list[str] = []
    for pattern, user_key, password_key in _PLACES:
        name = pattern.format(database.name)
        searched.append(f"{name} ({password_key})")
        try:
            found = object_reads.secret(cluster, name, database.namespace)
        except Forbidden as error:
            raise CredentialsNotFound(
                _("You may not read the superuser's password of {path}.", path=database.path),
                why=_("Only a superuser can create a colleague's role. {what}", what=error.what),
                hint=error.hint,
            ) from None
        password = found.value(password_key) if found else None
        if found and password:
            user = found.value(user_key) if user_key else None
            return DatabaseCredentials(
                user=user.reveal() if user else _SUPERUSER,
                password=password,
                source=_("the secret {name}", name=name),
            )
    raise CredentialsNotFound(
        _("The superuser's password of {path} was not found.", path=database.path),
        why=_(
            "Only a superuser can create a colleague's role. Secrets searched: {searched}.",
            searched=", ".join(searched),
        ),
        hint=_("enable the superuser in the database's chart, or share a database that has one"),
    )
