"""No user-defined function runs only for an estimate: it runs as often as the statement calls it."""

from __future__ import annotations

import pytest

from sspcloud_magics.databases.postgres.query import run
from sspcloud_magics.databases.postgres.results import statement_description
from sspcloud_magics.databases.postgres.results.user_functions import CHECK, list_named
from sspcloud_magics.databases.postgres.sql_lexer import statements
from sspcloud_magics.databases.query_options import QueryOptions
from tests.support.queries import query

OWN = """
drop schema if exists own cascade; create schema own; set search_path to own;
create function said(int) returns int immutable language plpgsql as $$ begin raise notice 'called'; return $1; end $$;
create type mood as enum ('sad', 'glad'); create type calm as enum ('still');
create function shown(mood) returns text immutable language plpgsql as $$ begin raise notice 'called'; return 'm'; end $$;
create cast (mood as text) with function shown(mood);
create function near(int, mood) returns boolean immutable language plpgsql as $$ begin return true; end $$;
create function alike(int, int) returns boolean immutable language plpgsql as $$ begin return true; end $$;
create operator ~~~ (leftarg = int, rightarg = mood, function = near);
create operator <=> (leftarg = int, rightarg = int, function = alike);
create operator === (leftarg = int, rightarg = int, function = pg_catalog.int4eq);
create domain small as int check (said(value) < 100);
create table plain (n int, w text); create table moods (m mood); create table smalls (s small);
create view calls as select said(1) as x; create view through as select * from calls; create view harmless as select * from plain;
create table indexed (n int); create index on indexed (said(n));
create table defaults (n int default said(1)); create table generated (n int, g int generated always as (said(n)) stored);
create table checked (n int check (said(n) > 0)); create table inheriting () inherits (checked);
create table parent (n int); create table child () inherits (parent); create index on child (said(n));
create table parted (n int, d date) partition by range (d); create table part partition of parted for values from ('2024-01-01') to ('2025-01-01');
create table guarded (n int); alter table guarded enable row level security; create policy p on guarded using (said(n) > 0);
create table audited (n int); create function audit() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger t before insert on audited for each row execute function audit();
create function whole(plain) returns text language sql as 'select $1.w';
create function "Odd name"() returns int language sql as 'select 1'
"""

CALLING = [
    "select said(1) from plain",
    'select "said"(n) from plain',
    'select "Odd name"() from plain',
    "select * from through",
    "select plain.whole from plain",
    "select * from moods where m::text = 'm'",
    "select * from plain, moods where n ~~~ m",
    "select * from plain where n <=>-1",
    "select * from smalls",
    "select '5'::small from plain",
    "select * from indexed",
    "select * from defaults",
    "select * from generated",
    "select * from inheriting",
    "select * from parent",
    "select * from guarded",
    "with p as (select * from plain) select said(n) from p",
]

HARMLESS = [
    "select * from plain where n between 1 and 5 order by w",
    "select * from plain where n === -1",
    "select * from harmless join plain using (n)",
    "select * from plain where 'still'::calm < 'still'",
    "select * from parted",
    "select * from audited",
    "select lower(relname), count(*) from pg_class group by 1",
    "select 'said(1)' from plain -- said(1)",
]


@pytest.fixture
def own(connection):
    """A schema with many objects that lead to user-defined functions."""
    query(connection, OWN)
    yield connection
    query(connection, "drop schema own cascade")


@pytest.mark.parametrize("sql", [*CALLING, *HARMLESS])
def test_statements_that_call_own_code_are_known(own, sql):
    result = own.psycopg.pgconn.exec_params(CHECK, list_named(statements(sql)[0]))
    assert result.get_value(0, 0) == (b"t" if sql in CALLING else b"f"), result.error_message


@pytest.mark.parametrize("sql", [CALLING[0], CALLING[3], HARMLESS[0]])
def test_size_is_estimated_where_nothing_is_called(own, sql):
    query(own, "insert into plain values (1, 'a')")
    told = []
    notes = run(own, sql, options=QueryOptions(warn=told.append, memory_share=0)).notes
    assert bool(told) == (sql in HARMLESS)
    statement_description.get_seen_queries(own.psycopg)._found.clear()
    assert notes == run(own, sql).notes


def test_own_operators_are_not_called_by_the_check(own):
    query(
        own,
        """create function own.same(oid, oid) returns boolean language plpgsql as $$ begin raise 'called'; end $$;
        create operator own.= (leftarg = oid, rightarg = oid, function = own.same); set search_path to own, pg_catalog""",
    )
    assert len(query(own, "select n from plain where n > 3")) == 0
    told = []
    run(own, "select * from harmless", options=QueryOptions(warn=told.append, memory_share=0))
    assert told == []


def test_letters_beyond_ascii_are_spelt_both_ways():
    names, operators = list_named(statements("SELECT * FROM Été WHERE a SIMILAR TO 'x'")[0])
    assert '"été"'.encode() in names
    assert '"Été"'.encode() in names
    assert b'"~"' in operators
