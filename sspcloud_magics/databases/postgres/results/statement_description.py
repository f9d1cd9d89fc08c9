"""What a query will return, asked before it runs: so that many rows can come in the fast format.

Rows come fastest in PostgreSQL's binary format, and a statement is sent with one format for all of its columns. Which types
have one that can be read is known only to the server, so a query is described first: one round trip. Another one brings the planner's
estimate, where it is wanted and where to plan the query calls nothing but PostgreSQL's own functions (`user_functions`). What reads as a statement of few rows skips it, and so does a text that the session has seen before.

Where one of the types has no decoder in `binary_decoders`, all columns come as text, by the types' own output functions. Nothing is cast
on the server: a cast of a type that another user made would run their function with the rights of the person who reads.
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
# At the top of a query, or anywhere in it, these make it more than one that reads.
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
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Description:
    """What a query will return.

    Parameters
    ----------
    names, types
        Of its columns; PostgreSQL's numbers of the types.
    rows, width
        The planner's estimate: how many rows, and how many bytes one has; 0 where it was not asked for.
    """

    names: tuple[str, ...]
    types: tuple[int, ...]
    rows: int = 0
    width: int = 0


def only_reads(statement: Statement) -> bool:
    """Whether a statement is a query that changes nothing by its own words."""
    words = statement.words
    return words[:1] != () and words[0] in _QUERIES and _CHANGES.isdisjoint(words)


def promises_few(statement: Statement) -> bool:
    """Whether a query reads as one of few rows, which need no fast format: a round trip more would cost more."""
    return _reads_as_few(statement.sql, statement.words)


@lru_cache(maxsize=_REMEMBERED)
def _reads_as_few(sql: str, words: tuple[str, ...]) -> bool:
    return ("from" not in words and words[0] not in ("table", "values")) or bool(_FEW.search(sql))


class SeenQueries:
    """The queries whose columns are known to have a fast format, in one session, and what was estimated of them.

    It is a hint only: the server says the types again with each result, and `result_reader` looks.
    """

    def __init__(self) -> None:
        self._found: OrderedDict[str, Description] = OrderedDict()

    def get(self, statement: Statement) -> Description | None:
        """Return what is known of a query; None where it is not known."""
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

    def heed(self, statement: Statement) -> None:
        """Forget all where a statement may change what their texts mean, such as DDL, SET, ROLLBACK, CALL."""
        if not only_reads(statement) and statement.words[:1] and statement.words[0] not in _HARMLESS:
            self._found.clear()


_seen: weakref.WeakKeyDictionary[psycopg.Connection[Any], SeenQueries] = weakref.WeakKeyDictionary()


def get_seen_queries(connection: psycopg.Connection[Any]) -> SeenQueries:
    """Return what is known of a session's queries."""
    found = _seen.get(connection)
    if found is None:
        found = _seen[connection] = SeenQueries()
    return found


def describe(
    connection: psycopg.Connection[Any],
    statement: Statement,
    values: Sequence[Any],
    types: Sequence[int],
    formats: Sequence[pq.Format],
    *,
    estimated: bool,
) -> Description:
    """Ask the server what a query will return.

    Parameters
    ----------
    connection, statement
        Where, and of what.
    values, types, formats
        The parameters, as psycopg dumped them.
    estimated
        Whether the planner's estimate is wanted.

    Raises
    ------
    psycopg.Error
        If the query is wrong.
    """
    pgconn = connection.pgconn
    encoding = connection.info.encoding
    sql = statement.sql.encode(encoding)
    checked = estimated and 'U&"' not in statement.sql.upper()  # its name is not read here
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
    """Send what is in the pipeline, and return the results."""
    connection.pgconn.pipeline_sync()
    wait_for(connection, generators.send(connection.pgconn))
    results = list(_results(connection))
    for result in results:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result, encoding=encoding)
    return results


def _estimates(plan: bytes) -> tuple[int, int]:
    """Return how many rows a plan expects, and of how many bytes each; 0 where it does not say."""
    try:
        told = parse(plan)[0]["Plan"]
        return int(told.get("Plan Rows", 0)), int(told.get("Plan Width", 0))
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
        return 0, 0


def _results(connection: psycopg.Connection[Any], timeout: float | None = None) -> Iterator[pq.abc.PGresult]:
    """Give the results up to the end of the pipeline; each statement's end is a None between them."""
    while True:
        result = wait_for(connection, generators.fetch(connection.pgconn), timeout)
        if result is None:
            continue
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            return
        yield result


_LEAVE_SECONDS = 5.0


def leave_pipeline(connection: psycopg.Connection[Any]) -> None:
    """Leave pipeline mode; if something came between, cancel what runs and read what still comes."""
    pgconn = connection.pgconn
    if pgconn.status != pq.ConnStatus.OK:
        return
    try:
        pgconn.exit_pipeline_mode()
    except psycopg.OperationalError:
        try:
            connection.cancel_safe(timeout=_LEAVE_SECONDS)
            # One more: an interruption may have come before the one that was to follow.
            pgconn.pipeline_sync()
            wait_for(connection, generators.send(pgconn), _LEAVE_SECONDS)
            _read_all(connection)
        except BaseException:  # noqa: BLE001 - no answer, or interrupted again: what led here is raised
            connection.close()


def _read_all(connection: psycopg.Connection[Any]) -> None:
    """Read what a pipeline still gives, and leave it."""
    while True:
        for _ in _results(connection, _LEAVE_SECONDS):
            pass
        with suppress(psycopg.OperationalError):  # there is one more end to come
            connection.pgconn.exit_pipeline_mode()
            return


def with_limit(statement: Statement, most: int) -> str:
    """Return the query with so many rows at most; PostgreSQL keeps the order of a subquery."""
    return f"SELECT * FROM ({statement.sql}\n) AS q LIMIT {most:d}"  # noqa: S608 - what the user wrote
