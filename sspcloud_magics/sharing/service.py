"""Service for an owner's shares: a request becomes a plan, and a plan a result.

It needs a cluster and a function that opens a database as its superuser, so sessions, scripts and tests can all use it.
The state of shares is in the cluster and in the database; the service keeps none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing as closed_behind
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.workloads.tables import ResourceTable
from sspcloud_magics.databases import discovery, kinds
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import (
    DatabaseHibernated,
    DatabaseNotFound,
    Forbidden,
    QueryFailed,
    ServerError,
    SspcloudError,
    TargetNotFound,
    UsageProblem,
)
from sspcloud_magics.i18n import _, format_list
from sspcloud_magics.sharing import revoke, role_sql
from sspcloud_magics.sharing.apply import ShareResult, apply_plan
from sspcloud_magics.sharing.colleagues import find_colleague
from sspcloud_magics.sharing.durations import parse_duration
from sspcloud_magics.sharing.excess_privileges import narrow
from sspcloud_magics.sharing.inventory import (
    Inventory,
    Share,
    ShareRole,
    list_roles,
    list_shares,
    take_inventory,
)
from sspcloud_magics.sharing.plan import SharePlan, ShareRequest, add_preview, make_plan, require_rights
from sspcloud_magics.sharing.revoke import RevokeResult
from sspcloud_magics.sharing.table import share_table

if TYPE_CHECKING:
    from sspcloud_magics.databases.mariadb.connection import MariadbConnection
    from sspcloud_magics.sharing.mariadb import MariadbPlan

_ATTEMPTS = 3
"""Most plans made in a row when another session renews an ended share before its removal."""

Progress = Callable[[str], None]
ListShares = Callable[[Cluster, str | None], list[Share]]


class Connect(Protocol):
    """Function that opens a database of the owner's server as its superuser."""

    def __call__(self, database: Database, dbname: str | None = None) -> Any:
        """Connect to the database of the release, or to another one of the same server."""


def make_request(
    colleagues: str | Iterable[str],
    *,
    read_write: bool = False,
    create: bool = False,
    schemas: Sequence[str] = (),
    duration: str | timedelta = "7d",
    via: str = "forward",
    reason: str = "",
    for_kubectl: bool = False,
    prefix: str | None = None,
) -> ShareRequest:
    """Parse a share request.

    Raises
    ------
    UsageProblem
        If an argument is invalid, or two of them contradict each other.
    """
    if via not in ("forward", "network", "network-only"):
        raise UsageProblem(
            _("{via!r} is not a value of --via.", via=via),
            hint=_("--via forward, --via network or --via network-only"),
        )
    if create and not read_write:
        raise UsageProblem(
            _("Creating in the shared schemas requires read-write access."), hint="--read-write --create"
        )
    return ShareRequest(
        colleagues=split_names(colleagues),
        read_write=read_write,
        create=create,
        schemas=tuple(schemas),
        duration=parse_duration(duration) if isinstance(duration, str) else duration,
        network=via != "forward",
        forward=via != "network-only",
        for_kubectl=for_kubectl,
        reason=reason,
        prefix=prefix,
    )


def split_names(given: str | Iterable[str]) -> tuple[str, ...]:
    """Split a string, or an iterable of strings, into account names; those of a set are sorted."""
    texts = [given] if isinstance(given, str) else list(given)
    if hasattr(given, "columns") or not all(isinstance(text, str) for text in texts):
        raise UsageProblem(
            _(
                "Names of colleagues are strings, but this {name} has other values.",
                name=type(given).__name__,
            ),
            hint=_('name one column without missing values: df["account"].dropna()'),
        )
    names = [name for text in texts for name in re.split(r"[\s,;]+", text) if name]
    return tuple(sorted(names) if isinstance(given, set | frozenset) else names)


def mariadb_shares() -> ModuleType:
    """Return the module for shares of MariaDB, which needs its library."""
    kinds.get("mariadb")
    from sspcloud_magics.sharing import mariadb  # noqa: PLC0415 - at first use

    return mariadb


@dataclass(frozen=True, slots=True)
class SharingService:
    """The shares of one owner.

    Parameters
    ----------
    cluster
        The owner's cluster.
    connect
        Opens a database as its superuser.
    """

    cluster: Cluster
    connect: Connect

    def preview(self, name: str, request: ShareRequest, progress: Progress) -> SharePlan | MariadbPlan:
        """Plan a share without doing anything."""
        if (mariadb := self._find_mariadb(name)) is not None:
            with self._plan_mariadb(mariadb, request, progress) as (_server, planned):
                return planned
        with self._plan(name, request, progress) as (connection, plan):
            return add_preview(plan, connection, partial(self.connect, plan.database))

    def share(self, name: str, request: ShareRequest, progress: Progress) -> ShareResult:
        """Share a database with colleagues, after removing the remains of ended shares."""
        if (mariadb := self._find_mariadb(name)) is not None:
            with self._plan_mariadb(mariadb, request, progress) as (server, planned):
                result: ShareResult = mariadb_shares().apply_plan(self.cluster, server, planned, progress)
                return result
        removed: list[RevokeResult] = []
        for _unused in range(_ATTEMPTS):
            with self._plan(name, request, progress) as (connection, plan):
                opener = partial(self.connect, plan.database)
                done = revoke.remove_ended(self.cluster, connection, opener, plan.ended)
                removed += done
                # If an ended share was renewed after planning, the plan would treat its schema as the owner's.
                if len(done) == len(plan.ended):
                    return apply_plan(self.cluster, connection, plan, removed, progress)
        raise ServerError(
            _("Another session of yours keeps changing the shares of {name}.", name=name),
            hint=_("wait until it is done, then run the same command again"),
        )

    @contextmanager
    def _plan(
        self, name: str, request: ShareRequest, progress: Progress
    ) -> Iterator[tuple[DatabaseConnection, SharePlan]]:
        database = self.find(name)
        progress(_("reading the shares of {name}", name=database.name))
        require_rights(self.cluster, database.namespace, network=request.network)
        with closed_behind(self.connect(database)) as connection:
            inventory = take_inventory(self.cluster, connection, database)
            yield connection, make_plan(self.cluster, connection, request, inventory)

    def _find_mariadb(self, name: str) -> Database | None:
        """Return the database if it is MariaDB."""
        found = self.find(name)
        return found if found.kind == "mariadb" else None

    @contextmanager
    def _plan_mariadb(
        self, database: Database, request: ShareRequest, progress: Progress
    ) -> Iterator[tuple[MariadbConnection, MariadbPlan]]:
        progress(_("reading the shares of {name}", name=database.name))
        require_rights(self.cluster, database.namespace, network=request.network)
        server: Any
        with closed_behind(self.connect(database)) as server:
            inventory = mariadb_shares().take_inventory(self.cluster, server, database)
            yield server, mariadb_shares().make_plan(self.cluster, server, request, inventory)

    def schemas(self, name: str) -> list[str]:
        """List the schemas of a database that can be shared."""
        connection: Any
        with closed_behind(self.connect(database := self.find(name))) as connection:
            if database.kind == "mariadb":
                names: list[str] = mariadb_shares().schemas(connection)
                return names
            return [schema for (schema,) in connection.psycopg.execute(role_sql.SCHEMAS).fetchall()]

    def tabulate(
        self, name: str | None, namespace: str | None, more: ListShares = lambda _cluster, _namespace: []
    ) -> ResourceTable:
        """List the shares of one database or of all, and `more` shares; revoke excess privileges."""
        if name is not None:
            namespace, name = discovery.split_name(name, namespace or self.cluster.namespace)
        databases = discovery.databases(self.cluster, namespace)
        listed = _mark_orphans(list_shares(self.cluster, name, namespace), databases)
        if name is not None and not listed:
            name = discovery.find(databases, name, str(namespace)).name
            listed = _mark_orphans(list_shares(self.cluster, name, namespace), databases)
        known: dict[tuple[str, str], ShareRole] = {}
        notes: list[str] = []
        for database, connection in self._connect_each(databases, name, []):
            shares = [share for share in listed if share.database == database.name]
            if database.kind == "mariadb":
                inventory = Inventory(database, mariadb_shares().list_users(connection), shares)
            else:
                inventory = Inventory(database, list_roles(connection), shares)
            known |= {(database.name, role.name): role for role in inventory.roles}
            listed += [each.share for each in inventory.left_behind]
            if database.kind == "mariadb":
                continue
            try:
                notes += narrow(connection, inventory.creators)
            except QueryFailed as error:
                notes.append(f"{error.what} {error.why}")
        table = share_table([*listed, *more(self.cluster, namespace)], known)
        if notes:
            table.attrs["notes"] = notes
        return table

    def revoke(
        self, name: str, colleagues: str | Iterable[str] | None, progress: Progress
    ) -> list[RevokeResult]:
        """Revoke the shares of a database with these colleagues, or all of them if None.

        The remains of ended shares are removed too. If the database cannot be reached, the permissions in the cluster are
        revoked anyway.
        """
        namespace, bare = discovery.split_name(name, self.cluster.namespace)
        named = () if colleagues is None else split_names(colleagues)
        database: Database | None = None
        try:
            database = discovery.find(self._databases(namespace), bare, namespace)
        except DatabaseNotFound as error:
            unknown = error
        else:
            bare = database.name
        shares = list_shares(self.cluster, bare, namespace)
        shared_with = {share.colleague for share in shares}
        accounts = {find_colleague(word, shared_with) for word in named}
        chosen = [share for share in shares if colleagues is None or share.colleague in accounts]
        if database is not None:
            results = self._revoke(database, chosen, progress)
        elif chosen:
            results = [revoke.revoke_in_cluster(self.cluster, share, "") for share in chosen]
        else:
            raise self._detect_swap(bare, named) or unknown
        revoked = {each.share.colleague for each in results if each.share is not None}
        missing = sorted(accounts - revoked)
        if missing:
            left = [share for share in shares if share.colleague not in revoked]
            raise TargetNotFound(
                _("{bare} is not shared with {missing}.", bare=bare, missing=format_list(missing, "or")),
                why=" ".join(each.words for each in results),
                hint="\n".join(
                    f"%unshare {bare} {share.colleague}"  # not translated: a command
                    for share in left
                )
                or _("%shares   lists your shares"),
            )
        return results

    def _revoke(self, database: Database, chosen: Sequence[Share], progress: Progress) -> list[RevokeResult]:
        try:
            discovery.require_usable(database)
            connection = self.connect(database)
        except SspcloudError as error:
            if not chosen:
                raise
            return [revoke.revoke_in_cluster(self.cluster, share, error.what) for share in chosen]
        results: list[RevokeResult] = []
        with closed_behind(connection):
            for share in chosen:
                progress(_("revoking the share with {colleague}", colleague=share.colleague))
                if database.kind == "mariadb":
                    results.append(mariadb_shares().revoke_share(self.cluster, share, connection))
                    continue
                opener = partial(self.connect, database)
                results.append(revoke.revoke_share(self.cluster, share, connection, opener))
            return results + self._clean_up(connection, database)

    def _clean_up(self, connection: Any, database: Database) -> list[RevokeResult]:
        """Remove the remains of ended shares, and revoke excess privileges."""
        if database.kind == "mariadb":
            found = mariadb_shares().take_inventory(self.cluster, connection, database)
            removed: list[RevokeResult] = mariadb_shares().remove_ended(self.cluster, connection, found.ended)
            return removed
        ended = take_inventory(self.cluster, connection, database).ended
        results = revoke.remove_ended(self.cluster, connection, partial(self.connect, database), ended)
        remaining = Inventory(database, (), list_shares(self.cluster, database.name, database.namespace))
        narrowed = narrow(connection, remaining.creators)
        return [*results, RevokeResult(notes=narrowed)] if narrowed else results

    def remove_ended(self, name: str | None, progress: Progress) -> list[RevokeResult]:
        """Remove the remains of ended shares and of deleted databases, for all databases or one."""
        databases = discovery.databases(self.cluster)
        listed = _mark_orphans(list_shares(self.cluster), databases)
        if name is not None:
            namespace, name = discovery.split_name(name, self.cluster.namespace)
            if name not in {share.database for share in listed}:  # a deleted database is known by its shares
                name = discovery.find(self._databases(namespace), name, namespace).name
        results = [
            revoke.revoke_in_cluster(self.cluster, share, "")
            for share in listed
            if share.state == "orphaned" and name in (None, share.database)
        ]
        errors: list[SspcloudError] = []
        for database, connection in self._connect_each(databases, name, errors):
            progress(_("looking for ended shares of {name}", name=database.name))
            results += self._clean_up(connection, database)
        if errors and not results:
            raise errors[0]  # an empty result would claim that there is nothing to remove
        return results

    def revoke_hint(self, name: str) -> str:
        """Return the commands that revoke the shares which a word names, as colleague or database."""
        fitting = [
            share
            for share in list_shares(self.cluster)
            if name in (share.colleague, share.database, f"{share.namespace}/{share.database}")
        ]
        lines = [
            f"%unshare {share.database} {share.colleague}"  # not translated: a command
            for share in fitting
        ]
        databases = dict.fromkeys(share.database for share in fitting)
        lines += [f"%unshare {database} --all" for database in databases]  # not translated: a command
        return "\n".join(lines)

    def find(self, name: str) -> Database:
        """Find a database of the owner that accepts connections."""
        namespace, bare = discovery.split_name(name, self.cluster.namespace)
        found = discovery.find(self._databases(namespace), bare, namespace)
        discovery.require_usable(found)
        if found.kind == "mongodb":
            raise UsageProblem(
                _("{path} is MongoDB, whose users this package does not create.", path=found.path),
                why=_("The network and a forward can be shared; its users are the owner's."),
                hint=_(
                    "%share svc/{service} --with bob   opens the port to a colleague\n"
                    'db.createUser({{user: "bob", …, roles: ["read"]}})   creates their user, in mongosh',
                    service=found.service,
                ),
            )
        return found

    def _databases(self, namespace: str) -> Sequence[Database]:
        """List the databases of a namespace, which only its owner can share."""
        try:
            return discovery.databases(self.cluster, namespace)
        except Forbidden as error:
            if namespace == self.cluster.namespace:
                raise
            raise Forbidden(
                _(
                    "Only the owner of {namespace} can share its databases and revoke the shares.",
                    namespace=namespace,
                ),
                why=error.what,
                hint=_(
                    "%databases -n {namespace}   lists the databases that you can share",
                    namespace=self.cluster.namespace,
                ),
            ) from None

    def _detect_swap(self, name: str, colleagues: Sequence[str]) -> DatabaseNotFound | None:
        """Return the error for a colleague and a database in the wrong order, if they are."""
        for share in list_shares(self.cluster):
            if share.colleague == name and share.database in colleagues:
                return DatabaseNotFound(
                    _("{name} is a colleague, not a database.", name=name),
                    hint=f"%unshare {share.database} {name}",  # not translated: a command
                )
        return None

    def _connect_each(
        self, databases: Sequence[Database], name: str | None, errors: list[SspcloudError]
    ) -> Iterator[tuple[Database, Any]]:
        """Yield the databases that accept a superuser's login, each with its connection.

        Errors of the others are appended to `errors`. Hibernated databases and those of other kinds are skipped.
        """
        for database in databases:
            if name not in (None, database.name):
                continue
            try:
                discovery.require_usable(database)
                if database.kind == "mongodb":
                    continue
                connection = self.connect(database)
            except (DatabaseHibernated, UsageProblem):
                continue
            except SspcloudError as error:
                errors.append(error)
                continue
            with closed_behind(connection):
                yield database, connection


def _mark_orphans(shares: Sequence[Share], databases: Sequence[Database]) -> list[Share]:
    """Mark the shares whose database no longer exists."""
    names = {database.name for database in databases}
    return [share if share.database in names else replace(share, orphaned=True) for share in shares]
