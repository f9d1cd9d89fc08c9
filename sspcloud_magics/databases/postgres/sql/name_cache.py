"""The names of each connection's database, as they were read last: for completion, and for hints after an error.

Completion reads them in the background. A hint takes what is held; where nothing is, or where a statement has changed
what there is since, they are read once more, with a pinned path.
"""

from __future__ import annotations

import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sspcloud_magics.errors import SspcloudError

if TYPE_CHECKING:
    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
    from sspcloud_magics.databases.postgres.sql.schema_names import SchemaNames


@dataclass(frozen=True, slots=True)
class CachedNames:
    """What was read of a connection's database.

    Parameters
    ----------
    names
        The names; None where they could not be read.
    changes
        `DatabaseConnection.changes` at that time.
    when
        By the monotonic clock.
    """

    names: SchemaNames | None
    changes: int
    when: float


_READ: weakref.WeakKeyDictionary[DatabaseConnection, CachedNames] = weakref.WeakKeyDictionary()


def last_read(connection: DatabaseConnection) -> CachedNames | None:
    """Return what was read last; None where nothing was yet."""
    return _READ.get(connection)


def keep(connection: DatabaseConnection, names: SchemaNames | None, changes: int) -> None:
    """Keep what was read, and after how many changes."""
    _READ[connection] = CachedNames(names, changes, time.monotonic())


def names_for_hint(connection: DatabaseConnection) -> SchemaNames | None:
    """Return the names after a statement was refused, in the turn that asked it.

    Inside a transaction nothing is read: it may have failed.
    """
    import psycopg  # noqa: PLC0415 - completion looks names up before a database is used

    from sspcloud_magics.databases.postgres.sql import schema_names  # noqa: PLC0415

    held = last_read(connection)
    is_current = held is not None and held.names is not None and held.changes == connection.changes
    if not is_current and not connection.in_transaction:
        with suppress(psycopg.Error, SspcloudError):  # a hint is a help: the error itself is told
            changes, session = connection.changes, connection.ready()[0]
            with connection.with_settings():
                read = schema_names.read(session)
            keep(connection, read, changes)
            held = last_read(connection)
    return None if held is None else held.names
