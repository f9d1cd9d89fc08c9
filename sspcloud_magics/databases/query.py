"""SQL in, a DataFrame out.

A text may hold several statements. Each is sent by itself, as psql does with a file: outside of a
transaction block each one stands once it is done, and an error leaves those before it done. All
parameters are looked up before the first statement is sent. The answer is the DataFrame of the last
statement that returns rows; where none does, a `QueryResult` that says what was done.

`sspcloud_magics.databases.columns` has the table of types.
"""

from __future__ import annotations

import html
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import psycopg

from sspcloud_magics.databases import binding, failures, fetching
from sspcloud_magics.databases.columns import Column, Numeric
from sspcloud_magics.databases.connection import DatabaseConnection
from sspcloud_magics.databases.fetching import Fetched
from sspcloud_magics.databases.parameters import Statement, statements
from sspcloud_magics.errors import QueryFailed, UsageProblem


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
    """

    frame: pd.DataFrame | None
    statements: tuple[Done, ...]
    notes: tuple[str, ...]
    seconds: float

    def __repr__(self) -> str:
        lines = [f"{done.tag} ({_rows(done.rows)})" if done.rows else done.tag for done in self.statements]
        lines[-1] += f" in {self.seconds:.2f} s"
        return "\n".join([*lines, *self.notes])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002 - IPython's signature
        lines = "<br>".join(html.escape(line) for line in repr(self).split("\n"))
        return {"text/plain": repr(self), "text/html": f"<div>{lines}</div>"}


def query(
    connection: DatabaseConnection,
    sql: str,
    params: Mapping[str, object] | None = None,
    *,
    limit: int | None = None,
    numeric: Numeric = "float",
) -> pd.DataFrame | QueryResult:
    """Run SQL and return its rows.

    Parameters
    ----------
    connection
        Where.
    sql
        One or several statements; ``:name`` is bound to a value.
    params
        The values by name; only those that `sql` names are looked up.
    limit
        How many rows to keep of each statement; all where None.
    numeric
        What numeric becomes: ``"float"`` (float64) or ``"decimal"`` (exact, as objects).

    Returns
    -------
    DataFrame or QueryResult
        The rows, with the dtypes of `sspcloud_magics.databases.columns`; ``attrs["notes"]`` holds what a
        person should know of them, if anything. A `QueryResult` where no statement returns rows.

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
    >>> query(connection, "SELECT :n + 1 AS next", {"n": 1})  # doctest: +SKIP
    """
    result = run(connection, sql, params, limit=limit, numeric=numeric)
    if result.frame is None:
        return result
    if result.notes:
        result.frame.attrs["notes"] = list(result.notes)
    return result.frame


def run(
    connection: DatabaseConnection,
    sql: str,
    params: Mapping[str, object] | None = None,
    *,
    limit: int | None = None,
    numeric: Numeric = "float",
) -> QueryResult:
    """Run SQL, and return its rows together with all that is to be said of them.

    Parameters and exceptions are those of `query`.

    Returns
    -------
    QueryResult
        The DataFrame, what each statement did, notes, and the time.
    """
    parsed = statements(sql)
    if not parsed:
        raise UsageProblem("There is no statement to run.", mend="write SQL, such as SELECT 1")
    for statement in parsed:
        _refuse_copy(statement)
    bound = [binding.values_of(statement.names, {} if params is None else params) for statement in parsed]
    session, renewed = connection.ready()
    notes = (
        ["The connection was lost and is made anew; temporary tables and SET are gone."] if renewed else []
    )
    done: list[Done] = []
    frame: pd.DataFrame | None = None
    began = time.perf_counter()
    with _notices(session) as heard:
        for statement, values in zip(parsed, bound, strict=True):
            try:
                fetched = fetching.fetch(session, statement, values, numeric=numeric, limit=limit)
            except psycopg.Error as error:
                if session.closed and not isinstance(error, psycopg.NotSupportedError):
                    raise failures.of_connection(error, place=connection.database.path) from None
                raise _failed(error, statement, len(done), len(parsed)) from None
            done.append(Done(fetched.tag, fetched.rows))
            if fetched.columns is not None:
                frame = _frame(fetched.columns, fetched.rows)
                notes += _notes_on(fetched, frame)
    return QueryResult(frame, tuple(done), (*notes, *heard), time.perf_counter() - began)


def _refuse_copy(statement: Statement) -> None:
    if statement.words[:1] == ("copy",) and {"stdin", "stdout"} & set(statement.words):
        raise UsageProblem(
            "COPY from or to the client is not a query.",
            mend="SELECT returns a DataFrame; connection().cursor().copy(…) of psycopg takes a COPY",
        )


@contextmanager
def _notices(session: psycopg.Connection[Any]) -> Iterator[list[str]]:
    """Collect what the server says meanwhile, besides results."""
    heard: list[str] = []

    def hear(diagnosis: psycopg.errors.Diagnostic) -> None:
        words = f"{diagnosis.severity}: {diagnosis.message_primary}"
        more = (diagnosis.message_detail, diagnosis.message_hint)
        heard.append("\n  ".join([words, *filter(None, more)]))

    session.add_notice_handler(hear)
    try:
        yield heard
    finally:
        session.remove_notice_handler(hear)


def _failed(error: psycopg.Error, statement: Statement, before: int, total: int) -> QueryFailed:
    failed = failures.of_statement(error, statement)
    if total > 1:
        stand = f"the {before} before it {'is' if before == 1 else 'are'} done" if before else "none is done"
        failed.why = "\n".join(
            part for part in (failed.why, f"It is statement {before + 1} of {total}: {stand}.") if part
        )
    return failed


def _frame(columns: Sequence[Column], rows: int) -> pd.DataFrame:
    names = [column.name for column in columns]
    arrays = {index: column.finish() for index, column in enumerate(columns)}
    frame = pd.DataFrame(arrays, index=pd.RangeIndex(rows))
    frame.columns = pd.Index(names)
    return frame


def _notes_on(fetched: Fetched, frame: pd.DataFrame) -> list[str]:
    notes = []
    twice = [name for name, count in Counter(frame.columns).items() if count > 1]
    if twice:
        notes.append(f"Several columns are named {', '.join(map(repr, twice))}: give them names with AS.")
    for column in fetched.columns or ():
        notes += [f"{column.name}: {_values(count)} {words}." for words, count in column.notes.items()]
    if fetched.cut:
        notes.append(f"The first {_rows(fetched.rows)} of {fetched.rows + fetched.cut:,} are kept.")
    return notes


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _values(count: int) -> str:
    return f"{count:,} value{'' if count == 1 else 's'}"
