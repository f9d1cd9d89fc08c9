"""One statement to the server, and its rows in batches: memory holds the result once, in its columns.

A statement is sent with its parameters, and libpq hands its rows over in chunks of `CHUNK`; psycopg gives the values of a chunk, and these
go into arrays at once. There are two formats. A query whose columns are known (`statement_description`) comes in PostgreSQL's binary one, which takes
half of the time; any other statement comes as text, which every type has. Both use the one session that everything
else uses: temporary tables, SET and an open transaction are seen, and parameters are bound by the server.

An interruption, or an error of our own while rows still come, cancels the statement on the server and
throws away what was under way, so that the connection can be used again.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import psycopg
from psycopg import abc, capabilities, generators, pq
from psycopg.adapt import Transformer

from sspcloud_magics.databases.gc_pause import collector_paused
from sspcloud_magics.databases.postgres import forked_sessions
from sspcloud_magics.databases.postgres.results import (
    array_types,
    binary_decoders,
    column_types,
    parameter_binding,
    statement_description,
)
from sspcloud_magics.databases.postgres.results.binary_decoders import Decoder
from sspcloud_magics.databases.postgres.results.column_types import STYLED, ResultColumn, get_load_type
from sspcloud_magics.databases.postgres.results.statement_description import Description
from sspcloud_magics.databases.postgres.server_wait import wait_for
from sspcloud_magics.databases.postgres.sql_lexer import Statement
from sspcloud_magics.databases.query_options import DEFAULTS, QueryOptions

CHUNK = 500
"""Rows at a time: few enough that their values are in the processor's cache until they are gathered.

Measured on 1,000,000 rows of 12 columns, processor time: 1,000 at a time take a tenth more, 2,000 as much as 1,000.
"""

CHUNK_BYTES = 4 << 20
"""Wide rows come in smaller chunks, as far as the planner knows that they are wide."""

BATCH = 16
"""So many chunks are decoded together, at most, before whoever wants the rows looks."""

_BATCH_SECONDS = 0.1
_CANCEL_SECONDS = 5.0
_ROWS = (pq.ExecStatus.TUPLES_CHUNK, pq.ExecStatus.SINGLE_TUPLE, pq.ExecStatus.TUPLES_OK)
_COPIES = (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH)
_STYLES = (
    ("DateStyle", "ISO", "datestyle TO ISO"),
    ("IntervalStyle", "postgres", "intervalstyle TO postgres"),
)


def list_missing_styles(connection: psycopg.Connection[Any]) -> list[str]:
    """Return what is to be set to have dates and intervals written as `columns` reads them."""
    return [
        style
        for setting, readable, style in _STYLES
        if not (connection.info.parameter_status(setting) or readable).startswith(readable)
    ]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one statement has given so far.

    Parameters
    ----------
    columns
        Its columns, which take in the rows that still come; None where the statement returns none.
    rows
        How many rows were fetched, or changed.
    tag
        The server's word for what was done, such as ``INSERT 0 5``; empty before the end.
    cut
        How many rows were left out, because the limit were enough.
    size
        How many bytes came, where the way tells; 0 elsewhere.
    cut_by_server
        Whether the server was asked for one row more than the limit: `cut` then says only that there are more.
    """

    columns: tuple[ResultColumn, ...] | None = None
    rows: int = 0
    tag: str = ""
    cut: int = 0
    size: int = 0
    cut_by_server: bool = False


def batches(
    connection: psycopg.Connection[Any],
    statement: Statement,
    values: Sequence[Any],
    options: QueryOptions = DEFAULTS,
    *,
    on_estimate: Callable[[Description], None] | None = None,
) -> Generator[Fetched, None, None]:
    """Run one statement, and give what has come so far after each batch of rows, and at the end.

    A caller that takes the arrays out of the columns between two batches leaves room for more. Closing the generator before its end
    cancels the statement. The caller holds the connection's lock in each step.

    Parameters
    ----------
    connection
        An open connection.
    statement
        What to run.
    values
        The values of its parameters, as `parameter_binding.values_of` gives them.
    options
        Its limit, what numeric and JSON become, and what is called on_columns: the column names are known before anything
        is sent, where rows are used before the last one has come or names matter.
    on_estimate
        Called with what the server says of a query before its first row, where it was asked.

    Raises
    ------
    psycopg.Error
        What the server or libpq says; the caller words it.
    KeyboardInterrupt
        After the statement was cancelled.
    """
    statement_description.get_seen_queries(connection).heed(statement)
    is_alone = connection.info.transaction_status == pq.TransactionStatus.IDLE
    try:
        try:
            yield from _run(connection, statement, values, options, on_estimate)
        except _ColumnsChanged:  # of which no row was given: it is described now, and asked again
            if is_alone:
                settle(connection)
            else:  # to cancel it would fail the transaction
                _read_to_the_end(connection)
            yield from _run(connection, statement, values, options, on_estimate)
    finally:
        settle(connection)


class _ColumnsChanged(psycopg.DataError):
    """A query that was seen before gives other columns than it did, some of which have no fast format."""


def _run(
    connection: psycopg.Connection[Any],
    statement: Statement,
    values: Sequence[Any],
    options: QueryOptions,
    on_estimate: Callable[[Description], None] | None,
) -> Iterator[Fetched]:
    reading, on_columns = _Reading(connection, options), options.on_columns
    transformer = reading.transformer
    dumped = parameter_binding.dump_values(transformer, statement.names, values)
    sql, wanted, chunk = statement.sql, pq.Format.TEXT, CHUNK
    if statement_description.only_reads(statement) and reading.encoding == _ENCODING:
        described = None if on_columns else statement_description.get_seen_queries(connection).get(statement)
        few = statement_description.promises_few(statement) and not on_columns
        if described is not None and (few or options.limit is None):
            wanted = pq.Format.BINARY
        elif not few:
            described = _describe(
                connection, statement, transformer, dumped, on_columns, estimated=on_estimate is not None
            )
            wanted = reading.format_of(described)
            sql = reading.with_limit(statement)
        if described is not None:
            if on_estimate is not None:
                on_estimate(described)
            chunk = max(1, min(CHUNK, CHUNK_BYTES // max(1, described.width)))
        if sql is statement.sql:
            reading.remembered = statement, described
    elif on_columns is not None:
        _describe(connection, statement, transformer, dumped, on_columns, estimated=False)
    pgconn = connection.pgconn
    pgconn.send_query_params(
        sql.encode(reading.encoding),
        dumped,
        param_types=transformer.types,
        param_formats=transformer.formats,
        result_format=wanted,
    )
    if _IN_CHUNKS:
        pgconn.set_chunked_rows_mode(chunk)
    wait_for(connection, generators.send(pgconn))
    yield from reading.batches()
    reading.load_arrays()


def _describe(
    connection: psycopg.Connection[Any],
    statement: Statement,
    transformer: abc.Transformer,
    dumped: Sequence[Any],
    on_columns: Callable[[Sequence[str]], None] | None,
    *,
    estimated: bool,
) -> Description:
    """Ask what a statement returns, and tell the names of its columns before it is sent."""
    found = statement_description.describe(
        connection,
        statement,
        dumped,
        transformer.types or (),
        transformer.formats or (),
        estimated=estimated,
    )
    array_types.learn(connection, found.types)
    if on_columns is not None:
        on_columns(found.names)
    return found


_ENCODING = "utf-8"
_IN_CHUNKS = capabilities.has_stream_chunked()  # libpq 17 and newer, which psycopg's wheel brings
_UNKNOWN = Description((), ())
_NOT_IN_PYTHON = (ValueError, OverflowError, RecursionError)


class _Reading:
    """The results of one statement, on their way into columns.

    Parameters
    ----------
    connection
        The session.
    options
        As `batches` takes them.
    """

    def __init__(self, connection: psycopg.Connection[Any], options: QueryOptions) -> None:
        self.remembered: tuple[Statement, Description | None] | None = None
        """What is to be remembered, where its columns have a fast format."""
        self._connection = connection
        self.encoding = connection.info.encoding
        self.transformer: abc.Transformer = Transformer(connection)
        self._json_text = options.json_text
        self._numeric = options.numeric
        self._limit = options.limit
        # What `Fetched` tells of.
        self._made: tuple[ResultColumn, ...] | None = None
        self._rows = self._cut = 0
        self._tag = ""
        self._cut_by_server = False
        self._format = pq.Format.TEXT
        self._loaded_as: list[int] = []
        self._ways: list[Decoder] = []
        self._gathered: list[list[Any]] = []

    def format_of(self, described: Description) -> pq.Format:
        """Return the format that a described query's rows are asked for in: binary where all of its types have a decoder."""
        found = self._decoders(described.types)
        return pq.Format.BINARY if found and None not in found else pq.Format.TEXT

    def with_limit(self, statement: Statement) -> str:
        """Return the query that brings one row more than is wanted, which tells whether there are more."""
        if self._limit is None:
            return statement.sql
        self._cut_by_server = True
        return statement_description.with_limit(statement, self._limit + 1)

    def batches(self) -> Iterator[Fetched]:
        """Read the results to their end, and give what has come so far after some chunks."""
        while (result := self._next()) is not None:
            until = time.monotonic() + _BATCH_SECONDS
            # Some chunks at a time, since Python's collector looks through all that is new when it may again.
            with collector_paused():
                self._heed(result)
                for more in islice(iter(self._next, None), BATCH - 1):
                    self._heed(more)
                    if time.monotonic() > until:
                        break
                size = self._decode()
            yield Fetched(self._made, self._rows, self._tag, self._cut, size, self._cut_by_server)

    def _next(self) -> pq.abc.PGresult | None:
        result: pq.abc.PGresult | None = wait_for(self._connection, generators.fetch(self._connection.pgconn))
        return result

    def _heed(self, result: pq.abc.PGresult) -> None:
        connection, encoding = self._connection, self.encoding
        if result.status in _ROWS:
            if self._made is None:
                self._made = self._columns(result)
            # The last chunk brings it, or an empty result after that.
            self._tag = (result.command_status or b"").decode(encoding) or self._tag
            self._take(result, self._made)
            if self._cut_by_server and self._tag:
                self._tag = f"SELECT {self._rows}"
        elif result.status == pq.ExecStatus.COMMAND_OK:
            self._tag = (result.command_status or b"").decode(encoding)
            self._rows = result.command_tuples or 0
        elif result.status in _COPIES:
            connection.close()  # nothing here speaks COPY, and the session waits for it
            raise psycopg.NotSupportedError("COPY from or to the client is not a query")
        elif result.status != pq.ExecStatus.EMPTY_QUERY:
            if self.remembered is not None:
                statement_description.get_seen_queries(connection).discard(self.remembered[0])
            raise psycopg.errors.error_from_result(result, encoding=encoding)

    def _decoders(self, types: Sequence[int]) -> list[binary_decoders.Decoder | None]:
        return [binary_decoders.decoder(oid, self._numeric, json_text=self._json_text) for oid in types]

    def _columns(self, result: pq.abc.PGresult) -> tuple[ResultColumn, ...]:
        info, places = self._connection.info, range(result.nfields)
        names = [(result.fname(place) or b"").decode(self.encoding) for place in places]
        types = [result.ftype(place) for place in places]
        self._format = pq.Format(result.fformat(0)) if places else pq.Format.TEXT
        found = self._decoders(types)
        if self.remembered is not None:
            self._remember(*self.remembered, known=bool(found) and None not in found)
        time_zone = info.parameter_status("TimeZone") or "UTC"
        adapters = self.transformer.adapters
        made = tuple(
            column_types.column(
                name,
                oid,
                numeric=self._numeric,
                time_zone=time_zone,
                adapters=adapters,
                json_text=self._json_text,
            )
            for name, oid in zip(names, types, strict=True)
        )
        if self._format == pq.Format.TEXT:
            self._check_styles(types)
            self._ways = [
                Decoder(get_load_type(column.oid, self._numeric), column.to_piece, column_types.join_pieces)
                for column in made
            ]
        else:
            self._ways = [each for each in found if each is not None]
            if len(self._ways) < len(found):
                raise _ColumnsChanged(
                    "The types of the query's columns change while it is asked. Run it again."
                )
        self._loaded_as = [way.loaded_as for way in self._ways]
        self._gathered = [[] for _ in self._ways]
        return made

    def _remember(self, statement: Statement, described: Description | None, *, known: bool) -> None:
        seen = statement_description.get_seen_queries(self._connection)
        if known:
            seen.add(statement, described or _UNKNOWN)
            return
        seen.discard(statement)

    def _check_styles(self, types: Sequence[int]) -> None:
        for setting, readable, wanted in _STYLES:
            style = self._connection.info.parameter_status(setting) or readable
            if not style.startswith(readable) and not STYLED.isdisjoint(types):
                raise psycopg.NotSupportedError(
                    f"Dates and intervals in the {setting} {style!r} cannot be read: SET {wanted}"
                )

    def _take(self, result: pq.abc.PGresult, made: Sequence[ResultColumn]) -> None:
        count = result.ntuples
        keep = count if self._limit is None else max(0, min(count, self._limit - self._rows))
        if keep and made:
            transformer = self.transformer
            transformer.set_pgresult(result, set_loaders=False)
            transformer.set_loader_types(self._loaded_as, self._format)
            try:
                values = zip(*transformer.load_rows(0, keep, tuple), strict=True)
            except (*_NOT_IN_PYTHON, struct.error) as error:
                raise psycopg.DataError(f"{self._unreadable(result, keep, made)}: {error}") from None
            for column, way, gathered, loaded in zip(made, self._ways, self._gathered, values, strict=True):
                try:
                    gathered.append(way.gather(loaded, column))
                except _NOT_IN_PYTHON as error:
                    raise psycopg.DataError(f"{column.name}: {error}") from None
        self._rows += keep
        self._cut += count - keep

    def _unreadable(self, result: pq.abc.PGresult, rows: int, made: Sequence[ResultColumn]) -> str:
        """Return the name of the column that has a value which psycopg cannot read."""
        for place, column in enumerate(made):
            load = self.transformer.get_loader(self._loaded_as[place], self._format).load
            try:
                for row in range(rows):
                    if (value := result.get_value(row, place)) is not None:
                        load(value)
            except (*_NOT_IN_PYTHON, struct.error):
                return column.name
        return "a column"

    def load_arrays(self) -> None:
        """Make lists of arrays that came as text, since their types were not known before; call it after the last row."""
        came = {column.oid: column for column in self._made or ()}
        unknown = array_types.list_unknown(self._connection, came)
        if not unknown:
            return
        array_types.learn(self._connection, unknown)
        loading = Transformer(self._connection)
        for column in self._made or ():
            if column.oid in unknown and self._connection.adapters.get_loader(column.oid, pq.Format.TEXT):
                column.load_texts(loading.get_loader(column.oid, pq.Format.TEXT).load, self.encoding)

    def _decode(self) -> int:
        """Make pieces of what was gathered, and return how many bytes all pieces have."""
        made = self._made or ()
        for column, way, gathered in zip(made, self._ways, self._gathered, strict=True):
            if gathered:
                try:
                    column.take(way.decode(gathered, column))
                except _NOT_IN_PYTHON as error:
                    raise psycopg.DataError(f"{column.name}: {error}") from None
                gathered.clear()
        return sum([column.size for column in made])


def settle(connection: psycopg.Connection[Any]) -> None:
    """Leave nothing under way: cancel what runs, read what comes, and close what does not answer."""
    pgconn = connection.pgconn
    if pgconn.status == pq.ConnStatus.OK and pgconn.pipeline_status != pq.PipelineStatus.OFF:
        statement_description.leave_pipeline(connection)
    if pgconn.status != pq.ConnStatus.OK or pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
        return
    if forked_sessions.is_parents(connection):  # to cancel it is the parent's to decide
        return
    try:
        wait_for(
            connection, generators.send(pgconn), _CANCEL_SECONDS
        )  # what was interrupted may be half sent
        connection.cancel_safe(timeout=_CANCEL_SECONDS)
        _read_to_the_end(connection, _CANCEL_SECONDS)
    except BaseException:  # noqa: BLE001 - interrupted again, or no answer: its state is unknown, and what led here is raised
        connection.close()


def _read_to_the_end(connection: psycopg.Connection[Any], timeout: float | None = None) -> None:
    """Throw away what still comes; `timeout` holds for each part of it."""
    pgconn = connection.pgconn
    while (result := wait_for(connection, generators.fetch(pgconn), timeout)) is not None:
        if result.status == pq.ExecStatus.COPY_IN:  # it waits for rows
            pgconn.put_copy_end(b"interrupted")
            wait_for(connection, generators.send(pgconn), timeout)
        elif result.status in _COPIES:
            raise psycopg.NotSupportedError("COPY to the client has no end that can be asked for")
