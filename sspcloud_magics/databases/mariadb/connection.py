"""The connection to a database of MariaDB: one session in autocommit mode, and its reconnection.

If the session is found dead between two cells, the connection logs in again, and says so. Inside a transaction it does
not reconnect silently: the transaction's work is lost, and the next statement raises `ConnectionLost`.
A forked child does not touch its parent's session, and opens its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pymysql

from sspcloud_magics import fork_hooks
from sspcloud_magics.databases.connection import Connection
from sspcloud_magics.databases.connection_errors import make_lost
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.login import Login
from sspcloud_magics.databases.mariadb import driver, errors
from sspcloud_magics.databases.mariadb.driver import Session
from sspcloud_magics.databases.mariadb.literals import quote
from sspcloud_magics.errors import QueryFailed
from sspcloud_magics.i18n import N_, _, quote_words

if TYPE_CHECKING:
    pass

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_OWN_SESSION = N_(
    "This process has its own session, which does not see its parent's transaction and temporary tables."
)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """An open transaction, or a savepoint in one."""

    # The statements that commit it and roll it back.
    keep: str
    drop: str
    began: float  # the start by the monotonic clock


class MariadbConnection(Connection):
    """A connection to one database of MariaDB; its parameters are those of `Connection`.

    Raises
    ------
    LoginRefused, DatabaseUnavailable
        If the login fails.
    """

    _blocks: list[Block]

    def __init__(self, database: Database, login: Login, **more: Any) -> None:
        super().__init__(database, login, **more)
        self._blocks = []
        # The time zone to set in each session, and the one that the current session has; empty for the server's own.
        self._time_zone = ""
        self._set_zone = ""
        self._session = self._log_in()
        self._closed = False
        fork_hooks.register(self)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open; reliable only in the thread that has the turn."""
        return self._session.in_transaction

    @property
    def session(self) -> Session:
        """The session, as PyMySQL's connection.

        Raises
        ------
        NotConnected
            If the connection is closed.
        ConnectionLost
            If it was lost inside a transaction.
        """
        with self.turn:
            return self.ready()[0]

    def ready(self) -> tuple[Session, tuple[str, ...]]:
        """Return a live session and notes about it, such as a reconnection; call it in a turn.

        Raises
        ------
        NotConnected
            If the connection is closed.
        ConnectionBusy
            If the chunks of a query are not read to their end.
        ConnectionLost
            If the session was lost inside a transaction; the next call reconnects.
        LoginRefused, DatabaseUnavailable, ForwardError
            If the reconnection fails.
        CredentialsNotFound
            If the database is not shared with you any more.
        """
        self._refuse_if_closed()
        self._stop_unread()
        notes: list[str] = []
        if self._is_inherited:
            self._log_in_again()
            notes.append(_(_OWN_SESSION))
        elif driver.has_ended(self._session):
            was_open = bool(self._blocks) or bool(self._session.server_status & 1)
            self.abandon()
            if was_open:
                raise make_lost(self.database.path, "", in_transaction=True)
            self._log_in_again()
            notes.append(_("The session ended, and a new one replaces it: temporary tables and settings are lost."))  # fmt: skip
        if not self.in_transaction:
            self._blocks = []  # the user ended them, by COMMIT or ROLLBACK
        return self._session, (*notes, *self._catch_up())

    def apply_defaults(self, search_path: str | None, time_zone: str | None) -> None:  # noqa: ARG002 - no search path
        """Apply the session's defaults from the next query on."""
        self._time_zone = time_zone or ""

    def _catch_up(self) -> list[str]:
        """Set the time zone that has changed, and return a note if the server refuses it."""
        if self._time_zone == self._set_zone or self.in_transaction:
            return []
        self._set_zone = self._time_zone
        wanted = quote(self._time_zone) if self._time_zone else "DEFAULT"
        try:
            self.execute(f"SET time_zone = {wanted}")
        except pymysql.Error as error:
            return [_("The server refuses the time zone {zone}: {why}", zone=self._time_zone, why=quote_words(errors.message_of(error)))]  # fmt: skip
        return []

    def abandon(self) -> None:
        """Close the session without a word to the server; the next call logs in again."""
        self._session._force_close()  # noqa: SLF001 - PyMySQL's close says goodbye
        self._session.server_status = 0
        self._blocks = []

    def run(self, call: Callable[[], _T], expired: Callable[[], bool] = lambda: False) -> _T:
        """Run a call of PyMySQL's; an interruption, or `expired`, cancels its statement on the server."""
        return self._session.run(call, self.cancel, expired)

    def cancel(self) -> None:
        """End the statement that runs, through a second session."""
        driver.kill_query(self._login, self._session.thread_id())

    def execute(self, sql: str) -> None:
        """Run a statement of this package's, without its rows; call it in a turn."""
        self.run(lambda: self._session.query(sql))

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """Run the block in a transaction: commit at its end, or roll back after an error.

        Inside a transaction it is a savepoint. The block is one turn: other threads wait for its end.

        Raises
        ------
        ConnectionLost
            If the connection was lost during the block; the server has rolled it back.
        QueryFailed
            If the block was ended by one of its own statements, or the server does not commit.
        """
        with self.turn:
            self.ready()
            name = f"sspcloud_{len(self._blocks)}"
            begin, keep, drop = ("BEGIN", "COMMIT", "ROLLBACK")
            if self.in_transaction:
                begin, keep, drop = (
                    f"SAVEPOINT {name}",
                    f"RELEASE SAVEPOINT {name}",
                    f"ROLLBACK TO SAVEPOINT {name}",
                )
            block = Block(keep, drop, time.monotonic())
            depth = len(self._blocks)
            try:
                self.execute(begin)
                self._blocks.append(block)
                yield self
            except BaseException:
                del self._blocks[depth:]
                self.stop_reading()
                if self.in_transaction:
                    with suppress(pymysql.Error):  # the connection is lost, and the server rolls back
                        self.execute(drop)
                raise
            del self._blocks[depth:]
            self._keep(block)

    def _keep(self, block: Block) -> None:
        self.stop_reading()
        if driver.has_ended(self._session):
            raise make_lost(self.database.path, "", in_transaction=True)
        if not self.in_transaction:
            raise QueryFailed(
                _("A statement inside the block ended its transaction."),
                why=_("COMMIT and ROLLBACK do that, and so do statements such as CREATE, ALTER and DROP."),
                hint=_("remove it: the block commits at its end, and rolls back after an error"),
            )
        try:
            self.execute(block.keep)
        except pymysql.Error as error:
            raise self.translate(error, in_transaction=True) from None

    def translate(self, error: pymysql.Error, *, in_transaction: bool, near: str = "") -> Exception:
        """Return this package's error for PyMySQL's."""
        if errors.number_of(error) in errors.LOST or not self._session.open:
            return make_lost(self.database.path, errors.message_of(error), in_transaction=in_transaction)
        return errors.make_statement_error(error, near=near)

    def copy_connection(self) -> Self:
        """Return another connection with the same login, route and settings; close it after use."""
        made = super().copy_connection()
        made._time_zone = self._time_zone  # noqa: SLF001 - of the same class
        return made

    def _end_session(self, *, is_idle: bool) -> None:
        if not is_idle:
            driver.hang_up(self._session)
        elif self._session.open:
            self.stop_reading()
            self._session.close()

    def _leave_to_parent(self) -> None:
        driver.leave_to_parent(self._session)

    def _log_in_again(self) -> None:
        if self._renew is not None:
            self._login = self._renew(self._login)
        self._session = self._log_in()
        self._is_inherited, self._set_zone = False, ""
        self.changes += 1

    def _log_in(self) -> Session:
        self._lease_forward()
        try:
            session = driver.log_in(self.turn, self._login)
        except (pymysql.Error, OSError, *errors.MALFORMED) as error:
            self._give_up()
            _log.info("%s: login as %s failed (%s)", self.database.path, self.user, errors.number_of(error))
            raise errors.make_login_error(
                error,
                place=self.database.path,
                user=self.user,
                dbname=self.dbname,
                known=self.database.database or "",
                password=self._login.password,
            ) from None
        except BaseException:
            self._give_up()
            raise
        self.tls = driver.protection(session)
        _log.info("%s: logged in as %s (%s)", self.database.path, self.user, self.tls.name)
        return session
