"""Description of a query before it runs, which allows the fast binary format for its rows.

Rows arrive fastest in PostgreSQL's binary format, but a statement uses one format for all of its columns. Only the
server knows the column types, so a query is described first, in one round trip. Another round trip fetches the
planner's estimate, if it is wanted and if planning calls only built-in functions (`user_functions`).
A query that looks like one of few rows skips the description, and so does a text that the session has seen before.

If a type has no decoder in `binary_decoders`, all columns arrive as text, from the types' output functions. Nothing is
cast on the server: casting another user's type would run that user's function with the privileges of the reader.
"""

from __future__ import annotations

import re
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import generators, pq

from sspcloud_magics.bounded_json import parse
from sspcloud_magics.databases.postgres.results import user_functions
from sspcloud_magics.databases.postgres.server_wait import wait_for
from sspcloud_magics.databases.postgres.sql_lexer import Statement

_QUERIES = frozenset({"select", "with", "values", "table"})
# Keywords that make a query more than a read, at its top or anywhere in it.
_CHANGES = frozenset({"into", "insert", "update", "delete", "merge", "share"})
_HARMLESS = frozenset(
    {"insert", "update", "delete", "merge", "explain", "show", "begin", "start", "commit", "end", "analyze"}
)
_FEW = re.compile(
    r"\blimit\s+\d{1,4}\s*\Z"
    r"|\b\w*(?:id|uuid|key|code)\"?\s*=\s*(?:\$\d|\d|')"
    r"|\A\s*select\s+(?:count|sum|avg|min|max)\s*\((?!.*\b(?:group\s+by|over)\b)",
    re.IGNORECASE | re.DOTALL,
)
# The number of queries that are remembered in each session.
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Description:
    """The description of a query's result.

    Parameters
    ----------
    names, types
        The names and the type OIDs of its columns.
    rows, width
        The planner's estimate: the number of rows, and the width of a row in bytes; 0 if not requested.
    """

    names: tuple[str, ...]
    types: tuple[int, ...]
    rows: int = 0
    width: int = 0


def only_reads(statement: Statement) -> bool:
    """Whether a statement is a query without keywords that change anything."""
    words = statement.words
    return words[:1] != () and words[0] in _QUERIES and _CHANGES.isdisjoint(words)


def promises_few(statement: Statement) -> bool:
    """Whether a query looks like one of few rows, for which another round trip costs more than the text format."""
    return _reads_as_few(statement.sql, statement.words)


@lru_cache(maxsize=_REMEMBERED)
def _reads_as_few(sql: str, words: tuple[str, ...]) -> bool:
    return ("from" not in words and words[0] not in ("table", "values")) or bool(_FEW.search(sql))


class SeenQueries:
    """The queries of one session whose columns are known to have decoders for the binary format.

    It is only a hint: the server sends the types with each result, and `result_reader` checks them.
    """

    def __init__(self) -> None:
        # By the SQL that was sent, the least recently added first.
        self._found: OrderedDict[str, Description] = OrderedDict()

    def get(self, statement: Statement) -> Description | None:
        """Return the description of a query; None if it is not known."""
        return self._found.get(statement.sql)

    def add(self, statement: Statement, described: Description) -> None:
        """Remember a query."""
        self._found[statement.sql] = described
        self._found.move_to_end(statement.sql)
        if len(self._found) > _REMEMBERED:
            self._found.popitem(last=False)

    def discard(self, statement: Statement) -> None:
        """Forget a query."""
        self._found.pop(statement.sql, None)

    def invalidate_by(self, statement: Statement) -> None:
        """Forget all queries if a statement may change their meaning, such as DDL, SET, ROLLBACK or CALL."""
        if not only_reads(statement) and statement.words[:1] and statement.words[0] not in _HARMLESS:
            self._found.clear()


_seen: weakref.WeakKeyDictionary[psycopg.Connection[Any], SeenQueries] = weakref.WeakKeyDictionary()


def get_seen_queries(connection: psycopg.Connection[Any]) -> SeenQueries:
    """Return the known queries of a session."""
    return _seen.setdefault(connection, SeenQueries())


def describe(
    connection: psycopg.Connection[Any],
    statement: Statement,
    values: Sequence[Any],
    types: Sequence[int],
    formats: Sequence[pq.Format],
    *,
    estimated: bool,
) -> Description:
    """Describe the result of a query, with the planner's estimate if `estimated`.

    `values`, `types` and `formats` are the parameters, as psycopg dumped them.

    Raises
    ------
    psycopg.Error
        If the server refuses the query.
    """
    pgconn = connection.pgconn
    encoding = connection.info.encoding
    sql = statement.sql.encode(encoding)
    checked = estimated and 'U&"' not in statement.sql.upper()  # `list_named` does not decode such names
    pgconn.enter_pipeline_mode()
    try:
        pgconn.send_prepare(b"", sql, param_types=types)
        pgconn.send_describe_prepared(b"")
        if checked:
            pgconn.send_query_params(user_functions.CHECK, user_functions.list_named(statement))
        _, described, *answers = _exchange(connection, encoding)
        rows, width = 0, 0
        if answers and answers[0].get_value(0, 0) == b"f":
            pgconn.send_query_params(
                b"EXPLAIN (FORMAT JSON) " + sql, values, param_types=types, param_formats=formats
            )
            rows, width = _estimates(_exchange(connection, encoding)[0].get_value(0, 0) or b"")
    finally:
        leave_pipeline(connection)
    columns = range(described.nfields)
    return Description(
        tuple((described.fname(index) or b"").decode(encoding) for index in columns),
        tuple(described.ftype(index) for index in columns),
        rows,
        width,
    )


def _exchange(connection: psycopg.Connection[Any], encoding: str) -> list[pq.abc.PGresult]:
    """Send the pipeline, and return its results."""
    connection.pgconn.pipeline_sync()
    wait_for(connection, generators.send(connection.pgconn))
    results = list(_results(connection))
    for result in results:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result, encoding=encoding)
    return results


def _estimates(plan: bytes) -> tuple[int, int]:
    """Return the number of rows in a plan and their width in bytes; 0 if it does not say."""
    try:
        top = parse(plan)[0]["Plan"]
        return int(top.get("Plan Rows", 0)), int(top.get("Plan Width", 0))
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
        return 0, 0


def _results(connection: psycopg.Connection[Any], timeout: float | None = None) -> Iterator[pq.abc.PGresult]:
    """Yield the results up to the end of the pipeline; libpq returns None after each statement."""
    while True:
        result = wait_for(connection, generators.fetch(connection.pgconn), timeout)
        if result is None:
            continue
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            return
        yield result


_LEAVE_SECONDS = 5.0


def leave_pipeline(connection: psycopg.Connection[Any]) -> None:
    """Leave pipeline mode; after an interruption, cancel the running query and discard its results."""
    pgconn = connection.pgconn
    if pgconn.status != pq.ConnStatus.OK:
        return
    try:
        pgconn.exit_pipeline_mode()
    except psycopg.OperationalError:
        try:
            connection.cancel_safe(timeout=_LEAVE_SECONDS)
            # The interruption may have come before the sync that ends the pipeline.
            pgconn.pipeline_sync()
            wait_for(connection, generators.send(pgconn), _LEAVE_SECONDS)
            _read_all(connection)
        except BaseException:  # noqa: BLE001 - no answer, or interrupted again: the first error is raised
            connection.close()


def _read_all(connection: psycopg.Connection[Any]) -> None:
    """Discard the remaining results of a pipeline, and leave it."""
    while True:
        for _ in _results(connection, _LEAVE_SECONDS):
            pass
        with suppress(psycopg.OperationalError):  # another sync is pending
            connection.pgconn.exit_pipeline_mode()
            return


def with_limit(statement: Statement, most: int) -> str:
    """Return the query with a LIMIT; PostgreSQL keeps the order of a subquery."""
    return f"SELECT * FROM ({statement.sql}\n) AS q LIMIT {most:d}"  # noqa: S608 - the user's own SQL
