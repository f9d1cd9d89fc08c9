"""Waiting for the server such that an interruption leaves the connection to the caller.

When it is interrupted, psycopg's `Connection.wait` cancels the query and continues to wait. If the query ended at the
same moment, psycopg 3.3.9 takes its end for an error and closes the connection. Here an interruption is only raised:
the caller cancels the query and reads the remaining results.
"""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen

_T = TypeVar("_T")
_LOOK_SECONDS = 0.1  # the interval at which Python can raise an interruption


def wait_for(connection: psycopg.Connection[Any], steps: PQGen[_T], timeout: float | None = None) -> _T:
    """Run a generator of psycopg's protocol to its end, and return its result; `timeout` is in seconds.

    Raises
    ------
    psycopg.Error
        If the server or libpq reports an error, or the timeout expires.
    KeyboardInterrupt
        If the user interrupts. The query still runs: the caller has to cancel it.
    """
    if timeout is None:
        return waiting.wait(steps, connection.pgconn.socket, _LOOK_SECONDS)
    return waiting.wait(steps, connection.pgconn.socket, _LOOK_SECONDS, timeout)
