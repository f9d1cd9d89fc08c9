"""A SQLAlchemy engine in the session of a connection, for libraries built on it: pandas, JupySQL, polars.

SQLAlchemy guarantees that a failed transaction leaves nothing behind. The session is shared, so each of SQLAlchemy's
connections begins its own transaction in the session, or a savepoint if one is open, and ends only that.

A read-only query begins no transaction. Otherwise ``pd.read_sql(…, chunksize=…)`` would keep a transaction open,
and its end would roll back everything that the notebook does between two chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeAlias

import psycopg

from sspcloud_magics.databases.arrow import import_optional
from sspcloud_magics.databases.postgres.results import statement_description
from sspcloud_magics.databases.postgres.session.connection import Block, DatabaseConnection
from sspcloud_magics.databases.postgres.sql_lexer import statements

NoticeHandler: TypeAlias = Callable[[psycopg.errors.Diagnostic], None]

_SHOWING = frozenset({"show", "explain"})


class _SessionConnection:
    """The psycopg connection that SQLAlchemy gets: the shared session, with a separate transaction.

    Parameters
    ----------
    connection
        The connection that has the session.
    """

    # The connection replaces a lost session, so SQLAlchemy does not need to.
    closed = broken = False

    def __init__(self, connection: DatabaseConnection) -> None:
        # Attributes that SQLAlchemy sets.
        self.autocommit = False
        self.isolation_level: psycopg.IsolationLevel | None = None
        self.read_only: bool | None = None
        self.deferrable: bool | None = None
        self._connection = connection
        # The notice handlers to remove at `close`, each with its session.
        self._handlers: list[tuple[psycopg.Connection[Any], NoticeHandler]] = []
        # The open transaction, and the function that ends its turn.
        self._open: tuple[Block, Callable[[], None]] | None = None

    def cursor(self, name: str = "", **options: Any) -> psycopg.Cursor[Any] | psycopg.ServerCursor[Any]:
        """Return a cursor; its first statement that needs a transaction begins one."""
        if name:  # a server-side cursor needs a transaction
            self._begin()
            return self._connection.psycopg.cursor(name, **options)
        return _Cursor(self._connection.psycopg, self)

    @contextmanager
    def wrap_statement(self, statement: object) -> Iterator[None]:
        """Run a statement in a transaction if it needs one."""
        self._connection.refuse_query(statement)
        if not self._stands_alone(statement):
            self._begin()
            yield
            return
        connection = self._connection
        with connection.turn:
            if self.autocommit or connection.is_lent or not connection.in_transaction:
                with connection.with_settings():
                    yield
                return
            # Without a savepoint, an error would fail the user's transaction.
            block = connection.begin(lent=True)
            try:
                yield
            except BaseException:
                connection.drop(block)
                raise
            else:
                connection.keep(block)

    def _stands_alone(self, statement: object) -> bool:
        if self.autocommit:
            return True
        if self.isolation_level is not None or self.read_only is not None or not isinstance(statement, str):
            return False
        return all(
            statement_description.only_reads(each)
            or (_SHOWING.issuperset(each.words[:1]) and "analyze" not in each.words)
            for each in statements(statement)
        )

    def _begin(self) -> None:
        if self._open is None:
            end_turn = self._connection.turn.take()
            try:
                self._open = self._connection.begin(self._words(), lent=True), end_turn
            except BaseException:
                end_turn()
                raise

    def _words(self) -> bytes:
        words = ["BEGIN"]
        if self.isolation_level is not None:
            level = psycopg.IsolationLevel(self.isolation_level).name
            words.append(f"ISOLATION LEVEL {level.replace('_', ' ')}")
        if self.read_only is not None:
            words.append("READ ONLY" if self.read_only else "READ WRITE")
        if self.deferrable is not None:
            words.append("DEFERRABLE" if self.deferrable else "NOT DEFERRABLE")
        return " ".join(words).encode()

    def commit(self) -> None:
        """Commit the transaction, if one is open; a failed one is rolled back, as PostgreSQL's COMMIT does."""
        self._end(self._connection.drop if self._has_failed else self._connection.keep)

    @property
    def _has_failed(self) -> bool:
        return self._open is not None and self._connection.has_failed

    def rollback(self) -> None:
        """Roll the transaction back, if one is open."""
        self._end(self._connection.drop)

    def _end(self, end: Callable[[Block], None]) -> None:
        ending, self._open = self._open, None
        if ending is not None:
            block, end_turn = ending
            try:
                end(block)
            finally:
                end_turn()

    def close(self) -> None:
        """Roll an open transaction back, and leave the session open."""
        self.rollback()
        for session, handler in self._handlers:
            session.remove_notice_handler(handler)
        self._handlers.clear()

    def add_notice_handler(self, handler: NoticeHandler) -> None:
        """Add a handler of the server's notices, until `close`."""
        session = self._connection.psycopg
        session.add_notice_handler(handler)
        self._handlers.append((session, handler))

    def __getattr__(self, name: str) -> Any:
        # The current session, which replaces a lost one.
        return getattr(self._connection.psycopg, name)


class _Cursor(psycopg.Cursor[Any]):
    """A cursor whose statements run in the transaction that SQLAlchemy expects."""

    def __init__(self, session: psycopg.Connection[Any], lent: _SessionConnection) -> None:
        super().__init__(session)
        self._lent = lent

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
        with self._lent.wrap_statement(query):
            return super().execute(query, *arguments, **options)

    def executemany(self, query: Any, *arguments: Any, **options: Any) -> None:
        with self._lent.wrap_statement(query):
            super().executemany(query, *arguments, **options)

    @contextmanager
    def copy(self, statement: Any, *arguments: Any, **options: Any) -> Iterator[psycopg.Copy]:
        with self._lent.wrap_statement(statement), super().copy(statement, *arguments, **options) as copy:
            yield copy


def engine(connection: DatabaseConnection) -> Any:
    """Return an engine that uses the session of a connection.

    It sees the session's temporary tables and its transaction. SQLAlchemy's transactions are savepoints if a transaction
    is open. What SQLAlchemy does not commit is rolled back.

    Returns
    -------
    sqlalchemy.Engine
        An engine for ``pd.read_sql``, ``%sql`` and other libraries.

    Raises
    ------
    UsageProblem
        If SQLAlchemy is not installed.
    """
    sqlalchemy = import_optional("sqlalchemy", "sqlalchemy", "An engine")
    pool = import_optional("sqlalchemy.pool", "sqlalchemy", "An engine")
    return sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: _SessionConnection(connection),
        poolclass=pool.NullPool,  # each connection has its own transaction
        use_native_hstore=False,  # the look-up of hstore requires a psycopg.Connection
    )
