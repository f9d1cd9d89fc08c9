"""A query's rows, some at a time: for results that do not fit into memory, and need not.

The rows come from the server as they are asked for, in the session that everything else uses; the first
are fetched at once, so that a mistake in the query is told where it is written. Until the end, or `Chunks.close`, which
cancels the query on the server, that session takes no other query, from whichever thread. Threads may share the chunks: each of them is
read in a turn, and none is given twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any, Self

import pandas as pd

from sspcloud_magics.databases.postgres import query
from sspcloud_magics.databases.postgres.query import Part
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.query_options import DEFAULTS, QueryOptions
from sspcloud_magics.errors import ConnectionLost, QueryFailed

Convert = Callable[[pd.DataFrame, Sequence[int]], Any]


class Chunks:
    """DataFrames of as many rows each, one after the other; the last may have fewer.

    It is its own iterator, and a context manager that closes it.

    Parameters
    ----------
    connection
        Where the query runs.
    parts
        Its rows, in parts of any size.
    size
        How many rows a chunk has.
    convert
        Turns a DataFrame and the numbers of its columns' types into what a chunk shall be.
    """

    def __init__(
        self,
        connection: DatabaseConnection,
        parts: Generator[Part, None, None],
        size: int,
        convert: Convert,
    ) -> None:
        self._connection = connection
        self._process = os.getpid()
        self._size = size
        self._closed = self._ended = False
        self._rows = 0
        self._coming = _cut(connection, parts, size, convert)
        with connection.turn:
            self._first: Any = next(self._coming)
            connection.lend(self._coming, self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        """Return the next rows."""
        if os.getpid() != self._process:
            raise ConnectionLost(
                "These rows are read by the parent process.",
                hint="run the query in the process that reads it",
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
            f"The rest of the rows was given up after {self._rows:,}.",
            why="An interruption or an error ended their query, or the transaction that it ran in has ended.",
            hint="run the query again, and read its rows to their end",
        )

    def close(self) -> None:
        """Give the rest up: the query is cancelled on the server; again and again does no harm."""
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
        read = f"{self._rows:,} rows read" + (", closed" if self._closed else "")
        where = self._connection.database.path
        return f"Rows of {where}, {self._size:,} at a time ({read}): for chunk in …"


def _cut(
    connection: DatabaseConnection, parts: Generator[Part, None, None], size: int, convert: Convert
) -> Generator[Any, None, Any]:
    """Give chunks of that very size, one at least, and return that they are all."""
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


def chunks(
    connection: DatabaseConnection,
    sql: str,
    params: Mapping[str, object] | None = None,
    options: QueryOptions = DEFAULTS,
    *,
    size: int,
    convert: Convert = lambda frame, _: frame,
) -> Chunks:
    """Run one query, and give its rows in chunks of `size`; the last may have fewer.

    `convert` makes what a chunk shall be of a DataFrame and the numbers of its columns' types. All else, and the errors, which also
    come while the rows are read, are those of `query.run`.
    """
    return Chunks(connection, query.parts(connection, sql, params, options, size=size), size, convert)
