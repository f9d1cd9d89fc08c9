"""Waiting for the server, so that an interruption leaves the connection to whoever settles it.

psycopg's own `Connection.wait` cancels the query when it is interrupted, and goes on with what it was waiting for. If that had come to
its end in this very moment, it takes the end for an error and closes the connection (psycopg 3.3.9). Here an interruption is
raised and nothing else is done: the caller cancels, and reads what still comes.
"""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen

_T = TypeVar("_T")
_LOOK_SECONDS = 0.1  # how often Python looks whether somebody interrupts


def wait_for(connection: psycopg.Connection[Any], steps: PQGen[_T], timeout: float | None = None) -> _T:
    """Return what a generator of psycopg's protocol comes to.

    Parameters
    ----------
    connection
        Which it works on.
    steps
        The generator.
    timeout
        How many seconds to wait at most; any time where None.

    Raises
    ------
    psycopg.Error
        What the server or libpq says, or that the time is over.
    KeyboardInterrupt
        The query goes on then: the caller has to cancel it.
    """
    if timeout is None:
        return waiting.wait(steps, connection.pgconn.socket, _LOOK_SECONDS)
    return waiting.wait(steps, connection.pgconn.socket, _LOOK_SECONDS, timeout)
