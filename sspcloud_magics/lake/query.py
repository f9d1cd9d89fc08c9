"""Run SQL in DuckDB: over the attached databases, S3, files, and the notebook's DataFrames.

A query runs in a thread of its own, so that an interruption of the cell reaches it at once: DuckDB is interrupted, and so is
what runs for it at the servers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sspcloud_magics.databases.arrow import import_optional
from sspcloud_magics.databases.export import Exported, replace_atomically
from sspcloud_magics.databases.parameter_values import find_value, to_python
from sspcloud_magics.databases.postgres.sql_lexer import Statement, statements
from sspcloud_magics.errors import FileNotWritten, QueryFailed, SspcloudError, UsageProblem
from sspcloud_magics.i18n import _, quote_words
from sspcloud_magics.lake import frames
from sspcloud_magics.lake.attachment import identifier, literal
from sspcloud_magics.lake.s3_client import explain_refusal, is_refusal
from sspcloud_magics.lake.s3_target import S3Target, copy_options, is_s3
from sspcloud_magics.printable import shorten
from sspcloud_magics.user_files import user_path

if TYPE_CHECKING:
    import duckdb

    from sspcloud_magics.databases.query_options import Output, QueryOptions
    from sspcloud_magics.lake.instance import Instance

_T = TypeVar("_T")


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
    DataFrame, pyarrow.Table, polars.DataFrame, Exported or an iterator of DataFrames
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
            _execute(instance, cursor, statement.sql, _values(statement, request.params), request.params)
        last = parsed[-1]
        if request.output.to is not None:
            return _write(instance, cursor, last, request)
        executed = _execute(instance, cursor, last.sql, _values(last, request.params), request.params)
        if (with_offsets := _keep_offsets(last, executed.description)) is not None:
            executed = _execute(instance, cursor, with_offsets, _values(last, request.params), request.params)
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
    instance: Instance,
    cursor: duckdb.DuckDBPyConnection,
    sql: str,
    values: Sequence[Any],
    variables: Mapping[str, Any],
) -> Any:
    """Run a statement in a frame whose only variables are the notebook's: DuckDB looks for DataFrames there."""
    import duckdb  # noqa: PLC0415 - optional

    scope = {**variables, "_sspcloud_run": cursor.execute, "_sspcloud_sql": sql, "_sspcloud_values": values}
    call = "_sspcloud_run(_sspcloud_sql, _sspcloud_values)"
    try:
        return eval(call, scope)  # noqa: S307 - a constant # nosec B307
    except duckdb.Error as error:
        # The statement has done nothing: a share's password may be a new one.
        if _NO_CONNECTION not in str(error) or not instance.renew_logins():
            raise
        return eval(call, scope)  # noqa: S307 - a constant # nosec B307


_NO_CONNECTION = "Unable to connect to Postgres"  # not translated: DuckDB's


def _keep_offsets(statement: Statement, description: Any) -> str | None:
    """Return the query with its times that have an offset as text, since Arrow would drop it; None if it has none."""
    kinds = [str(each[1]) for each in description or ()]
    if _TIMETZ not in kinds or statement.words[:1] not in _QUERIES:
        return None
    places = range(len(kinds))
    columns = ", ".join(
        f"c{place}{'::VARCHAR' if kinds[place] == _TIMETZ else ''} AS {identifier(description[place][0])}"
        for place in places
    )
    names = ", ".join(f"c{place}" for place in places)
    return f"SELECT {columns} FROM ({statement.sql}\n) AS q({names})"  # noqa: S608 - the user's own SQL


_TIMETZ = "TIME WITH TIME ZONE"  # not translated: DuckDB's
_QUERIES = (("select",), ("from",), ("with",), ("values",), ("table",))


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


def _write(
    instance: Instance, cursor: duckdb.DuckDBPyConnection, statement: Statement, request: Request
) -> Exported:
    place = str(request.output.to)
    values = _values(statement, request.params)
    if is_s3(place):
        target = S3Target(place, request.output.overwrite, request.partition_by)
        with target.replace_objects(instance) as (batch, to):
            rows = _execute(
                instance, cursor, f"COPY ({statement.sql}) {to}", values, request.params
            ).fetchone()[0]
        return Exported(place, rows, batch.size)
    file = user_path(place)
    copied = copy_options(file.name, request.partition_by)
    with replace_atomically(file, overwrite=request.output.overwrite) as unfinished:
        sql = f"COPY ({statement.sql}) TO {literal(str(unfinished))} ({copied})"
        rows = _execute(instance, cursor, sql, values, request.params).fetchone()[0]
    return Exported(file, rows, file.stat().st_size)


_AGGREGATES = ("HASH_GROUP_BY", "PERFECT_HASH_GROUP_BY", "UNGROUPED_AGGREGATE")


def plan(instance: Instance, sql: str, params: Mapping[str, Any]) -> str:
    """Return DuckDB's plan of a query, and how the server could compute its aggregates.

    Columns and filters go to the server; aggregates are computed here, from all rows that pass the filters.
    """
    statement = _parse(sql)[0]
    cursor = instance.open_shared()

    def work() -> list[tuple[str, str]]:
        values = _values(statement, params)
        rows: list[tuple[str, str]] = _execute(
            instance, cursor, f"EXPLAIN {statement.sql}", values, params
        ).fetchall()
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
    if is_refusal(text):
        return explain_refusal(text)
    what, _unused, rest = text.partition("\n")
    if "No space left" in text or "max_temp_directory_size" in text:
        return FileNotWritten(
            _("The disk is full."),
            why=quote_words(shorten(what, 300)),
            hint=_(
                "free some space, filter the rows earlier, or set TMPDIR to a larger folder and restart the kernel"
            ),
        )
    hint = ""
    if isinstance(error, duckdb.OutOfMemoryException):
        hint = _("write the rows with --to rows.parquet, or select fewer rows and columns")
    return QueryFailed(
        _("DuckDB: {words}", words=quote_words(shorten(what, 300))),
        why=quote_words(shorten(rest.strip())),
        hint=hint,
    )
