"""Tables larger than memory as Dask DataFrames: each partition is a range of a column, which a query of its own reads.

The graph has the name of the database, the query and the bounds, and no credentials. A worker finds the login as
`connect_db` does: by its kubeconfig or its pod's account, in the share's Secret, by the first route that works. A worker
on the notebook's machine goes through the notebook's forward, and the notebook's own threads use its login.

Partitions are read at different times, each in a transaction of its own: they are not one snapshot of the table.
"""

from __future__ import annotations

import math
import socket
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sspcloud_magics.databases.arrow import import_optional
from sspcloud_magics.databases.column_names import FOR_DASK, refuse_duplicates
from sspcloud_magics.databases.credentials import find_credentials
from sspcloud_magics.databases.postgres import query
from sspcloud_magics.databases.postgres.column_ranges import Range, find_ranges, quote_column
from sspcloud_magics.databases.postgres.results.statement_description import only_reads
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.sql_lexer import statements
from sspcloud_magics.databases.postgres.transfer.bulk_load import TABLE_NAME
from sspcloud_magics.databases.query_options import Numeric, QueryOptions
from sspcloud_magics.databases.route import Route
from sspcloud_magics.errors import LoginRefused, UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.session import dask_workers, session
from sspcloud_magics.session.querying import current_connection
from sspcloud_magics.sharing.route_selection import RouteRequest, open_by_route
from sspcloud_magics.spelling import nearest

if TYPE_CHECKING:
    import dask.dataframe
    import pandas as pd

PARTITION_BYTES = 64 << 20
"""The size of a partition in bytes, by the planner's estimate. A worker holds a few copies while it reads one."""

_RESERVE = 2
"""The connections of a role that workers leave to notebooks."""

_MOST_PARTITIONS = 10_000
# What pandas needs for a value besides the planner's width.
_VALUE_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionReader:
    """The function of the graph: reads one partition in a worker."""

    # The database, and the role that every worker must have.
    path: str
    dbname: str
    user: str
    # The query, the values of its parameters, and the quoted column of the ranges.
    select: str
    params: Mapping[str, Any]
    key: str
    numeric: Numeric  # the Python type for numeric
    # The notebook's settings, which the meaning of names and the type of columns depend on.
    search_path: str
    time_zone: str
    room: int  # the number of partitions that are read at the same time
    # The local port of the notebook's forward, and the machine that it is on.
    port: int | None
    machine: str
    # Makes the graph's keys unique: a later graph over the same table reads it again.
    created: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __call__(self, rows: Range) -> pd.DataFrame:
        """Return the rows of a partition."""
        condition, bounds = rows.condition(self.key)
        sql = f"SELECT * FROM ({self.select}\n) AS q WHERE {condition}"  # noqa: S608 - the user's own SQL
        slot = f"sspcloud {self.path} {self.user} {self.room}"  # not translated: a name
        with (
            dask_workers.take_slot(slot, self.room),
            closing(self._open()) as connection,
            dask_workers.cancel_with_task(connection.psycopg),
        ):
            found = query.run(connection, sql, {**self.params, **bounds}, QueryOptions(numeric=self.numeric))
        return _as_plain_frame(found.frame)

    def _open(self) -> DatabaseConnection:
        """Open a connection with the rights of this process."""
        login = (self.path, self.dbname, self.user)
        for each in session.open_connections():
            if isinstance(each, DatabaseConnection) and (each.database.path, each.dbname, each.user) == login:
                return each.copy_connection()
        cluster = session.current_cluster(self.path.rpartition("/")[0])
        database, used = find_credentials(cluster, self.path)
        if used.user != self.user:
            raise LoginRefused(
                _("The worker would connect to {path} as {user}.", path=self.path, user=used.user),
                why=_("The notebook is connected as {user}, who may see other rows.", user=self.user),
                hint=_("give the worker the same rights, or connect the notebook without --user"),
            )
        request = RouteRequest(
            cluster=cluster,
            manager=session.manager(),
            database=database,
            credentials=used,
            dbname=self.dbname,
        )
        if self.port is not None and self.machine == _describe_machine():
            request = replace(request, database=replace(database, port=self.port))
            made = request.connect(Route("direct", "", address="127.0.0.1"))
        else:
            made = open_by_route(request)
        made.apply_defaults(self.search_path, self.time_zone)
        return cast("DatabaseConnection", made)


def read_dask(
    sql: str,
    params: Mapping[str, Any] | None = None,
    *,
    partition_on: str,
    partitions: int | None = None,
    numeric: Numeric = "float",
    db: str | None = None,
) -> dask.dataframe.DataFrame:
    """Return a table or a query as a Dask DataFrame, whose partitions are ranges of a column.

    Nothing is read before Dask computes. Then each worker opens its own connection by the database's name, with its own
    rights. The partitions are not one snapshot: rows that change in the meantime may appear in two partitions, or in none.

    Parameters
    ----------
    sql
        The name of a table, or one query.
    params
        The values of the query's parameters, by name; workers receive them.
    partition_on
        The column, of any type that has an order. Choose one with an index, whose values do not change.
    partitions
        The number of partitions; if None, so many that each has about 64 MiB.
    numeric
        The Python type of numeric: ``"float"`` or ``"decimal"``.
    db
        Another open connection: the name of its database, or ``NAMESPACE/NAME``.

    Returns
    -------
    dask.dataframe.DataFrame
        With the dtypes that `query_db` gives.

    Raises
    ------
    NotConnected
        If no database is connected.
    UsageProblem
        If Dask is not installed (the extra ``dask``), or there is no such column.
    QueryFailed
        If the server refuses the query.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ddf = ssp.read_dask("individus", partition_on="id")  # doctest: +SKIP
    >>> ddf.groupby("diplome")["salaire_net"].mean().compute()  # doctest: +SKIP
    """
    package = import_optional("dask.dataframe", "dask", _("A Dask DataFrame"))
    connected = current_connection(db)
    if not isinstance(connected, DatabaseConnection):
        raise UsageProblem(
            _("Dask reads databases of PostgreSQL, and {path} is none.", path=connected.database.path),
            hint=_("read it in chunks: %%query_db --chunks 100000"),
        )
    with connected.turn:
        reader, ranges, meta = _plan(
            connected, sql, params or {}, column=partition_on, partitions=partitions, numeric=numeric
        )
    import dask  # noqa: PLC0415 - optional

    dask_workers.cancel_with_local_scheduler()
    with dask.config.set({"dataframe.convert-string": False}):  # the frames have their types
        return cast(
            "dask.dataframe.DataFrame",
            package.from_map(reader, ranges, meta=meta, label="read-postgres", enforce_metadata=True),
        )


def _plan(
    connected: DatabaseConnection,
    sql: str,
    params: Mapping[str, Any],
    *,
    column: str,
    partitions: int | None,
    numeric: Numeric,
) -> tuple[PartitionReader, list[Range], pd.DataFrame]:
    """Return the reader, the ranges and an empty frame of a query."""
    table = sql if TABLE_NAME.fullmatch(sql.strip()) else None
    parsed = statements(f"TABLE {table}" if table else sql)
    if len(parsed) != 1 or not only_reads(parsed[0]):
        raise UsageProblem(_("Dask reads one table or one query."), hint=_("write a name, or SELECT …"))
    if connected.in_transaction:
        raise UsageProblem(
            _("A transaction is open, and other connections do not see its changes."),
            hint=_("commit it first: %query_db --commit"),
        )
    select = parsed[0].text

    def run(text: str, **more: Any) -> Any:
        return query.run(connected, text, {**params, **more}, QueryOptions(numeric=numeric)).frame

    empty = f"SELECT * FROM ({select}\n) AS q LIMIT 0"  # noqa: S608 - the user's own SQL
    described = query.run(connected, empty, params, QueryOptions(numeric=numeric))
    meta = _as_plain_frame(described.frame)
    refuse_duplicates(meta.columns, FOR_DASK)
    if column not in meta.columns:
        near = nearest(column, list(meta.columns))
        raise UsageProblem(
            _("The result has no column {column!r}.", column=column),
            hint=_("did you mean {near}?", near=near) if near else _("name one of its columns"),
        )
    if partitions is None:
        top = run(f"EXPLAIN (FORMAT JSON) {select}").iloc[0, 0][0]["Plan"]
        size = top["Plan Rows"] * (top["Plan Width"] + _VALUE_BYTES * len(meta.columns))
        partitions = min(max(1, math.ceil(size / PARTITION_BYTES)), _MOST_PARTITIONS)
    kind = described.types[list(meta.columns).index(column)]
    ranges = find_ranges(connected, run, select, table=table, column=column, kind=kind, partitions=partitions)
    settings = run(_SETTINGS).iloc[0]
    reader = PartitionReader(
        path=connected.database.path,
        dbname=connected.dbname,
        user=connected.user,
        select=select,
        params={name: params[name] for name in parsed[0].names if name in params},
        key=quote_column(column),
        numeric=numeric,
        search_path=settings["search_path"],
        time_zone=settings["time_zone"],
        room=_count_room(int(settings["server"]), int(settings["role"])),
        port=connected.forward.local_port if connected.forward else None,
        machine=_describe_machine(),
    )
    return reader, ranges, meta


def _count_room(server: int, role: int) -> int:
    """Return how many connections workers may open: half of the server's, and the role's without those of notebooks.

    Examples
    --------
    >>> _count_room(100, 10), _count_room(100, -1), _count_room(100, 1)
    (8, 50, 1)
    """
    return max(1, min(server // 2, role - _RESERVE if role >= 0 else server))


_SETTINGS = """
SELECT pg_catalog.current_setting('search_path') AS search_path, pg_catalog.current_setting('TimeZone') AS time_zone,
    pg_catalog.current_setting('max_connections')::pg_catalog.int4 AS server, rolconnlimit AS role
FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) CURRENT_USER
"""


def _as_plain_frame(frame: Any) -> pd.DataFrame:
    """Return a frame as one of pandas: Dask knows no GeoDataFrame, so geometries become WKB."""
    if not hasattr(frame, "to_crs"):
        return cast("pd.DataFrame", frame)
    return cast("pd.DataFrame", frame.to_wkb(flavor="iso"))


def _describe_machine() -> str:
    """Return a text that differs between machines, and between containers."""
    namespace = Path("/proc/self/ns/net")
    return f"{socket.gethostname()} {namespace.readlink() if namespace.exists() else ''}"
