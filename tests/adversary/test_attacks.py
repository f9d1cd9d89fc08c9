"""Bob attacks with every kind of object; alice shares the database, reads it and revokes the share.

All attacks of a kind stand at once, which costs a minute; ``make adversary`` tries each alone, with every command.
"""

from __future__ import annotations

import psycopg
import pytest

import sspcloud_magics as ssp
from tests.adversary import commands
from tests.adversary.attack import Attack
from tests.adversary.attacks import ATTACKS, NEEDS, attacks_on
from tests.adversary.attacks.refused import REFUSED
from tests.adversary.commands import ENDING, READING, SHARING, Scene
from tests.adversary.stage import Stage
from tests.adversary.trial import Trial, fires

pytestmark = pytest.mark.slow

OTHER_ENDINGS = [name for name in ENDING if name != "unshare"]


def test_attacks_work_where_nothing_is_done(stage: Stage) -> None:
    """Otherwise their failure would prove nothing."""
    silent = [attack.name for attack in attacks_on(stage.version) if attack.bait and not fires(stage, attack)]
    assert silent == []


@pytest.mark.parametrize("needs", NEEDS)
def test_commands_run_nothing_of_his(stage: Stage, needs: str) -> None:
    with stage.fresh():
        trial = Trial(stage, attacks_on(stage.version, needs, stage.extensions))
        trial.plant()
        look_and_share(trial)
        end(trial, "unshare")
    trial.judge()


@pytest.mark.parametrize("ending", OTHER_ENDINGS)
@pytest.mark.parametrize("needs", NEEDS)
def test_taking_back_holds_his_code_down(stage: Stage, needs: str, ending: str) -> None:
    with stage.fresh():
        trial = Trial(stage, attacks_on(stage.version, needs, stage.extensions))
        trial.plant()
        end(trial, ending)
    trial.judge()


def test_a_view_of_the_owner_runs_nothing_of_his(stage: Stage) -> None:
    """It calls a function of hers, which resolves `count` on her path."""
    with stage.fresh():
        trial = Trial(stage, [attack for attack in ATTACKS if attack.name == "aggregate:count(int)"])
        trial.plant()
        trial.reads("describe_table", lambda _scene: ssp.describe_table("comptes"))
    trial.judge()


@pytest.mark.adversary
@pytest.mark.parametrize("ending", ENDING)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_each_attack_alone(stage: Stage, attack: Attack, ending: str) -> None:
    if attack not in attacks_on(stage.version, extensions=stage.extensions):
        pytest.skip("it does not work on this version")
    with stage.fresh():
        trial = Trial(stage, [attack])
        trial.plant()
        look_and_share(trial)
        end(trial, ending)
    trial.judge()


def look_and_share(trial: Trial) -> None:
    """Run the commands that change nothing, then those that share."""
    for name, command in READING.items():
        alone = commands.psycopg_alone if "of his" in name else None
        if trial.scene.needs != "rights":  # what a share of the old kind gave works until a command takes it
            trial.reads(name, command, alone)
    for name, command in SHARING.items():
        trial.changes(name, command)
    if trial.scene.needs == "rights":
        trial.goes_on("after share_db")


def end(trial: Trial, ending: str) -> None:
    """Revoke the share, and use its remains."""
    trial.changes(ending, ENDING[ending])
    trial.is_used(ending)


def test_a_share_gives_no_other_way_in(stage: Stage) -> None:
    """Each statement is refused for lack of privileges, and for no other reason."""
    if stage.everybody_creates:
        pytest.skip("he only reads there")
    with stage.fresh():
        scene = Scene(stage, [ATTACKS[-1]])
        commands.share(scene)
        commands.share_with_reader()
        with stage.as_owner(), stage.as_colleague("carol"), stage.as_colleague("bob") as bob:
            prepare(stage, bob, scene.room)
            taken = {what: refusal(bob, stage, scene.room, statement) for what, statement in REFUSED.items()}
    assert {what: why for what, why in taken.items() if why != "42501"} == {}


def prepare(stage: Stage, bob: psycopg.Connection, room: str) -> None:
    """Create the objects that the refused statements refer to."""
    if not stage.admin.execute("SELECT 1 FROM pg_roles WHERE rolname = 'sspcloud_archive'").fetchone():
        stage.admin.execute("CREATE ROLE sspcloud_archive NOLOGIN")
    bob.execute(f"CREATE FUNCTION {room}.called() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'")
    bob.execute(f"CREATE FUNCTION {room}.fired() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'")
    bob.execute(f"CREATE FUNCTION {room}.shown(int) RETURNS text LANGUAGE sql AS 'SELECT NULL::text'")


def refusal(bob: psycopg.Connection, stage: Stage, room: str, statement: str) -> str:
    """Return the SQLSTATE of a statement; empty if it succeeds."""
    extension = "citext" if stage.version < 18 else "vector"
    for word, value in (("<room>", room), ("<database>", stage.dbname), ("<extension>", extension)):
        statement = statement.replace(word, value)
    try:
        with bob.transaction(force_rollback=True):
            bob.execute(statement.encode())
    except psycopg.Error as error:
        return error.sqlstate or repr(error)
    return ""
