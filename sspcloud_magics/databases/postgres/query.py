"""Execution of SQL, with a DataFrame as its result.

A text may contain several statements. Each is sent separately, as psql does with a file: outside a transaction block
each statement commits on its own, and an error does not undo the previous ones. All parameters are looked up before
the first statement is sent. The result has the DataFrame of the last statement that returns rows.

`sspcloud_magics.databases.postgres.results.column_types` has the table of types.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import psutil
import psycopg

from sspcloud_magics.databases.column_names import list_duplicates
from sspcloud_magics.databases.postgres.results import (
    dataframe,
    parameter_binding,
    result_reader,
    statement_description,
)
from sspcloud_magics.databases.postgres.results.column_types import ResultColumn
from sspcloud_magics.databases.postgres.results.result_reader import Fetched
from sspcloud_magics.databases.postgres.results.statement_description import Description
from sspcloud_magics.databases.postgres.session import pg_errors
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.sql import statement_errors
from sspcloud_magics.databases.postgres.sql_hints import find_slip_hint
from sspcloud_magics.databases.postgres.sql_lexer import Statement, statements
from sspcloud_magics.databases.query_options import DEFAULTS, QueryOptions
from sspcloud_magics.databases.query_result import (
    TRANSACTION_OPEN,
    Part,
    QueryResult,
    StatementResult,
)
from sspcloud_magics.errors import QueryFailed, UsageProblem
from sspcloud_magics.i18n import N_, _, _n, format_bytes, format_number, quote_words
from sspcloud_magics.printable import shorten


def run(
    connection: DatabaseConnection,
    sql: str,
    params: Mapping[str, object] | None = None,
    options: QueryOptions = DEFAULTS,
) -> QueryResult:
    """Run SQL, and return its rows with notes.

    Parameters
    ----------
    sql
        One or several statements; ``:name`` is a parameter.
    params
        The values of the parameters by name; only the names in `sql` are looked up.

    Raises
    ------
    UsageProblem
        If there is no statement, or one is a COPY from or to the client.
    ParameterError
        If a parameter has no value, or one that cannot be bound. Nothing is sent in that case.
    QueryFailed
        If the server refuses a statement. The connection stays usable.
    ConnectionLost
        If the connection ends. The next query connects again.

    Examples
    --------
    >>> run(connection, "SELECT :n + 1 AS next", {"n": 1}).frame  # doctest: +SKIP
    """
    parsed, bound = _prepare(sql, params)
    on_estimate = None
    if options.warn is not None and options.limit is None:
        on_estimate = partial(_warn_of_size, options.warn, options.memory_share)
    with connection.turn:
        session, remarks = connection.ready()
        connection.refuse(parsed)
        notes = list(remarks)
        done: list[StatementResult] = []
        frame: pd.DataFrame | None = None
        types: tuple[int, ...] = ()
        began = time.perf_counter()
        with _notices(session) as heard:
            for statement, values in zip(parsed, bound, strict=True):
                fetched, how = Fetched(), options
                if options.on_columns is not None and any(
                    map(statement_description.only_reads, parsed[len(done) + 1 :])
                ):
                    how = replace(options, on_columns=None)  # a later query provides the result
                with (
                    _word_errors(connection, session, statement, len(done), len(parsed), variables=params),
                    connection.with_settings(statement),
                    _limit_time(session, options.timeout),
                ):
                    for fetched in result_reader.read_batches(
                        session, statement, values, how, on_estimate=on_estimate
                    ):
                        if options.progress is not None:
                            options.progress(
                                fetched.rows + fetched.cut, fetched.size, time.perf_counter() - began
                            )
                done.append(StatementResult(fetched.tag, fetched.rows))
                _follow(connection, statement, fetched.tag)
                if fetched.columns is not None:
                    frame = dataframe.make_frame(fetched.columns, fetched.rows)
                    types = tuple(column.oid for column in fetched.columns)
                    notes += _notes_on(fetched)
                    if not fetched.rows and (meant := find_slip_hint(statement.text, variables=params)):
                        notes.append(_("No row was found: {meant}.", meant=meant))
        if connection.in_transaction:
            heard.append(_(TRANSACTION_OPEN))
        return QueryResult(frame, tuple(done), (*notes, *heard), time.perf_counter() - began, types)


_FAILED_IN_TRANSACTION = N_("the transaction has failed too: end it with ROLLBACK (%query_db --rollback)")

_SHAPING = frozenset(
    {"create", "alter", "drop", "comment", "import", "grant", "revoke", "set", "reset", "discard"}
    | {"do", "call", "commit", "end"}
)


def _follow(connection: DatabaseConnection, statement: Statement, tag: str) -> None:
    """Track the effect of a statement on later ones."""
    connection.follow(statement, tag)
    first = statement.words[:1]
    if first and (first[0] in _SHAPING or (first[0] in ("select", "with") and "into" in statement.words)):
        connection.changes += 1


def parts(
    connection: DatabaseConnection,
    sql: str,
    params: Mapping[str, object] | None,
    options: QueryOptions,
    *,
    size: int,
    most: int | None = None,
) -> Generator[Part, None, None]:
    """Run one query, and yield its rows in parts as they arrive; at least one part.

    The session is busy until the end, or until the generator is closed, which cancels the query. Take a turn
    (``with connection.turn``) for each step, and to close the generator.

    Parameters
    ----------
    connection, sql, params, options
        As for `run`; `sql` is one query.
    size
        The minimum number of rows in a part; the last part may have fewer.
    most
        The number of bytes after which a part ends early; None for no limit.

    Raises
    ------
    UsageProblem
        If `sql` is not a single statement that returns rows. The other exceptions are those of `run`.
    """
    parsed, bound = _prepare(sql, params)
    if len(parsed) != 1:
        raise UsageProblem(
            _("Only a single query can be exported or chunked."), hint=_("run the others before it")
        )
    session, _unused = connection.ready()
    connection.refuse(parsed)
    began = time.perf_counter()
    given, given_size = 0, 0
    fetched = Fetched()
    if options.on_columns is None:  # rows are used before the last one arrives, so describe the query first
        options = replace(options, on_columns=lambda _unused: None)
    running = result_reader.read_batches(session, parsed[0], bound[0], options)
    with (
        _word_errors(connection, session, parsed[0], 0, 1),
        connection.with_settings(parsed[0]),
        _limit_time(session, options.timeout),
        _notices(session) as heard,
        closing(running),
    ):
        for fetched in running:
            if options.progress is not None:
                options.progress(fetched.rows + fetched.cut, fetched.size, time.perf_counter() - began)
            enough = fetched.rows - given >= size or (most and fetched.size - given_size >= most)
            if fetched.columns and enough:
                yield _part(fetched.columns, fetched.rows - given, heard)
                given, given_size = fetched.rows, fetched.size
    if fetched.columns is None:
        raise UsageProblem(_("The statement returns no rows."), hint=_("write a query, such as SELECT …"))
    if fetched.rows > given or given == 0:
        yield _part(fetched.columns, fetched.rows - given, heard)


def _part(columns: Sequence[ResultColumn], rows: int, heard: Sequence[str]) -> Part:
    frame = dataframe.make_frame(columns, rows)
    return Part(frame, tuple(column.oid for column in columns), (*_notes_on_values(columns), *heard))


def _prepare(sql: str, params: Mapping[str, object] | None) -> tuple[tuple[Statement, ...], list[list[Any]]]:
    parsed = statements(sql)
    if not parsed:
        raise UsageProblem(_("There is no statement to run."), hint=_("write SQL, such as SELECT 1"))
    for statement in parsed:
        _refuse_copy(statement)
    return parsed, [
        parameter_binding.values_of(statement.names, {} if params is None else params) for statement in parsed
    ]


@contextmanager
def _word_errors(
    connection: DatabaseConnection,
    session: psycopg.Connection[Any],
    statement: Statement,
    before: int,
    total: int,
    *,
    variables: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Convert psycopg's errors into this package's."""
    in_transaction = connection.in_transaction
    try:
        yield
    except psycopg.Error as error:
        if session.closed and not isinstance(error, psycopg.NotSupportedError):
            raise pg_errors.make_connection_error(
                error, place=connection.database.path, in_transaction=in_transaction
            ) from None
        failed = _make_failure(connection, error, statement, before, total, variables=variables)
        # The hint of an error in a transaction that had failed before says the same.
        had_failed = isinstance(error, psycopg.errors.InFailedSqlTransaction)
        if in_transaction and connection.in_transaction and not had_failed:
            failed.hint = "\n".join(part for part in (failed.hint, _(_FAILED_IN_TRANSACTION)) if part)
        raise failed from None


@contextmanager
def _limit_time(session: psycopg.Connection[Any], timeout: float | None) -> Iterator[None]:
    """Cancel the statement on the server when its timeout expires."""
    if timeout is None:
        yield
        return
    over, ended = threading.Event(), threading.Event()
    cancelling = threading.Lock()

    def cancel_when_over() -> None:
        seconds = timeout
        while not ended.wait(seconds):
            # The lock ensures that the statement still runs: a late cancel request would hit the next one.
            with cancelling:
                if not ended.is_set():
                    over.set()
                    with suppress(psycopg.Error):
                        session.cancel_safe(timeout=_CANCEL_SECONDS)
            seconds = _AGAIN_SECONDS

    threading.Thread(target=cancel_when_over, name="sspcloud-timeout", daemon=True).start()
    try:
        yield
    except psycopg.errors.QueryCanceled:
        if not over.is_set():
            raise
        raise QueryFailed(
            _(
                "The statement was cancelled after its timeout of {timeout} s.",
                timeout=format_number(timeout),
            ),
            hint=_("raise the timeout, fetch fewer rows, or check the plan: %%query_db --explain"),
        ) from None
    finally:
        with cancelling:
            ended.set()


_CANCEL_SECONDS = 5.0
_MOST_NOTICES = 100
# The interval between cancel requests: one that reaches the server before the statement has no effect.
_AGAIN_SECONDS = 0.5


def _warn_of_size(warn: Callable[[str], None], share: float, described: Description) -> None:
    """Warn if the planner's estimate exceeds a share of the free memory."""
    expected = described.rows * (described.width + _VALUE_BYTES * len(described.types))
    if not expected:
        return
    free = psutil.virtual_memory().available
    if expected > free * share:
        warn(
            _(
                "About {rows} rows expected: {expected}, with {free} of memory free. "
                "Interrupt the cell, then use %%query_db --limit ROWS, --to FILE.parquet or --chunks ROWS.",
                rows=format_number(described.rows),
                expected=format_bytes(expected),
                free=format_bytes(free),
            )
        )


_VALUE_BYTES = 40  # the approximate overhead of a value in Python


def _refuse_copy(statement: Statement) -> None:
    if statement.words[:1] == ("copy",) and {"stdin", "stdout"} & set(statement.words):
        raise UsageProblem(
            _("COPY from or to the client needs a local file."),
            hint=_(
                "save the output of one COPY … TO STDOUT: %%query_db --to FILE\n"
                "load a file with one COPY … FROM STDIN: %%query_db --from FILE"
            ),
        )


@contextmanager
def _notices(session: psycopg.Connection[Any]) -> Iterator[list[str]]:
    """Collect the server's notices during the block."""
    heard: list[str] = []
    left_out = 0

    def hear(diagnosis: psycopg.errors.Diagnostic) -> None:
        nonlocal left_out
        if len(heard) >= _MOST_NOTICES:
            left_out += 1
            return
        words = f"{diagnosis.severity}: {diagnosis.message_primary}"
        more = (diagnosis.message_detail, diagnosis.message_hint)
        heard.append(quote_words(shorten("\n  ".join([words, *filter(None, more)]))))

    session.add_notice_handler(hear)
    try:
        yield heard
    finally:
        session.remove_notice_handler(hear)
        if left_out:
            heard.append(
                _n(
                    "{count} more notice of the server is not shown.",
                    "{count} more notices of the server are not shown.",
                    left_out,
                )
            )


def _make_failure(
    connection: DatabaseConnection,
    error: psycopg.Error,
    statement: Statement,
    before: int,
    total: int,
    *,
    variables: Mapping[str, Any] | None,
) -> QueryFailed:
    failed = statement_errors.make_statement_error(error, statement, connection, variables=variables)
    if total > 1:
        place = (
            _n(
                "It is statement {place} of {total}: the {count} before it has run.",
                "It is statement {place} of {total}: the {count} before it have run.",
                before,
                place=before + 1,
                total=total,
            )
            if before
            else _("It is statement 1 of {total}: none before it has run.", total=total)
        )
        failed.why = "\n".join(part for part in (failed.why, place) if part)
    return failed


def _notes_on(fetched: Fetched) -> list[str]:
    notes = []
    names = [column.name for column in fetched.columns or ()]
    twice = list_duplicates(names) if len({*names}) < len(names) else []
    if twice:
        notes.append(
            _("Several columns are named {names}: rename them with AS.", names=", ".join(map(repr, twice)))
        )
    notes += _notes_on_values(fetched.columns or ())
    if fetched.cut:
        notes.append(_describe_cut(fetched))
    return notes


def _describe_cut(fetched: Fetched) -> str:
    if fetched.cut_by_server:
        return _n(
            "The first {count} row; there are more.",
            "The first {count} rows; there are more.",
            fetched.rows,
        )
    return _n(
        "The first {count} row of {total} is kept.",
        "The first {count} rows of {total} are kept.",
        fetched.rows,
        total=format_number(fetched.rows + fetched.cut),
    )


def _notes_on_values(columns: Sequence[ResultColumn]) -> list[str]:
    return [
        note.describe(column.name, count)
        for column in columns
        for note, count in sorted(column.notes.items())
    ]


def explain(sql: str) -> str:
    """Return the EXPLAIN of a query; refuse several statements, because EXPLAIN covers only the first."""
    if len(statements(sql)) != 1:
        raise UsageProblem(_("--explain takes one statement."), hint=_("move the others to another cell"))
    return f"EXPLAIN (ANALYZE FALSE) {sql}"
