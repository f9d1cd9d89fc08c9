"""A database of the cluster: connecting to it, and asking it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sspcloud_magics.errors import NotConnected
from sspcloud_magics.session import state

if TYPE_CHECKING:
    import psycopg

    from sspcloud_magics.databases.connection import DatabaseConnection
    from sspcloud_magics.secret import Secret


def connect_db(
    name: str,
    *,
    namespace: str | None = None,
    user: str | None = None,
    database: str | None = None,
    url: Secret | None = None,
    ask_password: Callable[[str], str] | None = None,
    route: str | None = None,
    timeout: float = 30.0,
) -> DatabaseConnection:
    """Connect to a database, and make it the one that `query_db` asks.

    The way is chosen by trying: directly where the network lets one, else by a forward where one's rights
    do, else by a forward to a relay of one's own. The credentials are read from the cluster: one's own for one's own
    database, those that were made for oneself where it is a colleague's. A connection to another database,
    or as another user, stays open; one that was made in the same way is replaced.

    Parameters
    ----------
    name
        The database: ``NAME``, or ``NAMESPACE/NAME`` for a colleague's.
    namespace
        Where it is, if `name` does not say; one's own where it is None.
    user
        The user to connect as, where no secret can be read; `ask_password` is then asked.
    database
        The database inside the server; what the secret says where it is None.
    url
        A libpq URL with user and password, instead of a secret of the cluster.
    ask_password
        Called with a prompt where a password is needed; nobody is asked where it is None.
    route
        ``direct``, ``forward`` or ``relay``: that way only.
    timeout
        How long to wait for the forward and for the login, in seconds each.

    Returns
    -------
    DatabaseConnection
        The connection; it shows itself without its password.

    Raises
    ------
    DatabaseNotFound, DatabaseHibernated
        If it is not there, or paused.
    CredentialsNotFound, LoginRefused
        If no password can be read, or the server refuses it.
    DatabaseUnavailable, ForwardError, ClusterError
        If no way leads there. In every case the connection of before stays the current one.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.connect_db("user-alice/postgresql-cnpg-951239")  # doctest: +SKIP
    """
    from sspcloud_magics.databases.credentials import for_database  # noqa: PLC0415 - at first use
    from sspcloud_magics.sharing.routes import Journey, open_by_route  # noqa: PLC0415

    cluster = state.current_cluster(namespace or name.rpartition("/")[0] or None)
    found, credentials = for_database(
        cluster, name, namespace=namespace, user=user, url=url, ask_password=ask_password
    )
    made = open_by_route(
        Journey(
            cluster=cluster,
            manager=state.manager(),
            database=found,
            credentials=credentials,
            dbname=database,
            timeout=timeout,
        ),
        route,
    )
    with state.session.lock:
        again = [each for each in state.session.connections if _same_login(each, made)]
        state.session.connections = [each for each in state.session.connections if each not in again] + [made]
    for each in again:
        each.close()
    return made


def _same_login(one: DatabaseConnection, other: DatabaseConnection) -> bool:
    return (one.database.path, one.user, one.dbname) == (other.database.path, other.user, other.dbname)


def current_connection() -> DatabaseConnection:
    """Return the connection of the moment, with its database and its forward.

    Raises
    ------
    NotConnected
        If `connect_db` has not succeeded yet.
    """
    if not state.session.connections:
        raise NotConnected(
            "No database is connected.",
            mend="%connect_db NAME connects to one, and %databases lists those that there are",
        )
    return state.session.connections[-1]


def connection() -> psycopg.Connection[Any]:
    """Return the connection of the moment as psycopg's, for libraries that take one.

    Returns
    -------
    psycopg.Connection
        The one that `query_db` uses, in autocommit mode.

    Raises
    ------
    NotConnected
        If `connect_db` has not succeeded yet.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.connection().execute("SELECT 1").fetchone()  # doctest: +SKIP
    (1,)
    """
    return current_connection().psycopg


def query_db(sql: str, params: Mapping[str, Any] | None = None, *, limit: int | None = None) -> Any:
    """Ask the database of the moment.

    Parameters
    ----------
    sql
        One or several statements. ``:name`` stands for a parameter, which is bound by the server and never
        pasted into the text; ``::type``, ``->>``, ``?`` and ``%`` need no escaping.
    params
        The values of the parameters, by name.
    limit
        How many rows to fetch at most; all where it is None.

    Returns
    -------
    DataFrame
        The rows of the last statement that returns rows, with the columns and types that the server
        names (`sspcloud_magics.databases.query`); where none does, what the last one did.

    Raises
    ------
    NotConnected
        If no database is connected.
    ParameterError
        If a parameter has no value, or one that cannot be bound.
    QueryFailed
        If the server refuses a statement. The connection stays usable.
    ConnectionLost
        If the server went away.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.query_db("SELECT :n + 1 AS next", {"n": 1})  # doctest: +SKIP
    """
    connected = current_connection()
    from sspcloud_magics.databases.query import query  # noqa: PLC0415 - at first use

    return query(connected, sql, {} if params is None else params, limit=limit)
