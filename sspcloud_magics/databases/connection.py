"""The connection to one database, of any kind: its route, its forward, its turns and its display.

A kind of database adds the session: how it logs in, and what a statement does (`sspcloud_magics.databases.kinds`).
Threads take turns at the session (`session_lock`), and a transaction block is one turn.
While a query is read in chunks, no other query can be sent.
"""

from __future__ import annotations

import html
import inspect
import logging
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

from sspcloud_magics.databases import credentials
from sspcloud_magics.databases.credentials import DatabaseCredentials
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.login import Login, Tls
from sspcloud_magics.databases.route import Route
from sspcloud_magics.databases.session_lock import Turn
from sspcloud_magics.errors import ClusterError, ConnectionBusy, CredentialsNotFound, NotConnected
from sspcloud_magics.i18n import N_, _, format_number
from sspcloud_magics.printable import printable
from sspcloud_magics.target import PortText, Target

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.forwards.forward import Forward
    from sspcloud_magics.forwards.lease import Lease
    from sspcloud_magics.forwards.manager import ForwardManager

_log = logging.getLogger(__name__)

_PROTECTION = {
    Tls.VERIFIED: N_("TLS, the server's certificate verified"),
    Tls.UNVERIFIED: N_("TLS, the server's certificate not verified: its authority could not be read"),
    Tls.ABSENT: N_("no TLS to the server, which offers none; the tunnel itself is encrypted"),
}


class Began(Protocol):
    """An open transaction block."""

    @property
    def began(self) -> float:
        """The start by the monotonic clock."""


class Connection(ABC):
    """A connection to one database, with one session at a time.

    Parameters
    ----------
    login
        The login parameters. The lease of `reach` replaces the address and the port.
    route
        The route to the server; None if none was selected.
    reach
        Leases a forward to the server, which `close` releases; None if `login` needs no forward.
    renew
        Returns current login parameters before each new login; None if they do not change.
    """

    # The encryption of the session; each login sets it.
    tls: Tls
    # The database inside the server, if neither the credentials nor the discovery name one.
    usual_dbname = ""
    # What to type next; a command ends before three blanks.
    _next_steps = (
        N_("%tables   lists the tables that you may read"),
        N_("%query_db SELECT …   returns rows as a DataFrame"),
    )

    def __init__(
        self,
        database: Database,
        login: Login,
        *,
        route: Route | None = None,
        reach: Callable[[], Lease] | None = None,
        renew: Callable[[Login], Login] | None = None,
    ) -> None:
        self.database = database
        self.route = route
        self._renew = renew
        self._login = login
        self._reach = reach
        self._closed = True  # until the first login succeeds
        # Threads take turns at the session and at the state below.
        self.turn = Turn(self._refuse_to_wait)
        # The open transaction and its savepoints, the outermost first.
        self._blocks: Sequence[Began] = []
        # The seconds that a thread waits for the end of another one's transaction block. Without a limit, a block that
        # waits for its own workers would never end: they wait for the block.
        self.patience = 30.0
        # The query that is read in chunks, and the object that reads it.
        self._rows: Generator[Any, None, None] | None = None
        self._reader: weakref.ref[object] | None = None
        # Counts statements that may change names or settings, so that caches know when they are stale.
        self.changes = 0
        self._lease: Lease | None = None
        # Whether the session belongs to the parent process; set in a forked child until its own login.
        self._is_inherited = False

    @property
    def user(self) -> str:
        """The role that is logged in."""
        return self._login.user

    @property
    def dbname(self) -> str:
        """The database inside the server."""
        return self._login.dbname

    @property
    def login(self) -> Login:
        """The login as it was last read, for another program's connection through the same route."""
        return self._login

    def renew_login(self) -> None:
        """Read the login again: a share may have a new password."""
        if self._renew is not None:
            found = self._renew(self._login)
            self._login = replace(found, address=self._login.address, port=self._login.port)

    @property
    def closed(self) -> bool:
        """Whether `close` was called; a lost connection is not closed, since it reconnects."""
        return self._closed

    @property
    def forward(self) -> Forward | None:
        """The forward to the server; None if the connection needs none, or is closed."""
        return None if self._lease is None else self._lease.forward

    @property
    def protection(self) -> str:
        """The encryption of the session, as text."""
        return _(_PROTECTION[self.tls])

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether a transaction is open; reliable only in the thread that has the turn."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Self]:
        """Run a block in a transaction: commit at its end, or roll back after an error."""

    @classmethod
    def open(
        cls,
        cluster: Cluster,
        manager: ForwardManager,
        database: Database,
        used: DatabaseCredentials,
        *,
        dbname: str | None = None,
        timeout: float = 30.0,
        route: Route | None = None,
        **more: Any,
    ) -> Self:
        """Connect to a database.

        Parameters
        ----------
        cluster, manager
            The cluster, and the manager that opens the forward.
        database, used
            The database, and the credentials to log in with.
        dbname
            The database inside the server; None for the one that the credentials or the discovery name.
        timeout
            The timeout of the forward and of the login, in seconds each.
        route
            The route to the server; None for a forward to its service.
        **more
            Further fields of the `Login`, which only some kinds of databases have.

        Raises
        ------
        LoginRefused, DatabaseUnavailable, DatabaseNotTrusted
            If the login fails.
        TargetError, ForwardError, ClusterError
            If the server cannot be reached.
        """
        login = Login(
            host=f"{database.service}.{database.namespace}.svc",
            port=database.port,
            user=used.user,
            password=used.password,
            dbname=dbname or used.dbname or database.database or cls.usual_dbname,
            timeout=timeout,
            **more,
        )
        if route is None:
            target = Target(database.namespace, "service", database.service)
            route = Route("forward", "", target, database.port)
        renew = partial(_share_again, cluster, database) if database.access else None
        if route.target is None:
            return cls(database, replace(login, address=route.address), route=route, renew=renew)
        reach = partial(manager.lease, cluster, route.target, PortText(route.port), timeout=timeout)
        return cls(database, login, route=route, renew=renew, reach=reach)

    def copy_connection(self) -> Self:
        """Return another connection with the same login, route and settings; close it after use.

        Raises
        ------
        LoginRefused, DatabaseUnavailable, DatabaseNotTrusted, ForwardError
            If the login fails.
        """
        return type(self)(self.database, self._login, route=self.route, reach=self._reach, renew=self._renew)

    def close(self) -> None:
        """End the session, and release the forward. Closing twice has no effect.

        A query that runs in another thread fails with the end of the connection.
        """
        if self._closed:
            return
        self._closed = True
        _log.info("%s: the session ends", self.database.path)
        with self.turn.if_free() as is_taken:
            self._end_session(is_idle=is_taken)
        self._give_up()

    @abstractmethod
    def _end_session(self, *, is_idle: bool) -> None:
        """End the session; if it is not idle, another thread uses it."""

    def reset_in_child(self) -> None:
        """Leave the session to the parent process after a fork; the child logs in at its first query."""
        self._leave_to_parent()
        self.turn = Turn(self._refuse_to_wait)
        self._blocks, self._rows = [], None
        self._lease = None
        self._is_inherited = True

    @abstractmethod
    def _leave_to_parent(self) -> None:
        """Let go of the session without a word to the server."""

    def apply_defaults(self, search_path: str | None, time_zone: str | None) -> None:  # noqa: B027 - most kinds have none
        """Apply the session's defaults from the next query on; a kind without such a setting ignores it."""

    @contextmanager
    def protect_transaction(self) -> Iterator[None]:
        """Protect an open transaction from the end of a query that is read in chunks."""
        yield

    def lend(self, rows: Generator[Any, None, None], reader: object) -> None:
        """Refuse other queries until these rows are read to the end, are closed, or lose their reader.

        The reader is a weak reference, since an interruption may skip the body of its destructor.
        """
        self._rows, self._reader = rows, weakref.ref(reader)

    def forget(self, rows: Generator[Any, None, None]) -> None:
        """Close rows that have lost their reader: now, or before the next query if another thread has the turn.

        For destructors, which must not wait for another thread.
        """
        if self._rows is rows:
            with self.turn.if_free() as is_taken:
                if is_taken:
                    self.stop_reading()

    def stop_reading(self) -> None:
        """Discard the rest of a query that is read in chunks; call it in a turn."""
        rows, self._rows = self._rows, None
        if rows is not None:
            rows.close()

    def _stop_unread(self) -> None:
        """Discard rows that are no longer read.

        Raises
        ------
        ConnectionBusy
            If they still have a reader.
        """
        if self._rows is not None and inspect.getgeneratorstate(self._rows) == inspect.GEN_CLOSED:
            self._rows = None
        # Even if all rows have arrived: the reader would take the result of another query for its own.
        if self._rows is not None and self._reader is not None and self._reader() is not None:
            raise ConnectionBusy(
                _("Another query on {path} is still being read in chunks.", path=self.database.path),
                hint=_("read its chunks to the end, or discard the rest: chunks.close()"),
            )
        self.stop_reading()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise NotConnected(
                _("The connection to {path} is closed.", path=self.database.path),
                hint=_("connect again: %connect_db {path}", path=self.database.path),
            )

    def _refuse_to_wait(self, seconds: float) -> None:
        """Raise if this thread has waited too long for the end of another thread's transaction block."""
        blocks = self._blocks[:1]
        if blocks and min(seconds, time.monotonic() - blocks[0].began) > self.patience:
            raise ConnectionBusy(
                _("Another thread has a transaction open on {path}.", path=self.database.path),
                why=_(
                    "It did not end within {patience} s, and only the thread that began it can use the session.",
                    patience=format_number(self.patience, 0),
                ),
                hint=_("end the transaction, or do all of its work in the thread that began it"),
            )

    def _lease_forward(self) -> None:
        """Lease a forward for the next login, and set the login's address."""
        if self._reach is not None:
            lease = self._reach()
            self._give_up()  # the previous session's lease; the same forward stays open
            self._lease = lease
            self._login = replace(self._login, address="127.0.0.1", port=lease.forward.local_port)

    def _give_up(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def _facts(self) -> list[tuple[str, str]]:
        facts = [
            (_("user"), self.user),
            (_("database"), self.dbname),
            (_("protection"), self.protection),
        ]
        if self.forward is not None:
            facts.append(
                (_("through"), f"{self.forward.address}:{self.forward.local_port} → {self.forward.target}")
            )
        if self.route is not None and self.route.why:
            facts.append((_("route"), str(self.route)))
        return facts

    @property
    def _headline(self) -> str:
        state = _("closed") if self._closed else _("connected as {user}", user=self.user)
        return _("{path} ({kind}): {state}", path=self.database.path, kind=self.database.kind, state=state)

    def _cautions(self) -> list[str]:
        """Return what must stay in sight: the encryption, if it is not the expected one."""
        return [] if self.tls is Tls.VERIFIED else [self.protection]

    def __repr__(self) -> str:
        steps = [] if self._closed else [*self._cautions(), *(f"→ {_(step)}" for step in self._next_steps)]
        return printable("\n".join([self._headline, *steps]))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002 - IPython's signature
        parts = [f"<strong>{html.escape(self._headline)}</strong>"]
        if not self._closed:
            parts += [f"<div>{html.escape(caution)}</div>" for caution in self._cautions()]
            steps = "".join(_show_step(_(step)) for step in self._next_steps)
            rows = "".join(_row(name, value) for name, value in self._facts())
            facts = f'<table style="margin:.3em 0 0">{rows}</table>'
            summary = html.escape(_("Details"))
            parts.append(f'<ul style="margin:.3em 0;padding-left:1.4em">{steps}</ul>')
            parts.append(f"<details><summary>{summary}</summary>{facts}</details>")
        return {"text/plain": repr(self), "text/html": printable(f"<div>{''.join(parts)}</div>")}


def _show_step(step: str) -> str:
    command, _gap, rest = step.partition("   ")
    return f"<li><code>{html.escape(command)}</code> {html.escape(rest)}</li>"


def _row(name: str, value: str) -> str:
    style = "text-align:left;padding:.1em .8em .1em 0"
    return f'<tr><th style="{style}">{html.escape(name)}</th><td style="{style}">{html.escape(printable(value))}</td></tr>'


def _share_again(cluster: Cluster, database: Database, login: Login) -> Login:
    """Return a login with the current credentials of the share, which change if the owner shares it again.

    Raises
    ------
    CredentialsNotFound
        If the share has ended.
    """
    try:
        used = credentials.read_share(cluster, database)
    except CredentialsNotFound:
        raise
    except ClusterError:
        return login  # the API server does not answer, but the database may be reachable
    return replace(login, user=used.user, password=used.password, ca=used.ca or login.ca)
