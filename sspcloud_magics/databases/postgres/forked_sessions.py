"""Detachment of a forked child from the sessions of its parent.

``multiprocessing`` forks on Linux. The child inherits all sessions and shares their sockets: either process could read
the answer to a query of the child, and at exit libpq would terminate the parent's sessions. So the child replaces
its sockets with the null device at once, and its connections log in again at their first query.

The child closes nothing, since libpq and OpenSSL would send data. It keeps the inherited objects until it exits.
"""

from __future__ import annotations

import contextlib
import os
import threading
from types import TracebackType
from typing import Any, NoReturn, cast

import psycopg

from sspcloud_magics import fork_hooks
from sspcloud_magics.databases.postgres import libpq
from sspcloud_magics.i18n import _

# Keeps the inherited objects alive, since their destructors would use the parent's sessions.
_parents: list[object] = []


class _ParentsTurn:
    """The lock of an inherited session, which refuses each use by psycopg."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> NoReturn:
        raise psycopg.OperationalError(
            _(
                "this session with {place} belongs to the parent process: call ssp.connection() for a new one",
                place=self._place,
            )
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Never called."""


def is_parents(session: psycopg.Connection[Any]) -> bool:
    """Whether a session belongs to the parent process."""
    return isinstance(session.lock, _ParentsTurn)


def leave_to_parent(session: psycopg.Connection[Any], place: str, *more: object) -> None:
    """Detach this process from an inherited session with the database `place`.

    `more` are objects whose destructors would end the session's queries.
    """
    _parents.extend([session, *more])
    session.lock = cast("threading.Lock", _ParentsTurn(place))
    with contextlib.suppress(psycopg.Error):  # the session is closed
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, session.pgconn.socket, inheritable=False)
        os.close(nowhere)


def _reset_in_child() -> None:
    libpq._environment = threading.Lock()  # noqa: SLF001 - a thread that does not exist in the child may hold it


fork_hooks.call_in_child(_reset_in_child)
