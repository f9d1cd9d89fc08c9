"""The settings of a session, and their restoration after a reconnection.

Each session gets the user's preferences (``search_path``, time zone), then the ``SET`` statements that were sent since.
A ``SET`` inside a transaction counts once the transaction commits, since a rollback reverts it.
This package adds ``client_connection_check_interval``, so that the query of a killed kernel does not run on.

If a pooler keeps no session (`pooler`), `local` sets the settings at the start of each transaction instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import pq, sql

from sspcloud_magics.databases.postgres.results import result_reader
from sspcloud_magics.databases.postgres.sql_lexer import Statement

LOOK = "2s"
"""The interval at which the server checks, while a query runs, that its client is still connected."""

_LOOKS_SINCE = 140_000  # PostgreSQL 14
_SET = re.compile(
    r"(?:re)?set\s+(?:session\s+(?!authorization\b|characteristics\b))?(.*)", re.IGNORECASE | re.DOTALL
)
_NAME = re.compile(r"(time\s+zone|session\s+authorization|[^\W\d][\w$.]*)", re.IGNORECASE)
_OF_A_TRANSACTION = frozenset({"local", "transaction", "constraints", "session"})
_NAMES = {
    "time zone": "timezone",  # not translated: SQL
    "schema": "search_path",
    "session authorization": "role",  # not translated: SQL
}
_READ_ONLY = re.compile(r"set\s+session\s+characteristics\b.*\bread\s+only\b", re.IGNORECASE | re.DOTALL)
_READ_ONLY_NAME = "default_transaction_read_only"


@dataclass(frozen=True, slots=True)
class Preferences:
    """The user's preferences for each session; None for the server's default."""

    search_path: str | None = None  # the schemas in which to look up unqualified names: ``"survey, public"``
    time_zone: str | None = None  # the time zone in which to show timestamptz values: ``"Europe/Paris"``

    def values(self) -> dict[str, str]:
        """Return the preferred values by setting."""
        wanted = {"search_path": self.search_path, "timezone": self.time_zone}
        return {name: value for name, value in wanted.items() if value is not None}

    def statements(self) -> dict[str, str]:
        """Return the statements that set them, by setting."""
        return {name: _set(name, value) for name, value in self.values().items()}


def _set(name: str, value: str, *, local: bool = False) -> str:
    """Return a statement that sets a setting to a value in the syntax of postgresql.conf."""
    return sql.SQL("SELECT pg_catalog.set_config({}, {}, {})").format(name, value, local).as_string(None)


_ITEM = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s",]+))\s*(?:,|\Z)')


def _set_local(name: str, value: str) -> str:
    """Return a ``SET LOCAL`` for one transaction: unlike a query, it still allows SET TRANSACTION ISOLATION LEVEL."""
    items = [value]
    if name == "search_path":
        items = [quoted.replace('""', '"') or plain.lower() for quoted, plain in _ITEM.findall(value)] or [""]
    return (
        sql.SQL("SET LOCAL {} = {}")
        .format(sql.Identifier(name), sql.SQL(", ").join(map(sql.Literal, items)))
        .as_string(None)
    )


class Settings:
    """The settings of a connection, across all of its sessions.

    Parameters
    ----------
    preferences
        The user's preferences.
    """

    def __init__(self, preferences: Preferences | None = None) -> None:
        # The statements that restore the settings in a new session, by setting.
        self._kept = (preferences or Preferences()).statements()
        # The preferences that the session has, and the ones that it should have; any thread may change the latter.
        self._preferred = self._wanted = preferences or Preferences()
        # The settings that the open transaction has changed; None for a RESET.
        self._in_transaction: dict[str, str | None] = {}
        # The statements that begin each transaction; None if the session keeps its settings.
        self._local: list[str] | None = None

    @property
    def local(self) -> bytes:
        """The statements to append to BEGIN; empty if the session keeps its settings, or has none."""
        return "".join(f"; {each}" for each in self._local or ()).encode()

    def like(self) -> Settings:
        """Return an independent copy, for another session."""
        other = Settings(self._preferred)
        other._wanted = self._wanted
        other._kept = dict(self._kept)
        return other

    def prefer(self, preferences: Preferences) -> None:
        """Change the preferences; they take effect with the next statement outside a transaction."""
        self._wanted = preferences

    def _due(self) -> dict[str, str]:
        """Adopt the wanted preferences, and return the statements that set the changed ones, by setting."""
        before, now = self._preferred.statements(), self._wanted.statements()
        self._preferred = self._wanted
        changed = {name: statement for name, statement in now.items() if before.get(name) != statement}
        gone = before.keys() - now.keys()
        for name in gone:
            self._kept.pop(name, None)
        self._kept |= changed
        return {name: f"RESET {name}" for name in gone} | changed

    def follow(self, statement: Statement, tag: str, *, in_transaction: bool) -> None:
        """Track the effect of a statement with this command tag; a transaction block may be open after it."""
        if tag == "DISCARD ALL":
            self._kept, self._in_transaction = {}, {}
        elif tag in ("SET", "RESET") and (name := _name_of(statement)) is not None:
            self._in_transaction[name] = statement.sql if tag == "SET" else None
        if in_transaction:
            return
        if tag != "ROLLBACK":
            for name, again in self._in_transaction.items():
                self._change(name, again)
        self._in_transaction = {}

    def _change(self, name: str, again: str | None) -> None:
        self._kept.pop(name, None)  # so that it moves to the end
        if again is not None:
            self._kept[name] = again
        elif name == "all":
            self._kept = {}

    def begin(self, session: psycopg.Connection[Any], *, is_pooled: bool = False) -> list[str]:
        """Set up a new session, and return the names of the settings that the server refuses.

        With `is_pooled`, a pooler gives each transaction another server session.
        """
        self._in_transaction = {}
        if is_pooled:
            return self._begin_pooled(session)
        self._local = None
        for style in result_reader.list_missing_styles(session):
            session.execute(f"SET {style}".encode())
        if session.info.server_version >= _LOOKS_SINCE:
            _try(session, _set("client_connection_check_interval", LOOK))  # not supported on all platforms
        self._due()
        return [name for name, again in self._kept.items() if not _try(session, again)]

    def _begin_pooled(self, session: psycopg.Connection[Any]) -> list[str]:
        preferred = self._wanted.values()
        refused = [name for name in self._kept if name not in preferred]  # from a SET in an earlier session
        self._due()
        self._kept = {}
        self._local = [f"SET LOCAL {style}" for style in result_reader.list_missing_styles(session)]
        for name, value in preferred.items():
            if _try(session, _set(name, value, local=True)):
                self._local.append(_set_local(name, value))
            else:
                refused.append(name)
        return refused

    def catch_up(self, session: psycopg.Connection[Any]) -> list[str]:
        """Apply changed preferences, and return the names of the settings that the server refuses."""
        if self._wanted == self._preferred or session.info.transaction_status != pq.TransactionStatus.IDLE:
            return []
        if self._local is not None:
            return self._begin_pooled(session)
        refused = [name for name, again in self._due().items() if not _try(session, again)]
        for name in refused:
            self._kept.pop(name, None)
        return refused

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of the settings that are restored in a new session."""
        return tuple(self._kept)


def _name_of(statement: Statement) -> str | None:
    """Return the setting that a statement sets for the whole session; None if it sets none."""
    if _READ_ONLY.match(statement.sql):
        return _READ_ONLY_NAME
    what = _SET.match(statement.sql)
    found = _NAME.match(what[1]) if what else None
    if found is None:
        return None
    name = " ".join(found[1].lower().split())
    return None if name in _OF_A_TRANSACTION else _NAMES.get(name, name)


def _try(session: psycopg.Connection[Any], statement: str) -> bool:
    try:
        session.execute(statement.encode())
    except psycopg.Error:
        if session.closed:
            raise
        return False
    return True
