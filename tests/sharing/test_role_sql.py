"""Privileges of a share's role on a real PostgreSQL, with names that need quoting."""

import select
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import errors, sql

from sspcloud_magics.sharing import advisories, role_sql
from sspcloud_magics.sharing.handover import hand_over

OWNER = 'al"ice é'
ROLE = 'share_b";--ob'
DATABASE = 'base "é";--'
SCHEMA = "enquête; drop"
PASSWORD = "canary-of-bob"


def run(connection, statements):
    for statement in statements:
        connection.execute(statement)


@pytest.fixture
def superuser(server):
    """The superuser's connection to the owner's database, which is dropped afterwards."""
    with psycopg.connect(**server.conninfo(), autocommit=True) as first:
        first.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'owner'").format(sql.Identifier(OWNER)))
        first.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
        )
        with psycopg.connect(**server.conninfo(dbname=DATABASE), autocommit=True) as connection:
            yield connection
        first.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(DATABASE)))
        for name in (ROLE, role_sql.ARCHIVE, OWNER):
            first.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


@pytest.fixture
def owner(server, superuser):
    """A connection of the owner, with a table and a sequence in a schema of its own."""
    with psycopg.connect(
        **server.conninfo(dbname=DATABASE, user=OWNER, password="owner"), autocommit=True
    ) as connection:
        schema = sql.Identifier(SCHEMA)
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        connection.execute(
            sql.SQL("CREATE TABLE {}.ménages (id serial primary key, revenu numeric)").format(schema)
        )
        connection.execute(sql.SQL("INSERT INTO {}.ménages (revenu) VALUES (1), (2)").format(schema))
        connection.execute("SELECT lo_from_bytea(4711, 'of the owner')")
        yield connection


def share(superuser, *, read_write=False, until=None, exists=False):
    verifier = superuser.pgconn.encrypt_password(PASSWORD.encode(), ROLE.encode(), b"scram-sha-256").decode()
    until = until or datetime.now(UTC) + timedelta(days=1)
    run(superuser, role_sql.create_role(ROLE, verifier, until, exists=exists, read_write=read_write))
    run(superuser, role_sql.grant(make_grant(read_write=read_write)))


def make_grant(*, read_write=False):
    return role_sql.Privileges(
        role=ROLE,
        dbname=DATABASE,
        schemas=(SCHEMA,),
        owners=(OWNER,),
        schema_owner=OWNER,
        read_write=read_write,
    )


def as_colleague(server):
    return psycopg.connect(**server.conninfo(dbname=DATABASE, user=ROLE, password=PASSWORD), autocommit=True)


def in_schema(text):
    return sql.SQL(text).format(s=sql.Identifier(SCHEMA))


def test_reader_reads_present_and_later_tables(server, superuser, owner):
    share(superuser)
    owner.execute(in_schema("CREATE TABLE {s}.later AS SELECT 42 AS answer"))
    with as_colleague(server) as bob:
        assert bob.execute(in_schema("SELECT count(*) FROM {s}.ménages")).fetchone() == (2,)
        assert bob.execute(in_schema("SELECT answer FROM {s}.later")).fetchone() == (42,)


WRITES = [
    "INSERT INTO {s}.ménages (revenu) VALUES (3)",
    "UPDATE {s}.ménages SET revenu = 0",
    "DELETE FROM {s}.ménages",
    "TRUNCATE {s}.ménages",
    "DROP TABLE {s}.ménages",
    "ALTER TABLE {s}.ménages ADD COLUMN x int",
    "CREATE TABLE {s}.mine (x int)",
    "CREATE TABLE public.mine (x int)",
    "CREATE SCHEMA mine",
    "CREATE VIEW {s}.v AS SELECT 1",
    "CREATE INDEX ON {s}.ménages (revenu)",
    "COPY {s}.ménages FROM PROGRAM 'echo 1'",
    "SELECT nextval('{s}.\"ménages_id_seq\"')",
    "CREATE ROLE other",
    "COMMENT ON TABLE {s}.ménages IS 'x'",
    "BEGIN; LOCK TABLE {s}.ménages IN ACCESS EXCLUSIVE MODE; COMMIT",
    "SELECT * FROM {s}.ménages FOR UPDATE",
    "COPY {s}.ménages FROM STDIN",
    "COPY {s}.ménages TO '/tmp/written'",
    "SELECT * INTO {s}.copied FROM {s}.ménages",
    "SELECT * INTO public.copied FROM {s}.ménages",
    "SELECT setval('{s}.\"ménages_id_seq\"', 99)",
    'ALTER SEQUENCE {s}."ménages_id_seq" RESTART',
    "MERGE INTO {s}.ménages USING (SELECT 1) AS x ON true WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM {s}.ménages RETURNING 1) SELECT count(*) FROM gone",
    "DO 'BEGIN DELETE FROM {s}.ménages; END'",
    "CREATE FUNCTION {s}.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TRIGGER t BEFORE INSERT ON {s}.ménages EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE MATERIALIZED VIEW {s}.v AS SELECT 1",
    "CREATE TYPE {s}.t AS (x int)",
    "CREATE DATABASE other",
    "ALTER ROLE {owner} PASSWORD 'x'",
    "SET ROLE {owner}",
    "SELECT lo_put(4711, 0, 'x')",
    "SELECT lo_unlink(4711)",
    "SELECT lowrite(lo_open(4711, 131072), 'x')",
    "SELECT pg_read_file('postgresql.conf')",
]
# Every role that may log in may create large objects: only default_transaction_read_only prevents that.
ONLY_WITH_THE_BELT = ["SELECT lo_create(0)", "CREATE TEMPORARY TABLE t (x int)"]


@pytest.mark.parametrize("belt", [True, False], ids=["with-the-belt", "without-it"])
def test_a_reader_writes_in_no_way(server, superuser, owner, belt):
    share(superuser)
    through = []
    with as_colleague(server) as bob:
        if not belt:
            bob.execute("SET default_transaction_read_only = off")
        for statement in [*WRITES, *(ONLY_WITH_THE_BELT if belt else ())]:
            try:
                bob.execute(as_written(statement))
            except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction):
                bob.rollback()
            else:
                through.append(statement)
    assert through == []
    assert owner.execute(in_schema("SELECT sum(revenu) FROM {s}.ménages")).fetchone() == (3,)


def as_written(statement):
    """Fill the names into a statement; inside a string of SQL, they are quoted for it."""
    for within in ("'{s}.", "FROM {s}.ménages; END"):
        statement = statement.replace(within, within.replace("{s}", f'"{SCHEMA}"'))
    return in_schema(statement.replace("{owner}", sql.Identifier(OWNER).as_string(None)))


def test_a_reader_can_pass_nothing_on(server, superuser, owner):
    share(superuser)
    with as_colleague(server) as bob:
        bob.execute("SET default_transaction_read_only = off")
        bob.execute(in_schema("GRANT SELECT ON {s}.ménages TO PUBLIC"))  # a warning, says PostgreSQL
    table = f'"{SCHEMA}".ménages'
    asked = superuser.execute("SELECT has_table_privilege('public', %s, 'SELECT')", [table]).fetchone()
    assert asked == (False,)


def in_own(text):
    return sql.SQL(text).format(sql.Identifier(ROLE))


CODE_IN_SHARED_SCHEMAS = [
    "CREATE FUNCTION {s}.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TABLE {s}.mine (x int)",
    "CREATE TYPE {s}.t AS (x int)",
    "CREATE VIEW {s}.v AS SELECT 1",
    "CREATE TABLE mine (id int REFERENCES {s}.ménages (id))",
    "CREATE TRIGGER t BEFORE INSERT ON {s}.ménages EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "ALTER TABLE {s}.ménages ADD COLUMN x int",
    "CREATE SCHEMA other",
    "CREATE EXTENSION hstore",
]


def test_a_writer_puts_no_code_where_others_meet_it(server, superuser, owner):
    share(superuser, read_write=True)
    through = []
    with as_colleague(server) as bob:
        for statement in CODE_IN_SHARED_SCHEMAS:
            try:
                bob.execute(as_written(statement))
            except errors.InsufficientPrivilege:
                continue
            except (errors.FeatureNotSupported, errors.UndefinedFile):  # an extension that is not installed
                continue
            through.append(statement)
    assert through == []


def test_writer_writes_and_the_owner_may_use_it(server, superuser, owner):
    share(superuser, read_write=True)
    with as_colleague(server) as bob:
        bob.execute(in_schema("INSERT INTO {s}.ménages (revenu) VALUES (3)"))
        bob.execute("CREATE TABLE of_bob AS SELECT 7 AS x")
    assert owner.execute(in_own("SELECT x FROM {}.of_bob")).fetchone() == (7,)


def test_a_share_can_be_made_again_and_become_narrower(server, superuser, owner):
    share(superuser, read_write=True)
    run(superuser, role_sql.revoke_before_grant(make_grant(), (SCHEMA,)))
    share(superuser, exists=True)
    share(superuser, exists=True)
    with as_colleague(server) as bob:
        assert bob.execute(in_schema("SELECT count(*) FROM {s}.ménages")).fetchone() == (2,)
        bob.execute("SET default_transaction_read_only = off")
        with pytest.raises(errors.InsufficientPrivilege):
            bob.execute(in_schema("DELETE FROM {s}.ménages"))


def test_an_ended_role_may_not_log_in(server, superuser, owner):
    share(superuser, until=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        as_colleague(server)


def shorten_limits(superuser):
    """Check the limits of bob's role, then set them so low that a test reaches them."""
    found = superuser.execute(
        "SELECT rolconnlimit, rolconfig FROM pg_roles WHERE rolname = %s", [ROLE]
    ).fetchone()
    limits = [f"{kind}_timeout=3600000" for kind in ("idle_session", "idle_in_transaction_session")]
    assert found[0] == 10
    assert set(limits) <= set(found[1])
    for change in ("CONNECTION LIMIT 1", *(f"SET {each.split('=')[0]} = '1s'" for each in limits)):
        superuser.execute(sql.SQL("ALTER ROLE {} " + change).format(sql.Identifier(ROLE)))


def test_idle_sessions_end_and_their_number_is_limited(server, superuser, owner):
    share(superuser)
    shorten_limits(superuser)
    with as_colleague(server) as bob:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            as_colleague(server)
        assert select.select([bob.fileno()], [], [], 60)[0], "the server has not ended the idle session"
        with pytest.raises(errors.IdleSessionTimeout):
            bob.execute("SELECT 1")


def test_transaction_that_idles_ends(server, superuser, owner):
    share(superuser)
    shorten_limits(superuser)
    with as_colleague(server) as bob:
        bob.execute("BEGIN")
        assert select.select([bob.fileno()], [], [], 60)[0], "the server has not ended the idle transaction"
        with pytest.raises(errors.IdleInTransactionSessionTimeout):
            bob.execute("SELECT 1")


def test_own_settings_end_with_the_renewal(server, superuser, owner):
    share(superuser)
    with as_colleague(server) as bob:
        bob.execute("SET default_transaction_read_only = off")
        bob.execute(
            sql.SQL("ALTER ROLE {} SET idle_in_transaction_session_timeout = 0").format(sql.Identifier(ROLE))
        )
        bob.execute(
            sql.SQL("ALTER ROLE {} SET default_transaction_read_only = off").format(sql.Identifier(ROLE))
        )
    share(superuser, exists=True)
    with as_colleague(server) as bob:
        assert bob.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
        assert bob.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("1h",)


def test_revoking_ends_sessions_and_keeps_objects(server, superuser, owner):
    share(superuser, read_write=True)
    with as_colleague(server) as bob:
        bob.execute("CREATE TABLE of_bob AS SELECT 7 AS x")
        run(superuser, [role_sql.forbid_login(ROLE), role_sql.end_sessions(ROLE)])
        with pytest.raises(psycopg.OperationalError):
            bob.execute("SELECT 1")
        for step in hand_over(superuser, ROLE, OWNER, leaves=True).steps:
            run(superuser, step)
        run(superuser, role_sql.drop(ROLE))
    assert owner.execute(in_own("SELECT x FROM {}.of_bob")).fetchone() == (7,)
    found = superuser.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone()
    assert found is None


def test_what_public_may_do_is_asked_for(superuser):
    temporary, create = superuser.execute(role_sql.PUBLIC_RIGHTS).fetchone()
    assert (temporary, create) == (True, False)


def test_owners_and_schemas_are_found(superuser, owner):
    schemas = [name for (name,) in superuser.execute(role_sql.SCHEMAS)]
    assert schemas == [SCHEMA, "public"]
    assert superuser.execute(role_sql.OWNERS, {"schemas": [SCHEMA]}).fetchall() == [(OWNER,)]


def test_the_servers_log_holds_no_password(server, superuser, owner):
    superuser.execute("SET log_statement = 'all'")
    share(superuser)
    superuser.execute("SELECT 'a line after it'")
    assert "SCRAM-SHA-256$" in server.log.read_text()
    assert PASSWORD not in server.log.read_text()


def test_what_public_may_write_or_call_is_found(superuser, owner):
    for statement in (
        "CREATE TABLE {s}.open_to_all (x int)",
        "GRANT INSERT ON {s}.open_to_all TO PUBLIC",
        "CREATE FUNCTION {s}.acts() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM {s}.open_to_all'",
        "CREATE FUNCTION {s}.acts_for_none() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'SELECT'",
        "REVOKE EXECUTE ON FUNCTION {s}.acts_for_none() FROM PUBLIC",
    ):
        quoted = statement.replace("'DELETE FROM {s}.", "'DELETE FROM " + f'"{SCHEMA}".')
        owner.execute(in_schema(quoted))
    said = advisories.warn_public(superuser, [SCHEMA], (), read_write=False)
    assert any(f'PUBLIC may write to "{SCHEMA}".open_to_all,' in one for one in said)
    assert any(f'PUBLIC may execute "{SCHEMA}".acts() with' in one for one in said)
    elsewhere = " ".join(advisories.warn_public(superuser, ["public"], (), read_write=False))
    assert "open_to_all" not in elsewhere
    assert "acts()" not in elsewhere


def test_creators_without_objects_are_covered_later(server, superuser, owner):
    superuser.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'w'").format(sql.Identifier("writer é")))
    try:
        owner.execute(in_schema('GRANT USAGE, CREATE ON SCHEMA {s} TO "writer é"'))
        owners = [name for (name,) in superuser.execute(role_sql.OWNERS, {"schemas": [SCHEMA]})]
        assert owners == sorted([OWNER, "writer é"])
        share(superuser)
        run(superuser, role_sql.grant(replace(make_grant(), owners=tuple(owners))))
        with psycopg.connect(**server.conninfo(dbname=DATABASE, user="writer é", password="w")) as writer:
            writer.execute(in_schema("CREATE TABLE {s}.of_another AS SELECT 3 AS x"))
        with as_colleague(server) as bob:
            assert bob.execute(in_schema("SELECT x FROM {s}.of_another")).fetchone() == (3,)
    finally:
        superuser.execute('DROP OWNED BY "writer é" CASCADE')
        superuser.execute('DROP ROLE "writer é"')
