"""SQL in, a DataFrame out.

A text may hold several statements. Each is sent by itself, as psql does with a file: outside of a
transaction block each one stands once it is done, and an error leaves those before it done. All
parameters are looked up before the first statement is sent. The answer is the DataFrame of the last
statement that returns rows; where none does, a `QueryResult` that says what was done.

`sspcloud_magics.databases.postgres.results.column_types` has the table of types.
"""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
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
from sspcloud_magics.errors import QueryFailed, UsageProblem
from sspcloud_magics.printable import printable, shorten


@dataclass(frozen=True, slots=True)
class Done:
    """What one statement did.

    Parameters
    ----------
    tag
        The server's word for it: ``SELECT 5``, ``INSERT 0 5``, ``CREATE TABLE``.
    rows
        Rows returned, or changed.
    """

    tag: str
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class QueryResult:
    """What a text of SQL did.

    Parameters
    ----------
    frame
        The rows of the last statement that returned rows; None where none did.
    statements
        What each statement did, in order.
    notes
        What a person should know: notices of the server, columns of the same name, rounded values.
    seconds
        How long it took, from the first statement sent to the last row in its column.
    types
        PostgreSQL's number of the type of each column of `frame`.
    """

    frame: pd.DataFrame | None
    statements: tuple[Done, ...]
    notes: tuple[str, ...]
    seconds: float
    types: tuple[int, ...] = ()

    def __repr__(self) -> str:
        lines = [f"{done.tag} ({_rows(done.rows)})" if done.rows else done.tag for done in self.statements]
        lines[-1] += f" in {self.seconds:.2f} s"
        return printable("\n".join([*lines, *self.notes]))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002 - IPython's signature
        lines = "<br>".join(html.escape(line) for line in repr(self).split("\n"))
        return {"text/plain": repr(self), "text/html": f"<div>{lines}</div>"}


def attach_notes(result: QueryResult) -> pd.DataFrame:
    """Return the rows of a result, which has some, together with what is to be said of them in ``attrs``."""
    frame = result.frame
    if frame is None:
        raise ValueError("The result has no rows.")
    if result.notes:
        frame.attrs["notes"] = list(result.notes)
    return frame


def run(
    connection: DatabaseConnection,
    sql: str,
    params: Mapping[str, object] | None = None,
    options: QueryOptions = DEFAULTS,
) -> QueryResult:
    """Run SQL, and return its rows together with all that is to be said of them.

    Parameters
    ----------
    connection
        Where.
    sql
        One or several statements; ``:name`` is bound to a value.
    params
        The values by name; only those that `sql` names are looked up.
    options
        How it is run.

    Returns
    -------
    QueryResult
        The DataFrame, with the dtypes of `sspcloud_magics.databases.postgres.results.column_types`; what each statement did, notes, and the time.

    Raises
    ------
    UsageProblem
        If there is no statement, or one that is no query (COPY from or to the client).
    ParameterError
        If a parameter has no value, or one that cannot be bound. Nothing was sent then.
    QueryFailed
        If the server refuses a statement. The connection stays usable.
    ConnectionLost
        If the server went away; the next query connects again.

    Examples
    --------
    >>> run(connection, "SELECT :n + 1 AS next", {"n": 1}).frame  # doctest: +SKIP
    """
    parsed, bound = _prepare(sql, params)
    foretold = None
    if options.warn is not None and options.limit is None:
        foretold = partial(_warn_of_size, options.warn, options.memory_share)
    with connection.turn:
        session, remarks = connection.ready()
        connection.refuse(parsed)
        notes = list(remarks)
        done: list[Done] = []
        frame: pd.DataFrame | None = None
        types: tuple[int, ...] = ()
        began = time.perf_counter()
        with _notices(session) as heard:
            for statement, values in zip(parsed, bound, strict=True):
                fetched, how = Fetched(), options
                if options.ahead is not None and any(
                    map(statement_description.only_reads, parsed[len(done) + 1 :])
                ):
                    how = replace(options, ahead=None)  # it is not the one whose rows are the answer
                with (
                    _word_errors(connection, session, statement, len(done), len(parsed)),
                    connection.with_settings(statement),
                    _limit_time(session, options.timeout),
                ):
                    for fetched in result_reader.batches(session, statement, values, how, foretold=foretold):
                        if options.progress is not None:
                            options.progress(
                                fetched.rows + fetched.cut, fetched.size, time.perf_counter() - began
                            )
                done.append(Done(fetched.tag, fetched.rows))
                _follow(connection, statement, fetched.tag)
                if fetched.columns is not None:
                    frame = dataframe.frame(fetched.columns, fetched.rows)
                    types = tuple(column.oid for column in fetched.columns)
                    notes += _notes_on(fetched)
                    if not fetched.rows and (meant := find_slip_hint(statement.text, variables=params or ())):
                        notes.append(f"No row was found: {meant}.")
        if connection.in_transaction:
            heard.append(TRANSACTION_OPEN)
        return QueryResult(frame, tuple(done), (*notes, *heard), time.perf_counter() - began, types)


_FAILED_IN_TRANSACTION = "the transaction has failed with it: %query_db --rollback (ROLLBACK) ends it"
TRANSACTION_OPEN = "A transaction is open: %query_db --commit keeps what it did, --rollback takes it back."

_SHAPING = frozenset(
    {"create", "alter", "drop", "comment", "import", "grant", "revoke", "set", "reset", "discard"}
    | {"do", "call", "commit", "end"}
)


def _follow(connection: DatabaseConnection, statement: Statement, tag: str) -> None:
    """Take notice of what a statement changed for those that come after it."""
    connection.follow(statement, tag)
    first = statement.words[:1]
    if first and (first[0] in _SHAPING or (first[0] in ("select", "with") and "into" in statement.words)):
        connection.changes += 1


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some of the rows of a query.

    Parameters
    ----------
    frame
        The rows.
    types
        PostgreSQL's number of the type of each column.
    notes
        What a person should know of the values so far, and what the server has said.
    """

    frame: pd.DataFrame
    types: tuple[int, ...]
    notes: tuple[str, ...] = ()


def parts(
    connection: DatabaseConnection,
    sql: str,
    params: Mapping[str, object] | None,
    options: QueryOptions,
    *,
    size: int,
    most: int | None = None,
) -> Generator[Part, None, None]:
    """Run one query, and give its rows in parts while they come; one part at least.

    The session is busy until the end, or until the generator is closed, which cancels the query. Each step of it, and closing it, needs
    to be in a turn (``with connection.turn``).

    Parameters
    ----------
    connection, sql, params, options
        As `run` takes them; `sql` is one query.
    size
        How many rows a part has at least; the last may have fewer.
    most
        After how many bytes a part ends before it has as many rows; never where None.

    Raises
    ------
    UsageProblem
        If it is not one statement that returns rows. The other exceptions are those of `run`.
    """
    parsed, bound = _prepare(sql, params)
    if len(parsed) != 1:
        raise UsageProblem("One query can be written or cut into parts.", hint="run the others before it")
    session, _ = connection.ready()
    connection.refuse(parsed)
    began = time.perf_counter()
    given, given_size = 0, 0
    fetched = Fetched()
    if options.ahead is None:  # rows are used before the last one has come
        options = replace(options, ahead=lambda _: None)
    running = result_reader.batches(session, parsed[0], bound[0], options)
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
        raise UsageProblem("The statement returns no rows.", hint="write a query, such as SELECT …")
    if fetched.rows > given or given == 0:
        yield _part(fetched.columns, fetched.rows - given, heard)


def _part(columns: Sequence[ResultColumn], rows: int, heard: Sequence[str]) -> Part:
    frame = dataframe.frame(columns, rows)
    return Part(frame, tuple(column.oid for column in columns), (*_notes_on_values(columns), *heard))


def _prepare(sql: str, params: Mapping[str, object] | None) -> tuple[tuple[Statement, ...], list[list[Any]]]:
    parsed = statements(sql)
    if not parsed:
        raise UsageProblem("There is no statement to run.", hint="write SQL, such as SELECT 1")
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
) -> Iterator[None]:
    """Say what went wrong in words of ours."""
    in_transaction = connection.in_transaction
    try:
        yield
    except psycopg.Error as error:
        if session.closed and not isinstance(error, psycopg.NotSupportedError):
            raise pg_errors.make_connection_error(
                error, place=connection.database.path, in_transaction=in_transaction
            ) from None
        failed = _make_failure(connection, error, statement, before, total)
        if in_transaction and connection.in_transaction:
            failed.hint = "\n".join(part for part in (failed.hint, _FAILED_IN_TRANSACTION) if part)
        raise failed from None


@contextmanager
def _limit_time(session: psycopg.Connection[Any], timeout: float | None) -> Iterator[None]:
    """Cancel the statement on the server when its time is over."""
    if timeout is None:
        yield
        return
    over, ended = threading.Event(), threading.Event()
    cancelling = threading.Lock()

    def cancel_when_over() -> None:
        seconds = timeout
        while not ended.wait(seconds):
            # Under the lock the statement still runs: a cancel that comes late would hit the next one.
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
            f"The statement was cancelled: it took longer than {timeout:g} s.",
            hint="give it more time, ask for less, or look at its plan: %%query_db --explain",
        ) from None
    finally:
        with cancelling:
            ended.set()


_CANCEL_SECONDS = 5.0
_MOST_NOTICES = 100
_AGAIN_SECONDS = 0.5  # a cancel that is at the server before the statement is lost


def _warn_of_size(warn: Callable[[str], None], share: float, described: Description) -> None:
    """Warn where the planner expects more than a share of the memory that is free."""
    expected = described.rows * (described.width + _VALUE_BYTES * len(described.types))
    if not expected:
        return
    free = psutil.virtual_memory().available
    if expected > free * share:
        warn(
            f"About {described.rows:,} rows are expected, {expected / 2**30:,.1f} GiB of {free / 2**30:,.1f} that are free. "
            "Interrupt the cell, then: %%query_db --limit ROWS, or with little memory --to FILE.parquet or --chunks ROWS."
        )


_VALUE_BYTES = 40  # what a value costs in Python besides its bytes, by and large


def _refuse_copy(statement: Statement) -> None:
    if statement.words[:1] == ("copy",) and {"stdin", "stdout"} & set(statement.words):
        raise UsageProblem(
            "COPY from or to the client needs a file of yours.",
            hint="%%query_db --to FILE writes what one COPY … TO STDOUT gives\n"
            "%%query_db --from FILE gives a file to one COPY … FROM STDIN",
        )


@contextmanager
def _notices(session: psycopg.Connection[Any]) -> Iterator[list[str]]:
    """Collect what the server says meanwhile, besides results."""
    heard: list[str] = []
    left_out = 0

    def hear(diagnosis: psycopg.errors.Diagnostic) -> None:
        nonlocal left_out
        if len(heard) >= _MOST_NOTICES:
            left_out += 1
            return
        words = f"{diagnosis.severity}: {diagnosis.message_primary}"
        more = (diagnosis.message_detail, diagnosis.message_hint)
        heard.append(shorten("\n  ".join([words, *filter(None, more)])))

    session.add_notice_handler(hear)
    try:
        yield heard
    finally:
        session.remove_notice_handler(hear)
        if left_out:
            heard.append(f"The server said {left_out:,} more things, which are left out.")


def _make_failure(
    connection: DatabaseConnection, error: psycopg.Error, statement: Statement, before: int, total: int
) -> QueryFailed:
    failed = statement_errors.make_statement_error(error, statement, connection)
    if total > 1:
        stand = f"the {before} before it {'is' if before == 1 else 'are'} done" if before else "none is done"
        failed.why = "\n".join(
            part for part in (failed.why, f"It is statement {before + 1} of {total}: {stand}.") if part
        )
    return failed


def _notes_on(fetched: Fetched) -> list[str]:
    notes = []
    names = [column.name for column in fetched.columns or ()]
    twice = list_duplicates(names) if len({*names}) < len(names) else []
    if twice:
        notes.append(f"Several columns are named {', '.join(map(repr, twice))}: give them names with AS.")
    notes += _notes_on_values(fetched.columns or ())
    if fetched.cut:
        of = "; there are more" if fetched.cut_by_server else f" of {fetched.rows + fetched.cut:,}"
        kept = f"The first {_rows(fetched.rows)}{of}"
        notes.append(f"{kept}." if fetched.cut_by_server else f"{kept} are kept.")
    return notes


def _notes_on_values(columns: Sequence[ResultColumn]) -> list[str]:
    return [
        f"{column.name}: {_values(count)} {words}."
        for column in columns
        for words, count in sorted(column.notes.items())
    ]


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _values(count: int) -> str:
    return f"{count:,} value{'' if count == 1 else 's'}"
