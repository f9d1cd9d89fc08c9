"""Conversion of MariaDB's and PyMySQL's errors into this package's errors, with hints.

The server's message is always quoted. Connection parameters never are, since the password is one of them.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import pymysql
from pymysql.constants import CR, ER

from sspcloud_magics.databases.connection_errors import make_unavailable, quote_refusal
from sspcloud_magics.errors import (
    ConnectionLost,
    DatabaseError,
    DatabaseUnavailable,
    LoginRefused,
    QueryFailed,
)
from sspcloud_magics.i18n import N_, _, quote_words
from sspcloud_magics.printable import shorten
from sspcloud_magics.secret import Secret

# Numbers of MariaDB that PyMySQL has no constant for.
_SHUTDOWN, _KILLED, _NO_MEMORY_FOR_CONNECTION, _EXPIRED, _LOCKED_ACCOUNT, INTERRUPTED = (
    1053,
    1927,
    1203,
    1820,
    4151,
    1317,
)
_DEADLOCK, _LOCK_TIMEOUT, _READ_ONLY = 1213, 1205, 1792
# LOAD DATA LOCAL: no server may ask this machine for a file.
_NO_LOCAL_FILES = (1148, 4166)

MALFORMED = (RuntimeError, ValueError, IndexError, AssertionError, struct.error)
"""What PyMySQL raises for a reply that is not MariaDB's, or that asks for a file of this machine."""

LOST = frozenset({CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, _SHUTDOWN, _KILLED, 0})
"""The errors of a connection that has ended; 0 is PyMySQL's for a closed one."""

# The first match applies.
_LOGINS: tuple[tuple[frozenset[int], type[DatabaseError], str, str], ...] = (
    (
        frozenset({ER.ACCESS_DENIED_ERROR, _LOCKED_ACCOUNT, _EXPIRED}),
        LoginRefused,
        N_("{place} refuses the user {user}."),
        N_("check the user and the password; if a share has expired, ask the owner to share it again"),
    ),
    (
        frozenset({ER.DBACCESS_DENIED_ERROR, 1130}),
        LoginRefused,
        N_("{place} does not allow the user {user} to connect."),
        N_("ask the owner which database the user may connect to"),
    ),
    (
        frozenset({ER.BAD_DB_ERROR}),
        LoginRefused,
        N_("{place} has no database {dbname}."),
        N_("name {known} with --database"),
    ),
    (
        frozenset({ER.CON_COUNT_ERROR, ER.USER_LIMIT_REACHED, _NO_MEMORY_FOR_CONNECTION}),
        DatabaseUnavailable,
        N_("{place} has no connection left: its limit is reached."),
        N_("close unused connections, such as those of other notebooks, then try again"),
    ),
)

_HINTS = {
    ER.NO_SUCH_TABLE: N_("list the tables with %tables"),
    ER.TABLEACCESS_DENIED_ERROR: N_(
        "ask the owner for this privilege: a share is read-only without --read-write"
    ),
    ER.COLUMNACCESS_DENIED_ERROR: N_(
        "ask the owner for this privilege: a share is read-only without --read-write"
    ),
    ER.DBACCESS_DENIED_ERROR: N_(
        "ask the owner for this privilege: a share is read-only without --read-write"
    ),
    **dict.fromkeys(_NO_LOCAL_FILES, N_("read the file with pandas, then write it: %load_table df TABLE")),
    _DEADLOCK: N_("the server has rolled the transaction back: run all of it again"),
    _LOCK_TIMEOUT: N_(
        "another session holds a lock: wait for the end of its transaction, then run the statement again"
    ),
}


def number_of(error: BaseException) -> int:
    """Return the server's number of an error; 0 without one."""
    first: Any = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0


def message_of(error: BaseException) -> str:
    """Return the server's message."""
    return shorten(_text_of(error))


def _text_of(error: BaseException) -> str:
    return str(error.args[1]) if len(error.args) > 1 else str(error)


def make_login_error(
    error: Exception, *, place: str, user: str, dbname: str, known: str, password: Secret
) -> DatabaseError:
    """Return this package's error for a failed login."""
    why = quote_refusal(_text_of(error), password)
    for numbers, kind, what, hint in _LOGINS:
        if number_of(error) in numbers:
            return kind(
                _(what, place=place, user=user, dbname=dbname), why=why, hint=_(hint, known=known or dbname)
            )
    return make_unavailable(place, why)


def make_reply_error(error: Exception, place: str) -> ConnectionLost:
    """Return this package's error for a reply that PyMySQL cannot read."""
    return ConnectionLost(
        _("The reply of {place} cannot be read, so the connection was closed.", place=place),
        why=quote_words(shorten(str(error))),
        hint=_("check that it is MariaDB: %k8s_doctor {place}", place=place),
    )


def make_statement_error(error: pymysql.Error, *, near: str = "") -> QueryFailed:
    """Return this package's error for a failed statement; `near` is a similar name that exists."""
    number = number_of(error)
    hint = _HINTS.get(number, "")
    return QueryFailed(
        quote_words(message_of(error)) + (f" ({number})" if number else ""),
        hint=_("did you mean {near}?", near=near) if near else _(hint) if hint else "",
    )


_UNKNOWN_TABLE = re.compile(r"Table '(?:[^']*\.)?([^'.]+)' doesn't exist")


def find_unknown_table(error: pymysql.Error) -> str:
    """Return the name of the table that does not exist; empty for any other error."""
    found = _UNKNOWN_TABLE.search(message_of(error)) if number_of(error) == ER.NO_SUCH_TABLE else None
    return found[1] if found else ""
