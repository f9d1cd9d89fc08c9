"""Shares of MariaDB: a plan, its application, the inventory of users, and their removal.

The cluster's half is the same as for PostgreSQL: a Job with its Secret, Role and RoleBinding. In MariaDB, a share is a user
(`mariadb_sql`). The Job does not end it: the user remains until the owner's next command, which finds it by its mark.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pymysql
from pymysql.constants import ER

from sspcloud_magics.cluster.api.resources import JOBS
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests import object_reads, object_writes
from sspcloud_magics.databases import credentials
from sspcloud_magics.databases.credentials import DatabaseCredentials
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.mariadb import errors
from sspcloud_magics.databases.mariadb.connection import MariadbConnection
from sspcloud_magics.databases.mariadb.literals import quote_name
from sspcloud_magics.errors import CredentialsNotFound, Forbidden, QueryFailed, UsageProblem
from sspcloud_magics.forwards.manager import ForwardManager
from sspcloud_magics.i18n import _, _n, format_list, quote_words
from sspcloud_magics.secret import HIDDEN, Secret
from sspcloud_magics.share_keys import role_name
from sspcloud_magics.sharing import advisories, mariadb_sql, rendering
from sspcloud_magics.sharing.apply import ShareResult, apply_shares
from sspcloud_magics.sharing.inventory import EndedShare, Inventory, Share, ShareRole, list_shares
from sspcloud_magics.sharing.manifests import PlannedShare
from sspcloud_magics.sharing.plan import ClusterPlan, ShareRequest, find_colleagues, plan_shares
from sspcloud_magics.sharing.revoke import RevokeResult, delete_objects, has_ended
from sspcloud_magics.sharing.role_sql import Privileges
from sspcloud_magics.spelling import nearest

# The Secrets with root's password, and the key in each.
_PLACES = (("{}", "mariadb-root-password"), ("discoverable-{}", "mariadb-password"))
_END_SECONDS = 10.0
"""Longest wait for the end of a colleague's sessions."""
_POLL_SECONDS = 0.1
# The first part of a name with a dot, as the server writes it.
_QUALIFIER = re.compile(r"`((?:[^`]|``)+)`\.`")


def open_as_root(cluster: Cluster, manager: ForwardManager, database: Database) -> MariadbConnection:
    """Connect to the owner's server as root, the only login that can create users.

    Raises
    ------
    CredentialsNotFound
        If root's password does not exist or may not be read.
    """
    searched: list[str] = []
    for pattern, key in _PLACES:
        name = pattern.format(database.name)
        searched.append(f"{name} ({key})")
        try:
            found = object_reads.secret(cluster, name, database.namespace)
        except Forbidden as error:
            raise CredentialsNotFound(
                _("You may not read root's password of {path}.", path=database.path),
                why=error.what,
                hint=error.hint,
            ) from None
        password = found.value(key) if found else None
        if password:
            used = DatabaseCredentials(user="root", password=password, source=name)
            return MariadbConnection.open(cluster, manager, database, used)
    raise CredentialsNotFound(
        _("Root's password of {path} was not found.", path=database.path),
        why=_(
            "Only root can create a colleague's user. Secrets searched: {names}.", names=", ".join(searched)
        ),
        hint=_("share a database that its chart's discovery Secret describes: %databases lists them"),
    )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MariadbPlan(ClusterPlan):
    """The objects and SQL to remove and to create.

    Parameters
    ----------
    owner
        The chart's user.
    """

    owner: str

    def statements(self, share: PlannedShare, verifier: str) -> list[str]:
        """Build the SQL of one share."""
        privileges = share.privileges
        first = mariadb_sql.lock(share.role) if share.exists else []
        return [
            *first,
            *mariadb_sql.create(share.role, verifier),
            *mariadb_sql.grant(share.role, privileges.schemas, self.owner, read_write=privileges.read_write),
        ]

    def sql(self) -> str:
        """Format the statements to run."""
        parts = []
        for each in self.ended:
            parts.append(_("-- The remains of the share with {colleague}", colleague=each.share.colleague))
            parts += [f"{line};" for line in _removal(each.share.role)]
        for share in self.shares:
            parts.append(_("-- The share with {name}", name=share.colleague.name))
            parts += [f"{line};" for line in self.statements(share, HIDDEN)]
        return "\n".join(parts)


def make_plan(
    cluster: Cluster, connection: MariadbConnection, request: ShareRequest, inventory: Inventory
) -> MariadbPlan:
    """Plan a request, for this server as it is once the ended shares are removed.

    Raises
    ------
    UsageProblem
        If a colleague's name or a database is invalid, or a user of that name exists that no share created.
    """
    if request.create:
        raise UsageProblem(
            _("--create is for PostgreSQL: in MariaDB, creating in a shared database includes dropping its tables."),
            hint=_("leave it out: with --read-write, a colleague creates tables in a database of their own"),
        )  # fmt: skip
    database, ended = inventory.database, inventory.ended
    colleagues, notes = find_colleagues(cluster, request.colleagues, request.prefix, database.namespace)
    roles = [role_name(colleague.name) for colleague in colleagues]
    _refuse_unmarked(connection, roles, {role.name for role in inventory.roles})
    _refuse_code(connection, roles)
    every = tuple(schemas(connection))
    chosen = _choose(request.schemas or (connection.dbname,), every)
    owner = credentials.read_credentials(cluster, database).user
    gone = {each.share.role for each in ended}
    existing = {role.name for role in inventory.roles} - gone
    privileges = Privileges(
        role="",
        dbname=chosen[0],
        schemas=chosen,
        owners=(owner,),
        schema_owner=owner,
        read_write=request.read_write,
    )
    shares, more = plan_shares(
        cluster, request, inventory, colleagues, existing=existing, privileges=privileges
    )
    notes += [advisories.warn_spelling(colleagues), _describe_end(roles)]
    notes += [*more, *_warn_public(connection), *_warn_views(connection, chosen, every)]
    if request.read_write:
        notes += _warn_triggers(connection, chosen)
        notes.append(
            _(
                "They may change and delete every row of {schemas}, and create tables in {own}, which stay with you. "
                "They create no views, procedures, triggers or events, and call none of your procedures.",
                schemas=format_list(chosen),
                own=format_list(roles),
            )
        )
    return MariadbPlan(
        database=database,
        shares=shares,
        schemas=every,
        network=request.network,
        notes=rendering.sort_notes(notes),
        ended=tuple(ended),
        owner=owner,
    )


def apply_plan(
    cluster: Cluster,
    connection: MariadbConnection,
    plan: MariadbPlan,
    progress: Callable[[str], None],
) -> ShareResult:
    """Remove ended shares, then create, complete or renew the shares of a plan.

    Raises
    ------
    Forbidden
        If a permission in the namespace is missing.
    QueryFailed
        If the server refuses a statement.
    """
    removed = remove_ended(cluster, connection, plan.ended)
    notes = [*(each.words for each in removed), *plan.notes]
    ensure_user = partial(_ensure_user, connection, plan)
    return apply_shares(cluster, plan, None, ensure_user, notes=notes, progress=progress)


def _ensure_user(
    connection: MariadbConnection, plan: MariadbPlan, share: PlannedShare, password: Secret
) -> list[str]:
    """Create or renew the user. It cannot log in before its privileges are those of the share."""
    with connection.turn, _refusal(share.role):
        connection.ready()
        _refuse_code(connection, [share.role])
        if _select(connection, mariadb_sql.ALL_USERS, share.role):
            _lock_out(connection, share.role)
        privileges = share.privileges
        notes = _detach(connection, share.role, privileges.schemas if privileges.read_write else ())
        for statement in plan.statements(share, mariadb_sql.make_verifier(password)):
            if statement not in mariadb_sql.lock(share.role):
                connection.execute(statement)
    return notes


def _detach(connection: MariadbConnection, role: str, kept: Sequence[str] = ()) -> list[str]:
    """Remove what gives a user tables outside of its own database and of those in `kept`; return notes on it."""
    tables = [
        quote_name(str(name))
        for (name,) in _select(connection, mariadb_sql.MERGES.format(role))
        if _find_parts(connection, role, str(name)) - {role, *kept}
    ]
    keys = [
        (quote_name(str(table)), quote_name(str(name)))
        for table, name, target in _select(connection, mariadb_sql.REFERENCES.format(role))
        if target not in (role, *kept)
    ]
    for table in tables:
        connection.execute(f"DROP TABLE {quote_name(role)}.{table}")
    for table, name in keys:
        connection.execute(f"ALTER TABLE {quote_name(role)}.{table} DROP FOREIGN KEY {name}")
    removed = [*tables, *(f"{table} ({name})" for table, name in keys)]
    if not removed:
        return []
    return [
        _(
            "Removed from the database {role}, because it reached into other databases: {names}.",
            role=role,
            names=format_list(removed),
        )
    ]


def _find_parts(connection: MariadbConnection, role: str, table: str) -> set[str]:
    """Return the databases of the tables of a MERGE table, except its own; a missing table may be created anywhere."""
    try:
        ((_name, text),) = _select(connection, f"SHOW CREATE TABLE {quote_name(role)}.{quote_name(table)}")
    except pymysql.Error as error:
        return {""} if errors.number_of(error) == ER.WRONG_MRG_TABLE else set()
    return _find_qualifiers(str(text))


def _find_qualifiers(text: str) -> set[str]:
    return {name.replace("``", "`") for name in _QUALIFIER.findall(text)}


def take_inventory(cluster: Cluster, connection: MariadbConnection, database: Database) -> Inventory:
    """Read the shares of a database and the users of its server."""
    users = list_users(connection)
    return Inventory(database, users, list_shares(cluster, database.name, database.namespace))


def list_users(connection: MariadbConnection) -> list[ShareRole]:
    """List the server's users of shares, with their sessions."""
    now = datetime.now(UTC)
    return [
        ShareRole(str(name), int(count), None, now) for name, count in _select(connection, mariadb_sql.USERS)
    ]


def schemas(connection: MariadbConnection) -> list[str]:
    """List the databases of the server that can be shared."""
    return [str(name) for (name,) in _select(connection, mariadb_sql.SCHEMAS)]


def revoke_share(cluster: Cluster, share: Share, connection: MariadbConnection) -> RevokeResult:
    """Revoke a share: its sessions end at once, and what the colleague wrote stays.

    Raises
    ------
    Forbidden
        If a permission in the namespace is missing.
    QueryFailed
        If the server refuses a statement.
    """
    with connection.turn, _refusal(share.role):
        connection.ready()
        sessions = _lock_out(connection, share.role)
    delete_objects(cluster, share)
    notes = _remove_user(connection, share.role)
    object_writes.delete_object(cluster, JOBS, share.name, share.namespace)
    return RevokeResult(share=share, sessions=sessions, notes=tuple(notes))


def remove_ended(
    cluster: Cluster, connection: MariadbConnection, ended: Iterable[EndedShare]
) -> list[RevokeResult]:
    """Remove the remains of ended shares; those that were renewed since are left alone."""
    return [
        revoke_share(cluster, each.share, connection)
        for each in ended
        if (each.valid_until is None and has_ended(cluster, each.share))
        or (each.valid_until is not None and not _is_shared(cluster, each.share))
    ]


def _is_shared(cluster: Cluster, share: Share) -> bool:
    """Whether a share exists of which only the user was left."""
    shares = list_shares(cluster, share.database, share.namespace)
    return any(each.role == share.role for each in shares)


def _removal(role: str) -> list[str]:
    return [*mariadb_sql.lock(role), mariadb_sql.drop(role)]


def _lock_out(connection: MariadbConnection, role: str) -> int:
    """Bar a user from new logins, end its sessions, and return their number."""
    if not _select(connection, mariadb_sql.ALL_USERS, role):
        return 0
    connection.execute(mariadb_sql.lock(role)[0])
    return _end_sessions(connection, role)


def _end_sessions(connection: MariadbConnection, role: str) -> int:
    """End the sessions of a user that cannot log in, and return their number."""
    first = left = _count_sessions(connection, role)
    until = time.monotonic() + _END_SECONDS
    while left:
        if time.monotonic() > until:
            raise QueryFailed(
                _("The sessions of {role} did not end.", role=role),
                hint=_("the colleague is locked out; run the same command again in a minute"),
            )
        connection.execute(mariadb_sql.lock(role)[1])
        time.sleep(_POLL_SECONDS)
        left = _count_sessions(connection, role)
    return first


def _count_sessions(connection: MariadbConnection, role: str) -> int:
    sql = f"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '{role}'"  # noqa: S608 - names have no quotes
    ((count,),) = _select(connection, sql)
    return int(count)


def _remove_user(connection: MariadbConnection, role: str) -> list[str]:
    """Drop a user that is locked out, and return notes on what it has left."""
    with connection.turn, _refusal(role):
        connection.ready()
        code = _list_code(connection, {role})
        notes = _detach(connection, role)
        connection.execute(mariadb_sql.drop(role))
        _end_sessions(connection, role)  # of a login that was under way when the user was barred
        prepared = len(_select(connection, "XA RECOVER"))
    if code:
        notes.append(
            _(
                "Code that {role} defined no longer runs, and should be dropped: {code}.",
                role=role,
                code=format_list(code),
            )
        )
    if prepared:
        notes.append(
            _n(
                "The server holds {count} prepared transaction, which may be the colleague's and keeps its locks: "
                "XA RECOVER lists it, and XA ROLLBACK ends it.",
                "The server holds {count} prepared transactions, which may be the colleague's and keep their locks: "
                "XA RECOVER lists them, and XA ROLLBACK ends them.",
                prepared,
            )
        )
    return notes


def _describe_end(roles: Sequence[str]) -> str:
    return rendering.Risk(
        _n(
            "MariaDB's logins have no expiry. When the share ends, new tunnels are refused, but the user {names} remains "
            "until your next %share_db or %unshare, and may log in where a tunnel or the network is open to it.",
            "MariaDB's logins have no expiry. When the share ends, new tunnels are refused, but the users {names} remain "
            "until your next %share_db or %unshare, and may log in where a tunnel or the network is open to them.",
            len(roles),
            names=format_list(roles),
        )
    )


def _warn_public(connection: MariadbConnection) -> list[str]:
    names = [str(name) for (name,) in _select(connection, mariadb_sql.PUBLIC)]
    if not names:
        return []
    return [
        rendering.Risk(_("Every user of the server has privileges in: {names}.", names=format_list(names)))
    ]


def _warn_views(connection: MariadbConnection, chosen: Sequence[str], every: Sequence[str]) -> list[str]:
    """Name the views through which colleagues read more than what is shared."""
    hidden = set(every) - set(chosen)
    found = [
        f"{schema}.{name}"
        for schema, name, text in _select(connection, mariadb_sql.VIEWS)
        if schema in chosen and hidden & _find_qualifiers(str(text))
    ]
    if not found:
        return []
    return [
        rendering.Risk(
            _(
                "Views read other databases with their definer's privileges, for colleagues too: {views}.",
                views=format_list(found),
            )
        )
    ]


def _warn_triggers(connection: MariadbConnection, chosen: Sequence[str]) -> list[str]:
    found = [
        f"{schema}.{name}" for schema, name in _select(connection, mariadb_sql.TRIGGERS) if schema in chosen
    ]
    if not found:
        return []
    return [
        rendering.Risk(
            _(
                "Triggers run with their definer's privileges when colleagues change rows: {triggers}.",
                triggers=format_list(found),
            )
        )
    ]


def _choose(typed: Sequence[str], every: Sequence[str]) -> tuple[str, ...]:
    for name in typed:
        if name not in every:
            near = nearest(name, every)
            raise UsageProblem(
                _("There is no database {name} on this server.", name=repr(name)),
                hint=_("did you mean {near}?", near=near)
                if near
                else _("choose from: {names}", names=", ".join(every)),
            )
    return tuple(dict.fromkeys(typed))


def _refuse_unmarked(connection: MariadbConnection, roles: Sequence[str], marked: AbstractSet[str]) -> None:
    """Refuse to take over a user of that name that no share created."""
    known = {str(name) for (name,) in _select(connection, mariadb_sql.ALL_USERS)}
    for role in roles:
        if role in known - marked:
            raise UsageProblem(
                _("The server already has a user {role} that no share created.", role=role),
                why=_("A share would change its password, and drop it at the end."),
                hint=_("rename it, or drop it, then share again"),
            )


def _refuse_code(connection: MariadbConnection, roles: Sequence[str]) -> None:
    """Refuse a user that is the definer of code: the code would run with the new user's privileges."""
    code = _list_code(connection, set(roles))
    if code:
        raise UsageProblem(
            _("Code on the server would run with a colleague's privileges: {code}.", code=format_list(code)),
            why=_("Its definer has the name of the colleague's user."),
            hint=_("drop it, or create it again as another user"),
        )


def _list_code(connection: MariadbConnection, roles: AbstractSet[str]) -> list[str]:
    found = _select(connection, mariadb_sql.CODE)
    return [str(name) for definer, name in found if str(definer).partition("@")[0] in roles]


def _select(connection: MariadbConnection, sql: str, only: str | None = None) -> list[tuple[Any, ...]]:
    """Return the rows of a query of this package's; with `only`, those whose first value it is."""
    with connection.turn:
        session, _notes = connection.ready()
        cursor = session.cursor()
        connection.run(lambda: cursor.execute(sql))
        rows = [tuple(row) for row in cursor.fetchall()]
    return rows if only is None else [row for row in rows if row[0] == only]


@contextmanager
def _refusal(role: str) -> Iterator[None]:
    """Raise the server's errors in a block as `QueryFailed`."""
    try:
        yield
    except pymysql.Error as error:
        raise QueryFailed(
            _("The server refuses a change of the user {role}.", role=role),
            why=quote_words(errors.message_of(error)),
            hint=_("repair the cause, then run the same command again"),
        ) from None
