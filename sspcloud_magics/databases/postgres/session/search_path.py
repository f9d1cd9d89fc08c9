"""A pinned search path: the one place that decides what names mean in the statements of this package.

A name without a schema, an operator included, is looked for along ``search_path``. Where a colleague may create in a
schema on that path, they decide what it means: a function ``public.count(integer)`` fits better than
``pg_catalog.count("any")``, and runs with the rights of the caller. So the statements of this package run with
only PostgreSQL's own catalogue on the path. What the user typed is resolved with their path, before that.

Source: PostgreSQL's manual, "Writing SECURITY DEFINER Functions Safely" and CVE-2018-1058.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import pq

from sspcloud_magics.databases.postgres.results import result_reader
from sspcloud_magics.errors import QueryFailed

PATH = "pg_catalog, pg_temp"
"""The pinned path. Temporary objects come last, and only the session itself makes them."""

_SET = f"SET LOCAL search_path = {PATH}; SET LOCAL lock_timeout = '5s'"
_TRANSACTION = f"BEGIN READ ONLY; {_SET}".encode(), b"ROLLBACK"
_SAVEPOINT = (
    f"SAVEPOINT sspcloud_pinned; {_SET}".encode(),
    b"ROLLBACK TO SAVEPOINT sspcloud_pinned; RELEASE SAVEPOINT sspcloud_pinned",
)


@contextmanager
def pin_search_path(session: psycopg.Connection[Any]) -> Iterator[None]:
    """Pin the search path for reads of the catalogue in a user's session; everything is as before afterwards.

    Parameters
    ----------
    session
        The user's session, inside or outside of a transaction.

    Raises
    ------
    QueryFailed
        If the open transaction has failed: nothing can be read in it.
    """
    status = session.pgconn.transaction_status
    if status == pq.TransactionStatus.INERROR:
        raise QueryFailed(
            "The open transaction has failed, so nothing can be read in it.",
            hint="%query_db --rollback",
        )
    begin, end = _TRANSACTION if status == pq.TransactionStatus.IDLE else _SAVEPOINT
    try:
        session.execute(begin)  # interrupted, it may have been done all the same
        yield
    finally:
        result_reader.settle(session)  # an interruption may have left a statement under way
        if not session.closed:
            session.execute(end)
