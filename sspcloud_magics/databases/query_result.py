"""The results of a query: rows as a DataFrame, and what happened to each statement."""

from __future__ import annotations

import html
from dataclasses import dataclass

import pandas as pd

from sspcloud_magics.i18n import N_, _, _n, format_seconds
from sspcloud_magics.printable import printable

TRANSACTION_OPEN = N_("A transaction is open: commit it with %query_db --commit, or undo it with --rollback.")


def count_rows(count: int) -> str:
    """Return a number of rows in words."""
    return _n("{count} row", "{count} rows", count)


@dataclass(frozen=True, slots=True)
class StatementResult:
    """The result of one statement."""

    tag: str  # the command tag: ``SELECT 5``, ``INSERT 0 5``, ``CREATE TABLE``
    rows: int  # the number of rows returned or changed


@dataclass(frozen=True, slots=True, eq=False)
class QueryResult:
    """The result of a text of SQL.

    Parameters
    ----------
    frame
        The rows of the last statement that returned rows; None if none did.
    statements
        The result of each statement, in order.
    notes
        Notes for the user: the server's notices, duplicate column names, rounded values.
    seconds
        The time from sending the first statement to converting the last row.
    types
        The type OID of each column of `frame`.
    """

    frame: pd.DataFrame | None
    statements: tuple[StatementResult, ...]
    notes: tuple[str, ...]
    seconds: float
    types: tuple[int, ...] = ()

    def __repr__(self) -> str:
        lines = [
            f"{done.tag} ({count_rows(done.rows)})" if done.rows else done.tag for done in self.statements
        ]
        lines[-1] = _("{statement} in {time}", statement=lines[-1], time=format_seconds(self.seconds))
        return printable("\n".join([*lines, *self.notes]))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002 - IPython's signature
        lines = "<br>".join(html.escape(line) for line in repr(self).split("\n"))
        return {"text/plain": repr(self), "text/html": f"<div>{lines}</div>"}


def attach_notes(result: QueryResult) -> pd.DataFrame:
    """Return the rows of a result that has rows, with its notes in ``attrs``."""
    frame = result.frame
    if frame is None:
        raise ValueError("The result has no rows.")
    if result.notes:
        frame.attrs["notes"] = list(result.notes)
    return frame


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some rows of a query."""

    frame: pd.DataFrame  # the rows
    types: tuple[int, ...]  # the type OID of each column
    notes: tuple[str, ...] = ()  # notes on the values so far, and the server's notices


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The columns of a table, and a query for them."""

    frame: pd.DataFrame  # ``name``, ``type``, ``nullable``, ``default`` and ``comment`` of each column
    select: str  # a query of all columns, quoted as needed
