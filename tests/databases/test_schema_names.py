"""The names of a database, read for completion."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from sspcloud_magics.databases.postgres.sql import schema_names
from sspcloud_magics.databases.sql_names import Relation
from tests.support.postgres_servers import Server
from tests.support.queries import query


@pytest.fixture
def shop(connection):
    """A schema with a table, a view, a function and an enum, and a temporary table."""
    query(
        connection,
        """create schema shop; create table shop.orders (id int, "With Blank" numeric(9, 2)); create view shop.recent as select id from shop.orders;
        create type shop.mood as enum ('good'); create function shop.tax(numeric) returns numeric language sql as 'select $1';
        create temp table mine (a int)""",
    )
    yield "shop"
    query(connection, "drop schema shop cascade; drop table mine")


def test_relations_have_their_columns_and_types(connection, shop):
    found = schema_names.read(connection.psycopg)
    assert found.relation("shop", "orders") == Relation(
        "shop", "orders", "table", (("id", "integer"), ("With Blank", "numeric(9,2)"))
    )
    assert found.relation("shop", "recent").kind == "view"
    assert found.relation(None, "orders") is None
    assert found.relation(None, "mine").columns == (("a", "integer"),)
    assert found.relation(None, "pg_class").schema == "pg_catalog"
    query(connection, "set search_path to shop")
    assert schema_names.read(connection.psycopg).relation(None, "orders").schema == "shop"
    query(connection, "reset search_path")


def test_names_that_need_quotes_get_them(connection):
    found = schema_names.read(connection.psycopg)
    shown = {
        "orders": "orders",
        "With Blank": '"With Blank"',
        "order": '"order"',
        "left": '"left"',
        "date": "date",
    }
    for name, wanted in shown.items():
        assert found.quote(name) == wanted
        query(connection, f"select 1 as {wanted} from (values (1)) as t({wanted})")


def test_functions_are_those_that_people_call(connection, shop):
    found = schema_names.read(connection.psycopg)
    called = {name for _, name in found.functions}
    assert {
        *("count", "sum", "avg", "lower", "upper", "length", "substring", "round", "date_trunc"),
        *(
            "generate_series",
            "to_char",
            "now",
            "percentile_cont",
            "regexp_replace",
            "jsonb_agg",
            "row_number",
        ),
        *("string_agg", "array_agg", "replace", "btrim", "abs", "mod", "power", "random", "to_date", "age"),
    } <= called
    assert ("shop", "tax") in found.functions
    assert not {"int4pl", "textin", "btint4cmp", "int4_avg_accum", "eqsel"} & called


def test_schemas_and_types_are_told(connection, shop):
    found = schema_names.read(connection.psycopg)
    assert {"shop", "public", "information_schema"} <= set(found.schemas)
    assert {"integer", "timestamp with time zone", "text", "jsonb", "shop.mood"} <= set(found.types)


def test_what_one_may_not_use_is_not_told(connection, shop, server: Server):
    query(connection, "create role stranger login password 'x'")
    try:
        with psycopg.connect(**replace_user(server, "stranger")) as session:
            found = schema_names.read(session)
            assert "shop" not in found.schemas
            assert found.relation("shop", "orders") is None
            assert found.relation(None, "mine") is None
    finally:
        query(connection, "drop role stranger")


def replace_user(server: Server, user: str) -> dict[str, object]:
    """Return how that user logs in."""
    return replace(server, user=user, password="x").conninfo()
