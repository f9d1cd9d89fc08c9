"""The fast way of fetching gives what the other way gives, in the same session."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.adapt import Transformer

from sspcloud_magics.databases import binary, copying, fetching
from sspcloud_magics.databases.columns import column
from sspcloud_magics.databases.parameters import statements
from sspcloud_magics.databases.query import query, run
from sspcloud_magics.errors import QueryFailed
from tests.databases.test_columns import TYPES

MORE_TYPES = [
    ("bit(3)", "string", ["101"]),
    ("real[]", "object", ["{1.1,NULL}"]),
    ("numeric[]", "object", ["{1.10}"]),
    ("numrange", "object", ["[1.5,2)"]),
    ("int4multirange", "object", ["{[1,2),[5,6)}"]),
    ("macaddr", "string", ["08:00:2b:01:02:03"]),
    ("jsonb[]", "object", ['{"{\\"a\\": 1}"}']),
    ('"char"', "string", ["x"]),
]


@pytest.fixture(scope="module")
def tables(server):
    """A schema with an enum, a domain and a composite type, and a table of every type."""
    import psycopg

    with psycopg.connect(**server.conninfo(), autocommit=True) as session:
        session.execute("create schema copying")
        session.execute("create type copying.mood as enum ('sad', 'très content')")
        session.execute("create domain copying.short as text check (length(value) < 5)")
        session.execute("create type copying.pair as (a int, b text)")
        yield session
        session.execute("drop schema copying cascade")


def copied_and_fetched(connection, monkeypatch, sql, **options):
    """The same query by both ways; the first must have come by COPY."""
    batches = []
    copied = copying.copied

    def watched(*arguments):
        for taken in copied(*arguments):
            batches.append(taken)
            yield taken

    with monkeypatch.context() as patch:
        patch.setattr(copying, "copied", watched)
        fast = query(connection, sql, **options)
    assert batches or fast.empty
    with monkeypatch.context() as patch:
        patch.setattr(copying, "may_copy", lambda _: False)
        slow = query(connection, sql, **options)
    return fast, slow


@pytest.mark.parametrize("rows", [copying.ROWS, 2], ids=["one batch", "several batches"])
@pytest.mark.parametrize(
    ("kind", "values"),
    [(kind.replace("pg_temp", "copying"), values) for kind, _, values in TYPES + MORE_TYPES]
    + [("copying.pair", ['(1,"x y")'])],
)
def test_each_type_comes_as_it_comes_without_copy(  # noqa: PLR0917 - fixtures and parameters
    connection, tables, monkeypatch, kind, values, rows
):
    monkeypatch.setattr(copying, "ROWS", rows)
    listed = [values[0], None, *values, None, None]
    tables.execute("drop table if exists copying.kept")
    tables.execute(f"create table copying.kept (n serial, value {kind}, other text default 'é')")
    for value in listed:
        tables.execute(f"insert into copying.kept(value) values (cast(%s::text as {kind}))", [value])
    query(connection, "set time zone 'Europe/Paris'")
    fast, slow = copied_and_fetched(
        connection, monkeypatch, "select value, other, value as value from copying.kept order by n"
    )
    pd.testing.assert_frame_equal(fast, slow, check_exact=True)
    assert [type(one) for one in fast.iloc[:, 0]] == [type(one) for one in slow.iloc[:, 0]]
    fast, slow = copied_and_fetched(connection, monkeypatch, "select value from copying.kept where n < 0")
    pd.testing.assert_frame_equal(fast, slow)


def test_exact_numerics_are_those_that_come_without_copy(connection, monkeypatch):
    sql = "select value::numeric from (values ('0.10'), ('1e-30'), ('NaN'), ('Infinity'), (null)) v(value)"
    fast, slow = copied_and_fetched(connection, monkeypatch, sql, numeric="decimal")
    assert [str(value) for value in fast["value"]] == [str(value) for value in slow["value"]]


@settings(deadline=None)
@given(
    st.lists(
        st.decimals(min_value=-(10**25), max_value=10**25).map(lambda value: f"{value:f}")
        | st.floats(allow_nan=False, allow_infinity=False, min_value=1e-200, max_value=1e200).map(repr)
        | st.decimals(places=4, min_value=-(10**13), max_value=10**13).map(str)
        | st.sampled_from(["0", "NaN", "Infinity", "-Infinity", "9007199254740993", "0.9999999999999999"]),
        max_size=20,
    )
)
def test_the_float_of_a_numeric_is_the_nearest_one(numbers):
    """psycopg writes the bytes that the server would send."""
    from decimal import Decimal

    numbers = [number for number in numbers if len(number) < 400]
    transformer = Transformer()
    from psycopg.adapt import PyFormat

    rows = []
    for number in numbers:
        data = transformer.get_dumper(Decimal(number), PyFormat.BINARY).dump(Decimal(number))
        rows.append(b"\0\1" + len(data).to_bytes(4, "big") + bytes(data))
    if not rows:
        return
    (field,) = binary.fields(rows, [len(row) for row in rows], 1)
    kept = column("n", 1700, numeric="float", time_zone="UTC", adapters=transformer.adapters)
    decode = binary.decoder(1700, "float", transformer)
    np.testing.assert_array_equal(decode(field, kept), np.array([float(number) for number in numbers]))


@pytest.mark.parametrize(
    "sql",
    [
        "select * from pg_class where oid = :oid",
        "select 1",
        "insert into t select * from u returning a",
        "with gone as (delete from t returning a) select * from gone",
        "select * into t from u",
        "select * from t for update",
        "explain select * from t",
        "show search_path",
        "select * from t limit 10",
    ],
)
def test_what_is_no_plain_query_is_not_copied(sql):
    assert not copying.may_copy(statements(sql)[0])


@pytest.mark.parametrize(
    "sql", ["select a from t", "with x as (select 1 from t) table x", "(select 1 from t) union values (2)"]
)
def test_a_plain_query_is_copied(sql):
    assert copying.may_copy(statements(sql)[0])


def test_the_transaction_and_the_temporary_tables_of_the_session_are_seen(connection):
    query(connection, "begin; create temp table seen on commit drop as select 1 as a")
    assert query(connection, "select a from seen -- the end")["a"].tolist() == [1]
    query(connection, "rollback")
    with pytest.raises(QueryFailed, match='"seen" does not exist'):
        query(connection, "select a from seen")


def test_the_order_of_rows_is_kept_where_a_column_is_cast(connection):
    frame = query(connection, "select i, point(i, 0) as p from generate_series(1, 20000) i order by i desc")
    assert frame["i"].tolist() == list(range(20000, 0, -1))
    assert frame["p"].iloc[0] == "(20000,0)"


def test_the_place_of_an_error_is_marked(connection):
    with pytest.raises(QueryFailed, match="agee") as raised:
        query(connection, "select\n  agee\nfrom pg_class")
    assert "2 │   agee" in raised.value.why


def test_an_error_that_comes_after_rows_leaves_the_session_usable(connection):
    pid = connection.psycopg.info.backend_pid
    with pytest.raises(QueryFailed, match="division by zero"):
        query(connection, "select 1 / (30000 - i) from generate_series(1, 50000) i")
    assert query(connection, "select pg_backend_pid() p")["p"].tolist() == [pid]


def test_rows_beyond_the_limit_are_counted(connection):
    result = run(connection, "select i from generate_series(1, 20000) i", limit=9000)
    assert result.frame["i"].tolist() == list(range(1, 9001))
    assert any("9,000 rows of 20,000" in note for note in result.notes)


def test_a_batch_ends_at_many_bytes_too(connection, monkeypatch):
    monkeypatch.setattr(copying, "BYTES", 1000)
    frame = query(connection, "select repeat('é', 400) t from generate_series(1, 50)")
    assert frame["t"].tolist() == ["é" * 400] * 50


def test_rows_are_given_while_the_query_runs_and_leaving_early_cancels_it(connection):
    session = connection.psycopg
    statement = statements("select i from generate_series(1, 100000000) i")[0]
    first = fetching.batches(session, statement, ())
    assert next(first).rows == copying.ROWS
    first.close()
    assert session.execute("select 1").fetchone() == (1,)
    assert threading.active_count() < 20
