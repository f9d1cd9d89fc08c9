"""Bob attacks a shared MariaDB; alice shares it, reads it, narrows the share and revokes it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pymysql
import pytest

import sspcloud_magics as ssp
from sspcloud_magics.databases.mariadb import errors
from sspcloud_magics.databases.mariadb.connection import MariadbConnection
from sspcloud_magics.errors import QueryFailed, SspcloudError, UsageProblem
from sspcloud_magics.magics.sql_completion import KnownTables
from tests.adversary.mariadb.attacks import CODE, DENIED, LASTING, LEAKS, ODD_TABLES, REFUSED, SECRET, Attack
from tests.support.mariadb_sandbox import RELEASE

pytestmark = pytest.mark.slow
PATH = f"user-alice/{RELEASE}"

OWNERS = (
    "CREATE OR REPLACE DATABASE secretdb",
    f"CREATE TABLE secretdb.s (a int) ENGINE = MyISAM AS SELECT {SECRET} AS a",
    f"CREATE TABLE secretdb.i (a int PRIMARY KEY) AS SELECT {SECRET} AS a",
    "CREATE OR REPLACE DATABASE other",
    "CREATE OR REPLACE DATABASE canary",
    "CREATE TABLE canary.runs (who text)",
    "DROP DATABASE IF EXISTS share_bob",
    "CREATE OR REPLACE DATABASE defaultdb",
    "USE defaultdb",
    "CREATE TABLE defaultdb.t (a int PRIMARY KEY)",
    "INSERT INTO defaultdb.t VALUES (1), (77)",
    f"CREATE TABLE defaultdb.old (a int) ENGINE = MyISAM AS SELECT {SECRET} AS a",
    "CREATE PROCEDURE defaultdb.wipe() DELETE FROM defaultdb.t",
    "CREATE FUNCTION defaultdb.tell() RETURNS int RETURN (SELECT a FROM secretdb.i)",
    "CREATE SQL SECURITY INVOKER VIEW defaultdb.vue AS SELECT a FROM secretdb.s",
)

Be = Callable[[str], Any]


@pytest.fixture
def bobs(be: Be, root: MariadbConnection) -> Iterator[Callable[..., None]]:
    """A function that shares with bob; nothing is shared before and after."""
    ssp.unshare(RELEASE, all_colleagues=True)
    for sql in OWNERS:
        root.execute(sql)
    for sql in ("ALL PRIVILEGES ON defaultdb.*", "INSERT ON canary.*", "SELECT ON secretdb.*"):
        root.execute(f"GRANT {sql} TO alice@'%'")

    def share(schemas: str = "defaultdb", **more: Any) -> None:
        ssp.share_db(RELEASE, "bob", **{"read_write": True, "schemas": [schemas], "duration": "1h", **more})

    share()
    yield share
    be("alice")
    with contextlib.suppress(UsageProblem):
        ssp.unshare(RELEASE, all_colleagues=True)
    root.execute("DROP DATABASE IF EXISTS share_bob")
    root.execute("REVOKE ALL PRIVILEGES, GRANT OPTION FROM alice@'%'")
    root.execute("GRANT ALL PRIVILEGES ON defaultdb.* TO alice@'%'")


def rows(connection: MariadbConnection, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement with PyMySQL's cursor alone, and return its rows."""
    with connection.turn, connection.ready()[0].cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


@contextlib.contextmanager
def colleague(be: Be, dbname: str | None = None) -> Iterator[MariadbConnection]:
    """A session of bob, as the Secret of the share opens it; afterwards alice is logged in."""
    be("bob")
    yield ssp.connect_db(PATH, database=dbname)
    be("alice")


def refusal(connection: MariadbConnection, sql: str) -> int:
    """Return the number of the server's error; 0 if the statement succeeds."""
    try:
        rows(connection, sql)
    except pymysql.Error as error:
        return errors.number_of(error)
    return 0


@pytest.mark.parametrize("read_write", [True, False], ids=["writer", "reader"])
def test_share_gives_no_other_way_in(
    be: Be, bobs: Callable[..., None], root: MariadbConnection, read_write: bool
) -> None:
    """Each statement is refused for lack of privileges, and for no other reason."""
    with colleague(be) as bob:
        rows(bob, "CREATE TABLE share_bob.own (a int)")
        rows(bob, "CREATE TABLE share_bob.part (a int PRIMARY KEY) PARTITION BY HASH (a) PARTITIONS 1")
    bobs(read_write=read_write)
    with colleague(be) as bob:
        taken = {name: refusal(bob, sql) for name, sql in REFUSED.items()}
        loaded = refusal(bob, "SELECT LOAD_FILE('/etc/passwd') IS NULL OR 1 / 0")
        rows(bob, "KILL USER root")  # it succeeds, and ends none of root's sessions
    assert {name: number for name, number in taken.items() if number not in DENIED} == {}
    assert loaded == 0
    assert rows(root, "SELECT 1") == [(1,)]


def test_catalogues_show_what_is_shared(be: Be, bobs: Callable[..., None], root: MariadbConnection) -> None:
    """Neither another database, nor its objects, nor another session is visible."""
    sql, names = LEAKS
    with colleague(be) as bob:
        seen = {name: repr(rows(bob, sql.format(name))) for name in names}
    assert "share_bob" in seen["SCHEMATA"]
    assert {name for name, text in seen.items() if "secretdb" in text or "alice" in text} == set()


def test_user_variables_stay_in_their_session(be: Be, bobs: Callable[..., None]) -> None:
    """A variable or a temporary setting of bob's reaches no session of the owner's."""
    with colleague(be) as bob:
        rows(bob, "SET @mine = 1, SESSION sql_mode = 'ANSI_QUOTES', SESSION max_statement_time = 1")
    ssp.connect_db(RELEASE)
    found = ssp.query_db('SELECT @mine IS NULL AS "none", @@max_statement_time AS seconds')
    assert found.iloc[0].tolist() == [1, 0]


def test_share_names_views_and_triggers(be: Be, bobs: Callable[..., None], root: MariadbConnection) -> None:
    """A view with its definer's privileges shows a database that is not shared; only a sentence can say so."""
    assert "defaultdb.leak" not in repr(ssp.preview_share(RELEASE, "bob").notes)
    root.execute("CREATE SQL SECURITY DEFINER VIEW defaultdb.leak AS SELECT a FROM secretdb.s")
    root.execute("CREATE SQL SECURITY DEFINER VIEW defaultdb.own AS SELECT a FROM defaultdb.t")
    root.execute("CREATE TRIGGER defaultdb.told AFTER INSERT ON defaultdb.t FOR EACH ROW SET @a = 1")
    notes = ssp.preview_share(RELEASE, "bob", read_write=True).notes
    assert any("defaultdb.leak" in note and "defaultdb.own" not in note for note in notes)
    assert any("defaultdb.told" in note for note in notes)
    assert "defaultdb.told" not in repr(ssp.preview_share(RELEASE, "bob").notes)


def test_privileges_of_everyone_are_named(be: Be, bobs: Callable[..., None], root: MariadbConnection) -> None:
    root.execute("GRANT SELECT ON *.* TO PUBLIC")
    try:
        assert any("Every user" in note and "*" in note for note in ssp.preview_share(RELEASE, "bob").notes)
    finally:
        root.execute("REVOKE SELECT ON *.* FROM PUBLIC")


@pytest.mark.parametrize("attack", CODE, ids=lambda attack: attack.name)
def test_code_runs_nowhere(
    be: Be, bobs: Callable[..., None], root: MariadbConnection, attack: Attack
) -> None:
    """With what a share grants, the code is not created. With more, it would run as the owner: the control."""
    with colleague(be) as bob:
        numbers = {refusal(bob, sql) for sql in attack.sql}
    assert numbers - {0} <= DENIED
    assert numbers - {0}
    root.execute("DROP TABLE IF EXISTS share_bob.own")
    root.execute(r"GRANT ALL PRIVILEGES ON `share\_bob`.* TO share_bob@'%'")
    with colleague(be) as bob:
        for sql in attack.sql:
            rows(bob, sql)
        with contextlib.suppress(pymysql.Error):
            rows(bob, "INSERT INTO share_bob.own VALUES (1)")
    ssp.connect_db(RELEASE)
    read_as_owner()
    assert rows(root, "SELECT who FROM canary.runs") == []
    ssp.query_db(attack.bait)
    assert rows(root, "SELECT DISTINCT who FROM canary.runs") == [("alice@%",)]

    root.execute("DELETE FROM canary.runs")
    with pytest.raises(UsageProblem, match="would run with a colleague's privileges"):
        bobs()
    (done,) = ssp.unshare(RELEASE, "bob")
    assert "should be dropped" in done.words
    with pytest.raises(UsageProblem):
        bobs()
    assert rows(root, "SELECT who FROM canary.runs") == []


def read_as_owner() -> None:
    """Run the commands that read a whole database."""
    tables = ssp.tables()
    draw(tables)
    for schema, name in zip(tables["schema"], tables["name"], strict=True):
        if schema in ("share_bob", "defaultdb"):
            draw(ssp.describe_table(f"`{schema}`.`{name.replace('`', '``')}`"))
    known = KnownTables()
    known.refresh_soon()
    known.wait()


def draw(value: Any) -> None:
    """Render a value as a notebook does; no name of the colleague's is markup."""
    repr(value)
    bundle = value._repr_mimebundle_() if hasattr(value, "_repr_mimebundle_") else {}
    html = value._repr_html_() if hasattr(value, "_repr_html_") else ""
    assert "<img" not in html + bundle.get("text/html", "")


@pytest.mark.parametrize("attack", LASTING, ids=lambda attack: attack.name)
def test_tables_end_with_the_privileges(
    be: Be, bobs: Callable[..., None], root: MariadbConnection, attack: Attack
) -> None:
    """Once other databases are shared instead, nothing of bob's reaches the first one."""
    with colleague(be) as bob:
        for sql in attack.sql:
            rows(bob, sql)
        assert refusal(bob, attack.gain) == 0
    bobs()
    with colleague(be) as bob:
        assert refusal(bob, attack.gain) == 0, "the share is the same, and what bob made stays"
    root.execute("REVOKE ALL PRIVILEGES ON `defaultdb`.* FROM share_bob@'%'")
    with colleague(be, "share_bob") as bob:
        assert refusal(bob, attack.gain) == 0, "without what the next command does, it works on"
    bobs("other")
    with colleague(be) as bob:
        assert refusal(bob, attack.gain) in {0, 1146}
    left = rows(root, "SELECT CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS")
    merged = rows(root, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE ENGINE = 'MRG_MyISAM'")
    assert (left, merged) == ([], [])


def test_revoked_share_leaves_no_foreign_key(
    be: Be, bobs: Callable[..., None], root: MariadbConnection
) -> None:
    """A foreign key of bob's stops the owner's DELETE and DROP; the end of the share removes it, and says so."""
    attack = next(each for each in LASTING if each.name == "foreign key")
    with colleague(be) as bob:
        for sql in (*attack.sql, attack.gain):
            rows(bob, sql)
    ssp.connect_db(RELEASE)
    with pytest.raises(QueryFailed, match="foreign key"):
        ssp.query_db("DROP TABLE t")
    (done,) = ssp.unshare(RELEASE, "bob")
    assert "reached into other databases: `f``k` (`c``k`)" in done.words
    assert rows(root, "SELECT a FROM share_bob.`f``k`") == [(77,)]
    ssp.query_db("DROP TABLE t")


def test_merge_of_own_tables_stays(be: Be, bobs: Callable[..., None]) -> None:
    """A MERGE table of bob's own tables reaches nowhere; one whose table is gone may reach a later table."""
    with colleague(be) as bob:
        for name in ("one", "two"):
            rows(bob, f"CREATE TABLE share_bob.{name} (a int) ENGINE = MyISAM")
        rows(
            bob, "CREATE TABLE share_bob.both_ (a int) ENGINE = MERGE UNION = (share_bob.one, share_bob.two)"
        )
        rows(bob, "CREATE TABLE share_bob.broken (a int) ENGINE = MERGE UNION = (defaultdb.old)")
    ssp.connect_db(RELEASE)
    ssp.query_db("DROP TABLE old")
    bobs("other")
    with colleague(be) as bob:
        assert refusal(bob, "SELECT a FROM share_bob.both_") == 0
        assert refusal(bob, "SELECT a FROM share_bob.broken") == 1146


def test_odd_tables_break_no_command(be: Be, bobs: Callable[..., None], root: MariadbConnection) -> None:
    """Names with quotes, placeholders and markup, JSON that is none or too deep, dates that Python does not have."""
    with colleague(be) as bob:
        rows(bob, "USE share_bob")
        for sql in ODD_TABLES:
            rows(bob, sql)
    ssp.connect_db(RELEASE)
    read_as_owner()
    for (name,) in rows(
        root, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'share_bob'"
    ):
        quoted = "`" + name.replace("`", "``") + "`"
        with contextlib.suppress(SspcloudError):
            draw(ssp.query_db(f"SELECT * FROM share_bob.{quoted}"))
    assert ssp.query_db("SELECT count(*) AS n FROM defaultdb.t")["n"].tolist() == [2]


def test_sessions_of_one_colleague_are_limited(be: Be, bobs: Callable[..., None]) -> None:
    """Ten sessions at once, even after `bob` has tried to lift the limit; the owner still connects."""
    with colleague(be) as bob:
        assert refusal(bob, "SET SESSION max_user_connections = 0") != 0
        opened = [bob.copy_connection() for _number in range(9)]
        with pytest.raises(SspcloudError, match="has no connection left"):
            bob.copy_connection()
        be("alice")
        assert ssp.connect_db(RELEASE).user == "alice"
        be("bob")
    for each in opened:
        each.close()


def test_file_of_the_client_is_not_sent(be: Be, bobs: Callable[..., None]) -> None:
    """LOAD DATA LOCAL sends a file of this machine: PyMySQL refuses, and the error says what to do."""
    ssp.connect_db(RELEASE)
    with pytest.raises(SspcloudError) as caught:
        ssp.query_db("LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE t")
    assert caught.value.hint
    assert len(ssp.query_db("SELECT * FROM t")) == 2
