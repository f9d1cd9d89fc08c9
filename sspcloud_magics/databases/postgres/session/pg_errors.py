"""Conversion of errors of PostgreSQL and libpq into this package's errors, with hints.

The server's message is always quoted, in some languages after an explanation (`sqlstates`). Connection parameters never are, since the password is one of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import psycopg

from sspcloud_magics.databases.connection_errors import make_lost, make_unavailable, quote_refusal
from sspcloud_magics.databases.postgres.session import sqlstates
from sspcloud_magics.databases.postgres.sql_hints import find_slip_hint, find_variable_hint
from sspcloud_magics.databases.postgres.sql_lexer import Statement
from sspcloud_magics.errors import (
    ConnectionLost,
    DatabaseError,
    DatabaseNotTrusted,
    DatabaseUnavailable,
    LoginRefused,
    QueryFailed,
)
from sspcloud_magics.i18n import N_, _, quote_words
from sspcloud_magics.printable import shorten
from sspcloud_magics.secret import Secret

_SEVERITY = re.compile(r"^(?:connection .*? failed: )?(?:(?:FATAL|ERROR|PANIC): +)?", re.DOTALL)
_GUESSES = re.compile(
    r"^(?:consuming input|sending query|flushing) failed: |\s*This probably means.*", re.DOTALL
)

_NAME_DATABASE = N_("name {known} with --database")

# Messages of libpq about failed logins, which have no SQLSTATE. The first match applies.
_LOGINS: tuple[tuple[str, type[DatabaseError], str, str], ...] = (
    (
        r"(?:password|SASL) authentication failed|role \".*\" does not exist|is not permitted to log in",  # not translated: a pattern
        LoginRefused,
        N_("{place} refuses the user {user}."),
        N_("check the user and the password; if a share has expired, ask the owner to share it again"),
    ),
    (
        r"no pg_hba.conf entry|pg_hba.conf rejects|permission denied for database",  # not translated: a pattern
        LoginRefused,
        N_("{place} does not allow the user {user} to connect."),
        N_("ask the owner which database the user may connect to"),
    ),
    (
        r"database \".*\" does not exist",  # not translated: a pattern
        LoginRefused,
        N_("{place} has no database {dbname}."),
        _NAME_DATABASE,
    ),
    (
        r"too many (?:clients|connections)|remaining connection slots",  # not translated: a pattern
        DatabaseUnavailable,
        N_("{place} has no connection left: its limit is reached."),
        N_("close unused connections, such as those of other notebooks, then try again"),
    ),
    (
        r"unsupported startup parameter",  # not translated: a pattern
        DatabaseUnavailable,
        N_("{place} is behind a pooler that refuses settings at login."),
        N_("connect to the server's own service, not to the pooler"),
    ),
    (
        r"is (?:starting up|shutting down|in recovery)|not (?:yet )?accepting connections",  # not translated: a pattern
        DatabaseUnavailable,
        N_("{place} accepts no connections at the moment."),
        N_("try again in a few seconds"),
    ),
    (
        r"server does not support SSL",  # not translated: a pattern
        DatabaseNotTrusted,
        N_("{place} offers no TLS: it cannot prove its identity, so nothing was sent to it."),
        N_("ask the owner whether TLS was switched off"),
    ),
    (
        r"SSL error: unexpected eof|SSL SYSCALL error",  # not translated: a pattern
        DatabaseUnavailable,
        N_("The connection to {place} was closed before the login."),
        N_(
            "check the tunnel with %forwards; for a colleague's database, ask whether it is still shared with you"
        ),
    ),
    (
        r"certificate|SSL error|does not match host name",  # not translated: a pattern
        DatabaseNotTrusted,
        N_("The certificate of {place} cannot be trusted, so nothing was sent to it."),
        N_("if the database was reinstalled, connect again to read its new certificate authority"),
    ),
    (
        r"authentication method requirement|auth method .* requirement failed",  # not translated: a pattern
        DatabaseNotTrusted,
        N_("{place} proves its identity neither by a certificate nor by SCRAM."),
        N_("ask the owner for a share, which contains the certificate authority to verify it with"),
    ),
    (
        r"timeout expired|connection timeout",  # not translated: a pattern
        DatabaseUnavailable,
        N_("{place} did not answer in time."),
        N_("try again; check the tunnel with %forwards"),
    ),
)


def make_login_error(
    error: psycopg.Error,
    *,
    place: str,
    user: str,
    dbname: str,
    known: str = "",
    password: Secret | None = None,
) -> DatabaseError:
    """Return this package's error for a failed login.

    Parameters
    ----------
    error
        psycopg's error.
    place, user, dbname
        The name of the database in the cluster, the role, and the database inside the server.
    known
        A database that exists inside the server.
    password
        The password of the login: a message that contains it is not quoted.
    """
    full = _SEVERITY.sub("", str(error).strip()).strip()
    message = shorten(full)
    why = quote_refusal(full, password)
    for pattern, kind, what, hint in _LOGINS:
        if re.search(pattern, message):
            return kind(
                _(what, place=place, user=user, dbname=dbname),
                why=why,
                hint=_("name another one with --database")
                if hint is _NAME_DATABASE and not known
                else _(hint, known=known),
            )
    return make_unavailable(place, why)


def get_reason(error: psycopg.Error) -> str:
    """Return the reason for the end of a connection, as the server or libpq reports it."""
    return shorten(_GUESSES.sub("", _SEVERITY.sub("", str(error).strip())).strip())


def make_connection_error(
    error: psycopg.Error, *, place: str, in_transaction: bool = False
) -> ConnectionLost:
    """Return this package's error for a connection that ended during use."""
    return make_lost(place, quote_words(get_reason(error)), in_transaction=in_transaction)


ONLY_READS = N_("this login is read-only: ask the owner to share the database with --read-write")
QUOTED_NAME = re.compile(r"[\"«»„“]\s?([^\"«»„“”]+?)\s?[\"«»“”]")
"""A quoted name in a message of PostgreSQL, which uses the quotation marks of its language."""


def make_statement_error(
    error: psycopg.Error,
    statement: Statement,
    *,
    near: str = "",
    to_write: str = "",
    variables: Mapping[str, Any] = MappingProxyType({}),
    is_ours: bool = False,
) -> QueryFailed:
    """Return this package's error for a failed statement, with the error position marked below its line.

    Parameters
    ----------
    error, statement
        psycopg's error, and the statement.
    near
        The existing name that is most similar to the unknown one; empty if there is none.
    to_write
        The hint for a statement that failed because the session is read-only; empty for the usual one.
    variables
        The user's variables, which the statement could have named.
    is_ours
        Whether this package wrote the statement: the error then shows no position.
    """
    diagnosis = error.diag
    what = sqlstates.describe(error)
    parts = []
    if (position := diagnosis.statement_position) is not None and not is_ours:
        offset = statement.offset_as_written(int(position) - 1)
        parts.append(mark_line(statement.text, offset, first_line=statement.line))
    elif diagnosis.internal_query and diagnosis.internal_position:
        parts.append(shorten(mark_line(diagnosis.internal_query, int(diagnosis.internal_position) - 1)))
    parts += [quote_words(shorten(words)) for words in (diagnosis.message_detail, diagnosis.context) if words]
    steps = [quote_words(shorten(diagnosis.message_hint))] if diagnosis.message_hint else []
    if meant := _find_hint(error, statement, near, {} if is_ours else variables, is_ours=is_ours):
        steps = [meant]
    if diagnosis.sqlstate is None:  # raised by psycopg, for a value such as the time 24:00
        steps.append(_("cast the column to text, which can represent every value: column::text"))
    if isinstance(error, psycopg.errors.InFailedSqlTransaction):
        steps.append(_("an earlier statement of this transaction failed: ROLLBACK, then start again"))
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        steps = [to_write or _(ONLY_READS)]
    failed = QueryFailed(f"{what} (SQLSTATE {diagnosis.sqlstate})" if diagnosis.sqlstate else what)
    failed.sqlstate, failed.near = diagnosis.sqlstate, near
    failed.why, failed.hint = "\n".join(parts), "\n".join(steps)
    return failed


def _find_hint(
    error: psycopg.Error, statement: Statement, near: str, variables: Mapping[str, Any], *, is_ours: bool
) -> str:
    """Return one hint: a name that differs only in case, else a common mistake, else a similar name, else a variable."""
    what = error.diag.message_primary or ""
    if near and near.strip('"').casefold() in map(str.casefold, QUOTED_NAME.findall(what)):
        return _("did you mean {near}?", near=near)
    slip = "" if is_ours else find_slip_hint(statement.text, error.diag.sqlstate or "", what, variables)
    # The server's own hint knows everything that is in scope.
    knows_better = isinstance(error, psycopg.errors.UndefinedColumn) and error.diag.message_hint
    if slip or knows_better:
        return slip
    if near:
        return _("did you mean {near}?", near=near)
    return find_variable_hint(error.diag.sqlstate or "", what, variables)


def mark_line(text: str, offset: int, *, first_line: int = 1) -> str:
    r"""Return the line of `text` at `offset` with its number, and a mark below the character.

    Parameters
    ----------
    text, offset
        The text, and the position in it, in characters from 0.
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
