"""Transactions over several cells or statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.session.querying import current_connection, query_db

if TYPE_CHECKING:
    from sspcloud_magics.databases.connection import Connection


@contextmanager
def transaction(db: str | None = None) -> Iterator[Connection]:
    """Run a block as one transaction: commit at its end, or roll back after an error.

    Everything that this thread does on the current connection takes part: `query_db`, `load_table`, ``%query_db``,
    `engine`. Other threads wait for its end. A nested block is a savepoint. Without a block, each statement is a
    transaction of its own.

    Parameters
    ----------
    db
        Another open connection: the name of its database, or ``NAMESPACE/NAME``.

    Raises
    ------
    NotConnected
        If no database is connected.
    ConnectionLost
        If the connection was lost in the block: it is rolled back, and nothing is repeated.
    QueryFailed
        If the server does not commit, for example after an error that was caught inside the block.

    Examples
    --------
    >>> import pandas as pd, sspcloud_magics as ssp
    >>> with ssp.transaction():  # doctest: +SKIP
    ...     ssp.query_db("DELETE FROM numbers WHERE n > 1")
    ...     ssp.load_table(pd.DataFrame({"n": [2, 3]}), "numbers", "append")
    """
    with current_connection(db).transaction() as connected:
        yield connected


def begin(db: str | None = None) -> Any:
    """Begin a transaction that `commit` or `rollback` ends, in any cell.

    Raises
    ------
    UsageProblem
        If one is open already.
    """
    with current_connection(db).turn:
        if current_connection(db).in_transaction:
            raise UsageProblem(
                _("A transaction is open already."),
                hint=_(
                    "end it first\n%query_db --commit   keeps its changes\n%query_db --rollback   undoes them"
                ),
            )
        return query_db("BEGIN", db=db)


def commit(db: str | None = None) -> Any:
    """Commit the transaction that `begin` opened.

    Raises
    ------
    UsageProblem
        If no transaction is open.
    """
    with current_connection(db).turn:
        need_transaction(db)
        return query_db("COMMIT", db=db)


def rollback(db: str | None = None) -> Any:
    """Roll back the transaction that `begin` opened.

    Raises
    ------
    UsageProblem
        If no transaction is open.
    """
    with current_connection(db).turn:
        need_transaction(db)
        return query_db("ROLLBACK", db=db)


def need_transaction(db: str | None = None) -> None:
    """Check that there is a transaction to end.

    Raises
    ------
    UsageProblem
        If none is open.
    """
    connected = current_connection(db)
    with connected.turn:
        is_open = connected.in_transaction
    if not is_open:
        raise UsageProblem(
            _("No transaction is open: each statement so far is committed."),
            hint=_("%query_db --begin   opens one"),
        )
