"""Tables larger than memory as Dask DataFrames: each partition is a range of a column, which a query of its own reads.

The graph has the name of the database, the query and the bounds, and no credentials. A worker finds the login as
`connect_db` does: by its kubeconfig or its pod's account, in the share's Secret, by the first route that works. A worker
on the notebook's machine goes through the notebook's forward, and the notebook's own threads use its login.

Partitions are read at different times, each in a transaction of its own: they are not one snapshot of the table.
"""

from __future__ import annotations

import json
import math
import re
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psycopg

from sspcloud_magics.databases import kinds
from sspcloud_magics.databases.arrow import import_optional
from sspcloud_magics.databases.column_names import FOR_DASK, refuse_duplicates
from sspcloud_magics.databases.credentials import find_credentials
from sspcloud_magics.databases.postgres import query
from sspcloud_magics.databases.postgres.results.statement_description import only_reads
from sspcloud_magics.databases.postgres.session import search_path
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.sql_lexer import statements
from sspcloud_magics.databases.query_options import Numeric, QueryOptions
from sspcloud_magics.databases.route import Route
from sspcloud_magics.errors import LoginRefused, UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.session import session
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
# Seconds between looks at the state of a task, and the limit of a request to cancel.
_WATCH_SECONDS = 0.5
_CANCEL_SECONDS = 5.0
# What pandas needs for a value besides the planner's width.
_VALUE_BYTES = 8
_NAME = re.compile(r'\s*(?:(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)\.)?(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)\s*')


@dataclass(frozen=True, slots=True)
class Range:
    """The rows of a partition: ``low <= column < high``, as PostgreSQL's text.

    Parameters
    ----------
    low, high
        The bounds; None for no bound.
    nulls
        Whether rows with NULL belong to it, next to those of the range; alone if `only_nulls`.
    only_nulls
        Whether it has only the rows with NULL.
    """

    low: str | None = None
    high: str | None = None
    nulls: bool = False
    only_nulls: bool = False

    def condition(self, key: str) -> tuple[str, dict[str, str]]:
        """Return the condition on a quoted column, and the values of its parameters."""
        if self.only_nulls:
            return f"{key} IS NULL", {}
        values = {"sspcloud_low": self.low, "sspcloud_high": self.high}
        parts = [
            f"{key} {sign} :{name}"
            for (name, value), sign in zip(values.items(), (">=", "<"), strict=True)
            if value is not None
        ]
        condition = " AND ".join(parts) or "TRUE"
        condition = f"({condition} OR {key} IS NULL)" if self.nulls and parts else condition
        return condition, {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionReader:
    """The function of the graph: reads one partition in a worker.

    Parameters
    ----------
    path, dbname, user
        The database, and the role that every worker must have.
    select, params, key
        The query, the values of its parameters, and the quoted column of the ranges.
    numeric
        The Python type for numeric.
    search_path, time_zone
        The notebook's settings, which the meaning of names and the type of columns depend on.
    room
        The number of partitions that are read at the same time.
    port, machine
        The local port of the notebook's forward, and the machine that it is on.
    created
        Makes the graph's keys unique: a later graph over the same table reads it again.
    """

    path: str
    dbname: str
    user: str
    select: str
    params: Mapping[str, Any]
    key: str
    numeric: Numeric
    search_path: str
    time_zone: str
    room: int
    port: int | None
    machine: str
    created: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __call__(self, rows: Range) -> pd.DataFrame:
        """Return the rows of a partition."""
        condition, bounds = rows.condition(self.key)
        sql = f"SELECT * FROM ({self.select}\n) AS q WHERE {condition}"  # noqa: S608 - the user's own SQL
        with _slot(self), closing(self._open()) as connection, _cancel_with_task(connection):
            found = query.run(connection, sql, {**self.params, **bounds}, QueryOptions(numeric=self.numeric))
        return _as_plain_frame(found.frame)

    def _open(self) -> DatabaseConnection:
        """Open a connection with the rights of this process."""
        for each in session.open_connections():
            if isinstance(each, DatabaseConnection) and self._is_login_of(each):
                return each.copy_connection()
        cluster = session.current_cluster(self.path.rpartition("/")[0])
        database, used = find_credentials(cluster, self.path)
        if used.user != self.user:
            raise LoginRefused(
                _("The worker would connect to {path} as {user}.", path=self.path, user=used.user),
                why=_("The notebook is connected as {user}, who may see other rows.", user=self.user),
                hint=_("give the worker the same rights, or connect the notebook without --user"),
            )
        manager = session.manager()
        if self.port is not None and self.machine == _describe_machine():
            route = Route("direct", "", address="127.0.0.1")
            made = kinds.get(database.kind).open_connection(
                cluster, manager, replace(database, port=self.port), used, dbname=self.dbname, route=route
            )
        else:
            made = open_by_route(
                RouteRequest(
                    cluster=cluster,
                    manager=manager,
                    database=database,
                    credentials=used,
                    dbname=self.dbname,
                )
            )
        made.apply_defaults(self.search_path, self.time_zone)
        return cast("DatabaseConnection", made)

    def _is_login_of(self, each: DatabaseConnection) -> bool:
        return (each.database.path, each.dbname, each.user) == (self.path, self.dbname, self.user)


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

    _stop_reads_with_dask()
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
    table = sql.strip() if _NAME.fullmatch(sql) else None
    parsed = statements(f"SELECT * FROM {table}" if table else sql)  # noqa: S608 - a name
    if len(parsed) != 1 or not only_reads(parsed[0]):
        raise UsageProblem(_("Dask reads one table or one query."), hint=_("write a name, or SELECT …"))
    if connected.in_transaction:
        raise UsageProblem(
            _("A transaction is open, and other connections do not see its changes."),
            hint=_("commit it first: %query_db --commit"),
        )
    select = parsed[0].text

    def run(text: str, **more: Any) -> pd.DataFrame:
        found = query.run(connected, text, {**params, **more}, QueryOptions(numeric=numeric))
        return found.frame  # type: ignore[return-value]  # a query has rows

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
    kind = described.types[list(meta.columns).index(column)]
    if run(_IS_ARRAY, kind=kind)["is_array"][0]:
        raise UsageProblem(
            _("The column {column!r} is an array, and cannot divide the rows.", column=column),
            hint=_("use a column of numbers, texts or dates"),
        )
    if partitions is None:
        top = json.loads(_text(run(f"EXPLAIN (FORMAT JSON) {select}")))[0]["Plan"]
        size = top["Plan Rows"] * (top["Plan Width"] + _VALUE_BYTES * len(meta.columns))
        partitions = min(max(1, math.ceil(size / PARTITION_BYTES)), _MOST_PARTITIONS)
    ranges = _find_ranges(
        connected, run, select, table=table, column=column, kind=kind, partitions=partitions
    )
    settings = run(_SETTINGS)
    forward = connected.forward
    reader = PartitionReader(
        path=connected.database.path,
        dbname=connected.dbname,
        user=connected.user,
        select=select,
        params={name: params[name] for name in parsed[0].names if name in params},
        key=_quote(column),
        numeric=numeric,
        search_path=settings["search_path"][0],
        time_zone=settings["time_zone"][0],
        room=_count_room(int(settings["server"][0]), int(settings["role"][0])),
        port=None if forward is None else forward.local_port,
        machine=_describe_machine(),
    )
    return reader, ranges, meta


def _quote(column: str) -> str:
    """Quote a column of the query `q`."""
    return 'q."' + column.replace('"', '""') + '"'


def _count_room(server: int, role: int) -> int:
    """Return how many connections workers may open: half of the server's, and the role's without those of notebooks.

    Examples
    --------
    >>> _count_room(100, 10), _count_room(100, -1), _count_room(100, 1)
    (8, 50, 1)
    """
    return max(1, min(server // 2, role - _RESERVE if role >= 0 else server))


def _find_ranges(
    connected: DatabaseConnection,
    run: Callable[..., pd.DataFrame],
    select: str,
    *,
    table: str | None,
    column: str,
    kind: int,
    partitions: int,
) -> list[Range]:
    """Return ranges of about one size: by the planner's statistics of a table, else by the query's own values."""
    if partitions <= 1:
        return [Range(nulls=True)]
    found = None
    if table is not None:
        # The name means what it means to the user; the statistics are read with a pinned path.
        oid = run("SELECT pg_catalog.to_regclass(:tbl)::pg_catalog.oid AS oid", tbl=table)["oid"][0]
        with search_path.pin_search_path(connected.ready()[0]):
            name = run("SELECT format_type(:kind::oid, NULL) AS name", kind=kind)["name"][0]
            found = run(_STATISTICS.format(kind=name), oid=oid, col=column, parts=partitions)
    if found is None or found.empty:
        fractions = [place / partitions for place in range(1, partitions)]
        found = run(_PERCENTILES.format(key=_quote(column), select=select), fractions=fractions)
    bounds = list(dict.fromkeys(found["bound"].dropna()))
    if not bounds:
        return [Range(nulls=True)]
    has_nulls = bool(found["nulls"].any())
    edges: Sequence[str | None] = [None, *bounds, None]
    ranges = [Range(low, high) for low, high in pairwise(edges)]
    ranges[-1] = replace(ranges[-1], nulls=not has_nulls)
    return [*ranges, Range(only_nulls=True)] if has_nulls else ranges


_STATISTICS = """
WITH found AS (
    SELECT s.null_frac, s.most_common_vals::text::{kind}[] AS common, s.most_common_freqs AS freqs,
           s.histogram_bounds::text::{kind}[] AS bounds,
           1 - s.null_frac - coalesce((SELECT sum(f) FROM unnest(s.most_common_freqs) AS f), 0) AS rest
    FROM pg_stats AS s JOIN pg_class AS c ON c.relname = s.tablename
    JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = s.schemaname
    WHERE c.oid = :oid::oid AND s.attname = :col ORDER BY s.inherited DESC LIMIT 1
), points AS (
    SELECT v.value, v.weight FROM found, unnest(common, freqs) AS v(value, weight)
    UNION ALL
    SELECT h.value, greatest(rest, 0) / greatest(cardinality(bounds) - 1, 1) FROM found, unnest(bounds) AS h(value)
), placed AS (
    SELECT value, sum(weight) OVER (ORDER BY value) - weight AS before, sum(weight) OVER () AS total FROM points
), numbered AS (
    SELECT value, least(floor(before * :parts / nullif(total, 0)), :parts - 1) AS place FROM placed
)
SELECT DISTINCT ON (place) value::text AS bound, (SELECT null_frac > 0 FROM found) AS nulls
FROM numbered WHERE place > 0 ORDER BY place, value
"""
"""The first value of each part of a table, by the most common values and the histogram, without reading the table."""

_PERCENTILES = """
SELECT unnest(bounds)::text AS bound, nulls FROM (
    SELECT percentile_disc(:fractions::float8[]) WITHIN GROUP (ORDER BY {key}) AS bounds,
           count(*) > count({key}) AS nulls FROM ({select}
) AS q) AS parts
"""
"""The same for a query, whose values of that column the server reads and sorts once."""

_IS_ARRAY = """
SELECT typcategory OPERATOR(pg_catalog.=) 'A'::pg_catalog."char" AS is_array FROM pg_catalog.pg_type
WHERE oid OPERATOR(pg_catalog.=) :kind::pg_catalog.oid
"""

_SETTINGS = """
SELECT pg_catalog.current_setting('search_path') AS search_path, pg_catalog.current_setting('TimeZone') AS time_zone,
    pg_catalog.current_setting('max_connections')::pg_catalog.int4 AS server, rolconnlimit AS role
FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) CURRENT_USER
"""


def _text(plan: pd.DataFrame) -> str:
    value = plan.iloc[0, 0]
    return value if isinstance(value, str) else json.dumps(value)


def _as_plain_frame(frame: Any) -> pd.DataFrame:
    """Return a frame as one of pandas: Dask knows no GeoDataFrame, so geometries become WKB."""
    if not hasattr(frame, "to_crs"):
        return cast("pd.DataFrame", frame)
    return cast("pd.DataFrame", frame.to_wkb(flavor="iso"))


def _describe_machine() -> str:
    """Return a text that differs between machines, and between containers."""
    namespace = Path("/proc/self/ns/net")
    return f"{socket.gethostname()} {namespace.readlink() if namespace.exists() else ''}"


@contextmanager
def _slot(reader: PartitionReader) -> Iterator[None]:
    """Wait until one of the places for connections is free: in the whole Dask cluster, or in this process."""
    name = f"sspcloud {reader.path} {reader.user} {reader.room}"  # not translated: a name
    if _find_worker() is None:
        with _semaphore(name, reader.room):
            yield
        return
    from distributed import Semaphore  # noqa: PLC0415 - optional

    with Semaphore(max_leases=reader.room, name=name):  # type: ignore[no-untyped-call]  # Dask's
        yield


@cache
def _semaphore(name: str, room: int) -> threading.BoundedSemaphore:  # noqa: ARG001 - one for each name
    return threading.BoundedSemaphore(room)


def _find_worker() -> Any:
    """Return the Dask worker of this thread; None in a local scheduler."""
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker  # noqa: PLC0415 - optional

    with suppress(ValueError):
        return get_worker()
    return None


# The sessions that read partitions in this process.
_reading: set[psycopg.Connection[Any]] = set()


@contextmanager
def _cancel_with_task(connection: DatabaseConnection) -> Iterator[None]:
    """Cancel the query at the server when Dask drops the task, such as after an interruption in the notebook."""
    reading, ended = connection.psycopg, threading.Event()
    if (worker := _find_worker()) is not None:
        key = worker.get_current_task()

        def watch() -> None:
            while not ended.wait(_WATCH_SECONDS):
                task = worker.state.tasks.get(key)
                if task is None or task.state == "cancelled":
                    _cancel(reading)

        threading.Thread(target=watch, name="sspcloud-dask", daemon=True).start()
    _reading.add(reading)
    try:
        yield
    finally:
        ended.set()
        _reading.discard(reading)


def _cancel(reading: psycopg.Connection[Any]) -> None:
    with suppress(psycopg.Error):  # the query has just ended
        reading.cancel_safe(timeout=_CANCEL_SECONDS)


@cache
def _stop_reads_with_dask() -> None:
    """Cancel the reads of this process when a computation of a local scheduler fails or is interrupted."""
    from dask.callbacks import Callback  # noqa: PLC0415 - optional

    def finish(_graph: object, _state: object, has_failed: bool) -> None:
        for each in list(_reading) if has_failed else ():
            _cancel(each)

    Callback(finish=finish).register()  # type: ignore[no-untyped-call]  # Dask's
