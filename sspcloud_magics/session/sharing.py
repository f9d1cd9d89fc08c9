"""Share your databases with colleagues, list the shares, and revoke them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from sspcloud_magics import share_keys
from sspcloud_magics.errors import SspcloudError, UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.session import session
from sspcloud_magics.sharing import services
from sspcloud_magics.sharing.durations import parse_duration
from sspcloud_magics.sharing.service import SharingService, make_request, mariadb_shares, split_names
from sspcloud_magics.sharing.superuser import open_as_superuser
from sspcloud_magics.sharing.table import share_table

if TYPE_CHECKING:
    import pandas as pd

    from sspcloud_magics.databases.discovery import Database
    from sspcloud_magics.sharing.apply import ShareResult
    from sspcloud_magics.sharing.mariadb import MariadbPlan
    from sspcloud_magics.sharing.plan import SharePlan
    from sspcloud_magics.sharing.revoke import RevokeResult
    from sspcloud_magics.sharing.services import ServiceShare

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
    progress: Progress = lambda _unused: None,
) -> ShareResult | SharePlan | MariadbPlan:
    """Share one of your databases with colleagues, for a limited time.

    Each colleague gets a Postgres role, a Secret with everything needed to connect, and permission to forward to this
    database and to nothing else. A Job owns these objects and ends the share, without any process of this package.
    Running the command again completes an interrupted share, changes it, or renews it.

    Parameters
    ----------
    name
        The database.
    colleagues
        Account names such as ``bob``, or ``projet-x`` for a group: a list, a column of a DataFrame, a set, or a string
        separated by blanks or commas.
    read_write
        Whether they may change rows, and create in a schema of their own; otherwise they may only read.
    create
        With `read_write`: whether they may also create in the shared schemas. Their functions and operators there run
        with the privileges of the user whose query calls them, even by accident.
    schemas
        The schemas to share; all if empty.
    duration
        The duration of the share: ``7d``, ``12h``, ``3 weeks``, ``1 month``, its last day (``2026-12-30``), or a timedelta.
    via
        ``forward``; ``network`` to also let their namespaces reach the port without a forward; ``network-only`` to let
        them reach only that port of the pod.
    reason
        A reason, for later readers.
    for_kubectl
        Also grant what ``kubectl port-forward`` needs, which is more than necessary.
    prefix
        The server's prefix of user names, such as ``oidc-``; read from the namespace if None.
    dry_run
        Do nothing, and return the plan, as `preview_share` does.
    progress
        Called with a description of each step.

    Returns
    -------
    ShareResult or SharePlan
        The shares with the line to send to the colleagues; or the plan.

    Raises
    ------
    UsageProblem
        If a name, a schema or the duration is invalid.
    DatabaseNotFound, DatabaseHibernated
        If the database does not exist, or is paused.
    CredentialsNotFound
        If the superuser's password cannot be read.
    Forbidden
        If you may not create Roles: names the role to relaunch the notebook service with.
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
    """Optional arguments of `share_db` and `preview_share`."""

    read_write: bool
    create: bool
    schemas: Sequence[str]
    duration: str | timedelta
    via: str
    reason: str
    for_kubectl: bool
    prefix: str | None


def preview_share(
    name: str, colleagues: str | Iterable[str], **options: Unpack[ShareOptions]
) -> SharePlan | MariadbPlan:
    """Plan what `share_db` would do with the same arguments, and do nothing.

    Parameters
    ----------
    name, colleagues
        As for `share_db`.
    options
        ``read_write``, ``create``, ``schemas``, ``duration``, ``via``, ``reason``, ``for_kubectl`` and ``prefix``, as for
        `share_db`.

    Returns
    -------
    SharePlan
        Has ``granted`` (one sentence), ``line`` (to send), ``notes`` (sentences), ``shares``, and ``yaml()`` and ``sql()``
        with passwords masked.

    Raises
    ------
    SspcloudError
        As `share_db` before it creates anything.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.preview_share("postgresql-cnpg-951239", "bob").granted  # doctest: +SKIP
    """
    return service().preview(name, make_request(colleagues, **options), lambda _unused: None)


def shareable_schemas(name: str) -> list[str]:
    """List the schemas of one of your databases that can be shared.

    Parameters
    ----------
    name
        The database.

    Returns
    -------
    list of str
        Sorted by name, without system schemas.

    Raises
    ------
    DatabaseNotFound, DatabaseHibernated, CredentialsNotFound
        If the database does not exist, is paused, or its superuser's password cannot be read.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.shareable_schemas("postgresql-cnpg-951239")  # doctest: +SKIP
    ['public']
    """
    return service().schemas(name)


def share(
    target: str,
    colleagues: str | Iterable[str],
    *,
    port: str | int | None = None,
    duration: str | timedelta = "7d",
    via: str = "network",
    reason: str = "",
    prefix: str | None = None,
    dry_run: bool = False,
    progress: Progress = lambda _unused: None,
) -> ServiceShare:
    """Share the address of a service with colleagues, for a limited time.

    By default, a NetworkPolicy admits the pods of their namespaces to one port. If no policy isolates the service, it is
    open to every namespace already, and nothing is created. A Job owns the objects and ends the share. The share grants
    no login, and takes no access away.

    Parameters
    ----------
    target
        ``svc/NAME``, or ``NAMESPACE/svc/NAME``.
    colleagues
        Account names, as for `share_db`.
    port
        The number or the name of its port, if it has several.
    duration
        The duration of the share: ``7d``, ``12h``, or a timedelta.
    via
        ``network``; or ``forward``, a permission to forward to its pods by their names, which opens each of their ports and
        needs pods with fixed names, such as those of a StatefulSet.
    reason
        A reason, for later readers.
    prefix
        The server's prefix of user names, such as ``oidc-``; read from the namespace if None.
    dry_run
        Do nothing, and return the plan.
    progress
        Called with a description of each step.

    Returns
    -------
    ServiceShare
        The access in one sentence, notes, and the line to send to the colleagues.

    Raises
    ------
    UsageProblem
        If an argument is invalid, or the pods have no fixed names for a forward.
    TargetNotFound, PortNotFound
        If the service does not exist, or has no such port.
    Forbidden
        If you may not create the objects.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.share("svc/mon-api", "bob", duration="7d")  # doctest: +SKIP
    """
    if via not in (share_keys.NETWORK, share_keys.FORWARD):
        raise UsageProblem(
            _("{via!r} is not a value of --via.", via=via), hint=_("--via network or --via forward")
        )
    cluster = session.current_cluster()
    plan = services.plan_share(
        cluster,
        target,
        port,
        split_names(colleagues),
        duration=parse_duration(duration) if isinstance(duration, str) else duration,
        via=via,
        reason=reason,
        prefix=prefix,
    )
    return plan if dry_run else services.apply_share(cluster, plan, progress)


def shares(name: str | None = None, *, namespace: str | None = None) -> pd.DataFrame:
    """List your shares of databases and services, and the Postgres roles that ended shares have left behind.

    Excess privileges, such as those that an earlier version granted, are revoked.

    Parameters
    ----------
    name
        Only the shares of this database, ``NAME`` or ``NAMESPACE/NAME``, or a unique prefix, or of this ``svc/NAME``; all if
        None.
    namespace
        The owner's namespace; yours if None.

    Returns
    -------
    DataFrame
        One row per share; `sspcloud_magics.sharing.table` documents the columns. ``sessions`` is the number of each
        colleague's open sessions, ``since`` the start of the oldest. ``attrs["notes"]`` lists revoked excess privileges.

    Raises
    ------
    Forbidden
        If you may not list the objects of shares there.
    DatabaseNotFound
        If neither a database nor a share of that name exists.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.shares()  # doctest: +SKIP
    """
    if name is None:
        return service(namespace).tabulate(None, namespace, services.list_service_shares)
    if "svc/" in name:
        target = services.parse_service(name)
        found = services.list_service_shares(session.current_cluster(), target.namespace or namespace)
        return share_table([each for each in found if each.database == f"svc/{target.name}"], {})
    return service(namespace).tabulate(name, namespace)


def unshare(
    name: str | None = None,
    colleague: str | Iterable[str] | None = None,
    *,
    all_colleagues: bool = False,
    ended: bool = False,
    progress: Progress = lambda _unused: None,
) -> list[RevokeResult]:
    """Revoke shares: the colleagues' sessions end at once, and the objects that they created stay.

    The remains of expired shares are removed too. If the database cannot be reached, the permissions in the cluster are
    revoked anyway.

    Parameters
    ----------
    name
        The database, or ``svc/NAME``; optional with `ended`.
    colleague
        One or several colleagues.
    all_colleagues
        Revoke all shares of the database instead.
    ended
        Remove only the remains of ended shares, and the shares of deleted databases.
    progress
        Called with a description of each step.

    Returns
    -------
    list of RevokeResult
        The result for each share.

    Raises
    ------
    TargetNotFound
        If there is no such share.
    UsageProblem
        If none or several of `colleague`, `all_colleagues` and `ended` are given.
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
            _("Name the colleagues whose shares to revoke, or use --all or --ended: one of the three."),
            hint=_revoke_hint(name),
        )
    if name is None or ended:
        return service().remove_ended(name, progress)
    if "svc/" in name:
        named = None if colleague is None else split_names(colleague)
        return services.revoke_service_shares(session.current_cluster(), name, named)
    return service().revoke(name, colleague, progress)


def service(namespace: str | None = None) -> SharingService:
    """Return the service for the shares of the current cluster; `namespace` as in `current_cluster`."""
    cluster = session.current_cluster(namespace)

    def connect(database: Database, dbname: str | None = None) -> Any:
        if database.kind == "mariadb":
            return mariadb_shares().open_as_root(cluster, session.manager(), database)
        return open_as_superuser(cluster, session.manager(), database, dbname)

    return SharingService(cluster, connect)


def _revoke_hint(name: str | None) -> str:
    """Return the commands that revoke the shares which a word names, or their general form."""
    lines = (
        f"%unshare {name or 'DATABASE'} bob\n%unshare {name or 'DATABASE'} --all"  # not translated: commands
    )
    if name:
        with suppress(SspcloudError):  # the usage error matters more than its hint
            lines = service().revoke_hint(name) or lines
    return f"{lines}\n%unshare --ended"
