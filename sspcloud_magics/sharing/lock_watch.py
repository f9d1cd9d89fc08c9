"""Terminate the colleagues' sessions that block the owner's command, and name other sessions that block it.

A colleague who may change rows may lock their tables, and the owner of a table may keep it locked. While the
superuser's session waits for a lock, a second session asks the server which sessions hold it (``pg_blocking_pids``).
It terminates the sessions of shares. All other sessions run into ``lock_timeout``, and the error names the role and
the process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

import psycopg

from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import QueryFailed, SspcloudError
from sspcloud_magics.i18n import _
from sspcloud_magics.sharing.role_sql import SHARE_ROLES

LOCK_TIMEOUT = "10s"
"""Longest wait for a lock: several times what it takes to find and terminate a session."""

_WATCH_DELAY = 1.0
"""Seconds before the second session opens: ten times what a whole share takes, so that it rarely opens."""

_WATCH_INTERVAL = 0.5
"""Seconds between two queries of the second session."""

_BLOCKING = f"""
SELECT a.pid, coalesce(a.usename::text, ''), CASE WHEN s.oid IS NOT NULL THEN pg_terminate_backend(a.pid) ELSE false END
FROM unnest(pg_blocking_pids(%s)) AS b(pid) JOIN pg_stat_activity AS a USING (pid)
LEFT JOIN {SHARE_ROLES} AS s ON s.oid = a.usesysid
"""


@dataclass(slots=True)
class LockWatch:
    """The sessions that blocked a session; filled in by the watching thread."""

    # The terminated sessions of colleagues: role and process.
    ended: list[tuple[str, int]] = field(default_factory=list)
    # The role of the last session found that is not a colleague's; empty for an internal process of the
    # server.
    holder: str = ""
    process: int = 0  # the process of that session; 0 if there was none


def describe_ended_sessions(watch: LockWatch) -> list[str]:
    """Return one sentence per session that was terminated."""
    return [
        _(
            "A session of {role} (process {process}) blocked this command and was ended.",
            role=role,
            process=process,
        )
        for role, process in watch.ended
    ]


def _describe_holder(watch: LockWatch) -> str:
    if not watch.process:
        return _("A lock held by another session blocks this command.")
    if not watch.holder:
        return _(
            "A lock held by an internal process of the server ({process}) blocks this command.",
            process=watch.process,
        )
    return _(
        "A lock held by a session of {role} (process {process}) blocks this command.",
        role=watch.holder,
        process=watch.process,
    )


@contextmanager
def watch_locks(connection: DatabaseConnection) -> Iterator[LockWatch]:
    """Watch the locks that the superuser's session waits for within a block.

    Raises
    ------
    QueryFailed
        If a lock was not granted within `LOCK_TIMEOUT`.
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
            _describe_holder(watch),
            why=_(
                "{message} ({timeout}). This step changed nothing.",
                message=(error.diag.message_primary or str(error)).strip(),
                timeout=LOCK_TIMEOUT,
            ),
            hint=_("end its transaction, then run the same command again")
            + (f"\nSELECT pg_terminate_backend({watch.process})" if watch.process else ""),
        ) from None
    finally:
        over.set()
        thread.join()


def _follow(connection: DatabaseConnection, process: int, watch: LockWatch, over: threading.Event) -> None:
    if over.wait(_WATCH_DELAY):
        return
    # The command does not depend on the watch: without it, no session is terminated and the error names none.
    with suppress(psycopg.Error, SspcloudError), closing(connection.copy_connection()) as second:
        while not over.is_set():
            for holder, role, ended in second.psycopg.execute(_BLOCKING, [process]).fetchall():
                if ended:
                    watch.ended.append((role, holder))
                else:
                    watch.holder, watch.process = role, holder
            over.wait(_WATCH_INTERVAL)
