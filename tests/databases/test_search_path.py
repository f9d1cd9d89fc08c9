"""The package's own statements run no code of a colleague who may create objects on the reader's search path."""

from dataclasses import replace

import psycopg
import pytest

from sspcloud_magics.databases.postgres.catalogue import describe_table, tables
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.sql.schema_names import read
from sspcloud_magics.errors import QueryFailed
from sspcloud_magics.secret import Secret
from tests.support.queries import query


@pytest.fixture
def schema(connection):
    """A schema with a table and a view."""
    query(
        connection,
        """create schema shop; create table shop.orders as select i as id from generate_series(1, 9) i;
        create view shop.recent as select * from shop.orders""",
    )
    yield "shop"
    query(connection, "drop schema shop cascade")


@pytest.fixture
def colleague(connection, schema):
    """A colleague who may create in the schema shop, which is on this session's path, and their function."""
    query(
        connection,
        """create role colleague; grant usage, create on schema shop to colleague; set search_path = shop, public;
        create table shop.called (who text); grant insert on shop.called to public; set role colleague;
        create function shop.note() returns bool language plpgsql as
            $$ begin insert into shop.called values (current_user); return true; end $$;
        create view shop.trap as select 1 as a where shop.note();
        create table shop.plain as select 7 as x; create table shop.indexed as select 7 as x;
        create function shop.one() returns int language plpgsql immutable as $$ begin perform shop.note(); return 1; end $$;
        create index on shop.indexed (shop.one(), x);
        create table shop.ruled as select 8 as x; alter table shop.ruled enable row level security;
        create policy p on shop.ruled using (shop.note()); alter table shop.ruled force row level security; reset role""",
    )
    yield "colleague"
    query(connection, "reset search_path; drop owned by colleague cascade; drop role colleague")


@pytest.fixture
def reader(connection, schema, colleague, server):
    """The session of a reader with few privileges, in whose path the colleague may create objects."""
    query(connection, "create role reader login password 'r'; grant usage on schema shop to reader")
    query(
        connection,
        "grant select on all tables in schema shop to reader; grant insert on shop.called to reader",
    )
    login = replace(connection._login, user="reader", password=Secret("r"))
    made = DatabaseConnection(connection.database, login)
    query(made, "set search_path = shop, public")
    yield made
    made.close()
    query(connection, "drop owned by reader; drop role reader")


def list_calls(connection):
    return query(connection, "select distinct who from shop.called where who <> 'colleague' order by 1")[
        "who"
    ].tolist()


SHADOWS = [
    "create function shop.obj_description(oid, name) returns text language plpgsql as $$ begin perform shop.note(); return ''; end $$",
    "create function shop.format_type(oid, int) returns text language plpgsql as $$ begin perform shop.note(); return ''; end $$",
    "create function shop.same(name, name) returns bool language plpgsql as $$ begin perform shop.note(); return true; end $$",
    "create operator shop.!~ (leftarg = name, rightarg = name, function = shop.same)",
]


def test_catalogue_reads_run_no_code_of_a_colleague(connection, reader, colleague):
    for shadow in SHADOWS:
        query(connection, f"set role {colleague}; {shadow}; reset role")
    assert "orders" in set(tables(reader)["name"])
    assert describe_table(reader, "plain").columns["name"].tolist() == ["x"]
    read(reader.psycopg)
    with reader.transaction():
        assert describe_table(reader, "orders").owner != colleague
    assert list_calls(connection) == []
    assert query(reader, "show search_path")["search_path"].tolist() == ["shop, public"]


@pytest.mark.parametrize("name", ["trap", "ruled", "indexed"])
def test_rows_that_run_a_colleagues_code_are_not_read(connection, reader, colleague, name):
    described = describe_table(reader, name)
    assert described.owner == colleague
    assert described.columns["name"].tolist() == [{"trap": "a", "ruled": "x", "indexed": "x"}[name]]
    assert described.head.empty
    assert "code of colleague with your privileges" in repr(described)
    assert list_calls(connection) == []


def test_locked_table_is_told_with_its_holder(connection, reader, colleague, server):
    with psycopg.connect(**server.conninfo()) as holder:
        holder.execute("lock table shop.plain in access exclusive mode")
        with pytest.raises(QueryFailed, match="Another session has locked") as refused:
            tables(reader)
        assert f"(process {holder.info.backend_pid}) holds shop.plain" in refused.value.why
    assert "plain" in set(tables(reader)["name"])


def test_own_views_show_their_rows(connection, schema):
    assert len(describe_table(connection, "shop.recent").head) == 5


def test_catalogue_says_that_a_transaction_has_failed(connection, schema):
    query(connection, "begin")
    with pytest.raises(QueryFailed):
        query(connection, "select 1/0")
    with pytest.raises(QueryFailed, match="has failed") as refused:
        tables(connection)
    assert "--rollback" in refused.value.hint
    query(connection, "rollback")
