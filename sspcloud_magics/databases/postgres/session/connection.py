"""The connection to one database: how it is reached, how it is protected, and that it comes back.

`connect` goes the whole way: which database is meant, who may log in, the forward, the login. What it
returns holds one psycopg session in autocommit mode. A session that was found dead between two cells
is made anew, with its settings, and says so; inside a transaction nothing is made anew silently: what was done
in it is gone, and the next statement raises `ConnectionLost`.

Through a pooler that keeps no session (`pooler`), settings travel with each transaction.

One session does one thing at a time. Threads take turns (`session_lock`); a transaction block is one turn. While a query is read in chunks, no
other can be sent. A forked child leaves its parent's session alone and logs in by itself.
"""

from __future__ import annotations

import html
import inspect
import logging
import math
import socket
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import psycopg
from psycopg import pq

from sspcloud_magics import fork_hooks
from sspcloud_magics.databases import credentials
from sspcloud_magics.databases.credentials import DatabaseCredentials
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres import forked_sessions, libpq
from sspcloud_magics.databases.postgres.libpq import Login, Tls
from sspcloud_magics.databases.postgres.results import result_reader
from sspcloud_magics.databases.postgres.session import pg_errors, pooler, session_contents
from sspcloud_magics.databases.postgres.session.session_settings import Settings
from sspcloud_magics.databases.postgres.sql_lexer import Statement, statements
from sspcloud_magics.databases.route import Route
from sspcloud_magics.databases.session_lock import QueuedThread, Turn
from sspcloud_magics.errors import (
    ClusterError,
    ConnectionBusy,
    CredentialsNotFound,
    NotConnected,
    QueryFailed,
)
from sspcloud_magics.printable import printable
from sspcloud_magics.target import PortText, Target

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.forwards.forward import Forward
    from sspcloud_magics.forwards.lease import Lease
    from sspcloud_magics.forwards.manager import ForwardManager

_log = logging.getLogger(__name__)

Session: TypeAlias = psycopg.Connection[Any]
SessionError: TypeAlias = psycopg.Error
Diagnosis: TypeAlias = psycopg.errors.Diagnostic

_PROTECTION = {
    Tls.VERIFIED: "TLS, the server's certificate verified",
    Tls.UNVERIFIED: "TLS, the server's certificate not verified: its authority could not be read",
    Tls.ABSENT: "no TLS to the server, which offers none; the tunnel itself is encrypted",
}


_OWN_SESSION = (
    "This process has a session of its own: it does not see its parent's transaction and temporary tables."
)
_POOLED = "keeps no session: settings travel with each query, and SET or temporary tables are refused"
_TRANSACTION = (b"BEGIN", b"COMMIT", b"ROLLBACK")
# These begin or end a transaction, or do nothing outside of one.
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
    """A transaction that is open, or a savepoint within one.

    Parameters
    ----------
    keep, drop
        What ends it.
    is_lent
        Whether a library began it.
    began
        When, by the monotonic clock; never where it belongs to one statement.
    """

    keep: bytes
    drop: bytes
    is_lent: bool
    began: float


class DatabaseConnection:
    """One session with one database.

    Parameters
    ----------
    database
        Which.
    login
        How to log in. Its address and port are those of `reach`, where that is given.
    route
        By which way; None where nobody chose one.
    reach
        Leases a forward to the server, which is released when the connection is closed; None where `login` needs none.
    settings
        What is set in each of its sessions; nothing as long as nobody says so, where None.
    renew
        Reads again how to log in, before a session is made anew; None where that stays as it is.

    Raises
    ------
    LoginRefused, DatabaseUnavailable, DatabaseNotTrusted
        If the login does not succeed.
    """

    def __init__(
        self,
        database: Database,
        login: Login,
        *,
        route: Route | None = None,
        reach: Callable[[], Lease] | None = None,
        settings: Settings | None = None,
        renew: Callable[[Login], Login] | None = None,
    ) -> None:
        self.database = database
        self.route = route
        self._renew = renew
        self._login = login
        self._reach = reach
        self._closed = True  # until somebody is logged in
        self.turn = Turn(self._refuse_to_wait)
        self._blocks: list[Block] = []
        # The seconds that a thread waits for the end of another one's transaction block. Without a limit, a block that
        # waits for its own workers would never end: they wait for the block.
        self.patience = 30.0
        # The query that is read in chunks, and who reads it.
        self._rows: Generator[Any, None, None] | None = None
        self._reader: weakref.ref[object] | None = None
        self._is_inherited = False
        # The turn in which the session was used last.
        self._used_in: QueuedThread | None = None
        # What ends with the session, whether others have used it, and why it has ended.
        self._held: dict[str, None] = {}
        self._is_shared = False
        self._reason = ""
        self.settings = settings or Settings()
        self.changes = 0
        self._lease: Lease | None = None
        # Whether a pooler gives each transaction another session with the server.
        self.is_pooled = False
        self._session, self.tls = self._log_in()
        self.settings.begin(self._session, is_pooled=self.is_pooled)
        self._closed = False
        fork_hooks.begin_again(self)

    @property
    def user(self) -> str:
        """The user who is logged in."""
        return self._login.user

    @property
    def dbname(self) -> str:
        """The database inside the server."""
        return self._login.dbname

    @property
    def closed(self) -> bool:
        """Whether `close` was called; a connection that was lost is not closed, it comes back."""
        return self._closed

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open; certain for the thread whose turn it is."""
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
        """Return a session that is alive, and what is to be said of it: that it had to be made anew.

        Call it in a turn (``with connection.turn``), and use the session in that only: another thread has it afterwards.

        Raises
        ------
        NotConnected
            If the connection is closed.
        ConnectionBusy
            If a query is read in chunks and is not at its end, or this thread is in the middle of one.
        ConnectionLost
            If it was lost inside a transaction; the next call makes a new one.
        LoginRefused, DatabaseUnavailable, DatabaseNotTrusted, ForwardError
            If no new one can be made.
        CredentialsNotFound
            If it was shared with one, and is not any more.
        """
        with self.turn:
            self._refuse_if_closed()
            if self._is_inherited:
                return self._log_in_again(_OWN_SESSION)
            self._free()
            in_transaction, was_told = self.in_transaction, self._session.closed
            ended = self._explain_end()
            if ended is None:
                if not in_transaction:
                    self._blocks.clear()  # ended by hand
                return self._session, _describe_refused_settings(self.settings.catch_up(self._session))
            self._session.close()
            if in_transaction or self._blocks:
                raise pg_errors.of_connection(ended, place=self.database.path, in_transaction=True)
            reason = f" ({self._reason})" if self._reason else ""
            lost = session_contents.describe_lost(self._held, unseen=self._is_shared, was_told=was_told)
            return self._log_in_again(f"The session was ended{reason}, and a new one is used: {lost}.")

    def _explain_end(self) -> SessionError | None:
        """Return why the server has hung up, if it has."""
        if not self._session.closed and (error := _explain_hangup(self._session)) is not None:
            self._reason = self._reason or pg_errors.reason(error)
            return psycopg.OperationalError(self._reason)
        return psycopg.OperationalError(self._reason) if self._session.closed else None

    def _hear(self, diagnosis: Diagnosis) -> None:
        """Keep why the server ends the session: where no query waits, libpq takes it for a notice."""
        if diagnosis.severity_nonlocalized == "FATAL":
            self._reason = diagnosis.message_primary or ""

    def _log_in_again(self, remark: str) -> tuple[Session, tuple[str, ...]]:
        if self._renew is not None:
            self._login = self._renew(self._login)
        self._session, self.tls = self._log_in()
        self._is_inherited = self._is_shared = False
        self._held, self._reason = {}, ""
        self.changes += 1
        if self._closed:  # by another thread, which did not wait for this one
            self._session.close()
            self._give_up()
            self._refuse_if_closed()
        return self._session, (
            remark,
            *_describe_refused_settings(self.settings.begin(self._session, is_pooled=self.is_pooled)),
        )

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise NotConnected(
                f"The connection to {self.database.path} is closed.", hint=f"%connect_db {self.database.path}"
            )

    def _free(self) -> None:
        """Leave nothing under way, or raise where that has another end to come."""
        if self._rows is not None and inspect.getgeneratorstate(self._rows) == inspect.GEN_CLOSED:
            self._rows = None
        place, before = self.turn.place, self._used_in
        self._used_in = place
        if self._rows is None and place is not None and place is not before and not place.is_psycopgs:
            # Nothing of this turn has begun: what is under way was left by an interruption between two instructions.
            result_reader.settle(self._session)
            for left in self._blocks[:1]:
                self.drop(left)
        if self._rows is None:
            if self._session.pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
                return
            raise ConnectionBusy(
                f"A query on {self.database.path} is still running in this thread.",
                hint="ask after its end: what is called while it runs, such as progress, cannot ask",
            )
        # Also where all of them are here already: their reader would take what is answered to another query for its own.
        if self._reader is not None and self._reader() is not None:
            raise ConnectionBusy(
                f"The rows of another query on {self.database.path} are still being read in chunks.",
                hint="read them to their end, or give the rest up: chunks.close()",
            )
        self.stop_reading()

    def _refuse_to_wait(self, seconds: float) -> None:
        """Raise where a thread has waited too long for the end of another one's transaction block."""
        blocks = self._blocks[:1]
        if blocks and min(seconds, time.monotonic() - blocks[0].began) > self.patience:
            raise ConnectionBusy(
                f"Another thread has a transaction open on {self.database.path}.",
                why=f"It did not end within {self.patience:.0f} s, and only the thread that began it can use the session.",
                hint="end it, or do all of its work in its own thread",
            )

    def lend(self, rows: Generator[Any, None, None], reader: object) -> None:
        """Refuse other queries until the rows of one are read to their end, are given up, or their reader has gone.

        Its destructor may be interrupted before it does anything.
        """
        self._rows, self._reader = rows, weakref.ref(reader)

    def forget(self, rows: Generator[Any, None, None]) -> None:
        """Give up rows whose reader has gone: now, or before the next query where another thread has its turn.

        For destructors, which must not wait for another thread.
        """
        if self._rows is rows:
            with self.turn.if_free() as is_taken:
                if is_taken:
                    self.stop_reading()

    def stop_reading(self) -> None:
        """Give up the rest of a query that is read in chunks; call it in a turn."""
        rows, self._rows = self._rows, None
        if rows is not None:
            rows.close()

    @contextmanager
    def transaction(self) -> Iterator[DatabaseConnection]:
        """Commit at the end of the block what was done in it, or roll all of it back after an error.

        Within a transaction it is a savepoint. The block is one turn: other threads wait for its end.

        Raises
        ------
        ConnectionBusy
            If another thread's block does not end.
        ConnectionLost
            If the connection was lost meanwhile: everything is rolled back then.
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
        """Whether a statement of the transaction that is open has failed, and no other will be taken."""
        return self._session.pgconn.transaction_status == pq.TransactionStatus.INERROR

    @property
    def is_lent(self) -> bool:
        """Whether a library has a transaction open in the session."""
        return any(block.is_lent for block in self._blocks)

    def begin(self, how: bytes = _TRANSACTION[0], *, lent: bool = False) -> Block:
        """Begin a transaction, or within one a savepoint; `keep` or `drop` ends it. Call it in a turn that lasts until then.

        Parameters
        ----------
        how
            The statement that begins a transaction.
        lent
            Whether a library begins it: what is begun within it would be lost with it, and is refused.
        """
        session, _ = self.ready()
        if self.is_lent:
            raise ConnectionBusy(
                f"A transaction of a SQLAlchemy connection is open on {self.database.path}.",
                why="Another one within it could not be kept by itself.",
                hint="commit() or close() that connection first",
            )
        is_savepoint = self.in_transaction
        begin, keep, drop = _SAVEPOINT if is_savepoint else (how + self.settings.local, *_TRANSACTION[1:])
        block = Block(keep, drop, lent, time.monotonic())
        try:
            session.execute(begin)
            self._blocks.append(block)
        except BaseException:  # interrupted, it may be open all the same
            result_reader.settle(session)
            if block not in self._blocks and self.in_transaction and not is_savepoint:
                session.execute(drop)
            raise
        return block

    def drop(self, block: Block) -> None:
        """Take back what was done since a block began; call it in its turn."""
        if self._end(block):
            self._roll_back(block)

    def _roll_back(self, block: Block) -> None:
        result_reader.settle(self._session)  # an interruption may have left a statement under way
        if self.in_transaction:
            with suppress(psycopg.OperationalError):  # the server has gone, and has done it
                self._session.execute(block.drop)

    def keep(self, block: Block) -> None:
        """Keep what was done since a block began; call it in its turn.

        Raises
        ------
        psycopg.Error
            If the server does not; all of it is rolled back then.
        ConnectionLost
            If the connection was lost.
        QueryFailed
            If it was ended by hand, or a statement had failed.
        """
        is_there = self._end(block)
        session = self._session
        if (ended := self._explain_end()) is not None:
            raise pg_errors.of_connection(ended, place=self.database.path, in_transaction=True)
        if not (is_there and self.in_transaction):
            raise QueryFailed(
                "The transaction was ended inside of its block, by COMMIT or ROLLBACK.",
                hint="leave them out: the block commits at its end, and rolls back after an error",
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
                "Nothing was committed: a statement of the transaction had failed, and all of it is rolled back.",
                hint="let the error end the block, or have the statement that may fail in a block of its own",
            )

    def _commit(self, block: Block) -> None:
        """Keep a block, with errors in words of ours."""
        try:
            self.keep(block)
        except psycopg.Error as error:
            if self._session.closed:
                raise pg_errors.of_connection(error, place=self.database.path, in_transaction=True) from None
            raise pg_errors.of_statement(error, statements(block.keep.decode())[0]) from None

    def _end(self, block: Block) -> bool:
        """Forget a block and those within it; return whether it was not ended by hand."""
        self.stop_reading()
        if block not in self._blocks:
            return False
        del self._blocks[self._blocks.index(block) :]
        return True

    def follow(self, statement: Statement, tag: str) -> None:
        """Take notice of what a statement did to the session; call it in its turn.

        Parameters
        ----------
        statement, tag
            What was sent, and the server's word for what it did.
        """
        self.settings.follow(statement, tag, in_transaction=self.in_transaction)
        if not self.in_transaction:
            self._blocks.clear()
        elif self.settings.local and _CONTROL_TAGS.issuperset([tag]) and "to" not in statement.words:
            self._session.execute(self.settings.local.removeprefix(b"; "))
        if tag == "DISCARD ALL":
            self._held.clear()
        elif (held := session_contents.describe_held_after(statement)) is not None:
            self._held[held] = None

    def refuse(self, parsed: Sequence[Statement]) -> None:
        """Refuse statements that need a session, where a pooler keeps none; call it in a turn, before the first of them is sent.

        Raises
        ------
        QueryFailed
            If one of them does.
        """
        if self.is_pooled:
            pooler.refuse(parsed, self.database.path, in_transaction=self.in_transaction)

    def refuse_query(self, query: Any) -> None:
        """Refuse the same in a query as psycopg takes it."""
        if self.is_pooled:
            pooler.refuse_query(self._session, query, self.database.path)

    @contextmanager
    def with_settings(self, statement: Statement | None = None) -> Iterator[None]:
        """Have a statement run with the settings of the connection: in a transaction of its own where a pooler keeps no session.

        Parameters
        ----------
        statement
            Which; one that begins or ends a transaction is left alone.

        Raises
        ------
        QueryFailed
            If it cannot run in a transaction.
        """
        is_control = statement is not None and not _CONTROL.isdisjoint(statement.words[:1])
        is_open = self.in_transaction
        if not self.settings.local or is_open or is_control:
            yield
            return
        # It lasts as long as the statement, for which other threads wait as they do without a pooler.
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
                    f"{error.diag.message_primary}.",
                    why=f"The pooler of {self.database.path} keeps no session, so your settings travel in a transaction with each query.",
                    hint="clear them, and name the schema in the statement: "
                    "%config SSPCloud.search_path = '' and %config SSPCloud.time_zone = ''",
                ) from None
            raise

    @contextmanager
    def protect_transaction(self) -> Iterator[None]:
        """Keep the transaction that is open, if one is, from failing with what is cancelled in the block."""
        session, _ = self.ready()
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
        """Return another session, set up alike, with the same login and by the same way; close it after use.

        Raises
        ------
        LoginRefused, DatabaseUnavailable, DatabaseNotTrusted, ForwardError
            If the login does not succeed.
        """
        return DatabaseConnection(
            self.database,
            self._login,
            route=self.route,
            reach=self._reach,
            settings=self.settings.like(),
            renew=self._renew,
        )

    def close(self) -> None:
        """End the session, and give up the way to the server; again and again does no harm.

        Another thread that is in the middle of a query is told that the connection has ended.
        """
        if self._closed:
            return
        self._closed = True
        _log.info("%s: the session ends", self.database.path)
        with self.turn.if_free() as is_taken:
            if is_taken:
                self._session.close()
            else:
                _hang_up(self._session)
        self._give_up()

    def begin_in_child(self) -> None:
        """Leave the session to the parent process, in a child that was just forked: it gets its own when it asks."""
        forked_sessions.leave_to_parent(self._session, self.database.path, self._rows)
        self.turn = Turn(self._refuse_to_wait)
        self._blocks, self._rows = [], None
        self._lease = None
        self._is_inherited = True

    def _find_pooler(self, session: Session) -> None:
        """Find out whether a pooler keeps no session for this one."""
        timeout = self._login.timeout
        self.is_pooled = pooler.is_between(session, timeout)
        if self.is_pooled:
            # Where it has no room for a second session, settings travel: that is right in each mode.
            with suppress(psycopg.Error):
                other, _ = libpq.log_in(self._login)
                with closing(other):
                    self.is_pooled = not pooler.keeps_sessions(session, other, timeout)
        if self.is_pooled:
            pooler.watch_cursors(session, self.database.path)

    def _log_in(self) -> tuple[Session, Tls]:
        if self._reach is not None:
            lease = self._reach()
            self._give_up()  # that of the session before; the forward lives on where it is the same
            self._lease = lease
            self._login = replace(self._login, address="127.0.0.1", port=lease.forward.local_port)
        session: Session | None = None
        try:
            session, tls = libpq.log_in(self._login)
            # psycopg's own lock: its cursors, and libraries that use them, take turns with us.
            session.lock = cast("threading.Lock", self.turn.for_psycopg())
            # A prepared statement keeps the plan of a table that has changed, and is unknown after DEALLOCATE or through a pooler.
            session.prepare_threshold = None
            heard = weakref.WeakMethod(self._hear)
            session.add_notice_handler(lambda diagnosis: (hear := heard()) and hear(diagnosis))
            self._find_pooler(session)
        except psycopg.Error as error:
            if session is not None:
                session.close()
            _log.info(
                "%s: the login as %s failed (%s)",
                self.database.path,
                self.user,
                error.sqlstate or type(error).__name__,
            )
            refused = pg_errors.of_login(
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
            way = "a forward" if self._reach is not None else "a route of its own"
            _log.info("%s: logged in as %s by %s (%s)", self.database.path, self.user, way, tls.name)
            return session, tls
        self._give_up()
        raise refused

    def _give_up(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    @property
    def forward(self) -> Forward | None:
        """The forward that it goes through; None where it needs none, or is closed."""
        return None if self._lease is None else self._lease.forward

    @property
    def protection(self) -> str:
        """How the session is protected, in words."""
        return _PROTECTION[self.tls]

    def _facts(self) -> list[tuple[str, str]]:
        facts = [("user", self.user), ("database", self.dbname), ("protection", self.protection)]
        if self.forward is not None:
            facts.append(
                ("through", f"{self.forward.address}:{self.forward.local_port} → {self.forward.target}")
            )
        if self.is_pooled:
            facts.append(("pooler", _POOLED))
        if self.route is not None and self.route.why:
            facts.append(("route", str(self.route)))
        return facts

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"connected as {self.user}"
        lines = [f"{self.database.path} ({self.database.kind}): {state}"]
        if not self._closed:
            lines += [f"  {name:<10}  {value}" for name, value in self._facts()[1:]]
        return printable("\n".join(lines))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002 - IPython's signature
        head, *_ = repr(self).split("\n")
        rows = "" if self._closed else "".join(_row(name, value) for name, value in self._facts())
        return {
            "text/plain": repr(self),
            "text/html": f'<div><strong>{html.escape(head)}</strong><table style="margin:.3em 0 0">{rows}</table></div>',
        }


def _describe_refused_settings(names: list[str]) -> tuple[str, ...]:
    return (f"The server does not take what was set for {', '.join(names)}.",) if names else ()


def _row(name: str, value: str) -> str:
    style = "text-align:left;padding:.1em .8em .1em 0"
    return f'<tr><th style="{style}">{html.escape(name)}</th><td style="{style}">{html.escape(printable(value))}</td></tr>'


def _explain_hangup(session: Session) -> psycopg.Error | None:
    """Return why the server has hung up, as far as it can be told without asking it; None if it has not."""
    try:
        for _ in range(3):  # a farewell of the server may come before the end of its bytes
            session.pgconn.consume_input()
            session.pgconn.is_busy()
    except psycopg.OperationalError as error:
        return error
    return None


def _hang_up(session: Session) -> None:
    """End the conversation of a session that another thread uses, which alone may close it."""
    with (
        suppress(OSError, psycopg.Error),
        socket.fromfd(session.pgconn.socket, socket.AF_INET, socket.SOCK_STREAM) as link,
    ):
        link.shutdown(socket.SHUT_RDWR)


def open_connection(
    cluster: Cluster,
    manager: ForwardManager,
    database: Database,
    used: DatabaseCredentials,
    *,
    dbname: str | None = None,
    options: str = "",
    timeout: float = 30.0,
    route: Route | None = None,
) -> DatabaseConnection:
    """Connect to a database that was found, with credentials that are known.

    Parameters
    ----------
    cluster, manager
        Where it runs, and who makes the forward.
    database, used
        Which, and as whom.
    dbname
        The database inside the server; what the credentials or the discovery say where None.
    options
        Command-line options for the session.
    timeout
        How long the forward and the login may take, in seconds each.
    route
        By which way; a forward to its service where None.

    Raises
    ------
    LoginRefused, DatabaseUnavailable, DatabaseNotTrusted
        If the server does not let one in.
    TargetError, ForwardError, ClusterError
        If the server cannot be reached.
    """
    login = Login(
        host=f"{database.service}.{database.namespace}.svc",
        port=database.port,
        address=route.address if route is not None else None,
        user=used.user,
        password=used.password,
        dbname=dbname or used.dbname or database.database or "defaultdb",
        ca=used.ca or credentials.authority(cluster, database),
        options=options,
        timeout=timeout,
    )
    if route is None:
        route = Route("forward", "", Target(database.namespace, "service", database.service), database.port)
    target, port = route.target, route.port
    renew = partial(_share_again, cluster, database) if database.access else None
    if target is None:
        return DatabaseConnection(database, login, route=route, renew=renew)
    reach = partial(manager.lease, cluster, target, PortText(port), timeout=timeout)
    return DatabaseConnection(database, login, route=route, reach=reach, renew=renew)


def _share_again(cluster: Cluster, database: Database, login: Login) -> Login:
    """Return how to log in by the share as it is now: made again, it has another password.

    Raises
    ------
    CredentialsNotFound
        If there is none any more.
    """
    try:
        used = credentials.of_share(cluster, database)
    except CredentialsNotFound:
        raise
    except ClusterError:
        return login  # the API server does not answer: the way to the database may be open all the same
    return replace(login, user=used.user, password=used.password, ca=used.ca or login.ca)
