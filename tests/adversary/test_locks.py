"""Bob holds locks: alice's commands end anyway, or name the session that holds the lock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

import sspcloud_magics as ssp
from sspcloud_magics.errors import SspcloudError
from tests.adversary import commands
from tests.adversary.attack import Attack
from tests.adversary.commands import ENDING, READING, SHARING, Scene
from tests.adversary.stage import DATABASE, Stage

NOTHING = Attack(name="nothing", sql="", relations=())
HELD = {
    "his table": "BEGIN; LOCK TABLE <room>.relevés IN ACCESS EXCLUSIVE MODE",
    "the owner's table": "BEGIN; LOCK TABLE public.menages IN ACCESS EXCLUSIVE MODE",
    "his own role": "BEGIN; ALTER ROLE share_bob SET search_path = ''",
    "his own password": "BEGIN; ALTER ROLE share_bob PASSWORD 'another'",
    "his own schema": "BEGIN; CREATE TABLE <room>.another (id int)",
}
REST = ("unshare --all", "unshare --ended")
COMMANDS = {
    **{name: READING[name] for name in ("tables", "describe_table", "panel: tables")},
    **SHARING,
}


pytestmark = [pytest.mark.slow, pytest.mark.parametrize("stage", ["18"], indirect=True)]


@contextmanager
def hold(stage: Stage, what: str) -> Iterator[psycopg.Connection]:
    """Hold a lock in a session of bob's while the block runs."""
    with stage.fresh():
        scene = Scene(stage, [NOTHING])
        commands.share(scene)
        commands.share_with_reader()
        with closing(stage.as_colleague("bob")) as bob:  # which may be ended by the command
            bob.execute(f"CREATE TABLE {scene.room}.relevés (id int)".encode())
            ssp.connect_db(DATABASE, route="forward")
            bob.execute(HELD[what].replace("<room>", scene.room).encode())
            yield bob


WAITS = pytest.mark.adversary  # each command waits out the server's limit


def mark(what: str, marks: dict[str, Any]) -> Any:
    """Return a parameter with its mark, if it has one."""
    return pytest.param(what, marks=marks[what]) if what in marks else what


@pytest.mark.parametrize(
    "what", [mark(what, {"his table": WAITS, "the owner's table": WAITS}) for what in HELD]
)
def test_a_command_ends_or_names_who_holds(stage: Stage, what: str) -> None:
    silent = {}
    with hold(stage, what) as bob:
        stage.end_what_hangs()
        for name, command in COMMANDS.items():
            try:
                command(Scene(stage, [NOTHING]))
            except SspcloudError as error:
                said = f"{error.what} {error.why}"
                if "share_bob" not in said or str(bob.info.backend_pid) not in said:
                    silent[name] = said
    assert silent == {}


@pytest.mark.parametrize(
    "ending", [mark(name, dict.fromkeys(REST, pytest.mark.adversary)) for name in ENDING]
)
@pytest.mark.parametrize("what", [what for what in HELD if what != "his own password"])
def test_nothing_holds_the_end_of_a_share_up(stage: Stage, ending: str, what: str) -> None:
    with hold(stage, what) as bob:
        stage.end_what_hangs()
        ENDING[ending](Scene(stage, [NOTHING]))
        with pytest.raises(psycopg.OperationalError):
            bob.execute("SELECT 1")


@pytest.mark.parametrize("ending", ["share_db narrowed", "unshare"])
def test_his_password_holds_nothing_up(stage: Stage, ending: str) -> None:
    """He may change it, which locks his role's row until he commits."""
    test_nothing_holds_the_end_of_a_share_up(stage, ending, "his own password")


def test_locks_of_ours_are_not_his_to_take(stage: Stage) -> None:
    """Bob first takes every advisory lock that the commands take."""
    with stage.fresh():
        scene = Scene(stage, [NOTHING])
        since = stage.log_size()
        commands.share(scene)
        ENDING["unshare"](scene)
        commands.share(scene)
        ours = set(re.findall(r"advisory_(?:xact_)?lock\((.+?\)?)\)", stage.read_log(since)))
        with closing(stage.as_colleague("bob")) as bob:
            for key in ours:
                bob.execute(f"SELECT pg_advisory_lock({key})".encode())
            stage.end_what_hangs()
            commands.share(scene)
            ENDING["unshare"](scene)


def test_a_prepared_transaction_ends_with_the_share(stage: Stage) -> None:
    """It outlives the session, and keeps its locks."""
    with stage.fresh():
        scene = Scene(stage, [NOTHING])
        commands.share(scene)
        with closing(stage.as_colleague("bob")) as bob:
            bob.execute(f"CREATE TABLE {scene.room}.relevés (id int)".encode())
            for statement in (
                "BEGIN",
                f"LOCK TABLE {scene.room}.relevés IN ACCESS EXCLUSIVE MODE",
                "PREPARE TRANSACTION 'of bob'",
            ):
                bob.execute(statement.encode())
        stage.end_what_hangs()
        ENDING["unshare"](scene)
        assert stage.admin.execute("SELECT gid FROM pg_prepared_xacts").fetchall() == []
