"""Credentials for a database, from the Secrets of the cluster.

For your own database they are the chart's user, from the Secret ``F-user`` or ``F`` of a CNPG release ``F``, or from
the discovery secret. The Secret ``F-app`` is never read, since its database is not the user's; nor is a superuser's.
For a colleague's database they come from the share's Secret, ``F-share-ME`` in the colleague's namespace.
If you can read no Secret, a user and a password, or a URL, are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sspcloud_magics import platforms, share_keys
from sspcloud_magics.cluster.requests import object_reads, permissions
from sspcloud_magics.databases import discovery
from sspcloud_magics.databases.charts import CHARTS_BY_KIND
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.errors import ClusterError, CredentialsNotFound, Forbidden, ServerError, UsageProblem
from sspcloud_magics.i18n import N_, _, format_datetime
from sspcloud_magics.secret import Form, Secret, check_secret, without_frames

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseCredentials:
    """Credentials, with the other login data of their source."""

    # The role, and its password.
    user: str
    password: Secret
    dbname: str | None = None  # the database inside the server; None if the source does not name it
    # The certificate authority of the server, in PEM; None if the source does not have it.
    ca: str | None = None
    source: str = ""  # where they were found, as text


def locate(
    cluster: Cluster, name: str, namespace: str | None = None
) -> tuple[Database, DatabaseCredentials | None]:
    """Return the database with this name, and the credentials of its share if a colleague owns it.

    If you may read the share's Secret and list nothing, that Secret says where the database is.

    Parameters
    ----------
    cluster
        The cluster to search, with your identity.
    name, namespace
        ``NAME`` or ``NAMESPACE/NAME``; `namespace` applies to a plain ``NAME``.

    Raises
    ------
    DatabaseNotFound
        If no database matches, or if several names begin with `name`.
    Forbidden
        If you may list nothing in your own namespace.
    """
    where, bare = discovery.split_name(name, namespace or cluster.namespace)
    if where != cluster.namespace:
        shared = _find_share(cluster, where, bare)
        if shared is not None:
            return shared
    try:
        listed = discovery.databases(cluster, where)
    except Forbidden:
        if where == cluster.namespace:
            raise
        # You may still forward to a database whose name a colleague gave you.
        return discovery.assume_database(cluster, bare, where), None
    return discovery.find(listed, bare, where), None


def find_credentials(
    cluster: Cluster,
    name: str,
    *,
    namespace: str | None = None,
    user: str | None = None,
    url: Secret | None = None,
    ask_password: Callable[[str], str] | None = None,
) -> tuple[Database, DatabaseCredentials]:
    """Return the database with this name, and the credentials to log in with.

    Parameters
    ----------
    cluster
        The cluster to search, with your identity.
    name, namespace
        As for `locate`.
    user
        Log in as this user, with the password that `ask_password` returns.
    url
        A libpq URL with a user and a password, and optionally the database; its host is not used.
    ask_password
        Takes a prompt and returns the password; None if there is no way to ask.

    Raises
    ------
    DatabaseNotFound, DatabaseHibernated
        If the database does not exist, or is paused.
    CredentialsNotFound
        If no Secret can be read and no user is given.
    """
    found, known = locate(cluster, name, namespace)
    discovery.require_usable(found)
    if url is not None:
        used = parse_url(url, found.kind)
    elif user is not None:
        used = ask_credentials(user, found, ask_password)
    else:
        used = known or read_credentials(cluster, found)
    if known is not None:
        used = replace(used, ca=used.ca or known.ca, dbname=used.dbname or known.dbname)
    return found, used


def _find_share(cluster: Cluster, namespace: str, name: str) -> tuple[Database, DatabaseCredentials] | None:
    for me in _list_my_names(cluster):
        try:
            secret = object_reads.secret(cluster, share_keys.share_name(name, me), namespace)
        except Forbidden:
            continue
        found = _parse_share(secret, name) if secret else None
        if found is not None:
            return found
    # It may be shared with a group of yours: the API server lists the Secrets that you may read.
    for _unused, database, used in _list_my_shares(cluster, namespace):
        if database.name == name:
            return database, used
    return None


def read_share(cluster: Cluster, database: Database) -> DatabaseCredentials:
    """Return the current credentials of a database that was shared with you.

    Raises
    ------
    CredentialsNotFound
        If it is not shared with you any more.
    ClusterError
        If the API server cannot be reached.
    """
    found = _find_share(cluster, database.namespace, database.name)
    if found is not None:
        return found[1]
    raise CredentialsNotFound(
        _("{path} is not shared with you any more.", path=database.path),
        why=_(
            "The share has expired, or its owner revoked it; its expiry was {expiry}.",
            expiry=format_datetime(database.until),
        )
        if database.until
        else _("The share has expired, or its owner revoked it."),
        hint=_(
            "ask its owner to run: %share_db {name} --with {me}",
            name=database.name,
            me=next(_list_my_names(cluster)),
        ),
    )


def _parse_share(secret: object_reads.SecretObject, name: str) -> tuple[Database, DatabaseCredentials] | None:
    host, port = _text(secret, share_keys.HOST), _text(secret, share_keys.PORT)
    user, password = _text(secret, share_keys.USER), secret.value(share_keys.PASSWORD)
    kind = secret.annotations.get(share_keys.KIND, "postgres")
    if not (host and user and password) or kind not in discovery.QUERYABLE:
        return None
    database = Database(
        name=name,
        namespace=secret.namespace,
        kind=kind,
        service=host.split(".")[0],
        port=int(port) if port and port.isdecimal() else CHARTS_BY_KIND[kind].port,
        database=_text(secret, share_keys.DBNAME),
        source=N_("shared with you"),
        access=secret.annotations.get(share_keys.ACCESS, share_keys.READ_ONLY),
        until=_parse_time(secret.annotations.get(share_keys.UNTIL, "")),
    )
    return database, DatabaseCredentials(
        user=user,
        password=password,
        dbname=database.database,
        ca=_text(secret, share_keys.CA),
        source=_("the secret {name}", name=secret.name),
    )


def _parse_time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def list_received(cluster: Cluster, namespaces: Iterable[str]) -> list[Database]:
    """Return the databases in colleagues' namespaces that are shared with you, the newest share first.

    Even without the permission to list anything there, you can ask the API server which Secrets you may read by name.
    """
    found: list[tuple[str, Database, DatabaseCredentials]] = []
    for namespace in namespaces:
        with suppress(Forbidden, ServerError):  # the namespace is gone, or you may not even ask about it
            found += _list_my_shares(cluster, namespace)
    found.sort(key=lambda one: one[0], reverse=True)
    return [
        replace(database, state=discovery.read_state(cluster, database)) for _secret, database, _used in found
    ]


def _list_my_shares(cluster: Cluster, namespace: str) -> Iterator[tuple[str, Database, DatabaseCredentials]]:
    for name in permissions.secrets_by_name(cluster, namespace):
        try:
            secret = object_reads.secret(cluster, name, namespace)
        except Forbidden:
            continue
        shared = secret and secret.labels.get(share_keys.DATABASE)
        found = _parse_share(secret, shared) if secret and shared else None
        if secret and found:
            yield secret.created, *found


def _list_my_names(cluster: Cluster) -> Iterator[str]:
    """Yield the names under which a colleague may share with you, the most likely first."""
    mine = share_keys.colleague_name(cluster.namespace)
    yield mine
    try:
        user = permissions.who_am_i(cluster).user
    except ClusterError:
        return
    # The API server prefixes the RBAC name of a user: oidc-bob.
    for other in (user.partition("-")[2], user):
        if other and other != mine and ":" not in other:
            yield other


def read_credentials(cluster: Cluster, database: Database) -> DatabaseCredentials:
    """Return the credentials for a database in a namespace that you administer.

    Raises
    ------
    CredentialsNotFound
        If there is no such Secret, or you may read none.
    """
    refused: Forbidden | None = None
    # The Secrets to try, with the keys of the user and the password.
    chart = CHARTS_BY_KIND.get(database.kind)
    candidates = {
        f"{database.name}-user": ("username", "password"),
        database.name: ("username", "password"),
        f"discoverable-{database.name}": (chart and chart.login) or (f"{database.kind}-username", "password"),
    }
    for name, (user_key, password_key) in candidates.items():
        try:
            secret = object_reads.secret(cluster, name, database.namespace)
        except Forbidden as error:
            refused = refused or error
            continue
        if secret is None:
            continue
        user, password = _text(secret, user_key), secret.value(password_key)
        if user and password and user not in ("postgres", "root"):
            return DatabaseCredentials(user=user, password=password, source=_("the secret {name}", name=name))
    hints = [_("log in with a password: %connect_db {path} --user USER", path=database.path)]
    if database.namespace == cluster.namespace:
        why = refused.what if refused else _("Its chart's Secrets do not exist.")
        hints = [refused.hint, *hints] if refused and refused.hint else hints
    else:
        me = next(_list_my_names(cluster))
        why = _(
            "It is not shared with {me}, or the share has ended: the Secret {share_name} cannot be read.",
            me=me,
            share_name=share_keys.share_name(database.name, me),
        )
        hints = [
            _("ask its owner to run: %share_db {name} --with {me}", name=database.name, me=me),
            _("check the spelling: the answer is the same for a database that does not exist"),
            *hints,
        ]
        if not platforms.current().is_namespace(database.namespace):
            hints.insert(
                0,
                _(
                    "a person's namespace begins with {prefix}: %connect_db {prefix}{namespace}/{name}",
                    prefix=platforms.current().users,
                    namespace=database.namespace,
                    name=database.name,
                ),
            )
    raise CredentialsNotFound(
        _("No user and password can be read for {path}.", path=database.path), why=why, hint="\n".join(hints)
    )


def read_discovery(cluster: Cluster, database: Database) -> tuple[str, DatabaseCredentials | None]:
    """Return the address and the login in the discovery Secret of a database, empty and None if they cannot be read."""
    chart = CHARTS_BY_KIND.get(database.kind)
    try:
        secret = (
            object_reads.secret(cluster, database.secret, database.namespace) if database.secret else None
        )
    except Forbidden:
        secret = None
    if secret is None or chart is None:
        return "", None
    address = _text(secret, f"{chart.prefix}-service") or ""
    if not chart.login:
        return address, None
    user, password = _text(secret, chart.login[0]), secret.value(chart.login[1])
    if not user or not password:
        return address, None
    return address, DatabaseCredentials(
        user=user, password=password, source=_("the secret {name}", name=secret.name)
    )


def authority(cluster: Cluster, database: Database) -> str | None:
    """Return the certificate authority of a CNPG database in PEM; None if it cannot be read."""
    try:
        secret = object_reads.secret(cluster, f"{database.name}-ca", database.namespace)
    except ClusterError:
        return None
    return _text(secret, "ca.crt") if secret else None


@without_frames
def ask_credentials(
    user: str, database: Database, ask_password: Callable[[str], str] | None
) -> DatabaseCredentials:
    """Return the credentials of a user, with a password that is typed.

    Raises
    ------
    CredentialsNotFound
        If there is no way to ask, or nothing was typed.
    """
    if ask_password is None:
        raise CredentialsNotFound(
            _("The user {user} needs a password, and it cannot be typed here.", user=user),
            hint=_("put a URL into an environment variable VAR, then use --url-env VAR"),
        )
    password = ask_password(_("Password of {user} on {path}: ", user=user, path=database.path))
    if not password:
        raise CredentialsNotFound(
            _("No password was typed."),
            hint=_("connect again: %connect_db {path} --user {user}", path=database.path, user=user),
        )
    return DatabaseCredentials(user=user, password=_password(password), source=_("typed"))


def _password(value: str) -> Secret:
    return check_secret(
        value, Form.PASSWORD, lambda why: UsageProblem(_("The password cannot be used."), why=why)
    )


@without_frames
def parse_url(url: Secret, kind: str = "postgres") -> DatabaseCredentials:
    """Return the credentials in a URL, or in libpq's ``key=value`` string for PostgreSQL.

    Raises
    ------
    UsageProblem
        If it cannot be parsed, or if it has no user or password. The error never quotes it.
    """
    if kind != "postgres":
        return _parse_other_url(url, kind)
    form = _("write postgresql://USER:PASSWORD@HOST/DATABASE, with special characters as %XX")
    try:
        parts = conninfo_to_dict(url.reveal())
    except (psycopg.Error, UnicodeError):
        parts = None
    if parts is None:
        raise UsageProblem(_("libpq cannot parse the URL."), hint=form)
    if not parts.get("user") or not parts.get("password"):
        raise UsageProblem(_describe_missing(parts), hint=form)
    dbname = parts.get("dbname")
    return DatabaseCredentials(
        user=str(parts["user"]),
        password=_password(str(parts["password"])),
        dbname=str(dbname) if dbname else None,
        source=_("a URL"),
    )


@without_frames
def _parse_other_url(url: Secret, kind: str) -> DatabaseCredentials:
    form = _("write {kind}://USER:PASSWORD@HOST/DATABASE, with special characters as %XX", kind=kind)
    try:
        split = urlsplit(url.reveal())
        parts = {"user": unquote(split.username or ""), "password": unquote(split.password or "")}
    except ValueError:
        parts = {}
    if not parts.get("user") or not parts.get("password"):
        raise UsageProblem(_describe_missing(parts), hint=form)
    return DatabaseCredentials(
        user=parts["user"],
        password=_password(parts["password"]),
        dbname=unquote(split.path.strip("/")) or None,
        source=_("a URL"),
    )


def _describe_missing(parts: Mapping[str, object]) -> str:
    if parts.get("user"):
        return _("The URL has no password.")
    return _("The URL has no user.") if parts.get("password") else _("The URL has no user and no password.")


def _text(secret: object_reads.SecretObject, key: str) -> str | None:
    value = secret.value(key)
    return value.reveal() if value else None
