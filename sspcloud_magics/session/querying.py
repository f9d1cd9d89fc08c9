"""A database of the cluster: connecting to it, and asking it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sspcloud_magics.databases.column_names import refuse_twins
from sspcloud_magics.databases.credentials import for_database, list_received
from sspcloud_magics.databases.postgres import catalogue, query
from sspcloud_magics.databases.postgres.transfer import arrow, bulk_load, copy, export
from sspcloud_magics.databases.postgres.transfer.chunks import chunks as in_chunks
from sspcloud_magics.databases.postgres.transfer.sqlalchemy_engine import engine as made
from sspcloud_magics.databases.query_options import QueryOptions
from sspcloud_magics.errors import (
    CredentialsNotFound,
    DatabaseNotFound,
    ForwardStopped,
    NotConnected,
    SspcloudError,
    UsageProblem,
)
from sspcloud_magics.session import recent_namespaces, session
from sspcloud_magics.sharing.pods import IMAGE
from sspcloud_magics.sharing.route_selection import RouteResult, open_by_route
from sspcloud_magics.spelling import nearest

if TYPE_CHECKING:
    import pandas as pd
    import psycopg

    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.databases.postgres.catalogue import TableDescription
    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
    from sspcloud_magics.databases.query_options import Numeric, Progress
    from sspcloud_magics.forwards.manager import ForwardManager
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
    image: str | None = None,
    timeout: float = 30.0,
    progress: Callable[[str], None] = lambda _: None,
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
    image
        The image of a relay, whose entry point must be socat; what `configure_relay` said, or ``alpine/socat``, where
        it is None.
    timeout
        How long to wait for the forward and for the login, in seconds each.
    progress
        Is told what is tried and waited for.

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
        If no way leads there, or all is closed meanwhile (`ForwardStopped`). In every case the connection of before stays the current one.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.connect_db("user-alice/postgresql-cnpg-951239")  # doctest: +SKIP
    """
    # Both now: asked for after `close`, which may come meanwhile, the manager would be another.
    cluster, manager = (
        session.current_cluster(namespace or name.rpartition("/")[0] or None),
        session.manager(),
    )
    try:
        found, credentials = for_database(
            cluster, name, namespace=namespace, user=user, url=url, ask_password=ask_password
        )
    except (DatabaseNotFound, CredentialsNotFound) as error:
        raise _near_share(error, cluster, name, namespace) from None
    made = open_by_route(
        RouteResult(
            cluster=cluster,
            manager=manager,
            database=found,
            credentials=credentials,
            dbname=database,
            image=image or session.session.relay_image or IMAGE,
            timeout=timeout,
            progress=progress,
        ),
        route,
    )
    recent_namespaces.remember_namespace(cluster, found.namespace)
    session.prefer(made)
    _keep(made, manager)
    return made


def _near_share(
    error: DatabaseNotFound | CredentialsNotFound, cluster: Cluster, name: str, namespace: str | None
) -> DatabaseNotFound | CredentialsNotFound:
    """Return the error, with the colleague's database that was probably meant, as ``%databases`` lists it."""
    typed = f"{namespace}/{name}" if namespace else name
    try:
        where = recent_namespaces.colleagues_namespaces(cluster)
        shared = [each.path for each in list_received(cluster, where)]
    except SspcloudError:  # a hint is a help: the error itself is told
        return error
    by_name = {path.rpartition("/")[2]: path for path in reversed(shared)}
    near = nearest(typed, shared) if "/" in typed else by_name.get(nearest(typed, by_name), "")
    if near in ("", typed):
        return error
    why = f"Shared with you: {', '.join(shared)}."
    return type(error)(error.what, why=why, hint=f"did you mean {near}? %connect_db {near}")


def _keep(made: DatabaseConnection, manager: ForwardManager) -> None:
    """Make a connection the current one, unless all was closed while it was made."""
    with session.session.lock:
        is_closed = session.session.manager is not manager
        over = [made]
        if not is_closed:
            over = [each for each in session.session.connections if _same_login(each, made)]
            session.session.connections = [
                *(each for each in session.session.connections if each not in over),
                made,
            ]
            session.session.last_database = made.database.path
    for each in over:
        each.close()
    if is_closed:
        path = made.database.path
        raise ForwardStopped(
            f"{path} was not connected.", why="all has been closed meanwhile", hint=f"%connect_db {path}"
        )


def _same_login(one: DatabaseConnection, other: DatabaseConnection) -> bool:
    return (one.database.path, one.user, one.dbname) == (other.database.path, other.user, other.dbname)


def current_connection(db: str | None = None) -> DatabaseConnection:
    """Return the connection of the moment, with its database and its forward; or another open one.

    Parameters
    ----------
    db
        Another one: the name of its database, or ``NAMESPACE/NAME``; the latest where it is None.

    Raises
    ------
    NotConnected
        If `connect_db` has not succeeded yet.
    """
    connections = session.open_connections()
    if not connections and (last := session.session.last_database):
        raise NotConnected(f"No database is connected any more; {last} was.", hint=f"%connect_db {last}")
    if not connections:
        raise NotConnected(
            "No database is connected.",
            hint="%connect_db NAME connects to one, and %databases lists those that there are",
        )
    if db is None:
        return connections[-1]
    for each in reversed(connections):
        if db in (each.database.name, each.database.path):
            return each
    near = nearest(db, [name for each in connections for name in (each.database.name, each.database.path)])
    raise NotConnected(
        f"No connection to {db} is open.",
        why=f"Open are: {', '.join(each.database.path for each in connections)}.",
        hint=f"did you mean {near}?" if near else f"%connect_db {db}",
    )


@contextmanager
def open_side_session(name: str) -> Iterator[DatabaseConnection]:
    """Give a short session with a database, beside the one that cells use: it waits for no query of theirs.

    Parameters
    ----------
    name
        The database, ``NAME`` or ``NAMESPACE/NAME``. Where no connection to it is open, `connect_db` makes one.

    Yields
    ------
    DatabaseConnection
        It is closed behind.

    Raises
    ------
    DatabaseError, ClusterError, TargetError, ForwardError
        What `connect_db` raises.
    """
    try:
        opened = current_connection(name)
    except NotConnected:
        opened = connect_db(name)
    short = opened.copy_connection()
    try:
        yield short
    finally:
        short.close()


def connection(db: str | None = None) -> psycopg.Connection[Any]:
    """Return the connection of the moment as psycopg's, for libraries that take one.

    Parameters
    ----------
    db
        Another open connection: the name of its database, or ``NAMESPACE/NAME``.

    Returns
    -------
    psycopg.Connection
        The one that `query_db` uses, in autocommit mode. Each of its calls is a turn, as each of `query_db`'s.

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
    return current_connection(db).psycopg


def query_db(
    sql: str,
    params: Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    numeric: Numeric = "float",
    timeout: float | None = None,
    as_: Literal["pandas", "arrow", "polars"] = "pandas",
    to: str | Path | None = None,
    overwrite: bool = False,
    from_: str | Path | None = None,
    chunks: int | None = None,
    db: str | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> Any:
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
    numeric
        What numeric becomes: ``"float"`` or ``"decimal"``.
    timeout
        How many seconds a statement may take; any time where it is None.
    as_
        What the rows become; ``"arrow"`` and ``"polars"`` need the extra ``arrow``.
    to
        A file that the rows of one query go into instead, ``.parquet`` (extra ``arrow``) or ``.csv``; or what one
        ``COPY … TO STDOUT`` gives.
    overwrite
        Whether `to` may replace a file that is there.
    from_
        A file that is given to one ``COPY … FROM STDIN``.
    chunks
        Give the rows of one query in chunks of so many, as they are asked for, instead of all at once.
    db
        Another open connection: the name of its database, or ``NAMESPACE/NAME``.
    progress
        Called now and then with the rows, bytes (0 where unknown) and seconds so far.
    warn
        Called with words, before the first row, where a result may not fit into the memory.

    Returns
    -------
    DataFrame, pyarrow.Table, polars.DataFrame, QueryResult, Exported or Chunks
        The rows of the last statement that returns rows, with the columns and types that the server
        names (`sspcloud_magics.databases.postgres.query`); where none does, what the last one did; the file that was
        written; an iterator over chunks.

    Raises
    ------
    NotConnected
        If no database is connected.
    UsageProblem
        If there is no statement, a file exists, or an optional package is missing.
    ParameterError
        If a parameter has no value, or one that cannot be bound.
    QueryFailed
        If the server refuses a statement, or it takes too long. The connection stays usable.
    ConnectionBusy
        If another query is still read in chunks, or another thread's transaction block does not end.
    FileNotWritten
        If the file cannot be written.
    ConnectionLost
        If the server went away.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.query_db("SELECT :n + 1 AS next", {"n": 1})  # doctest: +SKIP
    """
    connected = current_connection(db)
    if to is not None and copy.direction(sql) == "to":
        return copy.copy_to(connected, sql, to, overwrite=overwrite, progress=progress)
    if from_ is not None:
        if copy.direction(sql) != "from":
            raise UsageProblem(
                "A file can be given to one COPY … FROM STDIN only.",
                hint="%%query_db --from rows.csv\nCOPY t FROM STDIN (FORMAT csv, HEADER)",
            )
        return copy.copy_from(connected, sql, from_, progress=progress)
    options = QueryOptions(
        limit=limit,
        numeric=numeric,
        timeout=timeout,
        json_text=as_ != "pandas",
        progress=progress,
        warn=warn,
        memory_share=session.session.queries.memory_share,
        ahead=partial(refuse_twins, holder="a polars DataFrame") if as_ == "polars" else None,
    )
    if to is not None:
        return export.export(connected, sql, to, params, options, overwrite=overwrite)
    convert = {"pandas": _as_it_is, "arrow": arrow.arrow_table, "polars": arrow.polars_frame}[as_]
    if as_ != "pandas":
        arrow.import_optional("pyarrow", "arrow", "An Arrow table")
    if chunks is not None:
        return in_chunks(
            connected, sql, params, replace(options, progress=None), size=chunks, convert=convert
        )
    result = query.run(connected, sql, params, options)
    return result if result.frame is None else convert(query.attach_notes(result), result.types)


def _as_it_is(frame: pd.DataFrame, _types: object) -> pd.DataFrame:
    return frame


def engine(db: str | None = None) -> Any:
    """Return a SQLAlchemy engine that works in the session of the moment, for pandas, JupySQL and polars.

    Parameters
    ----------
    db
        Another open connection: the name of its database, or ``NAMESPACE/NAME``.

    Returns
    -------
    sqlalchemy.Engine
        Its statements see the temporary tables and the transaction of `query_db`; within that, a transaction of its own is a savepoint.

    Raises
    ------
    NotConnected
        If no database is connected.
    UsageProblem
        If SQLAlchemy is not installed (the extra ``sqlalchemy``).

    Examples
    --------
    >>> import pandas as pd, sspcloud_magics as ssp
    >>> pd.read_sql("SELECT 1 AS one", ssp.engine())  # doctest: +SKIP
    """
    connected = current_connection(db)
    return made(connected)


def tables(pattern: str | None = None, *, db: str | None = None) -> pd.DataFrame:
    """Return the tables and views that one may read in the database of the moment.

    Parameters
    ----------
    pattern
        ``*`` and ``?`` stand for any characters and for one; compared with the name and with ``schema.name``.
    db
        Another open connection: the name of its database, or ``NAMESPACE/NAME``.

    Returns
    -------
    DataFrame
        ``schema``, ``name``, ``kind`` (string), ``rows_about`` and ``bytes`` (Int64; <NA> for views),
        ``comment`` (string).

    Raises
    ------
    NotConnected
        If no database is connected.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.tables("public.*")  # doctest: +SKIP
    """
    connected = current_connection(db)
    with connected.turn:
        return catalogue.tables(connected, pattern)


def describe_table(name: str, *, db: str | None = None) -> TableDescription:
    """Return the columns, indexes, size, comment and five rows of a table.

    Parameters
    ----------
    name
        As SQL writes it: ``communes``, ``public.communes``, ``"With Blank"``.
    db
        Another open connection: the name of its database, or ``NAMESPACE/NAME``.

    Raises
    ------
    NotConnected
        If no database is connected.
    QueryFailed
        If there is no such table.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.describe_table("communes").columns  # doctest: +SKIP
    """
    connected = current_connection(db)
    with connected.turn:
        return catalogue.describe_table(connected, name)


def load_table(
    frame: pd.DataFrame,
    name: str,
    mode: Literal["new", "append", "replace"] = "new",
    *,
    db: str | None = None,
    progress: Progress | None = None,
) -> int:
    """Write a DataFrame into a table of the database of the moment: all of its rows, or nothing.

    Parameters
    ----------
    frame
        The rows; the index is left out.
    name
        As SQL writes it: ``table``, ``schema.table``, ``schema."With Blank"``.
    mode
        ``"new"`` makes the table, ``"append"`` adds to it, ``"replace"`` drops one that is there first.
    db
        Another open connection: the name of its database, or ``NAMESPACE/NAME``.
    progress
        Called now and then with the rows, bytes (0: they are not counted) and seconds so far.

    Returns
    -------
    int
        How many rows were written.

    Raises
    ------
    NotConnected
        If no database is connected.
    UsageProblem
        If a column has no type in PostgreSQL, or no name of its own.
    QueryFailed
        If the server refuses; nothing is changed then.

    Examples
    --------
    >>> import pandas as pd, sspcloud_magics as ssp
    >>> ssp.load_table(pd.DataFrame({"n": [1, 2]}), "numbers")  # doctest: +SKIP
    """
    connected = current_connection(db)
    return bulk_load.load_table(connected, frame, name, mode, progress=progress)
