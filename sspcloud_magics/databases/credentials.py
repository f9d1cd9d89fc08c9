"""Who may log in to a database, from the secrets of the cluster.

For one's own database the chart's user: the secret ``F-user`` or ``F`` of a CNPG release ``F``, or what
the discovery secret says. Never ``F-app``, whose database is not the user's, and never a superuser's.
For a colleague's, the Secret that was made for oneself: ``F-share-ME`` in their namespace. Where no
secret can be read, what a colleague told one is enough: a user and a password, or a URL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sspcloud_magics import share_keys
from sspcloud_magics.cluster.requests import object_reads, permissions
from sspcloud_magics.databases import discovery
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.errors import ClusterError, CredentialsNotFound, Forbidden, ServerError, UsageProblem
from sspcloud_magics.secret import Form, Secret, check_secret, without_frames

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseCredentials:
    """A user, a password, and what was written beside them.

    Parameters
    ----------
    user, password
        Who.
    dbname
        The database inside the server; None where it is not said.
    ca
        The certificate authority of the server, in PEM; None where it is not there.
    source
        Where they were found, in words.
    """

    user: str
    password: Secret
    dbname: str | None = None
    ca: str | None = None
    source: str = ""


def locate(
    cluster: Cluster, name: str, namespace: str | None = None
) -> tuple[Database, DatabaseCredentials | None]:
    """Return the database that a name means, and the share's credentials where it is a colleague's.

    A colleague may be allowed to read one Secret and to list nothing: then that Secret says where the
    database is.

    Parameters
    ----------
    cluster
        Where, and as whom.
    name, namespace
        ``NAME`` or ``NAMESPACE/NAME``; `namespace` holds where `name` says none.

    Raises
    ------
    DatabaseNotFound
        If there is none, or several begin so.
    Forbidden
        If nothing may be listed in one's own namespace.
    """
    where, bare = discovery.split_name(name, namespace or cluster.namespace)
    if where != cluster.namespace:
        shared = _share(cluster, where, bare)
        if shared is not None:
            return shared
    try:
        listed = discovery.databases(cluster, where)
    except Forbidden:
        if where == cluster.namespace:
            raise
        # Who may list nothing there may still forward to what a colleague has named.
        return discovery.assume_database(cluster, bare, where), None
    return discovery.find(listed, bare, where), None


def for_database(
    cluster: Cluster,
    name: str,
    *,
    namespace: str | None = None,
    user: str | None = None,
    url: Secret | None = None,
    ask_password: Callable[[str], str] | None = None,
) -> tuple[Database, DatabaseCredentials]:
    """Return the database that a name means, and who logs in there.

    Parameters
    ----------
    cluster
        Where, and as whom.
    name, namespace
        As for `locate`.
    user
        Log in as this user, with a password that `ask_password` asks for.
    url
        A libpq URL that says user and password, and may say the database; its host is not used.
    ask_password
        Takes a prompt, returns the password. Nobody is asked where it is None.

    Raises
    ------
    DatabaseNotFound, DatabaseHibernated
        If it is not there, or paused.
    CredentialsNotFound
        If no secret can be read and no user is named.
    """
    found, known = locate(cluster, name, namespace)
    discovery.require_usable(found)
    if url is not None:
        used = from_url(url)
    elif user is not None:
        used = ask_credentials(user, found, ask_password)
    else:
        used = known or read_credentials(cluster, found)
    if known is not None:
        used = replace(used, ca=used.ca or known.ca, dbname=used.dbname or known.dbname)
    return found, used


def _share(cluster: Cluster, namespace: str, name: str) -> tuple[Database, DatabaseCredentials] | None:
    for me in _names_of_mine(cluster):
        try:
            secret = object_reads.secret(cluster, share_keys.share_name(name, me), namespace)
        except Forbidden:
            continue
        found = _of_share(secret, name) if secret else None
        if found is not None:
            return found
    # Shared with a group of mine, then: what I may read there is the server's to say.
    for _, database, used in _shares_with_me(cluster, namespace):
        if database.name == name:
            return database, used
    return None


def of_share(cluster: Cluster, database: Database) -> DatabaseCredentials:
    """Return the credentials of a database that was shared with me, as they are now.

    Raises
    ------
    CredentialsNotFound
        If it is not shared with me any more.
    ClusterError
        If the server cannot be asked.
    """
    found = _share(cluster, database.namespace, database.name)
    if found is not None:
        return found[1]
    until = (
        f", which was to last until {database.until.astimezone():%Y-%m-%d %H:%M}," if database.until else ""
    )
    raise CredentialsNotFound(
        f"{database.path} is not shared with you any more.",
        why=f"The share{until} has ended, or its owner has taken it back.",
        hint=f"ask its owner to run: %share_db {database.name} --with {next(_names_of_mine(cluster))}",
    )


def _of_share(secret: object_reads.SecretObject, name: str) -> tuple[Database, DatabaseCredentials] | None:
    host, port = _text(secret, share_keys.HOST), _text(secret, share_keys.PORT)
    user, password = _text(secret, share_keys.USER), secret.value(share_keys.PASSWORD)
    if not (host and user and password):
        return None
    database = Database(
        name=name,
        namespace=secret.namespace,
        kind="postgres",
        service=host.split(".")[0],
        port=int(port) if port and port.isdecimal() else discovery.POSTGRES_PORT,
        database=_text(secret, share_keys.DBNAME),
        source="shared with you",
        access=secret.annotations.get(share_keys.ACCESS, share_keys.READ_ONLY),
        until=_moment(secret.annotations.get(share_keys.UNTIL, "")),
    )
    return database, DatabaseCredentials(
        user=user,
        password=password,
        dbname=database.database,
        ca=_text(secret, share_keys.CA),
        source=f"the secret {secret.name}",
    )


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def list_received(cluster: Cluster, namespaces: Iterable[str]) -> list[Database]:
    """Return the databases of colleagues' namespaces that are shared with me, the newest share first.

    Who may list nothing there still learns from the server which Secrets they may read by name.
    """
    found: list[tuple[str, Database, DatabaseCredentials]] = []
    for namespace in namespaces:
        with suppress(Forbidden, ServerError):  # one that is gone, or that one may not even ask about
            found += _shares_with_me(cluster, namespace)
    found.sort(key=lambda one: one[0], reverse=True)
    return [
        replace(database, state=discovery.state_by_endpoints(cluster, database)) for _, database, _ in found
    ]


def _shares_with_me(cluster: Cluster, namespace: str) -> Iterator[tuple[str, Database, DatabaseCredentials]]:
    for name in permissions.secrets_by_name(cluster, namespace):
        try:
            secret = object_reads.secret(cluster, name, namespace)
        except Forbidden:
            continue
        shared = secret and secret.labels.get(share_keys.DATABASE)
        found = _of_share(secret, shared) if secret and shared else None
        if secret and found:
            yield secret.created, *found


def _names_of_mine(cluster: Cluster) -> Iterator[str]:
    """Yield the names under which somebody shares with me, the likeliest first."""
    mine = share_keys.colleague_name(cluster.namespace)
    yield mine
    try:
        user = permissions.who_am_i(cluster).user
    except ClusterError:
        return
    # A person's RBAC name has a prefix that the server chose: oidc-bob.
    for other in (user.partition("-")[2], user):
        if other and other != mine and ":" not in other:
            yield other


def read_credentials(cluster: Cluster, database: Database) -> DatabaseCredentials:
    """Return the credentials for a database of a namespace that one administers.

    Raises
    ------
    CredentialsNotFound
        If no secret is there, or none may be read.
    """
    refused: Forbidden | None = None
    for name, user_key, password_key in _candidates(database):
        try:
            secret = object_reads.secret(cluster, name, database.namespace)
        except Forbidden as error:
            refused = refused or error
            continue
        if secret is None:
            continue
        user, password = _text(secret, user_key), secret.value(password_key)
        if user and password and user not in ("postgres", "root"):
            return DatabaseCredentials(user=user, password=password, source=f"the secret {name}")
    steps = [f"%connect_db {database.path} --user USER asks for a password"]
    if database.namespace == cluster.namespace:
        why = refused.what if refused else "None of the secrets that its chart makes is there."
        steps = [refused.hint, *steps] if refused and refused.hint else steps
    else:
        me = next(_names_of_mine(cluster))
        why = f"It is not shared with {me}, or not any more: no secret {share_keys.share_name(database.name, me)} can be read there."
        steps.insert(0, f"ask its owner to run: %share_db {database.name} --with {me}")
        steps.insert(1, "check the spelling: what does not exist is answered the same way")
        if not database.namespace.startswith(("user-", "projet-")):
            steps.insert(
                0,
                f"a person's namespace begins with user-: %connect_db user-{database.namespace}/{database.name}",
            )
    raise CredentialsNotFound(
        f"No user and password can be read for {database.path}.", why=why, hint="\n".join(steps)
    )


def _candidates(database: Database) -> tuple[tuple[str, str, str], ...]:
    """Return which secrets to try: the name, and the keys of the user and of the password."""
    name, prefix = database.name, discovery.KEY_PREFIX.get(database.kind, database.kind)
    return (
        (f"{name}-user", "username", "password"),
        (name, "username", "password"),
        (f"discoverable-{name}", f"{prefix}-username", "password"),
    )


def authority(cluster: Cluster, database: Database) -> str | None:
    """Return the certificate authority of a CNPG database in PEM; None where it cannot be read."""
    try:
        secret = object_reads.secret(cluster, f"{database.name}-ca", database.namespace)
    except ClusterError:
        return None
    return _text(secret, "ca.crt") if secret else None


@without_frames
def ask_credentials(
    user: str, database: Database, ask_password: Callable[[str], str] | None
) -> DatabaseCredentials:
    """Return the credentials of a user whose password a person types.

    Raises
    ------
    CredentialsNotFound
        If nobody can be asked, or nothing was typed.
    """
    if ask_password is None:
        raise CredentialsNotFound(
            f"The user {user} needs a password, and nobody can be asked here.",
            hint="put a URL into an environment variable and name it: --url-env VAR",
        )
    password = ask_password(f"Password of {user} on {database.path}: ")
    if not password:
        raise CredentialsNotFound("No password was typed.", hint=f"%connect_db {database.path} --user {user}")
    return DatabaseCredentials(user=user, password=_password(password), source="typed")


def _password(value: str) -> Secret:
    return check_secret(
        value, Form.PASSWORD, lambda why: UsageProblem("The password cannot be used.", why=why)
    )


@without_frames
def from_url(url: Secret) -> DatabaseCredentials:
    """Return the credentials that a libpq URL (or ``key=value`` string) holds.

    Raises
    ------
    UsageProblem
        If it cannot be read, or lacks a user or a password. It is never quoted.
    """
    form = "write postgresql://USER:PASSWORD@HOST/DATABASE, with special characters as %XX"
    try:
        parts = conninfo_to_dict(url.reveal())
    except (psycopg.Error, UnicodeError):
        parts = None
    if parts is None:
        raise UsageProblem("The URL is not one that libpq can read.", hint=form)
    missing = [name for name in ("user", "password") if not parts.get(name)]
    if missing:
        raise UsageProblem(f"The URL says no {' and no '.join(missing)}.", hint=form)
    dbname = parts.get("dbname")
    return DatabaseCredentials(
        user=str(parts["user"]),
        password=_password(str(parts["password"])),
        dbname=str(dbname) if dbname else None,
        source="a URL",
    )


def _text(secret: object_reads.SecretObject, key: str) -> str | None:
    value = secret.value(key)
    return value.reveal() if value else None
