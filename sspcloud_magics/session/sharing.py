"""Opening one's databases to colleagues, seeing what is open, and taking it back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypedDict, Unpack, cast

from sspcloud_magics.errors import (
    DatabaseHibernated,
    DatabaseNotFound,
    Forbidden,
    QueryFailed,
    SspcloudError,
    TargetNotFound,
    UsageProblem,
)
from sspcloud_magics.session import state

if TYPE_CHECKING:
    import pandas as pd

    from sspcloud_magics.cluster.identity import Cluster
    from sspcloud_magics.databases.connection import DatabaseConnection
    from sspcloud_magics.databases.discovery import Database
    from sspcloud_magics.sharing.closing import Closed
    from sspcloud_magics.sharing.opening import Opened
    from sspcloud_magics.sharing.plan import Plan
    from sspcloud_magics.sharing.shares import SharedRole, StandingShare

Progress = Callable[[str], None]


def share_db(
    name: str,
    colleagues: str | Iterable[str],
    *,
    read_write: bool = False,
    create: bool = False,
    schemas: Sequence[str] = (),
    lasts: str | timedelta = "7d",
    via: str = "forward",
    reason: str = "",
    for_kubectl: bool = False,
    prefix: str | None = None,
    dry_run: bool = False,
    progress: Progress = lambda _: None,
) -> Opened | Plan:
    """Open a database of one's own to colleagues, for a time.

    Each of them gets a Postgres role, a Secret with all that is needed to connect, and the right to forward
    to this database and to nothing else. One Job owns it all and ends it, with nothing of ours running. Run
    again, it completes a share that was cut off, changes it, or renews it.

    Parameters
    ----------
    name
        The database.
    colleagues
        Account names such as ``bob``, or ``projet-x`` for a group: in a list, a column of a DataFrame, a set, or one text
        with blanks or commas between them.
    read_write
        Whether they may change rows, and create in a schema of their own; only read if not.
    create
        With `read_write`: whether they may also create in the shared schemas. Their functions and operators there run
        with the rights of the person whose query names them, by accident too.
    schemas
        The schemas to open; all where empty.
    lasts
        For how long: ``7d``, ``12h``, or a timedelta.
    via
        ``forward``; ``network`` to also let their namespaces reach the port without a forward; ``network-only`` to let them
        reach that port and no other one of the pod.
    reason
        Why, for whoever looks at it later.
    for_kubectl
        Also grant what ``kubectl port-forward`` needs, which is more than it should be.
    prefix
        What the server puts before users' names, such as ``oidc-``; learnt from the namespace where None.
    dry_run
        Do nothing, and return what would be done, as `preview_share` does.
    progress
        Is told what is being done.

    Returns
    -------
    Opened or Plan
        What stands now, with the line to send to the colleagues; or the plan.

    Raises
    ------
    UsageProblem
        If a name, a schema or the duration is not one.
    DatabaseNotFound, DatabaseHibernated
        If the database is not there, or paused.
    CredentialsNotFound
        If no login may make roles there.
    Forbidden
        If one may not create Roles: it names the role to relaunch the notebook service with.
    QueryFailed
        If the server refuses a statement.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.share_db("postgresql-cnpg-951239", ["bob", "carol"], lasts="7d")  # doctest: +SKIP
    """
    from sspcloud_magics.sharing import closing  # noqa: PLC0415 - at first use
    from sspcloud_magics.sharing.durations import parse_duration  # noqa: PLC0415
    from sspcloud_magics.sharing.narrowing import narrow  # noqa: PLC0415
    from sspcloud_magics.sharing.opening import open_shares  # noqa: PLC0415
    from sspcloud_magics.sharing.plan import Wish, make_plan, require_rights  # noqa: PLC0415
    from sspcloud_magics.sharing.shares import shares as standing_shares  # noqa: PLC0415

    if via not in ("forward", "network", "network-only"):
        raise UsageProblem(
            f"{via!r} is not a way to share.", mend="--via forward, --via network or --via network-only"
        )
    if create and not read_write:
        raise UsageProblem(
            "Creating in the shared schemas is a part of writing.", mend="--read-write --create"
        )
    wish = Wish(
        colleagues=_account_names(colleagues),
        read_write=read_write,
        create=create,
        schemas=tuple(schemas),
        lasts=parse_duration(lasts) if isinstance(lasts, str) else lasts,
        network=via != "forward",
        forward=via != "network-only",
        for_kubectl=for_kubectl,
        reason=reason,
        prefix=prefix,
    )
    cluster, database = _own(name)
    progress(f"looking at {database.name}")
    require_rights(cluster, database.namespace, network=wish.network)
    connection = _superuser(cluster, database)
    try:
        standing = standing_shares(cluster, database.name, database.namespace)
        if dry_run:
            opener = partial(_superuser, cluster, database)
            leaving = [
                (share, closing.removal(connection, share.role, opener))
                for share in closing.leaving(cluster, connection, database)
            ]
            return make_plan(
                cluster, database, connection, wish, leaving=leaving, creators=_creators(standing)
            )
        removed = closing.tidy(cluster, connection, database, partial(_superuser, cluster, database))
        plan = make_plan(cluster, database, connection, wish, creators=_creators(standing))
        narrowed = narrow(connection, plan.creators)
        done = [*(each.words for each in removed), *narrowed]
        return open_shares(cluster, connection, plan.after(done), progress)
    finally:
        connection.close()


def _account_names(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return the names in a text, or in whatever holds texts; those of a set in the order of the alphabet."""
    texts = [given] if isinstance(given, str) else list(given)
    if hasattr(given, "columns") or not all(isinstance(text, str) for text in texts):
        raise UsageProblem(
            f"Colleagues are named by texts, and this {type(given).__name__} holds other values.",
            mend='name one column without missing values: df["account"].dropna()',
        )
    names = [name for text in texts for name in re.split(r"[\s,;]+", text) if name]
    return tuple(sorted(names) if isinstance(given, set | frozenset) else names)


class ShareOptions(TypedDict, total=False):
    """What may be said of a share beside whose it is: the arguments of `share_db`."""

    read_write: bool
    create: bool
    schemas: Sequence[str]
    lasts: str | timedelta
    via: str
    reason: str
    for_kubectl: bool
    prefix: str | None


def preview_share(name: str, colleagues: str | Iterable[str], **options: Unpack[ShareOptions]) -> Plan:
    """Say what `share_db` would do with the same arguments, and do nothing.

    Parameters
    ----------
    name, colleagues
        As for `share_db`.
    options
        ``read_write``, ``create``, ``schemas``, ``lasts``, ``via``, ``reason``, ``for_kubectl`` and ``prefix``, as for `share_db`.

    Returns
    -------
    Plan
        What there is to show: ``granted`` (one sentence), ``line`` (to be sent), ``notes`` (sentences), ``shares``, and
        ``yaml()`` and ``sql()`` with passwords masked.

    Raises
    ------
    SspcloudError
        What `share_db` would raise before it makes anything.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.preview_share("postgresql-cnpg-951239", "bob").granted  # doctest: +SKIP
    """
    return cast("Plan", share_db(name, colleagues, dry_run=True, **options))


def shareable_schemas(name: str) -> list[str]:
    """List the schemas of a database of one's own that can be shared.

    Parameters
    ----------
    name
        The database.

    Returns
    -------
    list of str
        By name; without the system's own.

    Raises
    ------
    DatabaseNotFound, DatabaseHibernated, CredentialsNotFound
        If the database is not there, is paused, or one may not log in as its superuser.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.shareable_schemas("postgresql-cnpg-951239")  # doctest: +SKIP
    ['public']
    """
    from sspcloud_magics.sharing import grants  # noqa: PLC0415 - at first use

    cluster, database = _own(name)
    connection = _superuser(cluster, database)
    try:
        return [schema for (schema,) in connection.psycopg.execute(grants.SCHEMAS).fetchall()]
    finally:
        connection.close()


def shares(name: str | None = None, *, namespace: str | None = None) -> pd.DataFrame:
    """List what you share, as the cluster has it, and the Postgres roles that shares have left behind.

    What colleagues hold beyond what a share grants today, such as rights that an earlier version gave, is taken back.

    Parameters
    ----------
    name
        Only the shares of this database, ``NAME`` or ``NAMESPACE/NAME``, which may be cut where it is the only one that
        begins so; of all where None.
    namespace
        The owner's namespace; one's own where None.

    Returns
    -------
    DataFrame
        One row a share; `sspcloud_magics.sharing.table` documents the columns. ``sessions`` says how many each
        colleague has open now, ``since`` when the oldest of them began. ``attrs["notes"]`` says what was taken back.

    Raises
    ------
    Forbidden
        If one may not list what tells of shares there.
    DatabaseNotFound
        If neither a database nor a share of that name is there.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.shares()  # doctest: +SKIP
    """
    from sspcloud_magics.databases import discovery  # noqa: PLC0415 - at first use
    from sspcloud_magics.sharing import closing  # noqa: PLC0415
    from sspcloud_magics.sharing.narrowing import narrow  # noqa: PLC0415
    from sspcloud_magics.sharing.shares import shares as standing_shares  # noqa: PLC0415
    from sspcloud_magics.sharing.table import share_table  # noqa: PLC0415

    cluster = state.current_cluster(namespace)
    if name is not None:
        namespace, name = discovery.split_name(name, namespace or cluster.namespace)
    there = discovery.databases(cluster, namespace)
    listed = _with_orphans(standing_shares(cluster, name, namespace), there)
    if name is not None and not listed:
        name = discovery.find(there, name, str(namespace)).name
        listed = _with_orphans(standing_shares(cluster, name, namespace), there)
    known: dict[tuple[str, str], SharedRole] = {}
    notes: list[str] = []
    for database, connection in _reached(cluster, [each for each in there if name in (None, each.name)], []):
        roles = closing.shared_roles(connection)
        known |= {(database.name, role.name): role for role in roles}
        of_it = [share for share in listed if share.database == database.name]
        listed += closing.left_behind(roles, of_it, database)
        try:
            notes += narrow(connection, _creators(of_it))
        except QueryFailed as error:
            notes.append(f"{error.what} {error.why}")
    table = share_table(listed, known)
    if notes:
        table.attrs["notes"] = notes
    return table


def unshare(
    name: str | None = None,
    colleague: str | Iterable[str] | None = None,
    *,
    everybody: bool = False,
    ended: bool = False,
    progress: Progress = lambda _: None,
) -> list[Closed]:
    """Take a share back: the colleague's sessions end at once, and what they have made stays.

    What shares have left behind that have ended by themselves is removed on the way. Where the database cannot be
    reached, the rights in the cluster are taken back all the same.

    Parameters
    ----------
    name
        The database; with `ended` it may be left out.
    colleague
        Whose share; several may be named.
    everybody
        All shares of the database instead.
    ended
        Only what belongs to nobody any more: what ended shares have left, and the shares of databases that are gone.
    progress
        Is told what is being done.

    Returns
    -------
    list of Closed
        What was taken back or removed, and what came of each.

    Raises
    ------
    TargetNotFound
        If there is no such share.
    UsageProblem
        If it is not said, or said twice, what is meant.
    QueryFailed
        If the server refuses a statement; the colleague is locked out all the same.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.unshare("postgresql-cnpg-951239", "bob")  # doctest: +SKIP
    >>> ssp.unshare(ended=True)  # doctest: +SKIP
    """
    if everybody + ended + (colleague is not None) != 1 or (name is None and not ended):
        raise UsageProblem(
            "Say whose share to take back, or everybody's, or only what has ended: one of the three.",
            mend=_what_could_be_meant(name),
        )
    if ended:
        return _remove_ended(name, progress)
    from sspcloud_magics.databases import discovery  # noqa: PLC0415 - at first use
    from sspcloud_magics.sharing import closing  # noqa: PLC0415
    from sspcloud_magics.sharing.colleagues import colleague_named  # noqa: PLC0415
    from sspcloud_magics.sharing.shares import shares as standing_shares  # noqa: PLC0415

    cluster = state.current_cluster()
    namespace, bare = discovery.split_name(str(name), cluster.namespace)
    named = () if colleague is None else _account_names(colleague)
    unknown: DatabaseNotFound | None = None
    try:
        database = discovery.find(_there(cluster, namespace), bare, namespace)
        bare = database.name
    except DatabaseNotFound as error:
        unknown = error
    standing = standing_shares(cluster, bare, namespace)
    shared_with = {share.colleague for share in standing}
    accounts = {colleague_named(word, shared_with) for word in named}
    chosen = [share for share in standing if everybody or share.colleague in accounts]
    if unknown is not None and not chosen:
        raise _swapped(cluster, bare, named) or unknown
    if unknown is not None:
        closed = [closing.close_without_database(cluster, share, "") for share in chosen]
    else:
        closed = _take_back(cluster, database, chosen, progress)
    ended_now = {each.share.colleague for each in closed if each.share is not None}
    strangers = sorted(accounts - ended_now)
    if strangers:
        left = [share for share in standing if share.colleague not in ended_now]
        raise TargetNotFound(
            f"{bare} is not shared with {' or '.join(strangers)}.",
            why=" ".join(each.words for each in closed),
            mend="\n".join(f"%unshare {bare} {share.colleague}" for share in left)
            or "%shares lists what you share",
        )
    return closed


def _take_back(
    cluster: Cluster, database: Database, chosen: Sequence[StandingShare], progress: Progress
) -> list[Closed]:
    """End the shares `chosen` and what ended ones have left; without the database, the rights in the cluster alone."""
    from sspcloud_magics.databases import discovery  # noqa: PLC0415 - at first use
    from sspcloud_magics.sharing import closing  # noqa: PLC0415

    try:
        discovery.require_usable(database)
        connection = _superuser(cluster, database)
    except SspcloudError as error:
        if not chosen:
            raise
        return [closing.close_without_database(cluster, share, error.what) for share in chosen]
    opener = partial(_superuser, cluster, database)
    closed: list[Closed] = []
    try:
        for share in chosen:
            progress(f"taking back what {share.colleague} may do")
            closed.append(closing.close_share(cluster, share, connection, opener))
        closed += closing.tidy(cluster, connection, database, opener)
        return _with_narrowed(cluster, connection, database, closed)
    finally:
        connection.close()


def _creators(standing: Iterable[StandingShare]) -> set[str]:
    """Return the roles that may create in the shared schemas."""
    return {share.role for share in standing if share.create}


def _with_narrowed(
    cluster: Cluster, connection: DatabaseConnection, database: Database, closed: list[Closed]
) -> list[Closed]:
    """Narrow the shares that stand, and say so."""
    from sspcloud_magics.sharing.closing import Closed  # noqa: PLC0415 - at first use
    from sspcloud_magics.sharing.narrowing import narrow  # noqa: PLC0415
    from sspcloud_magics.sharing.shares import shares as standing_shares  # noqa: PLC0415

    standing = standing_shares(cluster, database.name, database.namespace)
    narrowed = narrow(connection, _creators(standing))
    return [*closed, Closed(notes=narrowed)] if narrowed else closed


def _what_could_be_meant(name: str | None) -> str:
    """Return the commands that take back what stands, as far as a word that was given fits."""
    from sspcloud_magics.sharing.shares import shares as standing_shares  # noqa: PLC0415 - at first use

    ended = "%unshare --ended"
    try:
        standing = standing_shares(state.current_cluster()) if name else []
    except SspcloudError:
        standing = []  # whoever names a share is told why
    fitting = [
        share
        for share in standing
        if name in (share.colleague, share.database, f"{share.namespace}/{share.database}")
    ]
    databases = dict.fromkeys(share.database for share in fitting)
    lines = [f"%unshare {share.database} {share.colleague}" for share in fitting]
    lines += [f"%unshare {database} --all" for database in databases]
    shown = name or "DATABASE"
    return "\n".join([*(lines or (f"%unshare {shown} bob", f"%unshare {shown} --all")), ended])


def _swapped(cluster: Cluster, name: str, colleagues: Sequence[str]) -> DatabaseNotFound | None:
    """Return what to say where the colleague was named before the database."""
    from sspcloud_magics.sharing.shares import shares as standing_shares  # noqa: PLC0415 - at first use

    for share in standing_shares(cluster):
        if share.colleague == name and share.database in colleagues:
            return DatabaseNotFound(
                f"{name} is a colleague, and no database.", mend=f"%unshare {share.database} {name}"
            )
    return None


def _remove_ended(name: str | None, progress: Progress) -> list[Closed]:
    """Remove what belongs to nobody any more, in all databases or in one."""
    from sspcloud_magics.databases import discovery  # noqa: PLC0415 - at first use
    from sspcloud_magics.sharing import closing  # noqa: PLC0415
    from sspcloud_magics.sharing.shares import shares as standing_shares  # noqa: PLC0415

    cluster = state.current_cluster()
    there = discovery.databases(cluster)
    listed = _with_orphans(standing_shares(cluster), there)
    if name is not None:
        namespace, name = discovery.split_name(name, cluster.namespace)
        if name not in {share.database for share in listed}:  # of one that is gone, its shares tell
            name = discovery.find(_there(cluster, namespace), name, namespace).name
    standing = [share for share in listed if name in (None, share.database)]
    closed = [
        closing.close_without_database(cluster, share, "") for share in standing if share.state == "orphaned"
    ]
    troubles: list[SspcloudError] = []
    asked = [each for each in there if name in (None, each.name)]
    for database, connection in _reached(cluster, asked, troubles):
        progress(f"looking for what has ended in {database.name}")
        tidied = closing.tidy(cluster, connection, database, partial(_superuser, cluster, database))
        closed += _with_narrowed(cluster, connection, database, tidied)
    if troubles and not closed:
        raise troubles[0]  # "nothing was left" would not be known
    return closed


def _with_orphans(standing: Sequence[StandingShare], there: Sequence[Database]) -> list[StandingShare]:
    """Mark the shares whose database is there no more."""
    names = {database.name for database in there}
    return [share if share.database in names else replace(share, orphaned=True) for share in standing]


def _own(name: str) -> tuple[Cluster, Database]:
    """Return a database of one's own namespace that can be connected to."""
    from sspcloud_magics.databases import discovery  # noqa: PLC0415 - at first use

    cluster = state.current_cluster()
    namespace, bare = discovery.split_name(name, cluster.namespace)
    found = discovery.find(_there(cluster, namespace), bare, namespace)
    discovery.require_usable(found)
    return cluster, found


def _there(cluster: Cluster, namespace: str) -> list[Database]:
    """Return the databases of a namespace which has to be one's own to share them."""
    from sspcloud_magics.databases import discovery  # noqa: PLC0415 - at first use

    try:
        return discovery.databases(cluster, namespace)
    except Forbidden as error:
        if namespace == cluster.namespace:
            raise
        raise Forbidden(
            f"What is in {namespace} is not yours to share: only who owns that namespace shares it, and takes it back.",
            why=error.what,
            mend=f"%databases -n {cluster.namespace}   lists what you can share",
        ) from None


def _superuser(cluster: Cluster, database: Database, dbname: str | None = None) -> DatabaseConnection:
    from sspcloud_magics.sharing.superuser import open_as_superuser  # noqa: PLC0415 - at first use

    return open_as_superuser(cluster, state.manager(), database, dbname)


def _reached(
    cluster: Cluster, there: Sequence[Database], troubles: list[SspcloudError]
) -> Iterator[tuple[Database, DatabaseConnection]]:
    """Yield the databases that one can log in to as their superuser, with the connection as long as it is needed.

    What keeps one from the others is added to `troubles`; those that sleep, or are of another kind, are passed over.
    """
    from sspcloud_magics.databases import discovery  # noqa: PLC0415 - at first use

    for database in there:
        try:
            discovery.require_usable(database)
            connection = _superuser(cluster, database)
        except (DatabaseHibernated, UsageProblem):
            continue
        except SspcloudError as error:
            troubles.append(error)
            continue
        try:
            yield database, connection
        finally:
            connection.close()
