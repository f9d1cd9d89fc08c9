"""Locks that hold up the owner's command: a colleague's session that holds one is ended, any other is named.

A colleague who may change rows may lock the tables that they are in, and the owner of a table may keep it locked. So
while the superuser's session waits, another one asks the server which sessions hold what it waits for
(``pg_blocking_pids``). Sessions of shares are ended. For all others there is ``lock_timeout``, and an error that names
the role and the process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg

from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import QueryFailed, SspcloudError
from sspcloud_magics.sharing.role_sql import SHARE_ROLES

LOCK_TIMEOUT = "10s"
"""How long a statement of sharing waits for a lock: some times the time that it takes to find and end a session."""

_FIRST_LOOK = 1.0
"""After how many seconds the other session is opened; a whole share takes a tenth of that."""

_EVERY = 0.5

_BLOCKING = f"""
SELECT a.pid, coalesce(a.usename::text, 'an internal process'), CASE WHEN s.oid IS NOT NULL THEN pg_terminate_backend(a.pid) ELSE false END
FROM unnest(pg_blocking_pids(%s)) AS b(pid) JOIN pg_stat_activity AS a USING (pid)
LEFT JOIN {SHARE_ROLES} AS s ON s.oid = a.usesysid
"""


@dataclass(slots=True)
class LockWatch:
    """What held up a session.

    Parameters
    ----------
    ended
        The colleagues' sessions that were ended: role and process.
    holder
        The last session that was found to hold what is waited for, in words; empty where none was.
    process
        The process of that session.
    """

    ended: list[tuple[str, int]] = field(default_factory=list)
    holder: str = ""
    process: int = 0


def describe_ended_sessions(watch: LockWatch) -> list[str]:
    """Return what the owner ought to know of the sessions that were ended."""
    return [
        f"A session of {role} (process {process}) held up this command and was ended."
        for role, process in watch.ended
    ]


@contextmanager
def watch_locks(connection: DatabaseConnection) -> Iterator[LockWatch]:
    """Watch what a block waits for, in the superuser's session that runs it.

    Raises
    ------
    QueryFailed
        If a lock was not to be had in `LOCK_TIMEOUT`.
    """
    watch, over = LockWatch(), threading.Event()
    process = connection.psycopg.info.backend_pid
    thread = threading.Thread(
        target=_follow, args=(connection, process, watch, over), name="sspcloud-locks", daemon=True
    )
    thread.start()
    try:
        yield watch
    except psycopg.errors.LockNotAvailable as error:
        over.set()
        thread.join()
        raise QueryFailed(
            f"The database is held up by {watch.holder or 'another session'}.",
            why=f"{(error.diag.message_primary or str(error)).strip()} ({LOCK_TIMEOUT}). Nothing was changed by this step.",
            hint="end its transaction, then run the same command again"
            + (f"\nSELECT pg_terminate_backend({watch.process})" if watch.process else ""),
        ) from None
    finally:
        over.set()
        thread.join()


def _follow(connection: DatabaseConnection, process: int, watch: LockWatch, over: threading.Event) -> None:
    if over.wait(_FIRST_LOOK):
        return
    # Without another session nothing is ended, and the error names no holder: the command itself goes on.
    with suppress(psycopg.Error, SspcloudError):
        beside = connection.copy_connection()
        try:
            while not over.is_set():
                for holder, role, ended in beside.psycopg.execute(_BLOCKING, [process]).fetchall():
                    if ended:
                        watch.ended.append((role, holder))
                    else:
                        watch.holder, watch.process = f"a session of {role} (process {holder})", holder
                over.wait(_EVERY)
        finally:
            beside.close()
