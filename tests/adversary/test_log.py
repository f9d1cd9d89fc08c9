"""The server's log of alice's commands: every statement is hers, or runs on a pinned search path.

``auto_explain`` logs each plan with the settings of its session, `search_path` among them.
Statements without a plan resolve no names, except the qualified names of `SPELT_OUT`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import sspcloud_magics as ssp
from tests.adversary import commands
from tests.adversary.attacks import attacks_on
from tests.adversary.commands import ENDING, HERS, READING, SHARING, Scene
from tests.adversary.stage import DATABASE, Stage, open_stage
from tests.support.postgres_servers import of_debian

pytestmark = pytest.mark.slow

PINNED = "search_path = 'pg_catalog, pg_temp'"
# Beside what she types: statements in which each name is spelt out, the server's own that check a foreign key, and
# what a load asks of the table that she names.
SPELT_OUT = (
    re.compile(
        r"SELECT CAST\(CAST\(\$1 AS pg_catalog.regclass\) AS pg_catalog.oid\)::pg_catalog.int8 AS oid"
    ),
    re.compile(
        r"SELECT pg_catalog\.(current_schemas\(true\)::pg_catalog\.text\[\]|set_config\('client_connection_check_interval', '2s', false\))"
    ),
    re.compile(r"SELECT pg_catalog\.pg_backend_pid\(\)"),
    re.compile(r"SELECT \* FROM \w+\.\w+ LIMIT 5"),
    re.compile(
        r'SELECT 1 FROM ONLY "public"\."\w+" x WHERE \S+ OPERATOR\(pg_catalog\.=\) \S+ FOR KEY SHARE OF x'
    ),
    re.compile(r'SELECT "revenu", "nom" FROM "\w+" LIMIT 0'),
    re.compile(
        r"SELECT e\.extname, n\.nspname FROM pg_catalog\.pg_extension AS e\s+"
        r"JOIN pg_catalog\.pg_namespace AS n ON n\.oid OPERATOR\(pg_catalog\.=\) e\.extnamespace\s+"
        r"WHERE e\.extname OPERATOR\(pg_catalog\.=\) ANY \('\{postgis,vector\}'::pg_catalog\.name\[\]\)"
    ),
)
EXPLAINING = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_settings": "on",
    "auto_explain.log_nested_statements": "on",
}
_ENTRY = re.compile(r"^\S+ \S+ \S+ \[\d+\] (?:(\S+)/(\S+) )?[A-Z]+:  ", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """An entry of the log: the session's role and program, and the text with its continuation lines."""

    role: str
    program: str
    text: str


def entries(log: str) -> Iterator[Entry]:
    """Yield the entries of the server's log."""
    found = list(_ENTRY.finditer(log))
    ends = [*(each.start() for each in found[1:]), len(log)]
    for each, end in zip(found, ends, strict=True):
        yield Entry(each[1] or "", each[2] or "", log[each.end() : end].strip())


@pytest.fixture(scope="module")
def logged(practice) -> list[Entry]:
    """The log of all commands, on a database with a trigger and a default of bob's."""
    with open_stage(practice, of_debian(), settings=EXPLAINING) as stage, stage.fresh():
        since = stage.log_size()
        give_all_commands(stage)
        return [each for each in entries(stage.read_log(since)) if each.program == "sspcloud-magics"]


def give_all_commands(stage: Stage) -> None:
    """Run alice's commands; bob's statements run by psycopg."""
    scene = Scene(
        stage, [each for each in attacks_on(stage.version, "own") if each.name in ("trigger", "default")]
    )
    commands.share(scene)
    with stage.as_colleague("bob") as bob:
        for attack in scene.attacks:
            for statement in attack.statements(scene.room):
                bob.execute(statement.encode())
    ssp.connect_db(DATABASE, route="forward")
    for command in {**READING, **SHARING}.values():
        command(scene)
    for ending in ("share_db narrowed", "unshare"):
        ENDING[ending](scene)


def plans(logged: list[Entry], role: str) -> list[Entry]:
    """Return the plans of a role's sessions."""
    return [each for each in logged if each.role == role and "plan:\n" in each.text]


def list_unpinned(made: list[Entry]) -> list[str]:
    """Return the distinct statements that were planned on another path."""
    texts = [each.text.partition("Query Text: ")[2] for each in made if PINNED not in each.text]
    return sorted({re.split(r"\n\t[^\t\n]+ \(cost=", text)[0] for text in texts})


def test_each_plan_of_the_superuser_is_pinned(logged) -> None:
    made = plans(logged, "postgres")
    assert len(made) > 20
    found = list_unpinned(made)
    assert found == [], "\n".join(found)


def test_no_statement_of_the_superuser_moves_the_path(logged) -> None:
    moved = re.compile(
        r"\bset\b[^;]*search_path|set_config\([^)]*search_path|reset all|discard all", re.IGNORECASE
    )
    sent = [each.text for each in logged if each.role == "postgres" and "plan:" not in each.text]
    assert [text for text in sent if moved.search(text) and "share_" not in text] == []


def test_plans_of_the_owner_are_pinned_or_hers(logged) -> None:
    made = plans(logged, "alice")
    assert len(made) > 10
    ours = [
        text
        for text in list_unpinned(made)
        if HERS not in text and not any(known.fullmatch(text.strip()) for known in SPELT_OUT)
    ]
    assert ours == [], "\n".join(ours)
