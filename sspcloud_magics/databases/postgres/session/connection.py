"""The connection to one database: its route, its encryption, and its reconnection.

A connection holds one psycopg session in autocommit mode. If the session is found dead between two cells, the
connection logs in again, restores the settings, and says so. Inside a transaction it does not reconnect silently:
the transaction's work is lost, and the next statement raises `ConnectionLost`.

A pooler in transaction mode (`pooler`) keeps no session, so the settings travel with each transaction.

A session does one thing at a time. Threads take turns (`session_lock`), and a transaction block is one turn.
While a query is read in chunks, no other query can be sent.
A forked child does not touch its parent's session, and opens its own.
"""

from __future__ import annotations

import inspect
import logging
import math
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

import psycopg
from psycopg import pq

from sspcloud_magics import fork_hooks
from sspcloud_magics.databases import credentials
from sspcloud_magics.databases.connection import Connection
from sspcloud_magics.databases.credentials import DatabaseCredentials
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.login import Login, Tls
from sspcloud_magics.databases.postgres import forked_sessions, libpq
from sspcloud_magics.databases.postgres.results import result_reader
from sspcloud_magics.databases.postgres.session import pg_errors, pooler, session_contents, sqlstates
from sspcloud_magics.databases.postgres.session.session_settings import Preferences, Settings
from sspcloud_magics.databases.postgres.sql_lexer import Statement, statements
from sspcloud_magics.databases.session_lock import QueuedThread
from sspcloud_magics.errors import (
    ConnectionBusy,
    QueryFailed,
)
from sspcloud_magics.i18n import N_, _, format_list, quote_words

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.forwards.manager import ForwardManager

_log = logging.getLogger(__name__)

Session: TypeAlias = psycopg.Connection[Any]
SessionError: TypeAlias = psycopg.Error
Diagnosis: TypeAlias = psycopg.errors.Diagnostic

_OWN_SESSION = N_(
    "This process has its own session, which does not see its parent's transaction and temporary tables."
)
_POOLED = N_("keeps no session: settings travel with each query, and SET or temporary tables are refused")
_TRANSACTION = (b"BEGIN", b"COMMIT", b"ROLLBACK")
# Statements that begin or end a transaction, or have no effect outside one.
_CONTROL = frozenset(
    {"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "set", "prepare"}
)
_CONTROL_TAGS = frozenset({"BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK"})
_NOT_IN_A_TRANSACTION = (psycopg.errors.ActiveSqlTransaction, psycopg.errors.InvalidTransactionTermination)
_SAVEPOINT = (
    b"SAVEPOINT sspcloud_block",
    b"RELEASE SAVEPOINT sspcloud_block",
    b"ROLLBACK TO SAVEPOINT sspcloud_block; RELEASE SAVEPOINT sspcloud_block",
)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """An open transaction, or a savepoint in one."""

    # The statements that commit it and roll it back.
    keep: bytes
    drop: bytes
    is_lent: bool  # whether a library, such as SQLAlchemy, began it
    began: float  # the start by the monotonic clock; infinite for the transaction of a single statement


class DatabaseConnection(Connection):
    """A connection to one database of PostgreSQL; its other parameters are those of `Connection`.

    Parameters
    ----------
    settings
        The settings of each session; None for no settings.

    Raises
    ------
    LoginRefused, DatabaseUnavailable, DatabaseNotTrusted
        If the login fails.
    """

    usual_dbname = "defaultdb"

    def __init__(
        self, database: Database, login: Login, *, settings: Settings | None = None, **more: Any
    ) -> None:
        super().__init__(database, login, **more)
        self._blocks: list[Block] = []
        # The turn in which the session was last used.
        self._used_in: QueuedThread | None = None
        # State that would be lost with the session, as text: temporary tables, cursors …
        self._held: dict[str, None] = {}
        # Whether `psycopg` has given the session to other code.
        self._is_shared = False
        # The reason for the end of the session, as the server reported it; empty while it is alive.
        self._reason = ""
        self.settings = settings or Settings()
        # Whether a pooler gives each transaction another server session.
        self.is_pooled = False
        self._session, self.tls = self._log_in()
        self._apply_settings(self._begin_settings)
        self._closed = False
        fork_hooks.register(self)

    @classmethod
    def open(
        cls,
        cluster: Cluster,
        manager: ForwardManager,
        database: Database,
        used: DatabaseCredentials,
        **more: Any,
    ) -> Self:
        """Connect to a database, and verify it with the authority of the credentials or of its chart."""
        ca = used.ca or credentials.authority(cluster, database)
        return super().open(cluster, manager, database, used, ca=ca, **more)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open; reliable only in the thread that has the turn."""
        return self._session.pgconn.transaction_status in (
            pq.TransactionStatus.INTRANS,
            pq.TransactionStatus.INERROR,
        )

    @property
    def psycopg(self) -> Session:
        """The session, as psycopg's connection.

        Raises
        ------
        NotConnected
            If the connection is closed.
        ConnectionLost
            If it was lost inside a transaction.
        """
        self._is_shared = True
        return self.ready()[0]

    def ready(self) -> tuple[Session, tuple[str, ...]]:
        """Return a live session and notes about it, such as a reconnection.

        Call it in a turn (``with connection.turn``), and use the session only in that turn.

        Raises
        ------
        NotConnected
            If the connection is closed.
        ConnectionBusy
            If the chunks of a query are not read to their end, or a query runs in this thread.
        ConnectionLost
            If the session was lost inside a transaction; the next call reconnects.
        LoginRefused, DatabaseUnavailable, DatabaseNotTrusted, ForwardError
            If the reconnection fails.
        CredentialsNotFound
            If the database is not shared with you any more.
        """
        with self.turn:
            self._refuse_if_closed()
            if self._is_inherited:
                # Else the rest of the turn would take its block for a leftover.
                self._used_in = self.turn.place
                return self._log_in_again(_(_OWN_SESSION))
            self._free()
            in_transaction, was_reported = self.in_transaction, self._session.closed
            ended = self._explain_end()
            if ended is None:
                if not in_transaction:
                    self._blocks.clear()  # the user ended them, by COMMIT or ROLLBACK
                return self._session, self._apply_settings(self.settings.catch_up)
            self._session.close()
            if in_transaction or self._blocks:
                raise pg_errors.make_connection_error(ended, place=self.database.path, in_transaction=True)
            lost = session_contents.describe_lost(
                self._held, unseen=self._is_shared, was_reported=was_reported
            )
            return self._log_in_again(
                _(
                    "The session ended ({reason}), and a new one replaces it: {lost}.",
                    reason=quote_words(self._reason),
                    lost=lost,
                )
                if self._reason
                else _("The session ended, and a new one replaces it: {lost}.", lost=lost)
            )

    def _explain_end(self) -> SessionError | None:
        """Return the reason for the end of the session; None while it is alive."""
        if not self._session.closed and (error := _explain_hangup(self._session)) is not None:
            self._reason = self._reason or pg_errors.get_reason(error)
        # The server's reason may arrive a moment before the end of the stream: a statement sent in between is lost.
        is_ended = self._session.closed or bool(self._reason)
        return psycopg.OperationalError(self._reason) if is_ended else None

    def _hear(self, diagnosis: Diagnosis) -> None:
        """Keep the reason for which the server ends the session: while no query runs, libpq handles it as a notice."""
        if diagnosis.severity_nonlocalized == "FATAL":
            self._reason = diagnosis.message_primary or ""

    def _log_in_again(self, remark: str) -> tuple[Session, tuple[str, ...]]:
        if self._renew is not None:
            self._login = self._renew(self._login)
        self._session, self.tls = self._log_in()
        self._is_inherited = self._is_shared = False
        self._held, self._reason = {}, ""
        self.changes += 1
        if self._closed:  # by another thread in the meantime
            self._session.close()
            self._give_up()
            self._refuse_if_closed()
        return self._session, (remark, *self._apply_settings(self._begin_settings))

    def _begin_settings(self, session: Session) -> list[str]:
        return self.settings.begin(session, is_pooled=self.is_pooled)

    def _apply_settings(self, apply: Callable[[Session], list[str]]) -> tuple[str, ...]:
        """Apply the settings to the session, and return a note on those that the server refuses."""
        try:
            refused = apply(self._session)
        except psycopg.Error as error:
            raise pg_errors.make_connection_error(error, place=self.database.path) from None
        if not refused:
            return ()
        return (_("The server refuses the value that was set for {names}.", names=format_list(refused)),)

    def _free(self) -> None:
        """Cancel a query that an interruption has left running; refuse one that is still in use."""
        if self._rows is not None and inspect.getgeneratorstate(self._rows) == inspect.GEN_CLOSED:
            self._rows = None
        place, before = self.turn.place, self._used_in
        self._used_in = place
        if self._rows is None and place is not None and place is not before and not place.is_psycopgs:
            # This turn has sent nothing yet: an interruption has left any query that runs.
            result_reader.settle(self._session)
            for left in self._blocks[:1]:
                self.drop(left)
        if self._rows is None:
            if self._session.pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
                return
            raise ConnectionBusy(
                _("A query on {path} is still running in this thread.", path=self.database.path),
                hint=_("run the next query after its end, not in a callback such as progress"),
            )
        self._stop_unread()

    @contextmanager
    def transaction(self) -> Iterator[DatabaseConnection]:
        """Run the block in a transaction: commit at its end, or roll back after an error.

        Inside a transaction it is a savepoint. The block is one turn: other threads wait for its end.

        Raises
        ------
        ConnectionBusy
            If another thread's block does not end.
        ConnectionLost
            If the connection was lost during the block; the server has rolled it back.
        QueryFailed
            If the server does not commit, such as after an error that was caught inside the block.
        """
        with self.turn:
            depth = len(self._blocks)
            try:
                block = self.begin()
                yield self
            except BaseException:
                for begun in self._blocks[depth : depth + 1]:
                    self.drop(begun)
                raise
            else:
                self._commit(block)

    @property
    def has_failed(self) -> bool:
        """Whether the open transaction has failed, so that the server refuses further statements."""
        return self._session.pgconn.transaction_status == pq.TransactionStatus.INERROR

    @property
    def is_lent(self) -> bool:
        """Whether a library has an open transaction in the session."""
        return any(block.is_lent for block in self._blocks)

    def begin(self, how: bytes = _TRANSACTION[0], *, lent: bool = False) -> Block:
        """Begin a transaction, or a savepoint inside one. Call it in a turn that lasts until `keep` or `drop`.

        Parameters
        ----------
        how
            The statement that begins a transaction.
        lent
            Whether a library begins it. A savepoint inside it is refused, since the library may roll it back.
        """
        session, _unused = self.ready()
        if self.is_lent:
            raise ConnectionBusy(
                _("A SQLAlchemy connection has a transaction open on {path}.", path=self.database.path),
                why=_("A transaction inside it could not be committed independently."),
                hint=_("call commit() or close() on that connection first"),
            )
        is_savepoint = self.in_transaction
        begin, keep, drop = _SAVEPOINT if is_savepoint else (how + self.settings.local, *_TRANSACTION[1:])
        block = Block(keep, drop, lent, time.monotonic())
        try:
            session.execute(begin)
            self._blocks.append(block)
        except BaseException:  # after an interruption it may be open all the same
            result_reader.settle(session)
            if block not in self._blocks and self.in_transaction and not is_savepoint:
                session.execute(drop)
            raise
        return block

    def drop(self, block: Block) -> None:
        """Roll a block back; call it in its turn."""
        if self._end(block):
            self._roll_back(block)

    def _roll_back(self, block: Block) -> None:
        result_reader.settle(self._session)  # an interruption may have left a statement running
        if self.in_transaction:
            with suppress(psycopg.OperationalError):  # the connection is lost, and the server rolls back
                self._session.execute(block.drop)

    def keep(self, block: Block) -> None:
        """Commit a block; call it in its turn.

        Raises
        ------
        psycopg.Error
            If the server does not commit; the block is rolled back.
        ConnectionLost
            If the connection was lost.
        QueryFailed
            If the block was ended by COMMIT or ROLLBACK, or one of its statements had failed.
        """
        is_there = self._end(block)
        session = self._session
        if (ended := self._explain_end()) is not None:
            raise pg_errors.make_connection_error(ended, place=self.database.path, in_transaction=True)
        if not (is_there and self.in_transaction):
            raise QueryFailed(
                _("A COMMIT or ROLLBACK inside the block ended its transaction."),
                hint=_("remove it: the block commits at its end, and rolls back after an error"),
            )
        try:
            done = session.execute(block.keep)
        except BaseException:
            result_reader.settle(session)
            if self.in_transaction:
                session.execute(block.drop)
            raise
        self.follow(statements(block.keep.decode())[0], done.statusmessage or "")
        self.changes += 1
        if done.statusmessage == "ROLLBACK":
            raise QueryFailed(
                _("Nothing was committed: a statement had failed, so the transaction was rolled back."),
                hint=_("let the error end the block, or run the statement that may fail in its own block"),
            )

    def _commit(self, block: Block) -> None:
        """Commit a block, with this package's errors instead of psycopg's."""
        try:
            self.keep(block)
        except psycopg.Error as error:
            if self._session.closed:
                raise pg_errors.make_connection_error(
                    error, place=self.database.path, in_transaction=True
                ) from None
            raise pg_errors.make_statement_error(error, statements(block.keep.decode())[0]) from None

    def _end(self, block: Block) -> bool:
        """Remove a block and its savepoints; return False if the user had ended it."""
        self.stop_reading()
        if block not in self._blocks:
            return False
        del self._blocks[self._blocks.index(block) :]
        return True

    def follow(self, statement: Statement, tag: str) -> None:
        """Track the effect of a statement with this command tag on the session; call it in its turn."""
        self.settings.follow(statement, tag, in_transaction=self.in_transaction)
        if not self.in_transaction:
            self._blocks.clear()
        elif self.settings.local and _CONTROL_TAGS.issuperset([tag]) and "to" not in statement.words:
            self._session.execute(self.settings.local.removeprefix(b"; "))
        if tag == "DISCARD ALL":
            self._held.clear()
        elif (held := session_contents.describe_held_after(statement)) is not None:
            self._held[held] = None

    def apply_defaults(self, search_path: str | None, time_zone: str | None) -> None:
        """Apply the session's defaults from the next query on."""
        self.settings.prefer(Preferences(search_path, time_zone))

    def refuse(self, parsed: Sequence[Statement]) -> None:
        """Refuse statements that need a session if a pooler keeps none; call it in a turn, before sending them.

        Raises
        ------
        QueryFailed
            If one of them needs a session.
        """
        if self.is_pooled:
            pooler.refuse(parsed, self.database.path, in_transaction=self.in_transaction)

    def refuse_query(self, query: Any) -> None:
        """Refuse the same in a query of psycopg's: str, bytes or `psycopg.sql.Composable`."""
        if self.is_pooled:
            pooler.refuse_query(self._session, query, self.database.path)

    @contextmanager
    def with_settings(self, statement: Statement | None = None) -> Iterator[None]:
        """Apply the connection's settings to a statement: through a pooler, in a transaction for that statement.

        Parameters
        ----------
        statement
            The statement; one that begins or ends a transaction gets no transaction.

        Raises
        ------
        QueryFailed
            If the statement cannot run in a transaction.
        """
        is_control = statement is not None and not _CONTROL.isdisjoint(statement.words[:1])
        is_open = self.in_transaction
        if not self.settings.local or is_open or is_control:
            yield
            return
        # It lasts as long as the statement, and other threads wait for it as they do without a pooler.
        block = replace(self.begin(), began=math.inf)
        self._blocks[-1] = block
        try:
            yield
            if block in self._blocks:
                self._blocks.remove(block)
                self._session.execute(block.keep)
        except BaseException as error:
            if block in self._blocks:
                self._blocks.remove(block)
            self._roll_back(block)
            if isinstance(error, _NOT_IN_A_TRANSACTION):
                raise QueryFailed(
                    f"{sqlstates.describe(error)}.",
                    why=_(
                        "The pooler of {path} keeps no session, so your settings travel in a transaction with each query.",
                        path=self.database.path,
                    ),
                    hint=_(
                        "clear them, and qualify names with their schema: "
                        "%config SSPCloud.search_path = '' and %config SSPCloud.time_zone = ''"
                    ),
                ) from None
            raise

    @contextmanager
    def protect_transaction(self) -> Iterator[None]:
        """Protect an open transaction by a savepoint, so that cancelling a query in the block does not fail it."""
        session, _unused = self.ready()
        if not self.in_transaction:
            yield
            return
        begin, keep, drop = _SAVEPOINT
        session.execute(begin)
        try:
            yield
        finally:
            status = session.pgconn.transaction_status
            if status == pq.TransactionStatus.INERROR:
                session.execute(drop)
            elif status == pq.TransactionStatus.INTRANS:
                session.execute(keep)

    def copy_connection(self) -> DatabaseConnection:
        """Return another connection with the same login, route and settings; close it after use.

        Raises
        ------
        LoginRefused, DatabaseUnavailable, DatabaseNotTrusted, ForwardError
            If the login fails.
        """
        return DatabaseConnection(
            self.database,
            self._login,
            route=self.route,
            reach=self._reach,
            settings=self.settings.like(),
            renew=self._renew,
        )

    def _end_session(self, *, is_idle: bool) -> None:
        if is_idle:
            self._session.close()
        else:
            _hang_up(self._session)

    def _leave_to_parent(self) -> None:
        forked_sessions.leave_to_parent(self._session, self.database.path, self._rows)

    def _find_pooler(self, session: Session) -> None:
        """Detect a pooler that keeps no session."""
        timeout = self._login.timeout
        self.is_pooled = pooler.has_pooler(session, timeout)
        if self.is_pooled:
            # If the pooler has no room for a second session, settings travel: this is correct in every mode.
            with suppress(psycopg.Error):
                other, _unused = libpq.log_in(self._login)
                with closing(other):
                    self.is_pooled = not pooler.keeps_sessions(session, other, timeout)
        if self.is_pooled:
            pooler.watch_cursors(session, self.database.path)

    def _log_in(self) -> tuple[Session, Tls]:
        self._lease_forward()
        session: Session | None = None
        try:
            session, tls = libpq.log_in(self._login)
            # Replaces psycopg's own lock, so that its cursors, and libraries that use them, take turns too.
            session.lock = cast("threading.Lock", self.turn.for_psycopg())
            # A prepared statement fails after the table has changed, after DEALLOCATE, and through a pooler.
            session.prepare_threshold = None
            heard = weakref.WeakMethod(self._hear)
            session.add_notice_handler(lambda diagnosis: (hear := heard()) and hear(diagnosis))
            self._find_pooler(session)
        except psycopg.Error as error:
            if session is not None:
                session.close()
            _log.info(
                "%s: login as %s failed (%s)",
                self.database.path,
                self.user,
                error.sqlstate or type(error).__name__,
            )
            refused = pg_errors.make_login_error(
                error,
                place=self.database.path,
                user=self.user,
                dbname=self.dbname,
                known=self.database.database or "",
                password=self._login.password,
            )
        except BaseException:
            if session is not None:
                session.close()
            self._give_up()
            raise
        else:
            _log.info(
                "%s: logged in as %s %s (%s)",
                self.database.path,
                self.user,
                "through a forward" if self._reach is not None else "directly",
                tls.name,
            )
            return session, tls
        self._give_up()
        raise refused

    def _cautions(self) -> list[str]:
        pooled = [f"{_('pooler')}: {_(_POOLED)}"] if self.is_pooled else []
        return super()._cautions() + pooled


def _explain_hangup(session: Session) -> psycopg.Error | None:
    """Return the error of a connection that the server has closed, without a round trip; None if it is open."""
    earlier = session.pgconn.get_error_message()  # libpq appends to the message of the last statement
    try:
        for _unused in range(3):  # the server's last message may precede the end of the stream
            session.pgconn.consume_input()
            session.pgconn.is_busy()
    except psycopg.OperationalError as error:
        return psycopg.OperationalError(str(error).replace(earlier, "", 1) if earlier else str(error))
    return None


def _hang_up(session: Session) -> None:
    """Shut down the socket of a session that another thread uses; only that thread may close the session."""
    with (
        suppress(OSError, psycopg.Error),
        socket.fromfd(session.pgconn.socket, socket.AF_INET, socket.SOCK_STREAM) as link,
    ):
        link.shutdown(socket.SHUT_RDWR)
