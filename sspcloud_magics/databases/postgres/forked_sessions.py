"""A forked child and the sessions of its parent.

``multiprocessing`` forks on Linux. The child has copies of all sessions, whose sockets are its parent's: what it sent would be answered to
the process that reads first, and at its end libpq would say goodbye in its parent's name. So the child's copies of the sockets lead nowhere from the
first moment on, and its connections log in by themselves when they are asked.

Nothing is closed in the child: libpq would send, and OpenSSL too. The copies are kept until it ends.
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

_parents: list[object] = []


class _ParentsTurn:
    """Instead of the lock of a session that is the parent's: psycopg takes it before each use."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> NoReturn:
        raise psycopg.OperationalError(
            f"this session with {self._place} is the parent process's: ssp.connection() gives this process its own"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Never called."""


def is_parents(session: psycopg.Connection[Any]) -> bool:
    """Whether a session was left to the parent process."""
    return isinstance(session.lock, _ParentsTurn)


def leave_to_parent(session: psycopg.Connection[Any], place: str, *more: object) -> None:
    """Cut this process off a session that it has inherited.

    Parameters
    ----------
    session
        The session.
    place
        The name of its database.
    more
        What would end the session's queries if it were collected.
    """
    _parents.extend([session, *more])
    session.lock = cast("threading.Lock", _ParentsTurn(place))
    with contextlib.suppress(psycopg.Error):  # it was closed
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, session.pgconn.socket, inheritable=False)
        os.close(nowhere)


def _begin_in_child() -> None:
    libpq._environment = threading.Lock()  # noqa: SLF001 - a thread that the child does not have may hold it


fork_hooks.in_child(_begin_in_child)
