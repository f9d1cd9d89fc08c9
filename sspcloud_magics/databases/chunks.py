"""Iteration over a query's rows in chunks, for results that do not fit into memory.

The rows are fetched on demand, in the connection's only session. The first chunk is fetched at once, so that an error
in the query is raised where it is written. Until the end, or `Chunks.close`, which cancels the query on the server,
the session refuses other queries from any thread. Threads may share an iterator: each chunk is returned once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any, Self

import pandas as pd

from sspcloud_magics.databases.connection import Connection
from sspcloud_magics.databases.query_result import Part
from sspcloud_magics.errors import ConnectionLost, QueryFailed
from sspcloud_magics.i18n import _, _n, format_number

Convert = Callable[[pd.DataFrame, Sequence[int]], Any]


class Chunks:
    """An iterator over chunks of the same number of rows; the last may have fewer.

    It is also a context manager that closes it.

    Parameters
    ----------
    connection
        The connection on which the query runs.
    parts
        Its rows, in parts of any size.
    size
        The number of rows per chunk.
    convert
        Converts a DataFrame and the OIDs of its columns' types to a chunk.
    """

    def __init__(
        self,
        connection: Connection,
        parts: Generator[Part, None, None],
        size: int,
        convert: Convert,
    ) -> None:
        self._connection = connection
        # The process that reads the rows: a forked child must not.
        self._process = os.getpid()
        self._size = size
        self._closed = self._ended = False
        # The number of rows returned so far.
        self._rows = 0
        self._coming = _cut(connection, parts, size, convert)
        with connection.turn:
            # The first chunk, until it is returned.
            self._first: Any = next(self._coming)
            connection.lend(self._coming, self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        """Return the next chunk."""
        if os.getpid() != self._process:
            raise ConnectionLost(
                _("The parent process reads these rows."),
                hint=_("run the query in the process that reads its rows"),
            )
        with self._connection.turn:
            if self._first is not None:
                chunk, self._first = self._first, None
            else:
                chunk = self._next()
            self._rows += len(chunk)
            return chunk

    def _next(self) -> Any:
        try:
            return next(self._coming)
        except StopIteration as end:
            self._ended |= end.value is _ALL
            if self._ended or self._closed:
                raise
        raise QueryFailed(
            _n(
                "The query ended after {count} row, before all were read.",
                "The query ended after {count} rows, before all were read.",
                self._rows,
            ),
            why=_("An interruption or an error ended the query, or its transaction has ended."),
            hint=_("run the query again, and read its chunks to the end"),
        )

    def close(self) -> None:
        """Discard the remaining rows, and cancel the query on the server. Closing twice has no effect."""
        self._closed, self._first = True, None
        if os.getpid() == self._process:
            with self._connection.turn:
                self._coming.close()

    def __del__(self) -> None:
        if hasattr(self, "_coming"):
            self._connection.forget(self._coming)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        database, size = self._connection.database.path, format_number(self._size)
        if self._closed:
            return _n(
                "Rows of {database}, {size} at a time ({count} row read, closed): for chunk in …",
                "Rows of {database}, {size} at a time ({count} rows read, closed): for chunk in …",
                self._rows,
                database=database,
                size=size,
            )
        return _n(
            "Rows of {database}, {size} at a time ({count} row read): for chunk in …",
            "Rows of {database}, {size} at a time ({count} rows read): for chunk in …",
            self._rows,
            database=database,
            size=size,
        )


def _cut(
    connection: Connection, parts: Generator[Part, None, None], size: int, convert: Convert
) -> Generator[Any, None, Any]:
    """Yield chunks of exactly this size, at least one, and return a marker of the complete result."""
    rest: pd.DataFrame | None = None
    types: tuple[int, ...] = ()
    given = 0
    with connection.protect_transaction(), closing(parts):
        for part in parts:
            types = part.types
            frame = part.frame if rest is None else pd.concat([rest, part.frame], ignore_index=True)
            whole = len(frame) - len(frame) % size
            for start in range(0, whole, size):
                yield convert(frame.iloc[start : start + size].reset_index(drop=True), types)
                given += 1
            rest = frame.iloc[whole:]
        if rest is not None and (len(rest) or not given):
            yield convert(rest.reset_index(drop=True), types)
    return _ALL


_ALL = object()
