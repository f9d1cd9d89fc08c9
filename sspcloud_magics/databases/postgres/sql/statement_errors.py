"""Error hints that need the connection: a similar name, and the reason for a read-only session."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg

from sspcloud_magics.databases.postgres.session import pg_errors
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.session.pg_errors import ONLY_READS
from sspcloud_magics.databases.postgres.session.search_path import pin_search_path
from sspcloud_magics.databases.postgres.sql import name_cache
from sspcloud_magics.databases.postgres.sql_lexer import Statement
from sspcloud_magics.errors import DatabaseError, QueryFailed
from sspcloud_magics.i18n import _

# Servers before version 14 report neither.
_STANDBY, _READS_ONLY = "in_hot_standby", "default_transaction_read_only"
_SET_HERE = (
    f"SELECT FROM pg_settings WHERE name = '{_READS_ONLY}' AND setting = 'on' AND source = 'session'".encode()
)


def make_statement_error(
    error: psycopg.Error,
    statement: Statement,
    connection: DatabaseConnection,
    *,
    variables: Mapping[str, Any] | None = None,
    is_ours: bool = False,
) -> QueryFailed:
    """Return this package's error for a failed statement, with a hint that depends on the connection."""
    only_reads = isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
    return pg_errors.make_statement_error(
        error,
        statement,
        near=_near_name(error, statement, connection),
        to_write=_how_to_write(connection) if only_reads else "",
        variables={} if variables is None else variables,
        is_ours=is_ours,
    )


def _near_name(error: psycopg.Error, statement: Statement, connection: DatabaseConnection) -> str:
    from sspcloud_magics.databases.postgres.sql import name_hints  # noqa: PLC0415 - most queries need no hint

    diagnosis = error.diag
    sqlstate = diagnosis.sqlstate or ""
    if sqlstate not in name_hints.KINDS or diagnosis.internal_query:
        return ""
    known = name_cache.get_names_for_hint(connection)
    if not known:
        return ""
    position = diagnosis.statement_position
    offset = None if position is None else statement.offset_as_written(int(position) - 1)
    typed = pg_errors.QUOTED_NAME.findall(diagnosis.message_primary or "")
    return name_hints.find_near_name(name_hints.UnknownName(sqlstate, statement.text, offset, typed), known)


def _how_to_write(connection: DatabaseConnection) -> str:
    """Return the hint for a read-only session: PostgreSQL reports two of the reasons, and the third is the transaction."""
    report: dict[str, str | None] = {}
    is_set_here = _READS_ONLY in connection.settings.kept
    with suppress(psycopg.Error, DatabaseError):  # the session may be busy with the rows of a query
        session = connection.ready()[0]
        report = {name: session.info.parameter_status(name) for name in (_STANDBY, _READS_ONLY)}
        if not connection.in_transaction:
            with pin_search_path(session):
                is_set_here = session.execute(_SET_HERE).fetchone() is not None
    if report.get(_STANDBY) == "on":
        return _(
            "this server is a read-only standby: connect to the primary with %connect_db {path}",
            path=connection.database.path,
        )
    if is_set_here:
        return _(
            "you have set this session to read-only: undo it with %query_db SET {setting} = off",
            setting=_READS_ONLY,
        )
    if connection.in_transaction and report.get(_READS_ONLY) != "on":
        return _("this transaction is READ ONLY: begin one that writes with BEGIN alone")
    return _(ONLY_READS)
