"""Opening one's databases to colleagues, seeing what is open, and taking it back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict, Unpack

from sspcloud_magics.errors import SspcloudError, UsageProblem
from sspcloud_magics.session import session
from sspcloud_magics.sharing.service import SharingService, make_request
from sspcloud_magics.sharing.superuser import open_as_superuser

if TYPE_CHECKING:
    import pandas as pd

    from sspcloud_magics.databases.discovery import Database
    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
    from sspcloud_magics.sharing.apply import ShareResult
    from sspcloud_magics.sharing.plan import SharePlan
    from sspcloud_magics.sharing.revoke import RevokeResult

Progress = Callable[[str], None]


def share_db(
    name: str,
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
    dry_run: bool = False,
    progress: Progress = lambda _: None,
) -> ShareResult | SharePlan:
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
    duration
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
    ShareResult or SharePlan
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
    >>> ssp.share_db("postgresql-cnpg-951239", ["bob", "carol"], duration="7d")  # doctest: +SKIP
    """
    request = make_request(
        colleagues,
        read_write=read_write,
        create=create,
        schemas=schemas,
        duration=duration,
        via=via,
        reason=reason,
        for_kubectl=for_kubectl,
        prefix=prefix,
    )
    act = service().preview if dry_run else service().share
    return act(name, request, progress)


class ShareOptions(TypedDict, total=False):
    """What may be said of a share beside whose it is: the arguments of `share_db`."""

    read_write: bool
    create: bool
    schemas: Sequence[str]
    duration: str | timedelta
    via: str
    reason: str
    for_kubectl: bool
    prefix: str | None


def preview_share(name: str, colleagues: str | Iterable[str], **options: Unpack[ShareOptions]) -> SharePlan:
    """Say what `share_db` would do with the same arguments, and do nothing.

    Parameters
    ----------
    name, colleagues
        As for `share_db`.
    options
        ``read_write``, ``create``, ``schemas``, ``duration``, ``via``, ``reason``, ``for_kubectl`` and ``prefix``, as for `share_db`.

    Returns
    -------
    SharePlan
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
    return service().preview(name, make_request(colleagues, **options), lambda _: None)


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
    return service().schemas(name)


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
    return service(namespace).tabulate(name, namespace)


def unshare(
    name: str | None = None,
    colleague: str | Iterable[str] | None = None,
    *,
    all_colleagues: bool = False,
    ended: bool = False,
    progress: Progress = lambda _: None,
) -> list[RevokeResult]:
    """Take a share back: the colleague's sessions end at once, and what they have made stays.

    What shares have left behind that have ended by themselves is removed on the way. Where the database cannot be
    reached, the rights in the cluster are taken back all the same.

    Parameters
    ----------
    name
        The database; with `ended` it may be left out.
    colleague
        Whose share; several may be named.
    all_colleagues
        All shares of the database instead.
    ended
        Only what belongs to nobody any more: what ended shares have left, and the shares of databases that are gone.
    progress
        Is told what is being done.

    Returns
    -------
    list of RevokeResult
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
    if all_colleagues + ended + (colleague is not None) != 1 or (name is None and not ended):
        raise UsageProblem(
            "Say whose share to take back, or everybody's, or only what has ended: one of the three.",
            hint=_revoke_hint(name),
        )
    if name is None or ended:
        return service().remove_ended(name, progress)
    return service().revoke(name, colleague, progress)


def service(namespace: str | None = None) -> SharingService:
    """Return the shares of this process' cluster, as its user; a namespace is told of as in `current_cluster`."""
    cluster = session.current_cluster(namespace)

    def connect(database: Database, dbname: str | None = None) -> DatabaseConnection:
        return open_as_superuser(cluster, session.manager(), database, dbname)

    return SharingService(cluster, connect)


def _revoke_hint(name: str | None) -> str:
    """Return the commands that revoke what stands, as far as a word that was given fits."""
    lines = f"%unshare {name or 'DATABASE'} bob\n%unshare {name or 'DATABASE'} --all"
    if name:
        with suppress(SspcloudError):  # a share that is named raises why
            lines = service().revoke_hint(name) or lines
    return f"{lines}\n%unshare --ended"
