"""The session of a connection for SQLAlchemy, and so for what is built on it: pandas, JupySQL, polars.

SQLAlchemy promises that a transaction that fails leaves nothing. The session is shared, so what SQLAlchemy takes for a connection of its own
begins a real transaction in it, or a savepoint where one is open already, and ends that and nothing else.

A query that only reads, by its words, begins none: else whatever reads in chunks, such as ``pd.read_sql(…, chunksize=…)``, would keep a
transaction open in which all that the notebook does between two chunks were lost at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeAlias

import psycopg

from sspcloud_magics.databases.postgres.results import statement_description
from sspcloud_magics.databases.postgres.session.connection import Block, DatabaseConnection
from sspcloud_magics.databases.postgres.sql_lexer import statements
from sspcloud_magics.databases.postgres.transfer.arrow import import_optional

NoticeHandler: TypeAlias = Callable[[psycopg.errors.Diagnostic], None]

_SHOWING = frozenset({"show", "explain"})


class _SessionConnection:
    """psycopg's connection as SQLAlchemy gets it: the shared session, and a transaction of its own in it.

    Parameters
    ----------
    connection
        Whose session.
    """

    # A new one replaces one that was lost, so SQLAlchemy need not replace it.
    closed = broken = False

    def __init__(self, connection: DatabaseConnection) -> None:
        # What SQLAlchemy sets.
        self.autocommit = False
        self.isolation_level: psycopg.IsolationLevel | None = None
        self.read_only: bool | None = None
        self.deferrable: bool | None = None
        self._connection = connection
        # Who is told of notices, and in which session.
        self._handlers: list[tuple[psycopg.Connection[Any], NoticeHandler]] = []
        # The transaction that is open, and what ends its turn.
        self._open: tuple[Block, Callable[[], None]] | None = None

    def cursor(self, name: str = "", **options: Any) -> psycopg.Cursor[Any] | psycopg.ServerCursor[Any]:
        """Return a cursor; its first statement that needs a transaction begins one."""
        if name:  # the server keeps it in a transaction
            self._begin()
            return self._connection.psycopg.cursor(name, **options)
        return _Cursor(self._connection.psycopg, self)

    @contextmanager
    def wrap_statement(self, statement: object) -> Iterator[None]:
        """Have a statement run in a transaction where it needs one."""
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
            # An error would fail the transaction that is the user's.
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
        """Keep what was done since the transaction began, if one has.

        After an error that was caught, nothing: PostgreSQL takes all of it back, and SQLAlchemy's users know it.
        """
        self._end(self._connection.drop if self._has_failed else self._connection.keep)

    @property
    def _has_failed(self) -> bool:
        return self._open is not None and self._connection.has_failed

    def rollback(self) -> None:
        """Take back what was done since the transaction began, if one has."""
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
        """Take back what was not kept, and leave the session open."""
        self.rollback()
        for session, handler in self._handlers:
            session.remove_notice_handler(handler)
        self._handlers.clear()

    def add_notice_handler(self, handler: NoticeHandler) -> None:
        """Tell of the server's notices until this is closed."""
        session = self._connection.psycopg
        session.add_notice_handler(handler)
        self._handlers.append((session, handler))

    def __getattr__(self, name: str) -> Any:
        # The session of the moment: one that was lost is made anew.
        return getattr(self._connection.psycopg, name)


class _Cursor(psycopg.Cursor[Any]):
    """A cursor whose statements run in the transaction that SQLAlchemy takes for granted."""

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
    """Return an engine that works in the session of a connection.

    It sees the session's temporary tables and its transaction. What SQLAlchemy begins is a transaction, or a savepoint where one is
    open; what it does not commit is rolled back.

    Returns
    -------
    sqlalchemy.Engine
        For ``pd.read_sql``, ``%sql`` and others.

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
        poolclass=pool.NullPool,  # each of its connections has a transaction of its own
        use_native_hstore=False,  # its look-up insists on psycopg's own class
    )
