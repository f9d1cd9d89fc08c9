"""PyMySQL's connection, as this package uses it.

PyMySQL closes its connection if an interruption hits a read. So the calls of `query_db` run on a thread of their own, which
no interruption reaches, and the caller's thread waits: an interruption then cancels the query on the server, and the
session keeps its transaction and its temporary tables.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import pymysql
import pymysql.connections
from pymysql.constants import CLIENT, SERVER_STATUS

from sspcloud_magics.databases.login import Login, Tls
from sspcloud_magics.databases.session_lock import Turn
from sspcloud_magics.i18n import _

_T = TypeVar("_T")
_LOOK_SECONDS = 0.1  # the interval at which Python can raise an interruption

# Plugins that send the password itself, which any server could ask for.
_CLEAR_TEXT = ("mysql_clear_password", "dialog")


class _RefusedPlugin:
    """An authentication that sends the password itself, which is refused."""

    def __init__(self, _connection: object) -> None:
        raise pymysql.OperationalError(2059, _("the server asks for the password in clear text"))


class Closes(Protocol):
    """An object that can be closed."""

    def close(self) -> None:
        """Close it."""


class Session(pymysql.connections.Connection):  # type: ignore[misc]  # PyMySQL ships no types
    """PyMySQL's connection, whose statements take turns with those of `query_db`.

    Parameters
    ----------
    turn
        The lock of the session.
    arguments
        The arguments of PyMySQL's connection.
    """

    def __init__(self, turn: Turn, **arguments: Any) -> None:
        # The lock, and the thread that runs a call for the holder of the turn.
        self._turn = turn
        self._worker: int | None = None
        # The connection that ends with this session, if a library has the session alone.
        self.owner: Closes | None = None
        super().__init__(**arguments)

    def close(self) -> None:
        """End the session, and its owner."""
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.close()
        else:
            super().close()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.open and bool(self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    @property
    def has_backslashes(self) -> bool:
        """Whether a backslash in a string escapes the next character."""
        return not self.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES

    def query(self, sql: str | bytes, unbuffered: bool = False) -> int:
        """Send a statement, in a turn (PyMySQL's cursors call this)."""
        return int(self._in_turn(super().query, sql, unbuffered))

    def ping(self, reconnect: bool = False) -> None:
        """Ask the server for a sign of life, in a turn."""
        self._in_turn(super().ping, reconnect)

    def begin(self) -> None:
        """Begin a transaction, in a turn."""
        self._in_turn(super().begin)

    def commit(self) -> None:
        """Commit the transaction, in a turn."""
        self._in_turn(super().commit)

    def rollback(self) -> None:
        """Roll the transaction back, in a turn."""
        self._in_turn(super().rollback)

    def select_db(self, db: str) -> None:
        """Change the database, in a turn."""
        self._in_turn(super().select_db, db)

    def _in_turn(self, call: Callable[..., _T], *arguments: Any) -> _T:
        if threading.get_ident() == self._worker:
            return call(*arguments)
        with self._turn:
            return call(*arguments)

    def run(
        self, call: Callable[[], _T], cancel: Callable[[], None], expired: Callable[[], bool] = lambda: False
    ) -> _T:
        """Run a call on its own thread, in the turn of this one; an interruption, or `expired`, cancels it.

        Parameters
        ----------
        cancel
            Ends the statement on the server.
        expired
            Whether the call takes too long.
        """
        done = threading.Event()
        outcome: list[tuple[_T | None, BaseException | None]] = []

        def work() -> None:
            self._worker = threading.get_ident()
            try:
                outcome.append((call(), None))
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                outcome.append((None, error))
            finally:
                self._worker = None
                done.set()

        def stop() -> None:
            """End the call: by its statement, or else by its socket, so that no later call meets it."""
            is_cancelled = False
            try:
                cancel()
                is_cancelled = done.wait(_PATIENCE)
            finally:  # a second interruption, too
                if not is_cancelled:
                    hang_up(self)
            done.wait()

        thread = threading.Thread(target=work, name="sspcloud-mariadb", daemon=True)
        try:
            thread.start()
            while not done.wait(_LOOK_SECONDS):
                if expired():
                    stop()
        except BaseException:
            if thread.ident is not None and not done.is_set():
                stop()
            raise
        result, error = outcome[0]
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # of the call


_PATIENCE = 10.0
"""The seconds that a cancelled statement may take to end, before the connection is closed."""


def log_in(turn: Turn, login: Login) -> Session:
    """Log in, with TLS if the server offers it.

    Raises
    ------
    pymysql.Error
        If the server cannot be reached or refuses the login.
    """
    return Session(
        turn,
        host=login.address or login.host,
        port=login.port,
        user=login.user,
        password=login.password.reveal().encode(),  # PyMySQL would encode a string as Latin-1
        database=login.dbname,
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=max(1, round(login.timeout)),
        auth_plugin_map=dict.fromkeys(_CLEAR_TEXT, _RefusedPlugin),
        program_name="sspcloud-magics",
        # Count the matched rows of an UPDATE, as PostgreSQL does.
        client_flag=CLIENT.FOUND_ROWS,
    )


def protection(session: Session) -> Tls:
    """Return the encryption of a session; the certificate is never verified, since no chart has one."""
    return Tls.UNVERIFIED if session._secure else Tls.ABSENT  # noqa: SLF001 - PyMySQL does not say otherwise


def kill_query(login: Login, thread_id: int) -> None:
    """End the statement of a session through a second one."""
    with suppress(pymysql.Error):  # the statement may have ended, or the server is gone
        other = log_in(Turn(), login)
        try:
            other.query(f"KILL QUERY {thread_id:d}")
        finally:
            other.close()


def has_ended(session: Session) -> bool:
    """Whether the server has closed an idle session, without a round trip."""
    if not session.open:
        return True
    try:
        readable, _writable, _failed = select.select([session._sock], [], [], 0)  # noqa: SLF001 - the idle socket has nothing to read
    except (OSError, ValueError):  # closed by another thread
        return True
    return bool(readable)


def hang_up(session: Session) -> None:
    """Shut down the socket of a session that another thread uses; only that thread may close the session."""
    with suppress(OSError, AttributeError):
        session._sock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001


def leave_to_parent(session: Session) -> None:
    """Detach this process from a session of its parent: close() would end it there."""
    with suppress(OSError, AttributeError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, session._sock.fileno(), inheritable=False)  # noqa: SLF001
        os.close(nowhere)
