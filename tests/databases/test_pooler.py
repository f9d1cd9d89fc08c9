"""PgBouncer between a client and the server: statements that work or are refused, and no leaks between clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pandas as pd
import psycopg
import pytest
from sqlalchemy import text

from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres.catalogue import describe_table, tables
from sspcloud_magics.databases.postgres.query import run
from sspcloud_magics.databases.postgres.session import pooler
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.session.session_settings import Preferences, Settings
from sspcloud_magics.databases.postgres.sql import schema_names
from sspcloud_magics.databases.postgres.sql_lexer import statements
from sspcloud_magics.databases.postgres.transfer.bulk_load import load_table
from sspcloud_magics.databases.postgres.transfer.copy import copy_from, copy_to
from sspcloud_magics.databases.postgres.transfer.sqlalchemy_engine import engine
from sspcloud_magics.errors import DatabaseUnavailable, QueryFailed
from sspcloud_magics.sharing import superuser
from tests.databases.conftest import login_to
from tests.support.poolers import Pooler, pgbouncer
from tests.support.postgres_servers import Server, start_server
from tests.support.queries import chunks, query

PREFERRED = Preferences('survey, "A b", public', "Europe/Paris")
IN_ZONE = "select timestamptz '2024-07-14 10:00+00' as z from generate_series(1, 5) i"
REFUSED = "the pooler keeps none"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server without other clients, so that leftovers in its sessions are visible."""
    with start_server() as running:
        with psycopg.connect(**running.conninfo(), autocommit=True) as session:
            session.execute(
                "create schema survey; create table survey.homes as select generate_series(1, 1000) as n"
            )
        yield running


@pytest.fixture(
    scope="module", params=["", "options,extra_float_digits"], ids=["nothing ignored", "options ignored"]
)
def pooler_in_between(server: Server, request: pytest.FixtureRequest) -> Iterator[Pooler]:
    """PgBouncer with its defaults, and as many run it: ignoring startup options silently."""
    with pgbouncer(server, ignored=request.param) as running:
        yield running


def connect_through(
    server: Server, through: Pooler, preferred: Preferences | None = None, **more
) -> DatabaseConnection:
    """Return a connection through a pooler."""
    login = replace(login_to(server, through.port), **more)
    database = Database("db", "user-alice", "postgres", "db-rw", 5432)
    return DatabaseConnection(database, login, settings=Settings(preferred))


@pytest.fixture
def connection(server, pooler_in_between) -> Iterator[DatabaseConnection]:
    """A client with preferences."""
    made = connect_through(server, pooler_in_between, PREFERRED)
    yield made
    made.close()


@pytest.fixture
def other(server, pooler_in_between) -> Iterator[DatabaseConnection]:
    """Another client, without."""
    made = connect_through(server, pooler_in_between)
    yield made
    made.close()


def read_leftovers(server: Server, through: Pooler) -> set[object]:
    """Return the state that clients have left in the pooler's only server session.

    The settings that PgBouncer itself sets for each client are left out.
    """
    with psycopg.connect(**server.conninfo(port=through.port), autocommit=True) as session:
        return set(
            session.execute("""
            select name || ' ' || setting from pg_settings where source = 'session'
              and name not in ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')
            union all select name from pg_prepared_statements where name <> ''
            union all select name from pg_cursors where name <> ''
            union all select 'lock ' || objid from pg_locks where locktype = 'advisory'
            union all select relname from pg_class where relnamespace = pg_my_temp_schema()
            union all select 'listens to ' || c from pg_listening_channels() c
            """).fetchall()
        ) | {session.execute("show timezone").fetchone()} - {("UTC",)}


# ------------------------------------------------------------------ noticing it


@pytest.mark.parametrize(
    ("mode", "how", "is_pooled"),
    [
        ("transaction", {}, True),
        ("transaction", {"size": 1}, True),
        ("transaction", {"size": 2, "round_robin": True}, True),
        ("session", {}, False),
        ("session", {"size": 1}, False),
        ("session", {"round_robin": True}, False),
    ],
    ids=str,
)
def test_pooler_that_keeps_no_session_is_noticed(server, mode, how, is_pooled):
    with pgbouncer(server, mode, **how) as through:
        made = connect_through(server, through)
        assert made.is_pooled == is_pooled
        assert ("keeps no session" in repr(made)) == is_pooled
        if not is_pooled:
            query(made, "set statement_timeout to '1min'; create temp table t (a int)")
            assert query(made, "show statement_timeout").iloc[0, 0] == "1min"
        made.close()


def test_pooler_without_room_for_a_second_client(server):
    """The mode cannot be detected then, and settings travel."""
    with pgbouncer(server, "session", clients=1, tls=True) as through:
        made = connect_through(server, through, PREFERRED)
        assert made.is_pooled
        assert query(made, "show timezone").iloc[0, 0] == "Europe/Paris"
        made.close()


def test_server_without_a_pooler_is_none(server):
    made = connect_through(server, Pooler(server.port, server.process, server.log))
    assert not made.is_pooled
    assert "pooler" not in repr(made)
    made.close()


# ------------------------------------------------------------------ what works


def test_preferences_travel_with_each_kind_of_call(connection, other, tmp_path):
    pd.DataFrame({"n": [1, 2]}).to_sql("made", engine(connection), index=False, if_exists="replace")
    load_table(connection, pd.DataFrame({"n": [3]}), "made", "append")
    file = tmp_path / "rows"
    copy_to(connection, "copy made to stdout", file)
    copy_from(connection, "copy made from stdin", file)
    with connection.transaction():
        query(connection, "insert into made values (4)")
    assert query(other, "select n from survey.made order by n")["n"].tolist() == [1, 1, 2, 2, 3, 3, 4]
    assert str(query(connection, IN_ZONE)["z"].dtype) == "datetime64[us, Europe/Paris]"
    assert str(query(other, IN_ZONE)["z"].dtype) == "datetime64[us, UTC]"
    with chunks(connection, f"{IN_ZONE}, homes", size=400) as read:
        assert {str(each["z"].dtype) for each in read} == {"datetime64[us, Europe/Paris]"}
    assert pd.read_sql("show search_path", engine(connection)).iloc[0, 0] == 'survey, "A b", public'
    assert "survey.made" in repr(describe_table(connection, "made"))
    assert tables(connection, "survey.m*")["name"].tolist() == ["made"]
    with connection.turn, connection.with_settings():
        read_names = schema_names.read(connection.psycopg)
    assert read_names.path == ("pg_temp", "pg_catalog", "survey", "public")
    assert ("survey", "homes") in read_names.relations


def test_preferences_of_later_are_taken_over(connection):
    connection.settings.prefer(Preferences(time_zone="Asia/Tokyo"))
    assert query(connection, "show timezone").iloc[0, 0] == "Asia/Tokyo"
    assert query(connection, "show search_path").iloc[0, 0] == '"$user", public'
    connection.settings.prefer(Preferences(time_zone="Nowhere/Else"))
    (note,) = run(connection, "show timezone").notes
    assert "timezone" in note


@pytest.mark.parametrize(
    "begin",
    [
        "begin; set transaction isolation level serializable",
        "start transaction read only",
        "begin; commit and chain",
        "begin; savepoint s; rollback to s",
    ],
)
def test_transactions_of_the_user_have_the_settings(connection, begin):
    query(connection, begin)
    assert query(connection, "show timezone").iloc[0, 0] == "Europe/Paris"
    query(connection, "set local timezone to 'Asia/Tokyo'")
    assert query(connection, "show timezone").iloc[0, 0] == "Asia/Tokyo"
    query(connection, "rollback")
    assert not connection.in_transaction


def test_temporary_table_of_a_transaction_works(connection):
    result = query(
        connection, "begin; create temp table t on commit drop as select 5 as a; select a from t; commit"
    )
    assert result["a"].tolist() == [5]


def test_failed_statement_leaves_no_transaction(connection):
    with pytest.raises(QueryFailed, match="division"):
        query(connection, "select 1/0")
    with pytest.raises(QueryFailed, match="division"):
        chunks(connection, "select n / (900 - n) as x from homes", size=100)
    with chunks(connection, "select a.n from homes a, homes b", size=100) as read:
        next(read)
    assert not connection.in_transaction
    assert query(connection, "show timezone").iloc[0, 0] == "Europe/Paris"


def test_statement_without_a_transaction_is_explained(connection, other):
    with pytest.raises(QueryFailed, match="VACUUM cannot run") as raised:
        query(connection, "vacuum survey.homes")
    assert "%config SSPCloud.search_path" in raised.value.hint
    assert not connection.in_transaction
    assert query(other, "vacuum survey.homes").statements[0].tag == "VACUUM"


# ------------------------------------------------------------------ what is refused

NEED_A_SESSION = [
    "set statement_timeout to '5s'",
    "SET SESSION search_path = a",
    "set time zone 'UTC'",
    "set session characteristics as transaction read only",
    "set role none",
    "reset all",
    "discard all",
    "select set_config('search_path', 'a', false)",
    "create temp table t (a int)",
    "create local temporary table if not exists t as select 1",
    "create or replace temp view v as select 1",
    "create temp sequence s",
    "create table pg_temp.t (a int)",
    "create table if not exists pg_temp.t (a int)",
    "create function pg_temp.f() returns int language sql as 'select 1'",
    "select set_config('search_path', 'a', not true)",
    "select 1 as a into temp t",
    "select 1 as a into pg_temp.t",
    "with a as (select 1) select * into temporary table t from a",
    "select pg_advisory_lock(1)",
    "select pg_try_advisory_lock_shared(1)",
    "select pg_advisory_unlock_all()",
    "listen news",
    "unlisten *",
    "declare c cursor with hold for select 1",
    "declare c no scroll cursor with hold for select 1",
    "prepare p as select 1",
    "execute p",
    "explain (analyze, format json) execute p",
    "deallocate all",
    "select lastval()",
    "select currval('s')",
    "select setseed(0.5)",
    'select "pg_advisory_lock"(1)',
    """select pg_catalog."set_config"('search_path', 'a', false)""",
    'create table "pg_temp".t (a int)',
    "do $$ begin perform pg_advisory_lock(4); end $$",
    "do $x$ begin if true then set work_mem = '1MB'; end if; end $x$",
    "do language plpgsql $$ begin create temp table never (a int); end $$",
]  # fmt: skip

NEED_NONE = [
    "set local statement_timeout to '5s'",
    "set transaction read only",
    "set constraints all deferred",
    "update t set temp = 1, prepare = 2",
    "select set_config('search_path', 'a', true)",
    "create temp table t (a int) on commit drop",
    "create table temp (a int)",
    "create table t (temp int, reset int)",
    "create index temp on t (a)",
    "insert into temp values (1)",
    "merge into temp using t on temp.a = t.a when matched then delete",
    "with t as (select 1 as a) merge into temp using t on true when matched then delete",
    "insert into t select temp, execute from temporary",
    "select * from pg_temp.t",
    "select pg_advisory_xact_lock(1)",
    "select pg_try_advisory_xact_lock_shared(1)",
    "select 'listen news; set x to 1'",
    "notify news",
    "declare c cursor without hold for select 'with hold'",
    "declare c cursor for select hold from t with hold",
    "prepare transaction 'x'",
    "explain select 1",
    "begin; select lastval(); commit",
    "select nextval('s')",
    "select '\"pg_advisory_lock\"(1)'",
    "do $$ begin execute 'select 1'; update t set a = 1; set local work_mem = '1MB'; end $$",
]  # fmt: skip


@pytest.mark.parametrize("sql", NEED_A_SESSION)
def test_statement_that_needs_a_session_is_refused(connection, sql):
    with pytest.raises(QueryFailed, match=REFUSED) as raised:
        query(connection, f"create table survey.never (a int); {sql}")
    assert len(raised.value.what) <= 100
    assert raised.value.hint
    with pytest.raises(QueryFailed, match=REFUSED):
        connection.psycopg.execute(sql.encode())
    with engine(connection).connect() as conn, pytest.raises(QueryFailed, match=REFUSED):
        conn.execute(text(sql.replace(":", "\\:")))
    assert query(connection, "select to_regclass('survey.never') is null as untouched")["untouched"].all()


@pytest.mark.parametrize("sql", NEED_NONE)
def test_statement_without_a_session_is_let_through(sql):
    pooler.refuse(statements(sql), "user-alice/db", in_transaction=False)


def test_psycopgs_cursors_refuse_what_needs_a_session(connection):
    session = connection.psycopg
    with session.cursor("named", withhold=True) as cursor, pytest.raises(QueryFailed, match=REFUSED):
        cursor.execute("select 1")
    with pytest.raises(QueryFailed, match=REFUSED):
        session.cursor().executemany("select set_config('a.b', %s, false)", [("c",)])
    with pytest.raises(QueryFailed, match=REFUSED):
        next(session.cursor().stream("listen news"))
    with pytest.raises(QueryFailed, match=REFUSED):
        session.execute(psycopg.sql.SQL("set {} to 1").format(psycopg.sql.Identifier("x")))
    with pytest.raises(QueryFailed, match=REFUSED):
        load_table(connection, pd.DataFrame({"a": [1]}), "pg_temp.t")


def test_hints_are_given_through_a_pooler(connection):
    """The names are read with the connection's settings: its path decides which need no schema."""
    for typed, meant in (
        ("SELECT * FROM homs", "homes"),
        ("SELECT * FROM public.homes", "survey.homes"),
        ("SELECT nn FROM homes", "n"),
    ):
        with pytest.raises(QueryFailed) as refused:
            query(connection, typed)
        assert refused.value.hint in (
            f"did you mean {meant}?",
            f'Perhaps you meant to reference the column "homes.{meant}".',
        )
    query(connection, "BEGIN READ ONLY")
    with pytest.raises(QueryFailed) as refused:
        query(connection, "CREATE TABLE never (a int)")
    assert "is READ ONLY" in refused.value.hint
    query(connection, "ROLLBACK")


def test_clients_leave_each_other_nothing(server, pooler_in_between, connection, other):
    for sql in NEED_A_SESSION:
        for each in (connection, other):
            with pytest.raises(QueryFailed):
                query(each, sql)
    for _ in range(8):  # psycopg would prepare
        connection.psycopg.execute("select %s::int", [1])
        pd.read_sql("select count(*) from homes", engine(connection))
        query(connection, "select :a::int as a", {"a": 1})
        assert query(other, "show search_path").iloc[0, 0] == '"$user", public'
    assert read_leftovers(server, pooler_in_between) == set()


# ------------------------------------------------------------------ startup options


def test_settings_of_the_login_are_compared(server, pooler_in_between):
    """PgBouncer refuses the login, or ignores the options: both are reported."""
    with (
        pytest.raises((QueryFailed, DatabaseUnavailable), match="pooler") as raised,
        closing(connect_through(server, pooler_in_between, options=superuser.OPTIONS)) as made,
    ):
        superuser.check_settings(made)
    assert "own service" in raised.value.hint


def test_settings_of_the_login_hold_without_a_pooler(server):
    made = connect_through(server, Pooler(server.port, server.process, server.log), options=superuser.OPTIONS)
    superuser.check_settings(made)
    made.close()


def test_settings_dropped_by_any_pooler_are_told(server):
    with pgbouncer(server, "session", ignored="options") as through:
        made = connect_through(server, through, options=superuser.OPTIONS)
        with pytest.raises(QueryFailed, match="keeps its settings") as raised:
            superuser.check_settings(made)
        made.close()
    assert "'\"$user\", public' and '0'" in raised.value.why
