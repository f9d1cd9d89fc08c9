r"""COPY between a table and a local file, like psql's ``\copy``.

``COPY … TO STDOUT`` writes a file, and ``COPY … FROM STDIN`` reads one. The statement defines the format, and the bytes
are not parsed here. An interruption or an error leaves no partial file, and no rows in the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from sspcloud_magics.databases.export import Exported, replace_atomically
from sspcloud_magics.databases.postgres.session import pg_errors
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.sql import statement_errors
from sspcloud_magics.databases.postgres.sql_lexer import Statement, statements
from sspcloud_magics.databases.query_options import Progress
from sspcloud_magics.databases.query_result import QueryResult, StatementResult
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.user_files import user_path

BLOCK = 256 << 10
"""The number of bytes to read from a file at a time."""


def direction(sql: str) -> str:
    """Return ``to`` or ``from`` for one COPY to or from the client; empty for any other SQL."""
    found = statements(sql)
    if len(found) != 1 or found[0].words[:1] != ("copy",):
        return ""
    words = frozenset(found[0].words)
    return "to" if "stdout" in words else "from" if "stdin" in words else ""


def copy_to(
    connection: DatabaseConnection,
    sql: str,
    file: Path | str,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write the output of one ``COPY … TO STDOUT`` into a file; its name does not determine the format.

    The exceptions are those of `export.replace_atomically` and of any query.
    """
    file = user_path(file)

    def receive(copy: psycopg.Copy, report: Callable[[int], None]) -> None:
        with partial.open("wb") as opened:
            while block := copy.read():
                opened.write(block)
                report(len(block))

    with replace_atomically(file, overwrite=overwrite) as partial:
        done = _copy(connection, sql, receive, progress)
    return Exported(file, done.statements[0].rows, file.stat().st_size)


def copy_from(
    connection: DatabaseConnection, sql: str, file: Path | str, *, progress: Progress | None = None
) -> QueryResult:
    """Load a file with one ``COPY … FROM STDIN``: all rows or none. The server's error names the line of the file.

    Raises `UsageProblem` if the file cannot be read, and the exceptions of any query.
    """
    file = user_path(file)
    try:
        opened = file.open("rb")
    except OSError as error:
        raise UsageProblem(_("{file} cannot be read.", file=file), why=system_reason(error)) from None

    def send(copy: psycopg.Copy, report: Callable[[int], None]) -> None:
        while block := opened.read(BLOCK):
            copy.write(block)
            report(len(block))

    with opened:
        return _copy(connection, sql, send, progress)


def _copy(
    connection: DatabaseConnection,
    sql: str,
    move: Callable[[psycopg.Copy, Callable[[int], None]], None],
    progress: Progress | None,
) -> QueryResult:
    statement: Statement = statements(sql)[0]
    if statement.names:
        raise UsageProblem(_("COPY takes no parameters."), hint=_("write the values into the statement"))
    began = time.perf_counter()
    size = 0

    def tell(count: int) -> None:
        nonlocal size
        size += count
        if progress is not None:
            progress(0, size, time.perf_counter() - began)

    with connection.turn:
        session, remarks = connection.ready()
        connection.refuse([statement])
        in_transaction = connection.in_transaction
        try:
            with connection.with_settings(), session.cursor() as cursor:
                with cursor.copy(statement.sql.encode()) as copy:
                    move(copy, tell)
                done = StatementResult(cursor.statusmessage or "COPY", max(cursor.rowcount, 0))
        except psycopg.Error as error:
            if session.closed:
                raise pg_errors.make_connection_error(
                    error, place=connection.database.path, in_transaction=in_transaction
                ) from None
            raise statement_errors.make_statement_error(error, statement, connection) from None
    return QueryResult(None, (done,), remarks, time.perf_counter() - began)
