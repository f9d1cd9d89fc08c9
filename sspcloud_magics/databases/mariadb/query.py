"""Execution of SQL in MariaDB, with a DataFrame as its result.

A text may contain several statements. Each is sent separately, and commits on its own outside a transaction. All
parameters are looked up before the first is sent. Rows are read in batches, so that a large result is in memory once.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

import pandas as pd
import pymysql
from pymysql.cursors import SSCursor

from sspcloud_magics.databases.column_names import list_duplicates
from sspcloud_magics.databases.gc_pause import collector_paused
from sspcloud_magics.databases.mariadb import errors
from sspcloud_magics.databases.mariadb.column_types import (
    ResultColumn,
    as_json,
    make_column,
    may_be_json,
    parse_json,
)
from sspcloud_magics.databases.mariadb.connection import MariadbConnection
from sspcloud_magics.databases.mariadb.driver import Session
from sspcloud_magics.databases.mariadb.literals import bind, quote_name
from sspcloud_magics.databases.mariadb.sql_lexer import Statement, statements
from sspcloud_magics.databases.query_options import DEFAULTS, QueryOptions
from sspcloud_magics.databases.query_result import (
    TRANSACTION_OPEN,
    Part,
    QueryResult,
    StatementResult,
)
from sspcloud_magics.errors import QueryFailed, UsageProblem
from sspcloud_magics.i18n import _, _n, format_number, quote_words
from sspcloud_magics.spelling import nearest

_BATCH = 10_000
"""The number of rows to read before they are converted: a few milliseconds of work."""

_READS = frozenset({"select", "with", "table", "values", "show", "describe", "desc", "explain", "analyze"})
_SHAPING = frozenset({"create", "alter", "drop", "rename", "truncate", "use", "set", "grant", "revoke"})
_MOST_WARNINGS = 5


class _Fetch:
    """The rows of one statement, as they arrive.

    Parameters
    ----------
    connection
        The connection, whose turn the caller has.
    options
        The options of the query.
    """

    def __init__(self, connection: MariadbConnection, session: Session, options: QueryOptions) -> None:
        self._connection = connection
        self._session = session
        self._options = options
        self._began = time.monotonic()
        # PyMySQL's cursor, whose rows stay on the server until they are read.
        self._cursor = SSCursor(session)
        # The columns of the last result that has rows; None if none has.
        self.columns: list[ResultColumn] | None = None
        self._fields: Sequence[Any] = ()
        # Rows kept and rows dropped because of the limit, and changed rows.
        self.rows = 0
        self.cut = 0
        self.affected = 0
        self.warnings: tuple[str, ...] = ()

    def _is_late(self) -> bool:
        timeout = self._options.timeout
        return timeout is not None and time.monotonic() - self._began > timeout

    def batches(self, sql: str) -> Iterator[None]:
        """Run a statement; after each step, its batch of rows is in the columns."""
        try:
            self._run(lambda: self._execute(sql))
            while True:
                yield from self._read()
                if not self._run(self._cursor.nextset):
                    break
                self._describe()
            self._listen()
        except pymysql.Error as error:
            if errors.number_of(error) == errors.INTERRUPTED and self._is_late():
                raise QueryFailed(
                    _(
                        "The statement was cancelled after its timeout of {timeout} s.",
                        timeout=format_number(self._options.timeout or 0),
                    ),
                    hint=_("raise the timeout, fetch fewer rows, or check the plan: %%query_db --explain"),
                ) from None
            raise
        finally:
            self._finish()

    def _run(self, call: Any) -> Any:
        return self._connection.run(call, self._is_late)

    def _execute(self, sql: str) -> None:
        # Without its own conversions PyMySQL returns the server's text.
        decoders, self._session.decoders = self._session.decoders, {}
        try:
            self._cursor.execute(sql)
        finally:
            self._session.decoders = decoders
        self._describe()

    def _describe(self) -> None:
        result = self._cursor._result  # noqa: SLF001 - PyMySQL's own cursors read their fields so
        if self._cursor.description is None:
            self.affected += max(0, self._cursor.rowcount)
            return
        self._fields = result.fields
        self.columns = [make_column(each, self._options.numeric) for each in self._fields]
        self.rows = self.cut = 0
        if self._options.on_columns is not None:
            self._options.on_columns([column.name for column in self.columns])

    def _read(self) -> Iterator[None]:
        limit = self._options.limit
        if self._cursor.description is None:
            return
        while rows := self._run(lambda: self._cursor.fetchmany(_BATCH)):
            kept = rows if limit is None else rows[: max(0, limit - self.rows)]
            self.cut += len(rows) - len(kept)
            if kept:
                for column, values in zip(self.columns or (), zip(*kept, strict=True), strict=True):
                    column.take(values)
                self.rows += len(kept)
            if self._options.progress is not None:
                self._options.progress(self.rows + self.cut, 0, time.monotonic() - self._began)
            yield

    def _listen(self) -> None:
        """Read the server's warnings on the statement."""
        result = self._cursor._result  # noqa: SLF001
        if not getattr(result, "warning_count", 0):
            return
        listed = self._run(self._session.show_warnings)
        found = [
            quote_words(f"{level}: {message} ({number})")
            for level, number, message in listed[:_MOST_WARNINGS]
        ]
        more = len(listed) - len(found)
        self.warnings = (
            *found,
            *([_n("{count} more warning", "{count} more warnings", more)] if more > 0 else []),
        )

    def _finish(self) -> None:
        """Leave the session idle: end the statement if it still has rows."""
        result = self._session._result  # noqa: SLF001
        if self._session.open and result is not None and result.unbuffered_active:
            self._connection.cancel()
            with suppress(pymysql.Error):
                self._connection.run(self._cursor.close)

    def parse_json(self, connection: MariadbConnection) -> None:
        """Parse the columns of JSON, which only the definitions of their tables tell from text."""
        for column in self.find_json(connection):
            column.pieces = [parse_json(column.finish())]

    def find_json(self, connection: MariadbConnection) -> list[ResultColumn]:
        """Return the columns of JSON, after asking for the definitions of their tables."""
        columns = self.columns or []
        doubtful = [
            each for each, field in zip(columns, self._fields, strict=True) if may_be_json(each, field)
        ]
        definitions: dict[tuple[str, str], str] = {}
        found = []
        for column in doubtful:
            schema, table, name = column.origin
            if (schema, table) not in definitions:
                definitions[schema, table] = _read_definition(connection, schema, table)
            if f"json_valid({quote_name(name)})" in definitions[schema, table]:
                as_json(column)
                found.append(column)
        return found


def _read_definition(connection: MariadbConnection, schema: str, table: str) -> str:
    """Return the CREATE TABLE of a table; empty if it may not be read."""
    session, _notes = connection.ready()
    cursor = session.cursor()
    name = f"{quote_name(schema)}.{quote_name(table)}"
    try:
        connection.run(lambda: cursor.execute(f"SHOW CREATE TABLE {name}"))
    except pymysql.Error:
        return ""
    row = cursor.fetchone()
    return str(row[1]) if row else ""


def run(
    connection: MariadbConnection,
    sql: str,
    params: Mapping[str, object] | None = None,
    options: QueryOptions = DEFAULTS,
) -> QueryResult:
    """Run SQL, and return its rows with notes; parameters and exceptions are those of `postgres.query.run`."""
    with connection.turn, collector_paused():
        session, remarks = connection.ready()
        parsed, texts = _prepare(session, sql, params)
        notes = list(remarks)
        done: list[StatementResult] = []
        frame: pd.DataFrame | None = None
        types: tuple[int, ...] = ()
        began = time.perf_counter()
        for index, (statement, text) in enumerate(zip(parsed, texts, strict=True)):
            how = options
            if any(each.words[:1] and each.words[0] in _READS for each in parsed[index + 1 :]):
                how = replace(options, on_columns=None)  # a later query provides the result
            fetch = _Fetch(connection, session, how)
            with _translate(connection, done, len(parsed)), _limit_rows(connection, statement, options):
                for _batch in fetch.batches(text):
                    pass
            if fetch.columns is not None:
                if not options.json_text:
                    fetch.parse_json(connection)
                frame, types = _make_frame(fetch.columns), tuple(column.oid for column in fetch.columns)
                notes += _notes_on(fetch, options)
            notes += fetch.warnings
            rows = fetch.rows if fetch.columns is not None else fetch.affected
            done.append(StatementResult(_tag(statement), rows))
            if statement.words[:1] and statement.words[0] in _SHAPING:
                connection.changes += 1
        if connection.in_transaction:
            notes.append(_(TRANSACTION_OPEN))
        return QueryResult(frame, tuple(done), tuple(notes), time.perf_counter() - began, types)


def parts(
    connection: MariadbConnection,
    sql: str,
    params: Mapping[str, object] | None,
    options: QueryOptions,
    *,
    size: int,
    most: int | None = None,  # noqa: ARG001 - of the interface; batches are small
) -> Generator[Part, None, None]:
    """Run one query, and yield its rows in parts as they arrive; at least one part.

    The session is busy until the end, or until the generator is closed, which cancels the query. All is as for
    `postgres.query.parts`, but `most` is not used.
    """
    session, _remarks = connection.ready()
    parsed, texts = _prepare(session, sql, params)
    if len(parsed) != 1:
        raise UsageProblem(
            _("Only a single query can be exported or chunked."), hint=_("run the others before it")
        )
    fetch = _Fetch(connection, session, options)
    json_columns: list[ResultColumn] | None = None
    given = 0
    with _translate(connection, [], 1), closing(fetch.batches(texts[0])) as running:  # type: ignore[type-var]  # a generator
        for _batch in running:
            if json_columns is None and not options.json_text:
                with closing(connection.copy_connection()) as other, other.turn:
                    json_columns = fetch.find_json(other)
            if fetch.rows - given >= size:
                yield _make_part(fetch, json_columns)
                given = fetch.rows
    if fetch.columns is None:
        raise UsageProblem(_("The statement returns no rows."), hint=_("write a query, such as SELECT …"))
    if fetch.rows > given or given == 0:
        yield _make_part(fetch, json_columns)


def _make_part(fetch: _Fetch, json_columns: Sequence[ResultColumn] | None) -> Part:
    columns = fetch.columns or []
    for column in json_columns or ():
        column.pieces = [parse_json(column.finish())]
    return Part(
        _make_frame(columns), tuple(column.oid for column in columns), tuple(_notes_on_values(columns))
    )


def _make_frame(columns: Sequence[ResultColumn]) -> pd.DataFrame:
    made = pd.DataFrame({place: column.finish() for place, column in enumerate(columns)}, copy=False)
    made.columns = pd.Index([column.name for column in columns])
    return made


def _prepare(
    session: Session, sql: str, params: Mapping[str, object] | None
) -> tuple[tuple[Statement, ...], list[str]]:
    parsed = statements(sql, backslashes=session.has_backslashes)
    if not parsed:
        raise UsageProblem(_("There is no statement to run."), hint=_("write SQL, such as SELECT 1"))
    if any(each.words[:1] == ("delimiter",) for each in parsed):
        raise UsageProblem(
            _("DELIMITER is a command of the program mariadb, not SQL."),
            hint=_("remove its lines: a cell may contain the whole body of a procedure"),
        )
    return parsed, [bind(each, {} if params is None else params) for each in parsed]


@contextmanager
def _limit_rows(connection: MariadbConnection, statement: Statement, options: QueryOptions) -> Iterator[None]:
    """Let the server return one row more than the limit: its presence says that there are more."""
    if options.limit is None or statement.words[:1] not in (("select",), ("with",), ("table",), ("values",)):
        yield
        return
    connection.execute(f"SET sql_select_limit = {options.limit + 1:d}")
    try:
        yield
    finally:
        with suppress(pymysql.Error):  # the connection is lost
            connection.execute("SET sql_select_limit = DEFAULT")


@contextmanager
def _translate(connection: MariadbConnection, done: Sequence[object], total: int) -> Iterator[None]:
    """Convert PyMySQL's errors into this package's."""
    in_transaction = connection.in_transaction
    try:
        yield
    except pymysql.Error as error:
        near = _find_near_table(connection, errors.find_unknown_table(error))
        failed = connection.translate(error, in_transaction=in_transaction, near=near)
        if isinstance(failed, QueryFailed) and total > 1:
            failed.why = _describe_place(len(done), total)
        raise failed from None
    except errors.MALFORMED as error:
        connection.abandon()
        raise errors.make_reply_error(error, connection.database.path) from None


def _describe_place(before: int, total: int) -> str:
    if not before:
        return _("It is statement 1 of {total}: none before it has run.", total=total)
    return _n(
        "It is statement {place} of {total}: the {count} before it has run.",
        "It is statement {place} of {total}: the {count} before it have run.",
        before,
        place=before + 1,
        total=total,
    )


def _find_near_table(connection: MariadbConnection, name: str) -> str:
    if not name:
        return ""
    with suppress(pymysql.Error):
        session, _notes = connection.ready()
        cursor = session.cursor()
        connection.run(lambda: cursor.execute("SHOW TABLES"))
        return nearest(name, [str(row[0]) for row in cursor.fetchall()]) or ""
    return ""


def _tag(statement: Statement) -> str:
    words = statement.words[: 2 if statement.words[:1] and statement.words[0] in _SHAPING else 1]
    return " ".join(words).upper() or "SQL"


def _notes_on(fetch: _Fetch, options: QueryOptions) -> list[str]:
    columns = fetch.columns or []
    notes = []
    twice = list_duplicates(column.name for column in columns)
    if twice:
        notes.append(
            _("Several columns are named {names}: rename them with AS.", names=", ".join(map(repr, twice)))
        )
    notes += _notes_on_values(columns)
    if fetch.cut and options.limit is not None:
        notes.append(
            _n(
                "The first {count} row; there are more.",
                "The first {count} rows; there are more.",
                fetch.rows,
            )
        )
    return notes


def _notes_on_values(columns: Sequence[ResultColumn]) -> list[str]:
    return [
        note.describe(column.name, count)
        for column in columns
        for note, count in sorted(column.notes.items())
    ]
