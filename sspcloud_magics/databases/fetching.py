"""One statement to the server, and its rows in chunks: memory holds the result once, in its columns.

The server sends rows as it finds them, libpq hands them over in chunks of `CHUNK`, psycopg's loaders
turn a chunk into Python values, and these go into arrays at once. It is the one session that everything
else uses: temporary tables, SET and an open transaction are seen.

An interruption, or an error of our own while rows still come, cancels the statement on the server and
throws away what was under way, so that the connection can be used again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import abc, capabilities, generators, pq
from psycopg.adapt import Transformer

from sspcloud_magics.databases import binding
from sspcloud_magics.databases.columns import STYLED, Column, Numeric, column, loaded_as
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
    """

    columns: list[Column] | None = None
    rows: int = 0
    tag: str = ""
    cut: int = 0
    notes: list[str] = field(default_factory=list)


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
    with connection.lock:
        transformer = Transformer(connection)
        try:
            _send(connection, transformer, statement, values)
            return _receive(connection, transformer, numeric=numeric, limit=limit)
        finally:
            _settle(connection)


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
) -> Fetched:
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
        elif result.status == pq.ExecStatus.COMMAND_OK:
            fetched.tag = (result.command_status or b"").decode(encoding)
            fetched.rows = result.command_tuples or 0
        elif result.status in _COPIES:
            connection.close()  # nothing here speaks COPY, and the session waits for it
            raise psycopg.NotSupportedError("COPY from or to the client is not a query")
        elif result.status != pq.ExecStatus.EMPTY_QUERY:
            raise psycopg.errors.error_from_result(result, encoding=encoding)
    return fetched


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
    time_zone = info.parameter_status("TimeZone") or "UTC"
    names = [(result.fname(index) or b"").decode(info.encoding) for index in range(result.nfields)]
    return [
        column(name, oid, numeric=numeric, time_zone=time_zone, adapters=transformer.adapters)
        for name, oid in zip(names, types, strict=True)
    ]


def _take(fetched: Fetched, transformer: abc.Transformer, count: int, limit: int | None) -> None:
    keep = count if limit is None else max(0, min(count, limit - fetched.rows))
    fetched.rows += keep
    fetched.cut += count - keep
    if keep and fetched.columns:
        with _collector_paused():
            rows = transformer.load_rows(0, keep, tuple)
            for one, values in zip(fetched.columns, zip(*rows, strict=True), strict=True):
                one.append(values)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from looking through all rows again and again: half of the time.

    A chunk makes thousands of tuples that live for some milliseconds and hold no cycle.
    """
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def _settle(connection: psycopg.Connection[Any]) -> None:
    """Leave nothing under way: cancel what runs, read what comes, and close what does not answer."""
    pgconn = connection.pgconn
    if pgconn.status != pq.ConnStatus.OK or pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
        return
    try:
        connection.cancel_safe(timeout=_CANCEL_SECONDS)
        while connection.wait(generators.fetch(pgconn), timeout=_CANCEL_SECONDS) is not None:
            pass
    except BaseException:  # noqa: BLE001 - interrupted again, or no answer: its state is unknown, and what led here is raised
        connection.close()
