"""Several statements that are kept together, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.session.querying import current_connection, query_db

if TYPE_CHECKING:
    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection


@contextmanager
def transaction(db: str | None = None) -> Iterator[DatabaseConnection]:
    """Commit at the end of a block what was done in it, or roll all of it back after an error.

    Whatever this thread does on the connection of the moment takes part: `query_db`, `load_table`, ``%query_db``, `engine`.
    Other threads wait for its end. A block inside another one is a savepoint. Without a block each statement stands by itself.

    Parameters
    ----------
    db
        Another open connection: the name of its database, or ``NAMESPACE/NAME``.

    Raises
    ------
    NotConnected
        If no database is connected.
    ConnectionLost
        If the connection was lost in the block: all of it is rolled back then, and nothing is repeated.
    QueryFailed
        If the server does not commit, such as after an error that was caught inside the block.

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
    """Begin a transaction that `commit` or `rollback` ends, in whatever cell.

    Raises
    ------
    UsageProblem
        If one is open already.
    """
    with current_connection(db).turn:
        if current_connection(db).in_transaction:
            raise UsageProblem(
                "A transaction is open already.",
                hint="%query_db --commit keeps what was done in it, %query_db --rollback takes it back",
            )
        return query_db("BEGIN", db=db)


def commit(db: str | None = None) -> Any:
    """Keep what was done since `begin`.

    Raises
    ------
    UsageProblem
        If no transaction is open.
    """
    with current_connection(db).turn:
        need_transaction(db)
        return query_db("COMMIT", db=db)


def rollback(db: str | None = None) -> Any:
    """Take back what was done since `begin`.

    Raises
    ------
    UsageProblem
        If no transaction is open.
    """
    with current_connection(db).turn:
        need_transaction(db)
        return query_db("ROLLBACK", db=db)


def need_transaction(db: str | None = None) -> None:
    """Raise where there is no transaction to end.

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
            "No transaction is open: what was done so far is kept.", hint="%query_db --begin opens one"
        )
