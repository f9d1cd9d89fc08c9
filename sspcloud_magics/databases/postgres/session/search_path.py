"""The pinned search path, with which this package runs its own statements.

PostgreSQL looks up unqualified names, operators included, along ``search_path``. If a colleague may create objects in
a schema of that path, they decide what a name means: a function ``public.count(integer)`` is a better match than
``pg_catalog.count("any")``, and runs with the privileges of the caller. So the statements of this package run with
only ``pg_catalog`` on the path. Names that the user typed are resolved with the user's path before that.

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
from sspcloud_magics.i18n import _

PATH = "pg_catalog, pg_temp"
"""The pinned path. Temporary objects come last, and only the session itself can create them."""

_SET = f"SET LOCAL search_path = {PATH}; SET LOCAL lock_timeout = '5s'"
_TRANSACTION = f"BEGIN READ ONLY; {_SET}".encode(), b"ROLLBACK"
_SAVEPOINT = (
    f"SAVEPOINT sspcloud_pinned; {_SET}".encode(),
    b"ROLLBACK TO SAVEPOINT sspcloud_pinned; RELEASE SAVEPOINT sspcloud_pinned",
)


@contextmanager
def pin_search_path(session: psycopg.Connection[Any]) -> Iterator[None]:
    """Pin the search path for reads of the catalogue in a user's session, and restore it afterwards.

    Raises
    ------
    QueryFailed
        If the open transaction has failed, so that the server refuses reads.
    """
    status = session.pgconn.transaction_status
    if status == pq.TransactionStatus.INERROR:
        raise QueryFailed(
            _("The open transaction has failed, so nothing can be read in it."),
            hint=_("end it with %query_db --rollback"),
        )
    begin, end = _TRANSACTION if status == pq.TransactionStatus.IDLE else _SAVEPOINT
    try:
        session.execute(begin)  # after an interruption it may have run all the same
        yield
    finally:
        result_reader.settle(session)  # an interruption may have left a statement running
        if not session.closed:
            session.execute(end)
