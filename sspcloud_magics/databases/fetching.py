"""One statement to the server, and its rows in batches: memory holds the result once, in its columns.

There are two ways. A query without parameters comes by binary COPY (`copying`), which is the faster one. Any
other statement is sent with its parameters; libpq hands its rows over in chunks of `CHUNK`, psycopg's loaders turn a
chunk into Python values, and these go into arrays at once. Both use the one session that everything else
uses: temporary tables, SET and an open transaction are seen.

An interruption, or an error of our own while rows still come, cancels the statement on the server and
throws away what was under way, so that the connection can be used again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import abc, capabilities, generators, pq
from psycopg.adapt import Transformer

from sspcloud_magics.databases import binary, binding, copying
from sspcloud_magics.databases.collector import collector_paused
from sspcloud_magics.databases.columns import STYLED, Column, Numeric, column, loaded_as
from sspcloud_magics.databases.copying import Description
from sspcloud_magics.databases.parameters import Statement

CHUNK = 1_000
"""Rows at a time: few enough that their values stay in the processor's cache until they are in arrays.

Measured on 1,000,000 rows of 12 columns: 2.9 s; with 10,000 at a time 4.0 s, with 200 3.3 s.
"""

_CANCEL_SECONDS = 5.0
_ROWS = (pq.ExecStatus.TUPLES_CHUNK, pq.ExecStatus.SINGLE_TUPLE, pq.ExecStatus.TUPLES_OK)
_COPIES = (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH)
_STYLES = (
    ("DateStyle", "ISO", "SET datestyle TO ISO"),
    ("IntervalStyle", "postgres", "SET intervalstyle TO postgres"),
)


def set_styles(connection: psycopg.Connection[Any]) -> None:
    """Have dates and intervals written as `columns` reads them, where the server is set up otherwise."""
    for setting, readable, sql in _STYLES:
        if not (connection.info.parameter_status(setting) or readable).startswith(readable):
            connection.execute(sql)


@dataclass(slots=True)
class Fetched:
    """What one statement gave.

    Parameters
    ----------
    columns
        Its columns with all of their rows; None where the statement returns none.
    rows
        How many rows were fetched, or changed.
    tag
        The server's word for what was done, such as ``INSERT 0 5``.
    cut
        How many rows were left out, because `limit` were enough.
    size
        How many bytes came, where the way tells; 0 elsewhere.
    """

    columns: list[Column] | None = None
    rows: int = 0
    tag: str = ""
    cut: int = 0
    size: int = 0


def fetch(
    connection: psycopg.Connection[Any],
    statement: Statement,
    values: Sequence[Any],
    *,
    numeric: Numeric = "float",
    limit: int | None = None,
) -> Fetched:
    """Run one statement and return what it gives.

    Parameters
    ----------
    connection
        An open connection that nothing else uses meanwhile.
    statement
        What to run.
    values
        The values of its parameters, as `binding.values_of` gives them.
    numeric
        What numeric becomes.
    limit
        How many rows to keep. The rest is read and dropped: the statement is never cancelled for it,
        since it may change data.

    Raises
    ------
    psycopg.Error
        What the server or libpq says; the caller words it.
    KeyboardInterrupt
        After the statement was cancelled.
    """
    fetched = Fetched()
    for fetched in batches(connection, statement, values, numeric=numeric, limit=limit):  # noqa: B007 - the last one counts
        pass
    return fetched


def batches(
    connection: psycopg.Connection[Any],
    statement: Statement,
    values: Sequence[Any],
    *,
    numeric: Numeric = "float",
    limit: int | None = None,
    foretold: Callable[[Description], None] | None = None,
) -> Generator[Fetched, None, None]:
    """Run one statement, and give what has come so far after each batch of rows, and at the end.

    It is always the same object, which grows. Whoever takes the arrays out of its columns meanwhile leaves
    room for more. Closing the generator before its end cancels the statement.

    Parameters are those of `fetch`, and `foretold`, which is called with what the server says of a query before
    its first row, where it was asked.
    """
    with connection.lock:
        try:
            if not values and copying.may_copy(statement):
                yield from _by_copy(connection, statement, numeric, limit, foretold)
            else:
                transformer = Transformer(connection)
                _send(connection, transformer, statement, values)
                yield from _receive(connection, transformer, numeric=numeric, limit=limit)
        finally:
            _settle(connection)


def _by_copy(
    connection: psycopg.Connection[Any],
    statement: Statement,
    numeric: Numeric,
    limit: int | None,
    foretold: Callable[[Description], None] | None,
) -> Iterator[Fetched]:
    transformer = Transformer(connection)
    described = copying.describe(connection, statement)
    if foretold is not None:
        foretold(described)
    if not copying.can_copy(described):
        _send(connection, transformer, statement, ())
        yield from _receive(connection, transformer, numeric=numeric, limit=limit)
        return
    fetched = Fetched(_new_columns(connection, transformer, described.names, described.types, numeric))
    found = copying.decoders(described, numeric, transformer)
    sql = copying.copy_statement(statement, found)
    complete = [
        each or binary.text_decoder(loaded_as(oid, numeric), oid, transformer)
        for each, oid in zip(found, described.types, strict=True)
    ]
    for taken in copying.copied(connection, sql, fetched.columns or [], complete, limit):
        fetched.rows += taken.rows
        fetched.cut += taken.cut
        fetched.size += taken.size
        yield fetched
    fetched.tag = f"SELECT {fetched.rows + fetched.cut}"
    yield fetched


def _send(
    connection: psycopg.Connection[Any],
    transformer: abc.Transformer,
    statement: Statement,
    values: Sequence[Any],
) -> None:
    pgconn = connection.pgconn
    dumped = binding.dumped(transformer, statement.names, values)
    pgconn.send_query_params(
        statement.sql.encode(connection.info.encoding),
        dumped,
        param_types=transformer.types,
        param_formats=transformer.formats,
    )
    if capabilities.has_stream_chunked():
        pgconn.set_chunked_rows_mode(CHUNK)
    connection.wait(generators.send(pgconn))


def _receive(
    connection: psycopg.Connection[Any], transformer: abc.Transformer, *, numeric: Numeric, limit: int | None
) -> Iterator[Fetched]:
    fetched = Fetched()
    encoding = connection.info.encoding
    while (result := connection.wait(generators.fetch(connection.pgconn))) is not None:
        if result.status in _ROWS:
            transformer.set_pgresult(result, set_loaders=False)
            if fetched.columns is None:
                fetched.columns = _columns(connection, transformer, result, numeric)
            _take(fetched, transformer, result.ntuples, limit)
            # The last chunk brings it, or an empty result after that.
            fetched.tag = (result.command_status or b"").decode(encoding) or fetched.tag
            yield fetched
        elif result.status == pq.ExecStatus.COMMAND_OK:
            fetched.tag = (result.command_status or b"").decode(encoding)
            fetched.rows = result.command_tuples or 0
        elif result.status in _COPIES:
            connection.close()  # nothing here speaks COPY, and the session waits for it
            raise psycopg.NotSupportedError("COPY from or to the client is not a query")
        elif result.status != pq.ExecStatus.EMPTY_QUERY:
            raise psycopg.errors.error_from_result(result, encoding=encoding)
    yield fetched


def _columns(
    connection: psycopg.Connection[Any],
    transformer: abc.Transformer,
    result: pq.abc.PGresult,
    numeric: Numeric,
) -> list[Column]:
    info = connection.info
    types = [result.ftype(index) for index in range(result.nfields)]
    for setting, readable, sql in _STYLES:
        style = info.parameter_status(setting) or readable
        if not style.startswith(readable) and not STYLED.isdisjoint(types):
            raise psycopg.NotSupportedError(
                f"Dates and intervals in the {setting} {style!r} cannot be read: {sql}"
            )
    transformer.set_loader_types([loaded_as(oid, numeric) for oid in types], pq.Format.TEXT)
    names = [(result.fname(index) or b"").decode(info.encoding) for index in range(result.nfields)]
    return _new_columns(connection, transformer, names, types, numeric)


def _new_columns(
    connection: psycopg.Connection[Any],
    transformer: abc.Transformer,
    names: Sequence[str],
    types: Sequence[int],
    numeric: Numeric,
) -> list[Column]:
    time_zone = connection.info.parameter_status("TimeZone") or "UTC"
    return [
        column(name, oid, numeric=numeric, time_zone=time_zone, adapters=transformer.adapters)
        for name, oid in zip(names, types, strict=True)
    ]


def _take(fetched: Fetched, transformer: abc.Transformer, count: int, limit: int | None) -> None:
    keep = count if limit is None else max(0, min(count, limit - fetched.rows))
    fetched.rows += keep
    fetched.cut += count - keep
    if keep and fetched.columns:
        with collector_paused():
            rows = transformer.load_rows(0, keep, tuple)
            for one, values in zip(fetched.columns, zip(*rows, strict=True), strict=True):
                one.append(values)


def _settle(connection: psycopg.Connection[Any]) -> None:
    """Leave nothing under way: cancel what runs, read what comes, and close what does not answer."""
    pgconn = connection.pgconn
    if pgconn.status != pq.ConnStatus.OK or pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
        return
    try:
        connection.cancel_safe(timeout=_CANCEL_SECONDS)
        while (result := connection.wait(generators.fetch(pgconn), timeout=_CANCEL_SECONDS)) is not None:
            if result.status == pq.ExecStatus.COPY_OUT:
                copying.drain(connection, _CANCEL_SECONDS)
    except BaseException:  # noqa: BLE001 - interrupted again, or no answer: its state is unknown, and what led here is raised
        connection.close()
