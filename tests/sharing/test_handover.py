"""What becomes of what a colleague has made: data go to the heir, code stays behind and runs for no other user."""

import psycopg
import pytest
from psycopg import errors, sql

from sspcloud_magics.sharing import grants, handover
from tests.sharing.study import DATABASE, OWNER, ROLE, alice, share, superuser, take_back

__all__ = ["alice", "superuser"]

CODE = """
CREATE TABLE share_bob.called (who text DEFAULT current_user);
GRANT USAGE ON SCHEMA share_bob TO PUBLIC; GRANT INSERT ON share_bob.called TO PUBLIC;
CREATE FUNCTION share_bob.write() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO share_bob.called DEFAULT VALUES; END $$;
CREATE FUNCTION share_bob.note(x anyelement) RETURNS anyelement LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM share_bob.write(); RETURN x; END $$;
CREATE FUNCTION share_bob.is_fine(x int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM share_bob.note(x); RETURN true; END $$;
CREATE FUNCTION share_bob.fire() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM share_bob.note(1); RETURN NEW; END $$;
CREATE FUNCTION share_bob.definer() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
CREATE PROCEDURE share_bob.act() LANGUAGE plpgsql AS $$ BEGIN PERFORM share_bob.note(1); END $$;
CREATE AGGREGATE share_bob.total(int) (sfunc = int4pl, stype = int);
CREATE OPERATOR share_bob.=== (leftarg = int, rightarg = int, function = share_bob.same);
CREATE DOMAIN share_bob.checked AS int CHECK (share_bob.is_fine(VALUE)) DEFAULT share_bob.note(4);
CREATE DOMAIN share_bob.plain AS int CHECK (VALUE > 0);
CREATE TYPE share_bob.mood AS ENUM ('sad', 'happy');
CREATE TYPE share_bob.pair AS (a int, b text);
CREATE TYPE share_bob.span AS RANGE (subtype = float8, subtype_diff = share_bob.gap);
CREATE TABLE share_bob.results (
    id serial PRIMARY KEY, at timestamptz DEFAULT now(), n int CHECK (n > 0),
    bad int DEFAULT share_bob.note(1), worse int CHECK (share_bob.is_fine(worse)),
    stored int GENERATED ALWAYS AS (share_bob.note(7)) STORED, kept int GENERATED ALWAYS AS (n + 1) STORED,
    d share_bob.checked, p share_bob.plain, m share_bob.mood DEFAULT 'sad', x text DEFAULT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, ''b''::tsquery')::text
);
CREATE INDEX by_code ON share_bob.results (share_bob.note(n)); CREATE INDEX by_n ON share_bob.results (n) WHERE n > 5;
CREATE STATISTICS share_bob.coded ON (share_bob.note(n)), n FROM share_bob.results;
CREATE STATISTICS share_bob.plainly ON id, n FROM share_bob.results;
CREATE TRIGGER t BEFORE INSERT ON share_bob.results FOR EACH ROW EXECUTE FUNCTION share_bob.fire();
CREATE RULE r AS ON UPDATE TO share_bob.results DO ALSO SELECT share_bob.note(1);
CREATE POLICY p ON share_bob.results USING (share_bob.is_fine(n)); ALTER TABLE share_bob.results ENABLE ROW LEVEL SECURITY;
ALTER TABLE share_bob.results FORCE ROW LEVEL SECURITY;
INSERT INTO share_bob.results (n, p) VALUES (6, 1); GRANT ALL ON share_bob.results TO PUBLIC;
CREATE TABLE share_bob.spans (s share_bob.span); INSERT INTO share_bob.spans VALUES ('[1,2)');
CREATE TABLE share_bob.parts (n int) PARTITION BY RANGE (share_bob.note(n));
CREATE TABLE share_bob.part PARTITION OF share_bob.parts FOR VALUES FROM (0) TO (9);
CREATE VIEW share_bob.seen AS SELECT share_bob.note(n) AS n FROM public.orders;
CREATE MATERIALIZED VIEW share_bob.counted AS SELECT count(*) AS n FROM public.orders;
CREATE SEQUENCE share_bob.numbers; SELECT lo_from_bytea(4711, 'of bob');
CREATE COLLATION share_bob.c (locale = 'C'); CREATE TEXT SEARCH CONFIGURATION share_bob.ts (COPY = english)
"""


@pytest.fixture
def bob(server, superuser):
    """Bob's session, with everything that he can think of in his schema."""
    share(superuser)
    with psycopg.connect(
        **server.conninfo(dbname=DATABASE, user=ROLE, password="b"), autocommit=True
    ) as session:
        session.execute("CREATE FUNCTION share_bob.same(int, int) RETURNS bool LANGUAGE sql AS 'SELECT true'")
        session.execute(
            "CREATE FUNCTION share_bob.gap(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 1.0::float8'"
        )
        for statement in CODE.strip().split(";\n"):
            session.execute(statement)
        yield session


def called(superuser):
    return {who for (who,) in superuser.execute("SELECT DISTINCT who FROM share_bob.called")} - {ROLE}


def test_data_are_inherited_and_run_no_code(superuser, alice, bob):
    given = take_back(superuser)
    assert {"share_bob.results", "share_bob.called", "share_bob.numbers", "large object 4711"} <= set(
        given.data
    )
    assert alice.execute("SELECT n, stored, kept, p, m::text FROM share_bob.results").fetchall() == [
        (6, 7, 7, 1, "sad")
    ]
    alice.execute(
        "INSERT INTO share_bob.results (n, d, worse) VALUES (9, 5, 1); UPDATE share_bob.results SET n = 8"
    )
    alice.execute("SELECT nextval('share_bob.numbers'), lo_get(4711); ANALYZE share_bob.results")
    assert called(superuser) == set()
    left = superuser.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'share_bob.results'::regclass AND contype = 'c'"
    )
    assert [name for (name,) in left] == ["results_n_check"]
    (default,) = superuser.execute(
        "SELECT at IS NOT NULL FROM share_bob.results ORDER BY id DESC LIMIT 1"
    ).fetchone()
    assert default
    indexes = superuser.execute(
        "SELECT indexname FROM pg_indexes WHERE tablename = 'results' ORDER BY 1"
    ).fetchall()
    assert [name for (name,) in indexes] == ["by_n", "results_pkey"]
    granted = superuser.execute(
        "SELECT has_table_privilege('public', 'share_bob.results', 'SELECT')"
    ).fetchone()
    assert granted == (False,)


def test_data_bound_to_code_stays_with_the_archive(superuser, alice, bob):
    given = take_back(superuser)
    assert set(given.kept) == {"share_bob.spans", "share_bob.parts", "share_bob.part"}
    assert alice.execute("SELECT s::text FROM share_bob.spans").fetchall() == [("[1,2)",)]
    assert alice.execute("SELECT n FROM share_bob.counted").fetchall() == [(1,)]
    with pytest.raises(errors.InsufficientPrivilege):
        alice.execute("INSERT INTO share_bob.parts VALUES (1)")
    assert called(superuser) == set()


CALLS = [
    "SELECT share_bob.note(1)",
    "SELECT share_bob.definer()",
    "CALL share_bob.act()",
    "SELECT 1 OPERATOR(share_bob.===) 1",
    "SELECT share_bob.total(1)",
    "SELECT * FROM share_bob.seen",
]


@pytest.mark.parametrize("call", CALLS)
def test_code_runs_for_no_other_user(superuser, alice, bob, call):
    take_back(superuser)
    with pytest.raises((errors.InsufficientPrivilege, errors.UndefinedFunction)):
        alice.execute(call)
    assert called(superuser) == set()


def test_code_is_on_no_path_and_acts_as_no_owner(superuser, alice, bob):
    take_back(superuser)
    found = superuser.execute(
        """SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE (pronamespace = 'share_bob'::regnamespace OR prosecdef)
            AND p.oid >= 16384 AND prolang <> (SELECT oid FROM pg_language WHERE lanname = 'internal')"""
    )
    assert found.fetchall() == []
    archive = superuser.execute(
        "SELECT rolcanlogin, rolsuper, rolinherit FROM pg_roles WHERE rolname = %s", [grants.ARCHIVE]
    ).fetchone()
    assert archive[:2] == (False, False)


def test_views_of_others_are_not_lost(superuser, alice, bob):
    alice.execute("CREATE VIEW public.mine AS SELECT n FROM share_bob.results")
    take_back(superuser)
    assert alice.execute("SELECT n FROM public.mine").fetchall() == [(6,)]


def test_second_colleague_of_a_name_leaves_again(superuser, alice, bob):
    take_back(superuser)
    bob.close()
    share(superuser)
    superuser.execute(
        "SET ROLE share_bob; CREATE FUNCTION share_bob.note(x anyelement) RETURNS anyelement LANGUAGE sql AS 'SELECT x'"
    )
    superuser.execute("CREATE TABLE share_bob.again AS SELECT * FROM share_bob.results; RESET ROLE")
    given = take_back(superuser)
    assert given.data == ("share_bob.again",)
    assert given.code == ("share_bob.note(pg_catalog.anyelement)",)


def test_a_superuser_inherits_nothing(superuser, alice, bob):
    superuser.execute("ALTER DATABASE study OWNER TO current_user")
    given = take_back(superuser)
    assert given.data == ()
    assert "share_bob.results" in given.kept
    owners = superuser.execute(
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'share_bob'::regnamespace"
    )
    assert owners.fetchall() == [(grants.ARCHIVE,)]


def test_a_role_of_the_archives_name_is_not_taken_over(superuser, bob):
    superuser.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(grants.ARCHIVE)))
    with pytest.raises(ValueError, match="no share has made"):
        handover.hand_over(superuser, ROLE, OWNER, leaves=True)


def test_a_colleague_who_made_nothing_leaves_nothing(superuser):
    share(superuser, "share_carol", read_write=False)
    given = take_back(superuser, "share_carol")
    assert (given.data, given.code, [len(step) for step in given.steps]) == ((), (), [1])


def test_many_tables_are_inherited_in_several_steps(superuser, alice, monkeypatch):
    """A transaction locks some thousands and no more: a colleague cannot keep their share from being taken back."""
    monkeypatch.setattr(handover, "_STEP", 10)
    share(superuser)
    superuser.execute("SET ROLE share_bob")
    for number in range(12):
        superuser.execute(f"CREATE TABLE share_bob.t{number} (x int)")
    superuser.execute("RESET ROLE")
    given = take_back(superuser)
    assert [len(step) for step in given.steps[:-1]] == [10, 10, 4]
    assert alice.execute("SELECT x FROM share_bob.t11").fetchall() == []
