"""The owner's shares: what they ask for becomes a plan, and the plan a result.

All of it works on a cluster and on what opens a database as its superuser, so that a session, a script and a test
use the same. Whatever a share is lives in the cluster and in the database: the service keeps nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing as closed_behind
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Protocol

from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.workloads.tables import ResourceTable
from sspcloud_magics.databases import discovery
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
from sspcloud_magics.sharing import revoke, role_sql
from sspcloud_magics.sharing.apply import ShareResult, apply_plan
from sspcloud_magics.sharing.colleagues import colleague_named
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

_ATTEMPTS = 3
"""Plans that are made until none of the ended shares is renewed before it is removed."""

Progress = Callable[[str], None]


class Connect(Protocol):
    """What opens a database of the owner's server as its superuser."""

    def __call__(self, database: Database, dbname: str | None = None) -> DatabaseConnection:
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
    """Return what an owner asks for, from what they typed.

    Raises
    ------
    UsageProblem
        If a name or the duration is not one, or two of the words contradict each other.
    """
    if via not in ("forward", "network", "network-only"):
        raise UsageProblem(
            f"{via!r} is not a way to share.", hint="--via forward, --via network or --via network-only"
        )
    if create and not read_write:
        raise UsageProblem(
            "Creating in the shared schemas is a part of writing.", hint="--read-write --create"
        )
    return ShareRequest(
        colleagues=account_names(colleagues),
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


def account_names(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return the names in a text, or in what holds texts; those of a set in alphabetical order."""
    texts = [given] if isinstance(given, str) else list(given)
    if hasattr(given, "columns") or not all(isinstance(text, str) for text in texts):
        raise UsageProblem(
            f"Colleagues are named by texts, and this {type(given).__name__} holds other values.",
            hint='name one column without missing values: df["account"].dropna()',
        )
    names = [name for text in texts for name in re.split(r"[\s,;]+", text) if name]
    return tuple(sorted(names) if isinstance(given, set | frozenset) else names)


@dataclass(frozen=True, slots=True)
class SharingService:
    """The shares of one owner.

    Parameters
    ----------
    cluster
        Where, and as the owner.
    connect
        Opens a database as its superuser.
    """

    cluster: Cluster
    connect: Connect

    def preview(self, name: str, request: ShareRequest, progress: Progress) -> SharePlan:
        """Return what `share` would do; nothing is done."""
        with self._plan(name, request, progress) as (connection, plan):
            return add_preview(plan, connection, partial(self.connect, plan.database))

    def share(self, name: str, request: ShareRequest, progress: Progress) -> ShareResult:
        """Open a database to colleagues; what shares that have ended left behind goes first."""
        removed: list[RevokeResult] = []
        for _ in range(_ATTEMPTS):
            with self._plan(name, request, progress) as (connection, plan):
                opener = partial(self.connect, plan.database)
                done = revoke.remove_ended(self.cluster, connection, opener, plan.ended)
                removed += done
                # Where an ended share was renewed after the plan was made, its schema is the colleague's, not the owner's.
                if len(done) == len(plan.ended):
                    return apply_plan(self.cluster, connection, plan, removed, progress)
        raise ServerError(
            f"Another session of yours keeps changing the shares of {name}.",
            hint="wait until it is done, then run the same command again",
        )

    @contextmanager
    def _plan(
        self, name: str, request: ShareRequest, progress: Progress
    ) -> Iterator[tuple[DatabaseConnection, SharePlan]]:
        database = self.find(name)
        progress(f"looking at {database.name}")
        require_rights(self.cluster, database.namespace, network=request.network)
        with closed_behind(self.connect(database)) as connection:
            inventory = take_inventory(self.cluster, connection, database)
            yield connection, make_plan(self.cluster, connection, request, inventory)

    def schemas(self, name: str) -> list[str]:
        """List the schemas of a database that can be shared."""
        with closed_behind(self.connect(self.find(name))) as connection:
            return [schema for (schema,) in connection.psycopg.execute(role_sql.SCHEMAS).fetchall()]

    def tabulate(self, name: str | None, namespace: str | None) -> ResourceTable:
        """List the shares, of one database or of all, and take back what goes beyond them."""
        if name is not None:
            namespace, name = discovery.split_name(name, namespace or self.cluster.namespace)
        there = discovery.databases(self.cluster, namespace)
        listed = _mark_orphans(list_shares(self.cluster, name, namespace), there)
        if name is not None and not listed:
            name = discovery.find(there, name, str(namespace)).name
            listed = _mark_orphans(list_shares(self.cluster, name, namespace), there)
        known: dict[tuple[str, str], ShareRole] = {}
        notes: list[str] = []
        for database, connection in self._each(there, name, []):
            of_it = [share for share in listed if share.database == database.name]
            inventory = Inventory(database, list_roles(connection), of_it)
            known |= {(database.name, role.name): role for role in inventory.roles}
            listed += [each.share for each in inventory.left_behind]
            try:
                notes += narrow(connection, inventory.creators)
            except QueryFailed as error:
                notes.append(f"{error.what} {error.why}")
        table = share_table(listed, known)
        if notes:
            table.attrs["notes"] = notes
        return table

    def revoke(
        self, name: str, colleagues: str | Iterable[str] | None, progress: Progress
    ) -> list[RevokeResult]:
        """Revoke the shares of a database: those of these colleagues, or all where None is named.

        What ended shares have left behind is removed as well. Where the database cannot be reached, the rights in the
        cluster are revoked all the same.
        """
        namespace, bare = discovery.split_name(name, self.cluster.namespace)
        named = () if colleagues is None else account_names(colleagues)
        database: Database | None = None
        try:
            database = discovery.find(self._databases(namespace), bare, namespace)
        except DatabaseNotFound as error:
            unknown = error
        else:
            bare = database.name
        standing = list_shares(self.cluster, bare, namespace)
        shared_with = {share.colleague for share in standing}
        accounts = {colleague_named(word, shared_with) for word in named}
        chosen = [share for share in standing if colleagues is None or share.colleague in accounts]
        if database is not None:
            results = self._revoke(database, chosen, progress)
        elif chosen:
            results = [revoke.revoke_in_cluster(self.cluster, share, "") for share in chosen]
        else:
            raise self._hint_swapped(bare, named) or unknown
        revoked = {each.share.colleague for each in results if each.share is not None}
        strangers = sorted(accounts - revoked)
        if strangers:
            left = [share for share in standing if share.colleague not in revoked]
            raise TargetNotFound(
                f"{bare} is not shared with {' or '.join(strangers)}.",
                why=" ".join(each.words for each in results),
                hint="\n".join(f"%unshare {bare} {share.colleague}" for share in left)
                or "%shares lists what you share",
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
                progress(f"taking back what {share.colleague} may do")
                opener = partial(self.connect, database)
                results.append(revoke.revoke_share(self.cluster, share, connection, opener))
            return results + self._clean_up(connection, database)

    def _clean_up(self, connection: DatabaseConnection, database: Database) -> list[RevokeResult]:
        """Remove what has ended, and take back what goes beyond the shares that stand then."""
        ended = take_inventory(self.cluster, connection, database).ended
        results = revoke.remove_ended(self.cluster, connection, partial(self.connect, database), ended)
        standing = Inventory(database, (), list_shares(self.cluster, database.name, database.namespace))
        narrowed = narrow(connection, standing.creators)
        return [*results, RevokeResult(notes=narrowed)] if narrowed else results

    def remove_ended(self, name: str | None, progress: Progress) -> list[RevokeResult]:
        """Remove what belongs to no share any more, in all databases or in one."""
        there = discovery.databases(self.cluster)
        listed = _mark_orphans(list_shares(self.cluster), there)
        if name is not None:
            namespace, name = discovery.split_name(name, self.cluster.namespace)
            if name not in {share.database for share in listed}:  # of one that is gone, its shares tell
                name = discovery.find(self._databases(namespace), name, namespace).name
        results = [
            revoke.revoke_in_cluster(self.cluster, share, "")
            for share in listed
            if share.state == "orphaned" and name in (None, share.database)
        ]
        troubles: list[SspcloudError] = []
        for database, connection in self._each(there, name, troubles):
            progress(f"looking for what has ended in {database.name}")
            results += self._clean_up(connection, database)
        if troubles and not results:
            raise troubles[0]  # "nothing was left" would not be known
        return results

    def revoke_hint(self, name: str) -> str:
        """Return the commands that revoke what stands, as far as a word that was given fits."""
        fitting = [
            share
            for share in list_shares(self.cluster)
            if name in (share.colleague, share.database, f"{share.namespace}/{share.database}")
        ]
        lines = [f"%unshare {share.database} {share.colleague}" for share in fitting]
        databases = dict.fromkeys(share.database for share in fitting)
        return "\n".join([*lines, *(f"%unshare {database} --all" for database in databases)])

    def find(self, name: str) -> Database:
        """Return a database of the owner's that can be connected to."""
        namespace, bare = discovery.split_name(name, self.cluster.namespace)
        found = discovery.find(self._databases(namespace), bare, namespace)
        discovery.require_usable(found)
        return found

    def _databases(self, namespace: str) -> Sequence[Database]:
        """Return the databases of a namespace, which only its owner shares."""
        try:
            return discovery.databases(self.cluster, namespace)
        except Forbidden as error:
            if namespace == self.cluster.namespace:
                raise
            raise Forbidden(
                f"What is in {namespace} is not yours to share: only who owns that namespace shares it, and takes it back.",
                why=error.what,
                hint=f"%databases -n {self.cluster.namespace}   lists what you can share",
            ) from None

    def _hint_swapped(self, name: str, colleagues: Sequence[str]) -> DatabaseNotFound | None:
        """Return what to say where the colleague was named before the database."""
        for share in list_shares(self.cluster):
            if share.colleague == name and share.database in colleagues:
                return DatabaseNotFound(
                    f"{name} is a colleague, and no database.", hint=f"%unshare {share.database} {name}"
                )
        return None

    def _each(
        self, there: Sequence[Database], name: str | None, troubles: list[SspcloudError]
    ) -> Iterator[tuple[Database, DatabaseConnection]]:
        """Yield the databases that let their superuser log in, each with its connection.

        What keeps the owner from the others is added to `troubles`; those that sleep, or are of another kind, are passed over.
        """
        for database in there:
            if name not in (None, database.name):
                continue
            try:
                discovery.require_usable(database)
                connection = self.connect(database)
            except (DatabaseHibernated, UsageProblem):
                continue
            except SspcloudError as error:
                troubles.append(error)
                continue
            with closed_behind(connection):
                yield database, connection


def _mark_orphans(standing: Sequence[Share], there: Sequence[Database]) -> list[Share]:
    """Mark the shares whose database is there no more."""
    names = {database.name for database in there}
    return [share if share.database in names else replace(share, orphaned=True) for share in standing]
