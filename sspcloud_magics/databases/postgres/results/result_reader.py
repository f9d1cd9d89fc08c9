"""Execution of one statement, with its rows in batches; memory has the result only once, in its columns.

A statement is sent with its parameters. libpq returns its rows in chunks of `CHUNK`, and the values of each chunk
go into arrays at once. There are two formats. A query whose column types are known (`statement_description`) uses
PostgreSQL's binary format, in half of the time. Any other statement uses the text format, which every type has.
Both use the connection's only session, so they see temporary tables, SET and an open transaction.

An interruption or an error while rows arrive cancels the statement on the server and discards the remaining rows,
so that the connection can be used again.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
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
    extension_types,
    parameter_binding,
    statement_description,
)
from sspcloud_magics.databases.postgres.results.binary_decoders import Decoder
from sspcloud_magics.databases.postgres.results.column_types import STYLED, ResultColumn, get_load_type
from sspcloud_magics.databases.postgres.results.statement_description import Description
from sspcloud_magics.databases.postgres.server_wait import wait_for
from sspcloud_magics.databases.postgres.sql_lexer import Statement
from sspcloud_magics.databases.query_options import DEFAULTS, QueryOptions
from sspcloud_magics.i18n import _

CHUNK = 500
"""The rows per chunk: few enough to keep their values in the CPU cache until they are gathered.

Measured in CPU time on 1,000,000 rows of 12 columns: chunks of 1,000 or 2,000 rows take a tenth longer.
"""

CHUNK_BYTES = 4 << 20
"""The maximum size of a chunk in bytes, by the planner's estimate of the row width."""

BATCH = 16
"""The maximum number of chunks that are decoded together, before the caller gets them."""

# The time after which a batch ends early, and the timeout of a cancellation.
_BATCH_SECONDS = 0.1
_CANCEL_SECONDS = 5.0
_ROWS = (pq.ExecStatus.TUPLES_CHUNK, pq.ExecStatus.SINGLE_TUPLE, pq.ExecStatus.TUPLES_OK)
_COPIES = (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH)
_STYLES = (
    ("DateStyle", "ISO", "datestyle TO ISO"),
    ("IntervalStyle", "postgres", "intervalstyle TO postgres"),
)


def list_missing_styles(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the settings to SET, so that dates and intervals have the format that `column_types` reads."""
    return [
        style
        for setting, readable, style in _STYLES
        if not (connection.info.parameter_status(setting) or readable).startswith(readable)
    ]


@dataclass(frozen=True, slots=True)
class Fetched:
    """The rows of one statement so far."""

    # Its columns, which later rows extend; None if the statement returns no rows.
    columns: tuple[ResultColumn, ...] | None = None
    rows: int = 0  # the number of rows fetched or changed
    tag: str = ""  # the command tag, such as ``INSERT 0 5``; empty before the end
    cut: int = 0  # the number of rows dropped beyond the limit
    size: int = 0  # the number of bytes received; 0 if the format does not say
    # Whether the query was limited to one row more than the limit: `cut` then only says that there are more
    # rows.
    cut_by_server: bool = False


def read_batches(
    connection: psycopg.Connection[Any],
    statement: Statement,
    values: Sequence[Any],
    options: QueryOptions = DEFAULTS,
    *,
    on_estimate: Callable[[Description], None] | None = None,
) -> Generator[Fetched, None, None]:
    """Run one statement, and yield its rows so far after each batch, and at the end.

    The caller may take the arrays out of the columns between two batches. Closing the generator before its end
    cancels the statement. The caller holds the connection's lock in each step.

    Parameters
    ----------
    connection
        An open connection.
    statement
        The statement to run.
    values
        The values of its parameters, from `parameter_binding.values_of`.
    options
        The options of the query. With `on_columns`, a query is always described before it is sent.
    on_estimate
        Called with the description of a query before its first row, if the query is described.

    Raises
    ------
    psycopg.Error
        If the server or libpq reports an error.
    KeyboardInterrupt
        After the statement was cancelled.
    """
    statement_description.get_seen_queries(connection).invalidate_by(statement)
    is_alone = connection.info.transaction_status == pq.TransactionStatus.IDLE
    try:
        try:
            yield from _run(connection, statement, values, options, on_estimate)
        except _ColumnsChanged:  # no row was yielded yet: describe the query, and run it again
            if is_alone:
                settle(connection)
            else:  # cancelling it would fail the transaction
                _read_to_the_end(connection)
            yield from _run(connection, statement, values, options, on_estimate)
    finally:
        settle(connection)


class _ColumnsChanged(psycopg.DataError):
    """The columns of a known query have changed, and some have no decoder for the binary format."""


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
    """Describe a statement, and pass the names of its columns to `on_columns` before it is sent."""
    found = statement_description.describe(
        connection,
        statement,
        dumped,
        transformer.types or (),
        transformer.formats or (),
        estimated=estimated,
    )
    array_types.register_arrays(connection, found.types)
    if on_columns is not None:
        on_columns(found.names)
    return found


_ENCODING = "utf-8"
_IN_CHUNKS = capabilities.has_stream_chunked()  # libpq 17 and newer, which psycopg's wheel includes
_UNKNOWN = Description((), ())
_NOT_IN_PYTHON = (ValueError, OverflowError, RecursionError)


class _Reading:
    """The state of reading one statement's results into columns."""

    def __init__(self, connection: psycopg.Connection[Any], options: QueryOptions) -> None:
        # The query and its description, to remember if its columns have decoders for the binary format.
        self.remembered: tuple[Statement, Description | None] | None = None
        self._connection = connection
        self.encoding = connection.info.encoding
        self.transformer: abc.Transformer = Transformer(connection)
        self._json_text = options.json_text
        self._numeric = options.numeric
        self._limit = options.limit
        # The modifiers of the columns' types; -1 for a type without one.
        self._modifiers: list[int] = []
        # The fields of `Fetched`.
        self._made: tuple[ResultColumn, ...] | None = None
        self._rows = self._cut = 0
        self._tag = ""
        self._cut_by_server = False
        # The format of the result; for each column, its decoder, the type that psycopg loads its values as,
        # and the chunks that are gathered for the next piece.
        self._format = pq.Format.TEXT
        self._loaded_as: list[int] = []
        self._column_decoders: list[Decoder] = []
        self._gathered: list[list[Any]] = []

    def format_of(self, described: Description) -> pq.Format:
        """Return the result format for a described query: binary if all of its types have a decoder."""
        found = self._decoders(described.types)
        return pq.Format.BINARY if found and None not in found else pq.Format.TEXT

    def with_limit(self, statement: Statement) -> str:
        """Return the query with a LIMIT of one row more than wanted, which shows whether there are more."""
        if self._limit is None:
            return statement.sql
        self._cut_by_server = True
        return statement_description.with_limit(statement, self._limit + 1)

    def batches(self) -> Iterator[Fetched]:
        """Read the results to their end, and yield the rows so far after each batch of chunks."""
        while (result := self._next()) is not None:
            until = time.monotonic() + _BATCH_SECONDS
            # Several chunks per pause, since Python's collector scans all new objects after it.
            with collector_paused():
                self._read(result)
                for more in islice(iter(self._next, None), BATCH - 1):
                    self._read(more)
                    if time.monotonic() > until:
                        break
                size = self._decode()
            yield Fetched(self._made, self._rows, self._tag, self._cut, size, self._cut_by_server)

    def _next(self) -> pq.abc.PGresult | None:
        result: pq.abc.PGresult | None = wait_for(self._connection, generators.fetch(self._connection.pgconn))
        return result

    def _read(self, result: pq.abc.PGresult) -> None:
        connection, encoding = self._connection, self.encoding
        if result.status in _ROWS:
            if self._made is None:
                self._made = self._columns(result)
            # Only the last chunk has it, or an empty result after that.
            self._tag = (result.command_status or b"").decode(encoding) or self._tag
            self._take(result, self._made)
            if self._cut_by_server and self._tag:
                self._tag = f"SELECT {self._rows}"
        elif result.status == pq.ExecStatus.COMMAND_OK:
            self._tag = (result.command_status or b"").decode(encoding)
            self._rows = result.command_tuples or 0
        elif result.status in _COPIES:
            connection.close()  # the session is in COPY mode, which is not implemented here
            raise psycopg.NotSupportedError(_("COPY from or to the client is not a query"))
        elif result.status != pq.ExecStatus.EMPTY_QUERY:
            if self.remembered is not None:
                statement_description.get_seen_queries(connection).discard(self.remembered[0])
            raise psycopg.errors.error_from_result(result, encoding=encoding)

    def _decoders(self, types: Sequence[int]) -> list[binary_decoders.Decoder | None]:
        names = [extension_types.find_name(self._connection, oid) for oid in types]
        return [
            extension_types.get_decoder(name)
            if name
            else binary_decoders.get_decoder(oid, self._numeric, json_text=self._json_text)
            for oid, name in zip(types, names, strict=True)
        ]

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
        self._modifiers = [result.fmod(place) for place in places]
        made = tuple(
            column_types.make_column(
                name,
                oid,
                numeric=self._numeric,
                time_zone=time_zone,
                adapters=adapters,
                json_text=self._json_text,
            )
            for name, oid in zip(names, types, strict=True)
        )
        self._convert_extension_types(made)
        if self._format == pq.Format.TEXT:
            self._check_styles(types)
            self._column_decoders = [
                Decoder(get_load_type(column.oid, self._numeric), column.to_piece, column_types.join_pieces)
                for column in made
            ]
        else:
            self._column_decoders = [each for each in found if each is not None]
            if len(self._column_decoders) < len(found):
                raise _ColumnsChanged(_("The query's column types changed while it ran. Run it again."))
        self._loaded_as = [decoder.loaded_as for decoder in self._column_decoders]
        self._gathered = [[] for _unused in self._column_decoders]
        return made

    def _convert_extension_types(
        self, columns: Iterable[ResultColumn], among: Container[int] | None = None
    ) -> None:
        """Convert the columns whose type is known to be an extension's, and is one of `among` unless that is None."""
        for column, modifier in zip(columns, self._modifiers, strict=True):
            if among is not None and column.oid not in among:
                continue
            if name := extension_types.find_name(self._connection, column.oid):
                extension_types.convert_column(column, name, modifier)

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
                    _(
                        "Dates and intervals in {setting} {style!r} cannot be read: SET {wanted}",
                        setting=setting,
                        style=style,
                        wanted=wanted,
                    )
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
            for column, decoder, gathered, loaded in zip(
                made, self._column_decoders, self._gathered, values, strict=True
            ):
                try:
                    gathered.append(decoder.gather(loaded, column))
                except _NOT_IN_PYTHON as error:
                    raise psycopg.DataError(f"{column.name}: {error}") from None
        self._rows += keep
        self._cut += count - keep

    def _unreadable(self, result: pq.abc.PGresult, rows: int, made: Sequence[ResultColumn]) -> str:
        """Return the name of the column with the value that psycopg cannot load."""
        for place, column in enumerate(made):
            load = self.transformer.get_loader(self._loaded_as[place], self._format).load
            try:
                for row in range(rows):
                    if (value := result.get_value(row, place)) is not None:
                        load(value)
            except (*_NOT_IN_PYTHON, struct.error):
                return column.name
        return _("a column")

    def load_arrays(self) -> None:
        """Convert arrays of unknown types, which arrive as text, to lists, and values of extensions' types; call it after the last row."""
        came = {column.oid: column for column in self._made or ()}
        unknown = array_types.list_unknown(self._connection, came)
        if not unknown:
            return
        array_types.register_arrays(self._connection, unknown)
        loading = Transformer(self._connection)
        for column in self._made or ():
            if column.oid in unknown and self._connection.adapters.get_loader(column.oid, pq.Format.TEXT):
                column.load_texts(loading.get_loader(column.oid, pq.Format.TEXT).load, self.encoding)
        self._convert_extension_types(self._made or (), unknown)

    def _decode(self) -> int:
        """Decode the gathered chunks into pieces, and return the size of all pieces in bytes."""
        made = self._made or ()
        for column, decoder, gathered in zip(made, self._column_decoders, self._gathered, strict=True):
            if gathered:
                try:
                    column.take(decoder.decode(gathered, column))
                except _NOT_IN_PYTHON as error:
                    raise psycopg.DataError(f"{column.name}: {error}") from None
                gathered.clear()
        return sum([column.size for column in made])


def settle(connection: psycopg.Connection[Any]) -> None:
    """Make the session idle: cancel a running query and discard its rows; close the session if it does not answer."""
    pgconn = connection.pgconn
    if pgconn.status == pq.ConnStatus.OK and pgconn.pipeline_status != pq.PipelineStatus.OFF:
        statement_description.leave_pipeline(connection)
    if pgconn.status != pq.ConnStatus.OK or pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
        return
    if forked_sessions.is_parents(connection):  # only the parent may cancel its query
        return
    try:
        wait_for(
            connection, generators.send(pgconn), _CANCEL_SECONDS
        )  # the interruption may have left it partly sent
        connection.cancel_safe(timeout=_CANCEL_SECONDS)
        _read_to_the_end(connection, _CANCEL_SECONDS)
    except BaseException:  # noqa: BLE001 - interrupted again, or no answer: the state is unknown, and the first error is raised
        connection.close()


def _read_to_the_end(connection: psycopg.Connection[Any], timeout: float | None = None) -> None:
    """Discard the remaining results; `timeout` applies to each of them."""
    pgconn = connection.pgconn
    while (result := wait_for(connection, generators.fetch(pgconn), timeout)) is not None:
        if result.status == pq.ExecStatus.COPY_IN:  # the server waits for rows
            pgconn.put_copy_end(b"interrupted")
            wait_for(connection, generators.send(pgconn), timeout)
        elif result.status in _COPIES:
            raise psycopg.NotSupportedError(_("COPY to the client cannot be ended by the client"))
