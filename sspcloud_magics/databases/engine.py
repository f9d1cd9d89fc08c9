"""The session of a connection for SQLAlchemy, and so for what is built on it: pandas, JupySQL, polars."""

from __future__ import annotations

from typing import Any

from sspcloud_magics.databases.arrow import needed
from sspcloud_magics.databases.connection import DatabaseConnection


class _Lent:
    """psycopg's connection as SQLAlchemy needs it, but for the ends that SQLAlchemy would make to it.

    A pool rolls back and closes what it was given. This session is somebody's: its transactions begin and
    end where they are told to, in SQL.
    """

    def __init__(self, connection: DatabaseConnection) -> None:
        self._connection = connection

    @property
    def autocommit(self) -> bool:
        """Each statement stands by itself, outside of a transaction block."""
        return True

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        """Ignore what SQLAlchemy sets."""

    def commit(self) -> None:
        """Leave the transaction alone."""

    def rollback(self) -> None:
        """Leave the transaction alone."""

    def close(self) -> None:
        """Leave the session open."""

    def __getattr__(self, name: str) -> Any:
        # The session of the moment: one that was lost is made anew.
        return getattr(self._connection.psycopg, name)


def engine(connection: DatabaseConnection) -> Any:
    """Return an engine that works in the session of a connection.

    It sees the session's temporary tables and its transaction. Each statement stands by itself
    (AUTOCOMMIT), as with `query`, unless a BEGIN was sent; nothing is rolled back or closed behind one's back.

    Parameters
    ----------
    connection
        Where.

    Returns
    -------
    sqlalchemy.Engine
        For ``pd.read_sql``, ``%sql`` and others.

    Raises
    ------
    UsageProblem
        If SQLAlchemy is not installed.
    """
    sqlalchemy = needed("sqlalchemy", "sqlalchemy", "An engine")
    pool = needed("sqlalchemy.pool", "sqlalchemy", "An engine")
    return sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: _Lent(connection),
        poolclass=pool.StaticPool,
        isolation_level="AUTOCOMMIT",
        use_native_hstore=False,  # its look-up insists on psycopg's own class
    )
