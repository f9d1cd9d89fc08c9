"""A cache of the names in each connection's database, for completion and for hints after an error.

Completion refreshes it in the background. A hint uses the cache, and refreshes it if it is empty, or if a statement may
have changed the names since.
"""

from __future__ import annotations

import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sspcloud_magics.errors import SspcloudError

if TYPE_CHECKING:
    from sspcloud_magics.databases.connection import Connection
    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
    from sspcloud_magics.databases.sql_names import SchemaNames


@dataclass(frozen=True, slots=True)
class CachedNames:
    """The names of a connection's database, at one time."""

    names: SchemaNames | None  # the names; None if they could not be read
    changes: int  # the value of `DatabaseConnection.changes` at that time
    when: float  # the time by the monotonic clock


_READ: weakref.WeakKeyDictionary[Connection, CachedNames] = weakref.WeakKeyDictionary()


def last_read(connection: Connection) -> CachedNames | None:
    """Return the cached names; None if they were never read."""
    return _READ.get(connection)


def keep(connection: DatabaseConnection, names: SchemaNames | None, changes: int) -> None:
    """Cache names, with the number of changes before they were read."""
    _READ[connection] = CachedNames(names, changes, time.monotonic())


def get_names_for_hint(connection: DatabaseConnection) -> SchemaNames | None:
    """Return the names for a hint after a failed statement, in the turn of that statement.

    Inside a transaction only the cache is used, since the transaction may have failed.
    """
    import psycopg  # noqa: PLC0415 - completion uses the cache before any database

    from sspcloud_magics.databases.postgres.sql import schema_names  # noqa: PLC0415

    held = last_read(connection)
    is_current = held is not None and held.names is not None and held.changes == connection.changes
    if not is_current and not connection.in_transaction:
        with suppress(psycopg.Error, SspcloudError):  # a missing hint must not hide the error itself
            changes, session = connection.changes, connection.ready()[0]
            with connection.with_settings():
                read = schema_names.read(session)
            keep(connection, read, changes)
            held = last_read(connection)
    return None if held is None else held.names
