"""Trial of attacks against the owner's commands: code that ran as another user, new privileges, and errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import sql

import sspcloud_magics as ssp
from tests.adversary import commands, rights
from tests.adversary.attack import Attack
from tests.adversary.commands import Command, Scene
from tests.adversary.stage import DATABASE, SECRET, Stage

_HARMLESS = {rights.COLLEAGUE, rights.ARCHIVE}
"""The users as which a colleague's code may run: himself, and the role without privileges."""

_AS_ONCE = """
GRANT CREATE ON SCHEMA public TO share_bob;
GRANT REFERENCES, TRIGGER ON ALL TABLES IN SCHEMA public TO share_bob
"""
"""The privileges of a share of an earlier version, and more: they last until the owner's next command."""

_RELATIONS = """
SELECT n.nspname, c.relname, c.relkind::text, pg_get_userbyid(c.relowner)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.oid >= 16384 AND n.nspname !~ '^pg_' ORDER BY 1, 2
"""
_DEFINERS = """
SELECT format('%s %I.%I(%s)', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, n.nspname, p.proname,
              (SELECT string_agg('NULL', ', ') FROM generate_series(1, p.pronargs)))
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prosecdef AND p.oid >= 16384 AND p.prorettype <> 'trigger'::regtype
"""


class Trial:
    """Attacks in place, and the findings about them.

    Parameters
    ----------
    stage, attacks
        Where, and which.
    """

    def __init__(self, stage: Stage, attacks: Sequence[Attack]) -> None:
        self.stage = stage
        self.scene = Scene(stage, attacks)
        self.found: list[str] = []

    def plant(self) -> None:
        """Share with bob and carol, and let bob do what the attacks are."""
        self.changes("share_db", commands.share)
        self.changes("share_db with another", lambda _scene: commands.share_with_reader())
        if self.scene.needs == "rights":
            self.stage.admin.execute(_AS_ONCE)
        with self.stage.as_colleague("bob") as bob:
            bob.execute("SET default_transaction_read_only = off")
            for attack in self.scene.attacks:
                for statement in attack.statements(self.scene.room):
                    bob.execute(statement.encode())
        with self.stage.as_colleague("carol") as carol:
            carol.execute("SET default_transaction_read_only = off")
            for attack in self.scene.attacks:
                for statement in attack.statements_of_reader(self.scene.room):
                    carol.execute(statement.encode())
        ssp.connect_db(DATABASE, route="forward")

    def goes_on(self, name: str) -> None:
        """Let everybody but the superuser do what the attacks wait for, as if nothing had been noticed."""
        for attack in self.scene.attacks:
            for who, statement in attack.bait:
                self._tell_runs(name, self._runs_of(name, partial(_act, who, attack, statement)))

    def reads(self, name: str, command: Command, alone: Command | None = None) -> None:
        """Run a command after which everybody may do what they could do before.

        Parameters
        ----------
        name, command
            Which.
        alone
            What the user would run without us: what runs then is the user's own affair.
        """
        usual = set(self._runs_of("psycopg", alone)) if alone else set()
        before = self.stage.rights()
        runs = [run for run in self._runs_of(name, command) if run not in usual]
        self._tell_runs(name, runs)
        self._tell_rights(name, self.stage.rights() - before)

    def changes(self, name: str, command: Command) -> None:
        """Run a command after which no role may have privileges beyond a share."""
        before = self.stage.rights()
        self._tell_runs(name, self._runs_of(name, command))
        create = self.scene.needs == "shared"
        self._tell_rights(name, rights.unmeant(before, self.stage.rights(), create=create))

    def is_used(self, after: str) -> None:
        """Use what is the owner's now, as she and her database's maintenance do; call what a reader may call."""
        name = f"use after {after}"
        before = self.stage.rights()
        self._tell_runs(name, self._runs_of(name, lambda scene: _use(scene.stage)))
        self._tell_rights(name, self.stage.rights() - before)
        leaks = _read_by_carol(self.stage)
        self.found += [f"{name}: carol reads {leak}" for leak in leaks]

    def judge(self) -> None:
        """Fail with all findings, one line each."""
        if self.found:
            pytest.fail("\n".join(dict.fromkeys(self.found)), pytrace=False)

    def _runs_of(self, name: str, command: Command) -> list[Any]:
        since = self.stage.log_size()
        try:
            command(self.scene)
        except Exception as error:  # noqa: BLE001 - whatever breaks is told
            self.found.append(f"{name} fails: {type(error).__name__}: {str(error)[:300]}")
        return self.stage.runs(since)

    def _tell_runs(self, name: str, runs: Iterable[Any]) -> None:
        self.found += [
            f"{name}: {run.attack} runs as {run.role} in the session of {run.session}"
            for run in runs
            if run.role not in _HARMLESS
        ]

    def _tell_rights(self, name: str, grown: Iterable[rights.Right]) -> None:
        self.found += [f"{name}: {right}" for right in sorted(grown)]
        if _exists(self.stage):  # each command is tried as if those before it had done no harm
            self.stage.admin.execute("ALTER ROLE share_bob NOSUPERUSER")


def _exists(stage: Stage) -> bool:
    return bool(stage.admin.execute("SELECT 1 FROM pg_roles WHERE rolname = 'share_bob'").fetchone())


def _act(who: str, attack: Attack, statement: str, scene: Scene) -> None:
    if who == rights.SUPERUSER:
        return
    connect = {rights.OWNER: scene.stage.as_owner}.get(who) or partial(
        scene.stage.as_colleague, who.removeprefix("share_")
    )
    with connect() as session:
        _try(session, attack.in_room(statement, scene.room))


def _use(stage: Stage) -> None:
    relations = stage.admin.execute(_RELATIONS).fetchall()
    with stage.as_owner() as owner:
        for schema, relation, kind, whose in relations:
            if whose != rights.OWNER:
                continue
            name = sql.Identifier(schema, relation)
            _try(owner, "SELECT * FROM {}", name)
            if kind == "m":
                _try(owner, "REFRESH MATERIALIZED VIEW {}", name)
            else:
                _try(owner, "INSERT INTO {} DEFAULT VALUES", name)
                _try(owner, "INSERT INTO {0} SELECT * FROM {0} LIMIT 1", name)
                for column in _columns(stage, schema, relation):
                    _try(owner, "UPDATE {0} SET {1} = {1}", name, sql.Identifier(column))
                    _try(owner, "SELECT {1}::text FROM {0}", name, sql.Identifier(column))
                _try(owner, "DELETE FROM {}", name)
                _try(owner, "TRUNCATE {}", name)
            _try(owner, "ANALYZE {}", name)
            _try(owner, "REINDEX TABLE {}", name)
    stage.admin.execute("ANALYZE")
    with contextlib.suppress(psycopg.Error), stage.as_colleague("carol") as carol:
        for (call,) in stage.admin.execute(_DEFINERS).fetchall():
            _try(carol, call)


def _columns(stage: Stage, schema: str, relation: str) -> list[str]:
    found = stage.admin.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = format('%%I.%%I', %s::text, %s::text)::regclass AND attnum > 0 AND NOT attisdropped",
        [schema, relation],
    )
    return [name for (name,) in found.fetchall()]


def _try(connection: psycopg.Connection[Any], statement: str, *names: sql.Composable) -> None:
    """Run a statement and roll it back: the log shows which code ran."""
    query = sql.SQL(statement).format(*names) if names else statement.encode()
    with contextlib.suppress(psycopg.Error), connection.transaction(force_rollback=True):
        connection.execute(query)


def _read_by_carol(stage: Stage) -> list[str]:
    """Return the views that show the reader data which are not shared with her."""
    found = []
    with contextlib.suppress(psycopg.OperationalError), stage.as_colleague("carol") as carol:
        for schema, relation, _, _ in stage.admin.execute(_RELATIONS).fetchall():
            name = sql.Identifier(schema, relation)
            with contextlib.suppress(psycopg.Error):
                rows = carol.execute(sql.SQL("SELECT * FROM {}").format(name)).fetchall()
                if SECRET in repr(rows):
                    found.append(f"{schema}.{relation}")
    return found


def fires(stage: Stage, attack: Attack) -> bool:
    """Whether an attack works without any defence; otherwise its failure would prove nothing.

    One transaction of the superuser's is everybody in turn, on the usual path, and is taken back.
    """
    since = stage.log_size()
    leaks = False
    with contextlib.suppress(psycopg.Error), stage.as_naive_superuser() as session, session.transaction():
        for statement in ("CREATE ROLE share_bob", "CREATE ROLE share_carol", _AS_ONCE, _TO_ALL):
            session.execute(statement)
        for who, statement in _acts(attack):
            session.execute("RESET SESSION AUTHORIZATION")
            session.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(who)))
            done = session.execute(statement.encode())
            leaks |= who == rights.READER and done.description is not None and SECRET in repr(done.fetchall())
        session.execute("SET CONSTRAINTS ALL IMMEDIATE")
        raise psycopg.Rollback
    return leaks or any(run.role not in _HARMLESS for run in stage.runs(since) if run.attack == attack.name)


_TO_ALL = """
GRANT ALL ON ALL TABLES IN SCHEMA public, enquete TO share_bob;
GRANT USAGE ON SCHEMA enquete TO share_bob;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO share_carol;
ALTER DEFAULT PRIVILEGES FOR ROLE share_bob GRANT ALL ON TABLES TO alice
"""


def _acts(attack: Attack) -> Iterator[tuple[str, str]]:
    for statement in attack.statements("public"):
        yield rights.COLLEAGUE, statement
    for who, statement in attack.bait:
        yield who, attack.in_room(statement, "public")
