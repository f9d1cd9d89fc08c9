"""A query's rows by binary COPY, in the session that everything else uses: the fast way for many rows.

``COPY (query) TO STDOUT`` sends no names and takes no parameters, and one round trip before it asks for what it
lacks: the columns' names and types, and the planner's estimate. So it is for queries without parameters
that read from somewhere; all others are fetched as `fetching` does. Both give the same DataFrame.

A column whose type has no decoder in `binary` is cast to text on the server, which is how it comes otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import generators, pq
from psycopg.abc import PQGen, Transformer
from psycopg.waiting import Wait

from sspcloud_magics.databases import binary
from sspcloud_magics.databases.binary import Decoder
from sspcloud_magics.databases.collector import collector_paused
from sspcloud_magics.databases.columns import Column, Numeric
from sspcloud_magics.databases.parameters import Statement

ROWS = 8_192
"""Rows of a batch: NumPy's work outweighs its calls, and what they leave in memory is small."""

BYTES = 4 << 20
"""A batch of wide rows ends earlier."""

_QUERIES = frozenset({"select", "with", "values", "table"})
# At the top of a query, or anywhere in it, these make it more than one that reads.
_CHANGES = frozenset({"into", "insert", "update", "delete", "merge", "share"})
_FEW = re.compile(r"\blimit\s+\d{1,4}\s*\Z", re.IGNORECASE)
_RECORD = psycopg.adapters.types["record"].oid


@dataclass(frozen=True, slots=True)
class Description:
    """What a query will return.

    Parameters
    ----------
    names, types
        Of its columns; PostgreSQL's numbers of the types.
    rows, width
        The planner's estimate: how many rows, and how many bytes one has.
    """

    names: tuple[str, ...]
    types: tuple[int, ...]
    rows: int
    width: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What a batch brought: rows that were kept, rows that were left out, and bytes."""

    rows: int
    cut: int
    size: int


def may_copy(statement: Statement) -> bool:
    """Whether a statement can be copied, and may have so many rows that it is worth a round trip more."""
    words = statement.words
    return (
        not statement.names
        and words[:1] != ()
        and words[0] in _QUERIES
        and ("from" in words or words[0] in ("table", "values"))
        and _CHANGES.isdisjoint(words)
        and not _FEW.search(statement.sql)
    )


def describe(connection: psycopg.Connection[Any], statement: Statement) -> Description:
    """Ask the server what a query will return, in one round trip.

    Raises
    ------
    psycopg.Error
        If the query is wrong.
    """
    pgconn = connection.pgconn
    encoding = connection.info.encoding
    sql = statement.sql.encode(encoding)
    pgconn.enter_pipeline_mode()
    try:
        pgconn.send_prepare(b"", sql)
        pgconn.send_describe_prepared(b"")
        pgconn.send_query_params(b"EXPLAIN (FORMAT JSON) " + sql, None)
        pgconn.pipeline_sync()
        connection.wait(generators.send(pgconn))
        results = list(_results(connection))
    finally:
        _leave_pipeline(connection)
    for result in results:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result, encoding=encoding)
    _, described, explained = results
    plan = json.loads(explained.get_value(0, 0) or b"[]")[0]["Plan"]
    columns = range(described.nfields)
    return Description(
        tuple((described.fname(index) or b"").decode(encoding) for index in columns),
        tuple(described.ftype(index) for index in columns),
        plan["Plan Rows"],
        plan["Plan Width"],
    )


def _results(connection: psycopg.Connection[Any]) -> Iterator[pq.abc.PGresult]:
    """Give the results up to the end of the pipeline; each statement's end is a None between them."""
    while True:
        result = connection.wait(generators.fetch(connection.pgconn))
        if result is None:
            continue
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            return
        yield result


_LEAVE_SECONDS = 5.0


def _leave_pipeline(connection: psycopg.Connection[Any]) -> None:
    """Leave pipeline mode; if something came between, cancel what runs and read what still comes."""
    pgconn = connection.pgconn
    if pgconn.status != pq.ConnStatus.OK:
        return
    try:
        pgconn.exit_pipeline_mode()
    except psycopg.OperationalError:
        try:
            connection.cancel_safe(timeout=_LEAVE_SECONDS)
            for _ in _results(connection):
                pass
            pgconn.exit_pipeline_mode()
        except BaseException:  # noqa: BLE001 - no answer, or interrupted again: what led here is raised
            connection.close()


def can_copy(described: Description) -> bool:
    """Whether the rows can come as they would otherwise: cast to text, a record would lose its parts."""
    return bool(described.types) and _RECORD not in described.types


def decoders(described: Description, numeric: Numeric, transformer: Transformer) -> list[Decoder | None]:
    """Return a decoder for each column; None where it must be cast to text."""
    return [binary.decoder(oid, numeric, transformer) for oid in described.types]


def copy_statement(statement: Statement, found: list[Decoder | None]) -> str:
    """Return the COPY that gives the rows of a query."""
    query = statement.sql
    if None in found:
        names = [f'"{index}"' for index in range(len(found))]
        wanted = ", ".join(
            name if decoder else f"{name}::text" for name, decoder in zip(names, found, strict=True)
        )
        # PostgreSQL keeps the order of a subquery that is only projected.
        query = f"SELECT {wanted} FROM ({query}\n) AS q({', '.join(names)})"  # noqa: S608 - what the user wrote
    return f"COPY ({query}\n) TO STDOUT (FORMAT binary)"


def copied(
    connection: psycopg.Connection[Any],
    sql: str,
    columns: list[Column],
    found: list[Decoder],
    limit: int | None,
) -> Iterator[Taken]:
    """Run a COPY, and put its rows into columns.

    Parameters
    ----------
    connection
        An open connection, which the caller settles if this does not come to its end.
    sql
        The COPY.
    columns, found
        Where each column's values go, and what decodes them.
    limit
        How many rows to keep; the others are counted.

    Yields
    ------
    Taken
        What is new, once it is in the columns.

    Raises
    ------
    psycopg.Error
        What the server says.
    """
    _start(connection, sql)
    wanted = limit
    head = True
    while True:
        with collector_paused():
            rows, sizes, more = _batch(connection, head=head)
            count = len(rows)
            keep = count if wanted is None else min(wanted, count)
            if keep:
                batch = binary.fields(rows[:keep], sizes[:keep], len(columns))
                for column, decode, field in zip(columns, found, batch, strict=True):
                    column.arrays.append(decode(field, column))
        head = False
        if count:
            yield Taken(keep, count - keep, sum(sizes))
            wanted = None if wanted is None else wanted - keep
        if not more:
            break
    while (result := connection.wait(generators.fetch(connection.pgconn))) is not None:
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result, encoding=connection.info.encoding)


def _start(connection: psycopg.Connection[Any], sql: str) -> None:
    encoding = connection.info.encoding
    connection.pgconn.send_query(sql.encode(encoding))
    connection.wait(generators.send(connection.pgconn))
    result = connection.wait(generators.fetch(connection.pgconn))
    if result is not None and result.status != pq.ExecStatus.COPY_OUT:
        raise psycopg.errors.error_from_result(result, encoding=encoding)


def _batch(
    connection: psycopg.Connection[Any], *, head: bool
) -> tuple[list[bytes | memoryview], list[int], bool]:
    """Return the next rows, their sizes, and whether there may be more."""
    pgconn = connection.pgconn
    rows: list[bytes | memoryview] = []
    sizes: list[int] = []
    size = 0
    while len(rows) < ROWS and size < BYTES:
        length, data = pgconn.get_copy_data(1)
        if length == 0:
            connection.wait(_more(pgconn))
            continue
        if length < 0:
            return rows, sizes, False
        if head:
            begin = binary.header_length(bytes(data[:64]))
            data, length, head = data[begin:], length - begin, False
        if length > 2:  # the end is said by two bytes
            rows.append(data)
            sizes.append(length)
            size += length
    return rows, sizes, True


def _more(pgconn: pq.abc.PGconn) -> PQGen[None]:
    while not (yield Wait.R):
        continue
    pgconn.consume_input()


def drain(connection: psycopg.Connection[Any], timeout: float) -> None:
    """Throw away what a cancelled COPY still sends.

    Parameters
    ----------
    connection
        The connection, which says that it is in a COPY.
    timeout
        How many seconds to wait for each answer.

    Raises
    ------
    psycopg.errors.QueryCanceled
        As psycopg does where no answer comes in time.
    """
    while (length := connection.pgconn.get_copy_data(1)[0]) >= 0:
        if length == 0:
            connection.wait(_more(connection.pgconn), timeout=timeout)
