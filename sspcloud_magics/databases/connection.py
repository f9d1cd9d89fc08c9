"""The connection to one database: how it is reached, how it is protected, and that it comes back.

`connect` goes the whole way: which database is meant, who may log in, the forward, the login. What it
returns holds one psycopg session in autocommit mode. A session that was found dead between two cells
is made anew, with its settings, and says so; inside a transaction nothing is made anew silently: what was done
in it is gone, and the next statement raises `ConnectionLost`.

One session does one thing at a time: while a query is read in chunks, no other can be sent.
"""

from __future__ import annotations

import html
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import psycopg
from psycopg import pq

from sspcloud_magics.databases import credentials, failures, fetching, libpq
from sspcloud_magics.databases.credentials import Credentials
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.libpq import Login, Tls
from sspcloud_magics.databases.parameters import statements
from sspcloud_magics.databases.route import Route
from sspcloud_magics.databases.settings import Settings
from sspcloud_magics.errors import (
    ClusterError,
    ConnectionBusy,
    CredentialsNotFound,
    NotConnected,
    QueryFailed,
)
from sspcloud_magics.printable import printable
from sspcloud_magics.secret import Secret
from sspcloud_magics.target import PortText, Target

if TYPE_CHECKING:
    from sspcloud_magics.cluster.identity import Cluster
    from sspcloud_magics.forwards.forward import Forward
    from sspcloud_magics.forwards.manager import ForwardManager

Session: TypeAlias = psycopg.Connection[Any]

_PROTECTION = {
    Tls.VERIFIED: "TLS, the server's certificate verified",
    Tls.UNVERIFIED: "TLS, the server's certificate not verified: its authority could not be read",
    Tls.ABSENT: "no TLS to the server, which offers none; the tunnel itself is encrypted",
}


class Reader(Protocol):
    """Reads the rows of a query as they are asked for."""

    def close(self) -> None:
        """Give the rest up."""


_MADE_ANEW = "The connection was lost and is made anew; temporary tables are gone."
_TRANSACTION = (b"BEGIN", b"COMMIT", b"ROLLBACK")
_SAVEPOINT = (
    b"SAVEPOINT sspcloud_block",
    b"RELEASE SAVEPOINT sspcloud_block",
    b"ROLLBACK TO SAVEPOINT sspcloud_block; RELEASE SAVEPOINT sspcloud_block",
)


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
        Opens the way to the server, or returns the one that is open; None where `login` needs none.
    leave
        Gives the way up, when the connection is closed.
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
        reach: Callable[[], Forward] | None = None,
        leave: Callable[[Forward], None] | None = None,
        settings: Settings | None = None,
        renew: Callable[[Login], Login] | None = None,
    ) -> None:
        self.database = database
        self.route = route
        self._renew = renew
        self._login = login
        self._reach = reach
        self._leave = leave
        self._closed = True  # until somebody is logged in
        self._lock = threading.RLock()
        self._blocks = 0
        self._reader: weakref.ref[Reader] | None = None
        self.settings = settings or Settings()
        self.changes = 0
        self.forward: Forward | None = None
        self._session, self.tls = self._log_in()
        self.settings.begin(self._session)
        self._closed = False

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
        """Whether a transaction block is open."""
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
        return self.ready()[0]

    def ready(self) -> tuple[Session, tuple[str, ...]]:
        """Return a session that is alive, and what is to be said of it: that it had to be made anew.

        Raises
        ------
        NotConnected
            If the connection is closed.
        ConnectionBusy
            If a query is read in chunks and is not at its end.
        ConnectionLost
            If it was lost inside a transaction; the next call makes a new one.
        LoginRefused, DatabaseUnavailable, DatabaseNotTrusted, ForwardError
            If no new one can be made.
        CredentialsNotFound
            If it was shared with one, and is not any more.
        """
        with self._lock:
            if self._closed:
                raise NotConnected(
                    f"The connection to {self.database.path} is closed.",
                    mend=f"%connect_db {self.database.path}",
                )
            if self._open_reader() is not None:
                raise ConnectionBusy(
                    f"The rows of another query on {self.database.path} are still being read in chunks.",
                    mend="read them to their end, or give the rest up: chunks.close()",
                )
            in_transaction = self.in_transaction
            ended = _ended(self._session)
            if ended is None:
                return self._session, _refused(self.settings.catch_up(self._session))
            self._session.close()
            if in_transaction or self._blocks:
                raise failures.of_connection(ended, place=self.database.path, in_transaction=True)
            if self._renew is not None:
                self._login = self._renew(self._login)
            self._session, self.tls = self._log_in()
            self.changes += 1
            return self._session, (_MADE_ANEW, *_refused(self.settings.begin(self._session)))

    def lend(self, reader: Reader) -> None:
        """Refuse other queries as long as that one is read."""
        self._reader = weakref.ref(reader)

    def _open_reader(self) -> Reader | None:
        active = self._session.pgconn.transaction_status == pq.TransactionStatus.ACTIVE
        return self._reader() if active and self._reader is not None else None

    def _stop_reading(self) -> None:
        """Give up the rest of a query that is read in chunks: its transaction ends."""
        reader = self._open_reader()
        if reader is not None:
            reader.close()

    @contextmanager
    def transaction(self) -> Iterator[DatabaseConnection]:
        """Commit at the end of the block what was done in it, or roll all of it back after an error.

        Within a transaction it is a savepoint.

        Raises
        ------
        ConnectionLost
            If the connection was lost meanwhile: everything is rolled back then.
        QueryFailed
            If the server does not commit, such as after an error that was caught inside the block.
        """
        session, _ = self.ready()
        begin, keep, drop = _SAVEPOINT if self.in_transaction else _TRANSACTION
        session.execute(begin)
        self._blocks += 1
        try:
            yield self
        except BaseException:
            self._stop_reading()
            if not session.closed:
                session.execute(drop)
            raise
        else:
            self._stop_reading()
            self._end(session, keep)
        finally:
            self._blocks -= 1

    @contextmanager
    def unharmed(self) -> Iterator[None]:
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

    def _end(self, session: Session, keep: bytes) -> None:
        statement = statements(keep.decode())[0]
        ended = _ended(session)
        if ended is not None:
            raise failures.of_connection(ended, place=self.database.path, in_transaction=True)
        if session.pgconn.transaction_status == pq.TransactionStatus.IDLE:
            raise QueryFailed(
                "The transaction was ended inside of its block, by COMMIT or ROLLBACK.",
                mend="leave them out: the block commits at its end, and rolls back after an error",
            )
        try:
            done = session.execute(keep)
        except psycopg.Error as error:
            if session.closed:
                raise failures.of_connection(error, place=self.database.path, in_transaction=True) from None
            if self._blocks == 1:
                session.execute(b"ROLLBACK")
            raise failures.of_statement(error, statement) from None
        self.settings.follow(statement, done.statusmessage or "", in_transaction=self.in_transaction)
        self.changes += 1
        if done.statusmessage == "ROLLBACK":
            raise QueryFailed(
                "Nothing was committed: a statement of the transaction had failed, and all of it is rolled back.",
                mend="let the error end the block, or have the statement that may fail in a block of its own",
            )

    def beside(self) -> DatabaseConnection:
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
            leave=self._leave,
            settings=self.settings.like(),
            renew=self._renew,
        )

    def close(self) -> None:
        """End the session, and give up the way to the server; again and again does no harm."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._session.close()
            self._give_up()

    def _log_in(self) -> tuple[Session, Tls]:
        if self._reach is not None:
            reached = self._reach()
            self._give_up()  # that of the session before; it lives on where it is the same
            self.forward = reached
            self._login = replace(self._login, address="127.0.0.1", port=reached.local_port)
        try:
            session, tls = libpq.log_in(self._login)
            fetching.set_styles(session)
        except psycopg.Error as error:
            refused = failures.of_login(error, place=self.database.path, user=self.user, dbname=self.dbname)
        except BaseException:
            self._give_up()
            raise
        else:
            return session, tls
        self._give_up()
        raise refused

    def _give_up(self) -> None:
        forward, self.forward = self.forward, None
        if forward is not None and self._leave is not None:
            self._leave(forward)

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


def _refused(names: list[str]) -> tuple[str, ...]:
    return (f"The server does not take what was set for {', '.join(names)}.",) if names else ()


def _row(name: str, value: str) -> str:
    style = "text-align:left;padding:.1em .8em .1em 0"
    return f'<tr><th style="{style}">{html.escape(name)}</th><td style="{style}">{html.escape(printable(value))}</td></tr>'


def _ended(session: Session) -> psycopg.Error | None:
    """Return why the server has hung up, as far as it can be told without asking it; None if it has not."""
    try:
        for _ in range(3):  # a farewell of the server may come before the end of its bytes
            session.pgconn.consume_input()
            session.pgconn.is_busy()
    except psycopg.OperationalError as error:
        return error
    return psycopg.OperationalError("the server has closed it") if session.closed else None


def connect(
    cluster: Cluster,
    manager: ForwardManager,
    name: str,
    *,
    namespace: str | None = None,
    user: str | None = None,
    database: str | None = None,
    url: Secret | None = None,
    ask_password: Callable[[str], str] | None = None,
    timeout: float = 30.0,
) -> DatabaseConnection:
    """Connect to a database of the cluster, through a forward.

    Parameters
    ----------
    cluster, manager
        Where it runs, and who makes the forward.
    name
        ``NAME`` or ``NAMESPACE/NAME``; a unique beginning of the name is enough where one may list.
    namespace
        Where it is, if `name` does not say; the cluster's default where None.
    user
        Log in as this user, with a password that `ask_password` asks for.
    database
        The database inside the server; what the secret says where None.
    url
        A libpq URL that says user and password, and may say the database; its host is not used.
    ask_password
        Takes a prompt, returns the password. Nobody is asked where it is None.
    timeout
        How long the forward and the login may take, in seconds each.

    Returns
    -------
    DatabaseConnection
        The connection, ready to be queried.

    Raises
    ------
    DatabaseNotFound, DatabaseHibernated
        If it is not there, or paused.
    CredentialsNotFound
        If no secret can be read and no user is named.
    LoginRefused, DatabaseUnavailable, DatabaseNotTrusted
        If the server does not let one in.
    TargetError, ForwardError, ClusterError
        If the server cannot be reached.

    Examples
    --------
    >>> connection = connect(cluster, manager, "user-alice/postgresql-cnpg-951239")  # doctest: +SKIP
    """
    found, used = credentials.for_database(
        cluster, name, namespace=namespace, user=user, url=url, ask_password=ask_password
    )
    return open_connection(cluster, manager, found, used, dbname=database, timeout=timeout)


def open_connection(
    cluster: Cluster,
    manager: ForwardManager,
    database: Database,
    used: Credentials,
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

    def reach() -> Forward:
        return _enter(manager, cluster, target, port, timeout)

    return DatabaseConnection(database, login, route=route, reach=reach, leave=_leave, renew=renew)


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


# Forwards that connections have opened, and how many use each: the last one out stops it. A forward
# that the user opened is not here, and stays.
_users: weakref.WeakKeyDictionary[Forward, int] = weakref.WeakKeyDictionary()
_users_lock = threading.Lock()


@contextmanager
def entered(
    manager: ForwardManager, cluster: Cluster, target: Target, port: int, timeout: float
) -> Iterator[Forward]:
    """Hold the forward that a connection to that target takes: the same, which stays as long as one of them is open.

    Parameters
    ----------
    manager, cluster
        Who makes the forward, and where.
    target, port
        Where it leads.
    timeout
        How long it may take, in seconds.
    """
    forward = _enter(manager, cluster, target, port, timeout)
    try:
        yield forward
    finally:
        _leave(forward)


def _enter(manager: ForwardManager, cluster: Cluster, target: Target, port: int, timeout: float) -> Forward:
    with _users_lock:
        already = set(map(id, manager.forwards()))
        forward = manager.forward(cluster, target, [PortText(port)], timeout=timeout)
        if forward in _users:
            _users[forward] += 1
        elif id(forward) not in already:
            _users[forward] = 1
        return forward


def _leave(forward: Forward) -> None:
    with _users_lock:
        if forward not in _users:
            return
        _users[forward] -= 1
        if _users[forward] > 0:
            return
        del _users[forward]
    forward.stop()
