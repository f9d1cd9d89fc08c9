"""What PostgreSQL and libpq say when something fails, and what it means for the person who asked.

The server's own words are always quoted; nothing of the connection's parameters is, because the
password is among them.
"""

from __future__ import annotations

import re

import psycopg

from sspcloud_magics.databases.postgres.sql_hints import find_slip_hint
from sspcloud_magics.databases.postgres.sql_lexer import Statement
from sspcloud_magics.errors import (
    ConnectionLost,
    DatabaseError,
    DatabaseNotTrusted,
    DatabaseUnavailable,
    LoginRefused,
    QueryFailed,
)
from sspcloud_magics.printable import shorten
from sspcloud_magics.secret import Secret

_SEVERITY = re.compile(r"^(?:connection .*? failed: )?(?:(?:FATAL|ERROR|PANIC): +)?", re.DOTALL)
_GUESSES = re.compile(
    r"^(?:consuming input|sending query|flushing) failed: |\s*This probably means.*", re.DOTALL
)

# What libpq says about a login that did not succeed: it has no SQLSTATE, only words. The first that fits.
_LOGINS: tuple[tuple[re.Pattern[str], type[DatabaseError], str, str], ...] = (
    (
        re.compile(
            r"(?:password|SASL) authentication failed|role \".*\" does not exist|is not permitted to log in"
        ),
        LoginRefused,
        "{place} refuses the user {user}.",
        "check user and password; a share may have expired: ask the owner to share it again",
    ),
    (
        re.compile(r"no pg_hba.conf entry|pg_hba.conf rejects|permission denied for database"),
        LoginRefused,
        "{place} does not let the user {user} in.",
        "ask the owner which database the user may use",
    ),
    (
        re.compile(r"database \".*\" does not exist"),
        LoginRefused,
        "{place} has no database {dbname}.",
        "name {known} with --database",
    ),
    (
        re.compile(r"too many (?:clients|connections)|remaining connection slots"),
        DatabaseUnavailable,
        "{place} has no connection left: its limit is reached.",
        "close connections that nobody uses (other notebooks hold some), then try again",
    ),
    (
        re.compile(r"unsupported startup parameter"),
        DatabaseUnavailable,
        "{place} is behind a connection pooler that takes no settings at the login, which are needed here.",
        "use the server's own service, without the pooler",
    ),
    (
        re.compile(r"is (?:starting up|shutting down|in recovery)|not (?:yet )?accepting connections"),
        DatabaseUnavailable,
        "{place} accepts no connection at this moment.",
        "try again in some seconds",
    ),
    (
        re.compile(r"server does not support SSL"),
        DatabaseNotTrusted,
        "{place} offers no TLS, so it cannot prove that it is the right server. Nothing was sent to it.",
        "ask the owner whether TLS was switched off there",
    ),
    (
        re.compile(r"SSL error: unexpected eof|SSL SYSCALL error"),
        DatabaseUnavailable,
        "The connection to {place} was cut before anybody could log in.",
        "%forwards shows how the tunnel is; of a colleague's database, ask whether it is still shared with you",
    ),
    (
        re.compile(r"certificate|SSL error|does not match host name"),
        DatabaseNotTrusted,
        "The certificate of {place} cannot be trusted, so nothing was sent to it.",
        "if the database was installed again, connect again to read its new certificate authority",
    ),
    (
        re.compile(r"authentication method requirement|auth method .* requirement failed"),
        DatabaseNotTrusted,
        "{place} does not prove that it knows the password (SCRAM), and nothing else proves that it is the right server.",
        "ask the owner for a share, which holds the certificate authority to check it with",
    ),
    (
        re.compile(r"timeout expired|connection timeout"),
        DatabaseUnavailable,
        "{place} did not answer in time.",
        "try again; %forwards shows how the tunnel is",
    ),
)


def of_login(
    error: psycopg.Error,
    *,
    place: str,
    user: str,
    dbname: str,
    known: str = "",
    password: Secret | None = None,
) -> DatabaseError:
    """Return our error for a login that did not succeed.

    Parameters
    ----------
    error
        psycopg's error.
    place, user, dbname
        The database's name, the user who wanted in, and the database inside the server.
    known
        A database that is inside the server.
    password
        What was shown to the server: words that hold it are not quoted.
    """
    told = _SEVERITY.sub("", str(error).strip()).strip()
    words = said = shorten(told)
    if password and password.reveal() in told:
        # A part of them that is hidden would show, among known words, what the password is.
        words = "Its words hold the password, and are not shown."
    for pattern, kind, what, hint in _LOGINS:
        if pattern.search(said):
            return kind(
                what.format(place=place, user=user, dbname=dbname),
                why=words,
                hint=hint.format(known=known or "another one"),
            )
    return DatabaseUnavailable(
        f"No connection to {place} could be made.",
        why=words,
        hint="%forwards shows how the tunnel is, and %k8s_pods whether the pod is ready",
    )


def reason(error: psycopg.Error) -> str:
    """Return why a connection ended, in the server's or libpq's words."""
    return shorten(_GUESSES.sub("", _SEVERITY.sub("", str(error).strip())).strip())


def of_connection(error: psycopg.Error, *, place: str, in_transaction: bool = False) -> ConnectionLost:
    """Return our error for a connection that ended while it was used."""
    why = reason(error)
    if in_transaction:
        return ConnectionLost(
            f"The connection to {place} was lost inside a transaction, and what was done in it is rolled back.",
            why=why,
            hint="start the transaction again from its BEGIN: the connection is made anew",
        )
    return ConnectionLost(
        f"The connection to {place} ended.",
        why=why,
        hint="run the cell again: the connection is made anew (temporary tables are gone)",
    )


ONLY_READS = "this login only reads: ask the owner to share the database with --read-write"
QUOTED_NAME = re.compile(r"[\"«»„“]\s?([^\"«»„“”]+?)\s?[\"«»“”]")
"""A name in a message of PostgreSQL's, in the quotes of the message's language."""


def of_statement(
    error: psycopg.Error,
    statement: Statement,
    *,
    near: str = "",
    to_write: str = ONLY_READS,
    is_ours: bool = False,
) -> QueryFailed:
    """Return our error for a statement that the server refused, with the place marked under its line.

    Parameters
    ----------
    error
        What the server answered.
    statement
        What was asked.
    near
        The name that is near the one that PostgreSQL does not know; empty where none is.
    to_write
        What makes the session write, where the statement failed since it only reads.
    is_ours
        Whether the statement is ours, and not the user's: no place in it is shown then.
    """
    diagnosis = error.diag
    what = shorten(diagnosis.message_primary or str(error).strip() or type(error).__name__)
    parts = []
    if (position := diagnosis.statement_position) is not None and not is_ours:
        offset = statement.offset_as_written(int(position) - 1)
        parts.append(mark_line(statement.text, offset, first_line=statement.line))
    elif diagnosis.internal_query and diagnosis.internal_position:
        parts.append(shorten(mark_line(diagnosis.internal_query, int(diagnosis.internal_position) - 1)))
    parts += [shorten(words) for words in (diagnosis.message_detail, diagnosis.context) if words]
    steps = [shorten(diagnosis.message_hint)] if diagnosis.message_hint else []
    if meant := _find_hint(error, statement, near, is_ours=is_ours):
        steps = [meant]
    if diagnosis.sqlstate is None:  # said by psycopg, of a value such as the time 24:00
        steps.append("cast the column to text, which holds every value: column::text")
    if isinstance(error, psycopg.errors.InFailedSqlTransaction):
        steps.append("an earlier statement of this transaction failed: ROLLBACK, then start it again")
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        steps = [to_write]
    failed = QueryFailed(f"{what} (SQLSTATE {diagnosis.sqlstate})" if diagnosis.sqlstate else what)
    failed.sqlstate = diagnosis.sqlstate
    failed.why, failed.hint = "\n".join(parts), "\n".join(steps)
    return failed


def _find_hint(error: psycopg.Error, statement: Statement, near: str, *, is_ours: bool) -> str:
    """Return one hint of ours: a name that differs in its case, else a slip, else a name that is near."""
    what = error.diag.message_primary or ""
    if near and near.strip('"').casefold() in map(str.casefold, QUOTED_NAME.findall(what)):
        return f"did you mean {near}?"
    slip = "" if is_ours else find_slip_hint(statement.text, error.diag.sqlstate or "", what)
    # The server saw all that is in scope.
    knows_better = isinstance(error, psycopg.errors.UndefinedColumn) and error.diag.message_hint
    return slip or (f"did you mean {near}?" if near and not knows_better else "")


def mark_line(text: str, offset: int, *, first_line: int = 1) -> str:
    r"""Return the line of `text` where `offset` is, its number, and a mark under the character.

    Parameters
    ----------
    text, offset
        What, and where in it, in characters.
    first_line
        The number of the first line of `text`.

    Examples
    --------
    >>> print(mark_line("select\n  agee\nfrom t", 9))
    2 │   agee
          ^
    """
    offset = max(0, min(offset, len(text)))
    before = text[:offset]
    number = before.count("\n") + first_line
    start = before.rfind("\n") + 1
    end = text.find("\n", offset)
    line = text[start : len(text) if end < 0 else end]
    head = f"{number} │ "
    return f"{head}{line.expandtabs(4)}\n{' ' * (len(head) + len(text[start:offset].expandtabs(4)))}^"
