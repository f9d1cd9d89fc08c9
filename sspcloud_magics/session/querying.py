"""Connect to databases of the cluster, and query them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sspcloud_magics.databases import kinds
from sspcloud_magics.databases.credentials import find_credentials, list_received
from sspcloud_magics.databases.query_options import Output, QueryOptions
from sspcloud_magics.errors import (
    CredentialsNotFound,
    DatabaseNotFound,
    ForwardStopped,
    NotConnected,
    SspcloudError,
    UsageProblem,
)
from sspcloud_magics.i18n import _
from sspcloud_magics.session import recent_namespaces, session
from sspcloud_magics.sharing.pods import IMAGE
from sspcloud_magics.sharing.route_selection import RouteRequest, open_by_route
from sspcloud_magics.spelling import nearest

if TYPE_CHECKING:
    import pandas as pd

    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.databases.connection import Connection
    from sspcloud_magics.databases.query_options import As, Numeric, Progress
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
    progress: Callable[[str], None] = lambda _unused: None,
) -> Connection:
    """Connect to a database, and make it the current one, which `query_db` uses.

    The first route that works is used: direct if the network allows it, else a forward if your permissions do, else a
    forward to a relay of yours. The credentials are read from the cluster: your own Secret for your own database, the
    share's Secret for a colleague's. A connection to another database or as another user stays open; one with the same
    database and user is replaced.

    Parameters
    ----------
    name
        The database: ``NAME``, or ``NAMESPACE/NAME`` for a colleague's.
    namespace
        Its namespace, if `name` does not contain it; yours if None.
    user
        The user to connect as if no Secret can be read; `ask_password` is then called.
    database
        The database inside the server; the one in the Secret if None.
    url
        A libpq URL with user and password, instead of a Secret.
    ask_password
        Called with a prompt when a password is needed; if None, a missing password is an error.
    route
        ``direct``, ``forward`` or ``relay``: only that route.
    image
        The image of a relay, whose entry point must be socat; if None, the one of `configure_relay`, or
        ``alpine/socat``.
    timeout
        How long to wait for the forward and for the login, in seconds each.
    progress
        Called with a description of each step.

    Returns
    -------
    Connection
        The connection; its representation hides the password.

    Raises
    ------
    DatabaseNotFound, DatabaseHibernated
        If the database does not exist, or is paused.
    CredentialsNotFound, LoginRefused
        If no password can be read, or the server rejects it.
    DatabaseUnavailable, ForwardError, ClusterError
        If no route works, or the session was closed in between (`ForwardStopped`). In every case the previous connection
        stays the current one.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.connect_db("user-alice/postgresql-cnpg-951239")  # doctest: +SKIP
    """
    # Read both now: if `close` runs in between, a later call would create a new manager.
    cluster, manager = (
        session.current_cluster(namespace or name.rpartition("/")[0] or None),
        session.manager(),
    )
    try:
        found, credentials = find_credentials(
            cluster, name, namespace=namespace, user=user, url=url, ask_password=ask_password
        )
    except (DatabaseNotFound, CredentialsNotFound) as error:
        raise _suggest_share(error, cluster, name, namespace) from None
    made = open_by_route(
        RouteRequest(
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
    session.apply_defaults(made)
    _make_current(made, manager)
    return made


def _suggest_share(
    error: DatabaseNotFound | CredentialsNotFound, cluster: Cluster, name: str, namespace: str | None
) -> DatabaseNotFound | CredentialsNotFound:
    """Add a hint to the error: the colleague's database that was probably meant, as ``%databases`` lists it."""
    typed = f"{namespace}/{name}" if namespace else name
    try:
        where = recent_namespaces.colleagues_namespaces(cluster)
        shared = [each.path for each in list_received(cluster, where)]
    except SspcloudError:  # the original error matters more than its hint
        return error
    by_name = {path.rpartition("/")[2]: path for path in reversed(shared)}
    near = nearest(typed, shared) if "/" in typed else by_name.get(nearest(typed, by_name), "")
    if near in ("", typed):
        return error
    why = _("Shared with you: {shared}.", shared=", ".join(shared))
    return type(error)(error.what, why=why, hint=_("did you mean {near}? %connect_db {near}", near=near))


def _make_current(made: Connection, manager: ForwardManager) -> None:
    """Make a connection the current one, unless the session was closed while it opened."""
    with session.session.lock:
        is_closed = session.session.manager is not manager
        replaced = [made]
        if not is_closed:
            replaced = [each for each in session.session.connections if _same_login(each, made)]
            session.session.connections = [
                *(each for each in session.session.connections if each not in replaced),
                made,
            ]
            session.session.last_database = made.database.path
    for each in replaced:
        each.close()
    if is_closed:
        path = made.database.path
        raise ForwardStopped(
            _("{path} was not connected.", path=path),
            why=_("The session was closed."),
            hint=f"%connect_db {path}",  # not translated: a command
        )


def _same_login(one: Connection, other: Connection) -> bool:
    return (one.database.path, one.user, one.dbname) == (other.database.path, other.user, other.dbname)


def current_connection(db: str | None = None) -> Connection:
    """Return the current connection, with its database and its forward; or another open one.

    Parameters
    ----------
    db
        The database of another connection: ``NAME`` or ``NAMESPACE/NAME``; the current connection if None.

    Raises
    ------
    NotConnected
        If that connection is not open.
    """
    connections = session.open_connections()
    if not connections and (last := session.session.last_database):
        raise NotConnected(
            _("The connection to {last} has closed.", last=last),
            hint=f"%connect_db {last}",  # not translated: a command
        )
    if not connections:
        raise NotConnected(
            _("No database is connected."),
            hint=_("%databases   lists the databases\n%connect_db NAME   connects to one"),
        )
    if db is None:
        return connections[-1]
    for each in reversed(connections):
        if db in (each.database.name, each.database.path):
            return each
    near = nearest(db, [name for each in connections for name in (each.database.name, each.database.path)])
    raise NotConnected(
        _("No connection to {db} is open.", db=db),
        why=_("Open connections: {paths}.", paths=", ".join(each.database.path for each in connections)),
        hint=_("did you mean {near}?", near=near)
        if near
        else f"%connect_db {db}",  # not translated: a command
    )


@contextmanager
def open_side_session(name: str) -> Iterator[Connection]:
    """Open a short session with a database, separate from the one that cells use, so that it waits for no query.

    Parameters
    ----------
    name
        The database, ``NAME`` or ``NAMESPACE/NAME``. If no connection to it is open, `connect_db` opens one.

    Yields
    ------
    Connection
        Closed at the end of the block.

    Raises
    ------
    DatabaseError, ClusterError, TargetError, ForwardError
        As `connect_db`.
    """
    try:
        opened = current_connection(name)
    except NotConnected:
        opened = connect_db(name)
    with closing(opened.copy_connection()) as short:
        yield short


def connection(db: str | None = None) -> Any:
    """Return the current connection as its library's own object, for libraries that expect one.

    Parameters
    ----------
    db
        Another open connection: the name of its database, or ``NAMESPACE/NAME``.

    Returns
    -------
    psycopg.Connection, pymysql.Connection or pymongo.database.Database
        The connection that `query_db` uses, in autocommit mode. Each of its calls is a turn, like each of `query_db`'s.
        A database of MongoDB is thread-safe, and needs no turns.

    Raises
    ------
    NotConnected
        If that connection is not open.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.connection().execute("SELECT 1").fetchone()  # doctest: +SKIP
    (1,)
    """
    connected = current_connection(db)
    return kinds.get(connected.database.kind).native(connected)


def query_db(
    sql: str | Mapping[str, Any],
    params: Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    numeric: Numeric = "float",
    timeout: float | None = None,
    as_: As = "pandas",
    to: str | Path | None = None,
    overwrite: bool = False,
    from_: str | Path | None = None,
    chunks: int | None = None,
    db: str | None = None,
    duckdb: bool = False,
    partition_by: Sequence[str] = (),
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> Any:
    """Run statements in the current database, or in DuckDB with the open databases attached.

    Parameters
    ----------
    sql
        One or several statements, or a command document of MongoDB (as JSON, or a dict). ``:name`` is a parameter, which the server binds and which is never
        pasted into the text; ``::type``, ``->>``, ``?`` and ``%`` need no escaping.
    params
        The values of the parameters, by name.
    limit
        The maximum number of rows to fetch; all if None.
    numeric
        The Python type of numeric: ``"float"`` or ``"decimal"``.
    timeout
        The time limit of a statement in seconds; none if None.
    as_
        The type of the result; ``"arrow"`` and ``"polars"`` need the extra ``arrow``. ``"geopandas"`` (extra ``geo``) requires a
        column of geometries; where GeoPandas is installed, ``"pandas"`` returns a GeoDataFrame for such a result too.
    to
        A file for the rows of one query, ``.parquet`` (extra ``arrow``) or ``.csv``; or for the output of one
        ``COPY … TO STDOUT``. ``s3://BUCKET/NAME.parquet`` is an object in S3 (extra ``duckdb``).
    overwrite
        Whether `to` may replace an existing file.
    from_
        A file with the input of one ``COPY … FROM STDIN``.
    chunks
        Return the rows of one query in chunks of this size, fetched on demand.
    db
        Another open connection: the name of its database, or ``NAMESPACE/NAME``.
    duckdb
        Run the statements in DuckDB (extra ``duckdb``): the current database is ``pg``, and DataFrames in `params` are
        tables.
    partition_by
        With an ``s3://`` prefix as `to`: the columns by whose values the rows are divided into objects.
    progress
        Called at intervals with the rows, bytes (0 if unknown) and seconds so far.
    warn
        Called with a message, before the first row, if a result may not fit into memory.

    Returns
    -------
    DataFrame, GeoDataFrame, pyarrow.Table, polars.DataFrame, QueryResult, Exported or Chunks
        The rows of the last statement that returns rows, with the server's columns and types
        (`sspcloud_magics.databases.postgres.query`); if none does, the result of the last one; with `to`, the written
        file; with `chunks`, an iterator.

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
        If another query is still being read in chunks, or another thread's transaction block does not end.
    FileNotWritten
        If the file cannot be written.
    ConnectionLost
        If the connection to the server is lost.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.query_db("SELECT :n + 1 AS next", {"n": 1})  # doctest: +SKIP
    """
    options = QueryOptions(
        limit=limit,
        numeric=numeric,
        timeout=timeout,
        json_text=as_ in ("arrow", "polars"),
        progress=progress,
        warn=warn,
        memory_share=session.session.queries.memory_share,
    )
    output = Output(as_=as_, to=to, overwrite=overwrite, from_=from_, chunks=chunks)
    if duckdb:
        if as_ == "geopandas":
            raise UsageProblem(
                _("--as geopandas does not work with --duckdb."),
                hint=_("query the database without --duckdb"),
            )
        from sspcloud_magics.session import lake  # noqa: PLC0415 - optional

        return lake.query_duckdb(str(sql), params or {}, options, output, partition_by)
    connected = current_connection(db)
    if not isinstance(sql, str) and connected.database.kind != "mongodb":
        raise UsageProblem(
            _("A command document is for MongoDB, and {path} takes SQL.", path=connected.database.path),
            hint=_("write SQL, such as SELECT 1"),
        )
    if isinstance(to, str) and to.startswith("s3://"):
        return _query_to_s3(connected, sql, params, options=options, output=output, partition_by=partition_by)
    if isinstance(to, str) and "://" in to:
        raise UsageProblem(
            _("{place} is neither a file nor an address in S3.", place=to),
            hint=_("use --to s3://BUCKET/NAME.parquet"),
        )
    if partition_by:
        raise UsageProblem(
            _("--partition-by needs an address in S3."),
            hint=_("%%query_db --to s3://bucket/prefix --partition-by {column}", column=partition_by[0]),
        )
    return kinds.get(connected.database.kind).run(connected, sql, params, options, output)


def _query_to_s3(
    connected: Connection,
    sql: str | Mapping[str, Any],
    params: Mapping[str, Any] | None,
    *,
    options: QueryOptions,
    output: Output,
    partition_by: Sequence[str],
) -> Any:
    from sspcloud_magics.session import lake  # noqa: PLC0415 - optional

    place = lake.destination(str(output.to), overwrite=output.overwrite, partition_by=partition_by)
    return kinds.get(connected.database.kind).run(connected, sql, params, options, replace(output, to=place))


def engine(db: str | None = None) -> Any:
    """Return a SQLAlchemy engine on the current connection, for pandas, JupySQL and polars.

    Parameters
    ----------
    db
        Another open connection: the name of its database, or ``NAMESPACE/NAME``.

    Returns
    -------
    sqlalchemy.Engine
        Its statements see the temporary tables and the transaction of `query_db`; within one, its own transactions are
        savepoints.

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
    return kinds.get(connected.database.kind).engine(connected)


def tables(pattern: str | None = None, *, db: str | None = None) -> pd.DataFrame:
    """List the tables and views that you may read in the current database.

    Parameters
    ----------
    pattern
        A glob with ``*`` and ``?``, compared with the name and with ``schema.name``.
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
        return kinds.get(connected.database.kind).tables(connected, pattern)


def describe_table(name: str, *, db: str | None = None) -> Any:
    """Describe a table: its columns, indexes, size, comment and five rows.

    Parameters
    ----------
    name
        Its name in SQL: ``communes``, ``public.communes``, ``"With Blank"``.
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
        return kinds.get(connected.database.kind).describe_table(connected, name)


def load_table(
    frame: pd.DataFrame | str,
    name: str,
    mode: Literal["new", "append", "replace"] = "new",
    *,
    db: str | None = None,
    progress: Progress | None = None,
) -> int:
    """Write a DataFrame into a table of the current database: all of its rows, or none.

    Parameters
    ----------
    frame
        The rows; the index is left out. Or a ``.parquet`` or ``.csv`` file, also in S3 (``s3://…``), which is read in parts
        (extra ``duckdb``).
    name
        The table's name in SQL: ``table``, ``schema.table``, ``schema."With Blank"``.
    mode
        ``"new"`` creates the table, ``"append"`` adds to it, ``"replace"`` drops an existing one first.
    db
        Another open connection: the name of its database, or ``NAMESPACE/NAME``.
    progress
        Called at intervals with the rows, bytes (0: they are not counted) and seconds so far.

    Returns
    -------
    int
        The number of written rows.

    Raises
    ------
    NotConnected
        If no database is connected.
    UsageProblem
        If a column has no PostgreSQL type, or a name that is not unique.
    QueryFailed
        If the server refuses; nothing changes then.

    Examples
    --------
    >>> import pandas as pd, sspcloud_magics as ssp
    >>> ssp.load_table(pd.DataFrame({"n": [1, 2]}), "numbers")  # doctest: +SKIP
    """
    connected = current_connection(db)
    load = kinds.get(connected.database.kind).load_table
    if not isinstance(frame, str):
        return load(connected, frame, name, mode, progress=progress)
    from sspcloud_magics.session import lake  # noqa: PLC0415 - optional

    rows, began = 0, time.perf_counter()
    with connected.transaction():
        for part in lake.read_file(frame):
            rows += load(connected, part, name, mode)
            mode = "append"
            if progress is not None:
                progress(rows, 0, time.perf_counter() - began)
    return rows
