"""Run SQL in DuckDB: over the attached databases, S3, files, and the notebook's DataFrames.

A query runs in a thread of its own, so that an interruption of the cell reaches it at once: DuckDB is interrupted, and so is
what runs for it at the servers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sspcloud_magics.databases.arrow import import_optional
from sspcloud_magics.databases.export import replace_atomically
from sspcloud_magics.databases.parameter_values import find_value, to_python
from sspcloud_magics.databases.postgres.sql_lexer import Statement, statements
from sspcloud_magics.errors import LoginRefused, QueryFailed, SspcloudError, UsageProblem
from sspcloud_magics.i18n import _, _n, format_bytes
from sspcloud_magics.lake import frames
from sspcloud_magics.lake.attachment import identifier, literal
from sspcloud_magics.platforms import current as current_platform
from sspcloud_magics.printable import shorten
from sspcloud_magics.user_files import user_path

if TYPE_CHECKING:
    import duckdb

    from sspcloud_magics.databases.query_options import Output, QueryOptions
    from sspcloud_magics.lake.instance import Instance

_T = TypeVar("_T")

_FORMATS = {
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
    ".csv": "FORMAT csv, HEADER",
}


@dataclass(frozen=True, slots=True)
class Written:
    """The result of an export.

    Parameters
    ----------
    place
        The file, or the address of the object.
    rows
        The number of rows.
    size
        The size in bytes; None if it is not known.
    """

    place: str
    rows: int
    size: int | None = None

    def __repr__(self) -> str:
        if self.size is None:
            return _n("{count} row in {place}", "{count} rows in {place}", self.rows, place=self.place)
        return _n(
            "{count} row in {place} ({size})",
            "{count} rows in {place} ({size})",
            self.rows,
            place=self.place,
            size=format_bytes(self.size),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A query for DuckDB.

    Parameters
    ----------
    sql
        One or several statements; ``:name`` is a parameter.
    params
        The values of parameters, and the DataFrames that the statements can name.
    options, output
        The same as for a query of one database.
    partition_by
        With an output in S3: the columns by whose values the rows are divided into objects.
    """

    sql: str
    params: Mapping[str, Any]
    options: QueryOptions
    output: Output
    partition_by: Sequence[str] = ()


def run(instance: Instance, request: Request, cancel_at_servers: Callable[[], None]) -> Any:
    """Run statements, and return the last one's rows in the form that `request.output` names.

    Parameters
    ----------
    instance
        The DuckDB instance, brought up to date.
    request
        The query.
    cancel_at_servers
        Cancels what runs for DuckDB at the attached servers.

    Returns
    -------
    DataFrame, pyarrow.Table, polars.DataFrame, Written or an iterator of DataFrames
        The rows, or None if the last statement returns none.

    Raises
    ------
    UsageProblem
        If there is no statement, or an option does not apply.
    ParameterError
        If a parameter has no value.
    QueryFailed
        If DuckDB or a server refuses a statement.
    """
    parsed = _parse(request.sql)
    if (request.output.to is not None or request.output.chunks is not None) and len(parsed) != 1:
        raise UsageProblem(_("--to and --chunks take one query."), hint=_("split the cell"))
    # The rows of an iterator would end with the next query of a shared connection.
    cursor = instance.open_shared() if request.output.chunks is None else instance.duck.cursor()

    def work() -> Any:
        for statement in parsed[:-1]:
            _execute(cursor, statement.sql, _values(statement, request.params), request.params)
        last = parsed[-1]
        if request.output.to is not None:
            return _write(cursor, last, request)
        executed = _execute(cursor, last.sql, _values(last, request.params), request.params)
        if request.output.chunks is not None:
            return executed.to_arrow_reader(request.output.chunks)
        return _fetch(executed, request.options.limit)

    found = run_interruptible(cursor, work, instance, cancel_at_servers, timeout=request.options.timeout)
    if request.output.chunks is not None:
        return _iterate(found, request)
    if request.output.to is not None or found is None:
        return found
    return convert(found, request)


def _parse(sql: str) -> Sequence[Statement]:
    """Return the statements of a text, of which there must be one."""
    parsed = statements(sql)
    if not parsed:
        raise UsageProblem(_("There is no statement."), hint=_("write SQL below the line of %%query_db"))
    return parsed


def convert(table: Any, request: Request) -> Any:
    """Return an Arrow table as the type that the output names."""
    if request.output.as_ == "arrow":
        return table
    if request.output.as_ == "polars":
        return import_optional("polars", "arrow", _("A polars DataFrame")).from_arrow(table)
    return frames.to_pandas(table, numeric=request.options.numeric)


def _iterate(reader: Any, request: Request) -> Iterator[Any]:
    arrow = import_optional("pyarrow", "arrow", _("An Arrow table"))
    for batch in reader:
        yield convert(arrow.Table.from_batches([batch]), request)


def _values(statement: Statement, params: Mapping[str, Any]) -> list[Any]:
    return [
        _plain(find_value(name, params, hint=_("assign it first: {name} = …", name=name)))
        for name in statement.names
    ]


def _plain(value: Any) -> Any:
    """Convert a value of the notebook for DuckDB; a Series, a set and the like become a list."""
    if isinstance(value, str | bytes | dict) or not isinstance(value, Iterable):
        return to_python(value)
    return [to_python(each) for each in value]


def _execute(
    cursor: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any], variables: Mapping[str, Any]
) -> Any:
    """Run a statement in a frame whose only variables are the notebook's: DuckDB looks for DataFrames there."""
    scope = {**variables, "_sspcloud_run": cursor.execute, "_sspcloud_sql": sql, "_sspcloud_values": values}
    return eval("_sspcloud_run(_sspcloud_sql, _sspcloud_values)", scope)  # noqa: S307 - a constant # nosec B307


def _fetch(executed: Any, limit: int | None) -> Any:
    """Return the rows as an Arrow table; None if the statement returns none."""
    arrow = import_optional("pyarrow", "arrow", _("An Arrow table"))
    if executed.description is None:
        return None
    if limit is None:
        return executed.to_arrow_table()
    reader = executed.to_arrow_reader(min(limit, 100_000) or 1)
    batches, left = [], limit
    while left > 0 and (batch := next(reader, None)) is not None:
        batches.append(batch.slice(0, left))
        left -= len(batch)
    return arrow.Table.from_batches(batches, schema=reader.schema)


def _write(cursor: duckdb.DuckDBPyConnection, statement: Statement, request: Request) -> Written:
    place = str(request.output.to)
    values = _values(statement, request.params)
    if is_s3(place):
        copied = copy_options(place, request.partition_by, overwrite=request.output.overwrite)
        refuse_existing(
            cursor, place, overwrite=request.output.overwrite, is_prefix=bool(request.partition_by)
        )
        sql = f"COPY ({statement.sql}) TO {literal(place)} ({copied})"
        return Written(place, _execute(cursor, sql, values, request.params).fetchone()[0])
    file = user_path(place)
    copied = copy_options(file.name, request.partition_by, overwrite=False)
    with replace_atomically(file, overwrite=request.output.overwrite) as unfinished:
        sql = f"COPY ({statement.sql}) TO {literal(str(unfinished))} ({copied})"
        rows = _execute(cursor, sql, values, request.params).fetchone()[0]
    return Written(str(file), rows, file.stat().st_size)


def is_s3(place: object) -> bool:
    """Whether a place is an address in S3."""
    return isinstance(place, str) and place.startswith("s3://")


def copy_options(place: str, partition_by: Sequence[str], *, overwrite: bool) -> str:
    """Return the options of DuckDB's COPY for a file or an object.

    Examples
    --------
    >>> copy_options("s3://bucket/towns.parquet", (), overwrite=False)
    'FORMAT parquet, COMPRESSION zstd'
    >>> copy_options("s3://bucket/towns", ["region"], overwrite=False)
    'FORMAT parquet, COMPRESSION zstd, PARTITION_BY ("region")'
    """
    suffix = Path(place).suffix.lower()
    if partition_by:
        if suffix:
            raise UsageProblem(
                _("--partition-by writes many objects below a prefix, not one object {place}.", place=place),
                hint=_("name a prefix: --to s3://bucket/towns --partition-by region"),
            )
        by = ", ".join(map(identifier, partition_by))
        overwriting = ", OVERWRITE_OR_IGNORE" if overwrite else ""
        return f"{_FORMATS['.parquet']}, PARTITION_BY ({by}){overwriting}"
    if suffix not in _FORMATS:
        raise UsageProblem(
            _("{place} ends neither in .parquet nor in .csv.", place=place),
            hint=_("use --to rows.parquet, or --to s3://bucket/rows.parquet"),
        )
    return _FORMATS[suffix]


def refuse_existing(
    cursor: duckdb.DuckDBPyConnection, place: str, *, overwrite: bool, is_prefix: bool
) -> None:
    """Refuse to replace an object, or to write below a prefix with objects, unless `overwrite` allows it.

    Raises
    ------
    UsageProblem
        If there is one.
    """
    if overwrite:
        return
    # DuckDB returns a name without a pattern even if there is no such object.
    pattern = f"{place.rstrip('/')}/**" if is_prefix else f"{place[:-1]}[{place[-1]}]"
    if cursor.execute("SELECT count(*) FROM glob($1)", [pattern]).fetchall() != [(0,)]:
        raise UsageProblem(
            _("{place} exists.", place=place), hint=_("choose another name, or replace it with --overwrite")
        )


_AGGREGATES = ("HASH_GROUP_BY", "PERFECT_HASH_GROUP_BY", "UNGROUPED_AGGREGATE")


def plan(instance: Instance, sql: str, params: Mapping[str, Any]) -> str:
    """Return DuckDB's plan of a query, and how the server could compute its aggregates.

    Columns and filters go to the server; aggregates are computed here, from all rows that pass the filters.
    """
    statement = _parse(sql)[0]
    cursor = instance.open_shared()

    def work() -> list[tuple[str, str]]:
        values = _values(statement, params)
        rows: list[tuple[str, str]] = _execute(cursor, f"EXPLAIN {statement.sql}", values, params).fetchall()
        return rows

    text = "\n".join(rest for _kind, rest in run_interruptible(cursor, work, instance, lambda: None))
    if "POSTGRES_SCAN" in text and any(name in text for name in _AGGREGATES):
        hint = _(
            "The aggregate is computed here: all rows that pass the filters are fetched. To let the server compute it, "
            "write FROM postgres_query('pg', 'SELECT …'), or use %%query_db without --duckdb."
        )
        text = f"{text}\n→ {hint}"
    return text


def run_interruptible(
    cursor: duckdb.DuckDBPyConnection,
    work: Callable[[], _T],
    instance: Instance,
    cancel_at_servers: Callable[[], None],
    *,
    timeout: float | None = None,
) -> _T:
    """Run a function that uses a cursor in a thread, and interrupt it with the caller.

    Raises
    ------
    QueryFailed
        If it takes longer than `timeout` seconds, or DuckDB refuses.
    """
    outcome: list[Any] = []
    failure: list[BaseException] = []
    done = threading.Event()

    def target() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failure.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=target, name="duckdb", daemon=True)
    thread.start()
    try:
        in_time = done.wait(timeout)
    except BaseException:
        _interrupt(cursor, cancel_at_servers, done)
        raise
    if not in_time:
        _interrupt(cursor, cancel_at_servers, done)
        raise QueryFailed(
            _("The query took longer than {seconds} s and was cancelled.", seconds=timeout),
            hint=_("give it more time with --timeout, or fetch less"),
        )
    if failure:
        raise explain(failure[0], instance) from None
    result: _T = outcome[0]
    return result


# Seconds that an interrupted query gets to end, before the cell ends without it.
_PATIENCE = 5.0


def _interrupt(
    cursor: duckdb.DuckDBPyConnection, cancel_at_servers: Callable[[], None], done: threading.Event
) -> None:
    with suppress(Exception):  # the query may have just ended
        cursor.interrupt()
    with suppress(SspcloudError):
        cancel_at_servers()
    done.wait(_PATIENCE)


def explain(error: BaseException, instance: Instance) -> BaseException:
    """Return the error for the user; errors of this package and interruptions stay as they are."""
    import duckdb  # noqa: PLC0415 - optional

    if not isinstance(error, duckdb.Error | RuntimeError):
        return error.with_traceback(None)
    text = str(error)
    for secret in instance.secrets():
        text = text.replace(secret, "●●●●●●")
    what, _unused, rest = text.partition("\n")
    if any(sign in text for sign in ("ExpiredToken", "InvalidAccessKeyId", "InvalidTokenId", "HTTP 403")):
        page = current_platform().storage_page
        return LoginRefused(
            _("S3 refuses the keys, or they have expired."),
            why=shorten(what),
            hint=_("copy new keys from {page} into the environment (%env AWS_ACCESS_KEY_ID=…)", page=page)
            if page
            else _("put new keys into the environment (%env AWS_ACCESS_KEY_ID=…)"),
        )
    return QueryFailed(
        f"DuckDB: {shorten(what, 300)}", why=shorten(rest.strip())
    )  # not translated: a quotation
