"""Queries in French: errors are explained next to the server's words, and values do not change."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import psycopg
import pytest

from sspcloud_magics.databases.postgres.catalogue import describe_table, tables
from sspcloud_magics.databases.postgres.query import run
from sspcloud_magics.databases.postgres.session import sqlstates
from sspcloud_magics.databases.postgres.transfer.bulk_load import load_table
from sspcloud_magics.errors import QueryFailed
from sspcloud_magics.i18n import _
from tests.support.queries import query

pytestmark = pytest.mark.usefixtures("french")


@pytest.mark.parametrize(
    ("sql", "explanation", "words"),
    [
        ("select * from absent", "Cette table ou cette vue", 'relation "absent" does not exist'),
        ("select 1 / 0", "Division par zéro", "division by zero"),
        ("selec 1", "Erreur de syntaxe", 'syntax error at or near "selec"'),
        ("select 'a'::int", "ne peut pas être converti", "invalid input syntax for type integer"),
        ("select n, count(*) from (values (1)) as t (n)", "GROUP BY", "must appear in the GROUP BY clause"),
        ("select no_such_function(1)", "Cette fonction ou cet opérateur", "does not exist"),
    ],
)
def test_error_is_explained_and_quoted(connection, sql, explanation, words):
    with pytest.raises(QueryFailed) as raised:
        run(connection, sql)
    before, _sign, quoted = raised.value.what.partition("«")
    assert explanation in before
    assert words in quoted
    assert f"(SQLSTATE {raised.value.sqlstate})" in quoted


def test_error_without_explanation_is_only_quoted(connection):
    with pytest.raises(QueryFailed) as raised:
        run(connection, "do $$ begin raise sqlstate 'ZZ999' using message = 'ho'; end $$")
    assert raised.value.what == "ho (SQLSTATE ZZ999)"


def test_sqlstates_exist_and_are_translated():
    for sqlstate, explanation in sqlstates._EXPLANATIONS.items():
        assert psycopg.errors.lookup(sqlstate)
        assert _(explanation) != explanation


def test_values_are_those_of_english(connection):
    """Texts for PostgreSQL and the kinds of values are no messages."""
    values = {
        "span": [dt.timedelta(days=-1, seconds=5), None],
        "moment": [dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), None],
        "hour": [dt.time(1, 2, tzinfo=dt.UTC), None],
    }
    frame = pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in values.items()})
    load_table(connection, frame, "loaded", "replace")
    row = connection.psycopg.execute("select span::text, pg_typeof(moment)::text, hour::text from loaded")
    assert row.fetchone() == ("-23:59:55", "timestamp with time zone", "01:02:00+00")
    query(connection, "drop table loaded")


def test_tables_are_shown_with_french_sizes(connection):
    query(connection, "create table unread (n int primary key)")
    try:
        assert "8\N{NO-BREAK SPACE}Kio" in repr(tables(connection, "unread"))
        assert "public.unread\N{NO-BREAK SPACE}: 8\N{NO-BREAK SPACE}Kio, propriétaire" in repr(
            describe_table(connection, "unread")
        )
    finally:
        query(connection, "drop table unread")
