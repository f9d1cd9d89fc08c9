"""What is set in a session, and set again in one that is made anew.

What the user configured (``search_path``, time zone) holds in each session; a ``SET`` that was sent since
is repeated after it. A ``SET`` inside a transaction counts once that is committed, since a rollback takes it back. One
more setting is ours: the server looks every now and then whether the client is still there, so that a query
whose kernel was killed does not run on.

Where a pooler keeps no session (`pooler`), nothing is set in one: `local` begins each transaction instead.
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
"""How often the server looks, while a query runs, whether its client has gone."""

_LOOKS_SINCE = 140_000  # PostgreSQL 14
_SET = re.compile(
    r"(?:re)?set\s+(?:session\s+(?!authorization\b|characteristics\b))?(.*)", re.IGNORECASE | re.DOTALL
)
_NAME = re.compile(r"(time\s+zone|session\s+authorization|[^\W\d][\w$.]*)", re.IGNORECASE)
_OF_A_TRANSACTION = frozenset({"local", "transaction", "constraints", "session"})
_NAMES = {"time zone": "timezone", "schema": "search_path", "session authorization": "role"}


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the user wants in each session; the server's own where None.

    Parameters
    ----------
    search_path
        The schemas where names without one are looked for: ``"survey, public"``.
    time_zone
        The zone in which instants are shown: ``"Europe/Paris"``.
    """

    search_path: str | None = None
    time_zone: str | None = None

    def values(self) -> dict[str, str]:
        """Return their values, by the setting's name."""
        wanted = {"search_path": self.search_path, "timezone": self.time_zone}
        return {name: value for name, value in wanted.items() if value is not None}

    def statements(self) -> dict[str, str]:
        """Return what sets them, by the setting's name."""
        return {name: _set(name, value) for name, value in self.values().items()}


def _set(name: str, value: str, *, local: bool = False) -> str:
    """Return what sets a setting to a text that lists what it shall be, as in postgresql.conf."""
    return sql.SQL("SELECT pg_catalog.set_config({}, {}, {})").format(name, value, local).as_string(None)


_ITEM = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s",]+))\s*(?:,|\Z)')


def _set_local(name: str, value: str) -> str:
    """Return the same for one transaction, in words that its isolation level may still follow: no query."""
    items = [value]
    if name == "search_path":
        items = [quoted.replace('""', '"') or plain.lower() for quoted, plain in _ITEM.findall(value)] or [""]
    return (
        sql.SQL("SET LOCAL {} = {}")
        .format(sql.Identifier(name), sql.SQL(", ").join(map(sql.Literal, items)))
        .as_string(None)
    )


class Settings:
    """The settings of a connection, over all of its sessions.

    Parameters
    ----------
    preferences
        What the user configured.
    """

    def __init__(self, preferences: Preferences | None = None) -> None:
        self._kept = (preferences or Preferences()).statements()
        # What the session has, and what it shall have: any thread may say that.
        self._preferred = self._wanted = preferences or Preferences()
        self._in_transaction: dict[str, str | None] = {}
        # What begins each transaction, where a pooler keeps no session.
        self._local: list[str] | None = None

    @property
    def local(self) -> bytes:
        """What begins each transaction; nothing where the session keeps its settings, or has none."""
        return "".join(f"; {each}" for each in self._local or ()).encode()

    def like(self) -> Settings:
        """Return settings for a session beside this one, which are the same and go their own way."""
        other = Settings(self._preferred)
        other._wanted = self._wanted
        other._kept = dict(self._kept)
        return other

    def prefer(self, preferences: Preferences) -> None:
        """Take other preferences; the session takes them with the next statement outside of a transaction."""
        self._wanted = preferences

    def _due(self) -> dict[str, str]:
        """Take the preferences over, and return what sets those that are new, by name."""
        before, now = self._preferred.statements(), self._wanted.statements()
        self._preferred = self._wanted
        changed = {name: statement for name, statement in now.items() if before.get(name) != statement}
        gone = before.keys() - now.keys()
        for name in gone:
            self._kept.pop(name, None)
        self._kept |= changed
        return {name: f"RESET {name}" for name in gone} | changed

    def follow(self, statement: Statement, tag: str, *, in_transaction: bool) -> None:
        """Take notice of a statement that was done.

        Parameters
        ----------
        statement, tag
            What was sent, and the server's word for what it did.
        in_transaction
            Whether a transaction block is open after it.
        """
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
        self._kept.pop(name, None)  # it is repeated last
        if again is not None:
            self._kept[name] = again
        elif name == "all":
            self._kept = {}

    def begin(self, session: psycopg.Connection[Any], *, is_pooled: bool = False) -> list[str]:
        """Set up a new session, and return the names of what the server does not take any more.

        Parameters
        ----------
        session
            The session.
        is_pooled
            Whether a pooler gives each of its transactions another one with the server.
        """
        self._in_transaction = {}
        if is_pooled:
            return self._begin_pooled(session)
        self._local = None
        for style in result_reader.list_missing_styles(session):
            session.execute(f"SET {style}".encode())
        if session.info.server_version >= _LOOKS_SINCE:
            _try(session, _set("client_connection_check_interval", LOOK))  # not on each of its platforms
        self._due()
        return [name for name, again in self._kept.items() if not _try(session, again)]

    def _begin_pooled(self, session: psycopg.Connection[Any]) -> list[str]:
        preferred = self._wanted.values()
        refused = [name for name in self._kept if name not in preferred]  # SET in a session of before
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
        """Set what has been preferred since the last statement, and return the names of what is refused."""
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
        """The names of what is set again in a new session."""
        return tuple(self._kept)


def _name_of(statement: Statement) -> str | None:
    """Return the setting that a statement sets for the whole session; None where it sets none."""
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
