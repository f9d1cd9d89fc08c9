"""The binary format gives the same results as the text format, with parameters and without."""

from __future__ import annotations

import json
import threading
from decimal import Decimal

import numpy as np
import pandas as pd
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer

from sspcloud_magics.databases.postgres.query import run
from sspcloud_magics.databases.postgres.results import (
    binary_decoders,
    column_types,
    result_reader,
    statement_description,
)
from sspcloud_magics.databases.postgres.session.session_settings import Preferences
from sspcloud_magics.databases.postgres.sql_lexer import statements
from sspcloud_magics.databases.query_options import QueryOptions
from sspcloud_magics.errors import QueryFailed
from tests.databases.conftest import process_of
from tests.databases.test_column_types import TYPES, same
from tests.support.examples import examples
from tests.support.queries import query

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
    with psycopg.connect(**server.conninfo(), autocommit=True) as session:
        session.execute("create schema copying")
        session.execute("create type copying.mood as enum ('sad', 'très content')")
        session.execute("create domain copying.short as text check (length(value) < 5)")
        session.execute("create type copying.pair as (a int, b text)")
        yield session
        session.execute("drop schema copying cascade")


def by_each_format(connection, sql, params=None, **options):
    """The same query in the binary format, described or remembered, and as text."""
    formats = []
    chosen = result_reader._Reading._columns

    def watch_format(reading, result):
        made = chosen(reading, result)
        decodable = None not in reading._decoders([column.oid for column in made])
        formats.append((reading._format, pq.Format.BINARY if decodable else pq.Format.TEXT))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(result_reader._Reading, "_columns", watch_format)
        patch.setattr(statement_description, "promises_few", lambda _: False)
        described = query(connection, sql, params, **options)
        again = query(connection, sql, params, **options)
        statement_description.get_seen_queries(connection.psycopg)._found.clear()
        patch.setattr(statement_description, "promises_few", lambda _: True)
        text = query(connection, sql, params, **options)
        statement_description.get_seen_queries(connection.psycopg)._found.clear()
    (first, fastest), *_, (last, _) = formats
    assert (first, last) == (fastest, pq.Format.TEXT)
    return [described, again], text


def assert_same(fast, text):
    for one in fast:
        pd.testing.assert_frame_equal(one, text, check_exact=True)
        for name in range(text.shape[1]):
            assert [type(value) for value in one.iloc[:, name]] == [type(v) for v in text.iloc[:, name]]
        assert one.attrs == text.attrs


@pytest.mark.parametrize("rows", [result_reader.CHUNK, 2], ids=["one chunk", "several chunks"])
@pytest.mark.parametrize(
    ("kind", "values"),
    [(kind.replace("pg_temp", "copying"), values) for kind, _, values in TYPES + MORE_TYPES]
    + [("copying.pair", ['(1,"x y")'])],
)
def test_each_type_comes_as_it_comes_as_text(connection, tables, monkeypatch, kind, values, rows):  # noqa: PLR0917 - fixtures and parameters
    monkeypatch.setattr(result_reader, "CHUNK", rows)
    if rows < result_reader.BATCH:
        monkeypatch.setattr(result_reader, "BATCH", 2)
        monkeypatch.setattr(column_types, "TOGETHER", 5)
    listed = [values[0], None, *values, None, None]
    tables.execute("drop table if exists copying.kept")
    tables.execute(f"create table copying.kept (n serial, value {kind}, other text default 'é')")
    for value in listed:
        tables.execute(f"insert into copying.kept(value) values (cast(%s::text as {kind}))", [value])
    connection.settings.prefer(Preferences(time_zone="Europe/Paris"))
    sql = "select value, other, value as value from copying.kept where n > :n order by n"
    assert_same(*by_each_format(connection, sql, {"n": 0}))
    assert_same(*by_each_format(connection, sql, {"n": 1000}))


def test_own_cast_to_text_is_never_called(connection, tables):
    """A cast is code of the type's owner, and would run with the privileges of the reader."""
    for statement in (
        "drop type if exists copying.e cascade; drop table if exists copying.cast_table",
        "create type copying.e as (v text)",
        "create function copying.shown(copying.e) returns text language plpgsql as $$ begin raise 'called'; end $$",
        "create cast (copying.e as text) with function copying.shown(copying.e) as implicit",
        "create table copying.cast_table as select row('x')::copying.e as value, n from generate_series(1, 9) n",
    ):
        tables.execute(statement)
    many = query(connection, "select * from copying.cast_table order by n")
    few = query(connection, "select * from copying.cast_table order by n limit 9")
    kept = query(connection, "select * from copying.cast_table order by n", limit=9)
    assert list(many["value"]) == list(few["value"]) == list(kept["value"]) == ["(x)"] * 9


def moments(last_year, era):
    """Dates and times as PostgreSQL reads them."""
    return st.builds(
        lambda year, month, day, hour, rest: (
            f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{rest // 60000000:02d}:{rest % 60000000 / 1e6:09.6f}{era}"
        ),
        st.integers(1, last_year),
        st.integers(1, 12),
        st.integers(1, 28),
        st.integers(0, 23),
        st.integers(0, 3600 * 10**6 - 1),
    )


FOREVER = st.sampled_from(["infinity", "-infinity"])
MOMENTS = moments(9999, "") | moments(294276, "") | moments(4700, " BC") | FOREVER
DIGITS = st.text("0123456789", min_size=1, max_size=30)
EXTREMES = {
    "date": MOMENTS | moments(5874896, ""),
    "timestamp": MOMENTS,
    "timestamptz": MOMENTS,
    "interval": FOREVER
    | st.builds(
        lambda months, days, seconds: f"{months} months {days} days {seconds:.6f} seconds",
        st.integers(-(10**6), 10**6),
        st.integers(-(10**6), 10**6),
        st.floats(-1e9, 1e9),
    ),
    "numeric": st.sampled_from(["NaN", "Infinity", "-Infinity", "1e-16380", "1e308", "1e309", "-1e131000"])
    | st.builds(
        lambda sign, whole, part, power: f"{sign}{whole}.{part}e{power}",
        st.sampled_from(["", "-"]),
        DIGITS,
        DIGITS,
        st.integers(-400, 400),
    ),
    "real": st.floats(width=32).map(repr),
    "double precision": st.floats().map(repr),
    "bigint": st.integers(-(2**63), 2**63 - 1).map(str),
    "time": st.times().map(str),
    "timetz": st.builds(
        lambda time, minutes: (
            f"{time}{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
        ),
        st.times(),
        st.integers(-900, 900),
    ),
    "jsonb": st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**30), 10**30)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("aé☃\x01\n"), inner),
        max_leaves=6,
    ).map(json.dumps),
}


@pytest.mark.parametrize("kind", EXTREMES)
def test_extremes_agree_in_each_format_and_psycopg(connection, kind):
    connection.settings.prefer(Preferences(time_zone="Europe/Paris"))
    sql = f"select given::{kind} as value from unnest(:given::text[]) with ordinality g(given, n) order by n"

    @settings(max_examples=examples(30), deadline=None)
    @given(st.lists(st.none() | EXTREMES[kind], min_size=1, max_size=12))
    def check(values):
        fast, text = by_each_format(connection, sql, {"given": values})
        assert_same(fast, text)
        assert len(text) == len(values)
        for ours, value in zip(text["value"], values, strict=True):
            try:
                with connection.turn, connection.with_settings():
                    theirs = connection.psycopg.execute(f"select %s::text::{kind}", [value]).fetchone()[0]
            except psycopg.DataError:  # Python has no such date, or no infinity
                continue
            if kind == "interval" and value in ("infinity", "-infinity"):
                assert ours is pd.NaT  # psycopg says that it is no time at all
                continue
            if kind == "timestamptz" and str(value)[:4] in ("0001", "9999"):
                continue  # at the very edges pandas' zones are a day narrower than Python's
            if kind == "real" and theirs is not None:
                theirs = float(np.float32(theirs))
            assert same(ours, theirs), value

    check()


EDGES = [
    "294276-12-30 12:00",  # NumPy reads years of six digits, and wraps around beyond 64 bits
    "294247-01-01 12:00",
    "294247-01-01 00:30",  # in Paris; it is the year before in UTC
    "294246-12-31 23:30",
    "infinity",
    "10000-01-01 00:30",
    "9999-12-28 23:30",
    "0001-01-01 00:05",
    "0044-03-15 12:00 BC",
    "-infinity",
]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "America/St_Johns"])
@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
def test_edge_moments_agree_in_each_format(connection, kind, zone):
    connection.settings.prefer(Preferences(time_zone=zone))
    sql = f"select given::{kind} as value from unnest(:given::text[]) with ordinality g(given, n) order by n"
    for given_values in (EDGES, EDGES[::-1], *([edge] for edge in EDGES)):
        fast, text = by_each_format(connection, sql, {"given": given_values})
        assert_same(fast, text)
    whole = query(connection, sql, {"given": EDGES})
    lost = dict(zip(EDGES, whole["value"].isna(), strict=True))
    assert lost["infinity"]
    assert lost["-infinity"]
    assert lost["294276-12-30 12:00"] == (kind != "date")
    assert not lost["9999-12-28 23:30"]
    assert any("infinite" in note for note in whole.attrs["notes"])


@pytest.mark.parametrize(
    ("kind", "value"), [("time", "24:00"), ("timetz", "24:00+00"), ("interval", "178000000 years")]
)
def test_value_beyond_python_is_refused_in_each_format(connection, kind, value):
    for sql in ("select :v::text::{} as a", "select :v::text::{} as a from pg_class"):
        with pytest.raises(QueryFailed) as raised:
            query(connection, sql.format(kind), {"v": value})
        assert "column::text" in raised.value.hint
        assert query(connection, "select 1 as one")["one"].tolist() == [1]


def test_exact_numerics_are_those_that_come_as_text(connection):
    sql = "select value::numeric from (values ('0.10'), ('1e-30'), ('NaN'), ('Infinity'), (null)) v(value)"
    fast, text = by_each_format(connection, sql, numeric="decimal")
    for one in fast:
        assert [str(value) for value in one["value"]] == [str(value) for value in text["value"]]


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
    numbers = [number for number in numbers if len(number) < 400]
    transformer = Transformer()
    values = [
        bytes(transformer.get_dumper(Decimal(number), PyFormat.BINARY).dump(Decimal(number)))
        for number in numbers
    ]
    kept = column_types.make_column(
        "n", 1700, numeric="float", time_zone="UTC", adapters=transformer.adapters
    )
    read = binary_decoders.get_decoder(1700, "float")
    gathered = [read.gather(chunk, kept) for chunk in (values, [*values, None], [])]
    floats = [float(number) for number in numbers]
    np.testing.assert_array_equal(read.decode(gathered, kept), np.array([*floats, *floats, np.nan]))


@pytest.mark.parametrize(
    "sql",
    [
        "insert into t select * from u returning a",
        "with gone as (delete from t returning a) select * from gone",
        "select * into t from u",
        "select * from t for update",
        "explain select * from t",
        "show search_path",
    ],
)
def test_what_may_change_data_is_no_plain_query(sql):
    assert not statement_description.only_reads(statements(sql)[0])


@pytest.mark.parametrize(
    ("sql", "few"),
    [
        ("select 1", True),
        ("select * from t limit 10", True),
        ("select * from t where id = :id", True),
        ("select count(*) from t", True),
        ("select count(*) from t group by a", False),
        ("select a from t", False),
        ("select * from t join u on t.id = u.id", False),
        ("with x as (select 1 from t) table x", False),
        ("(select 1 from t) union values (2)", False),
        ("table t", False),
    ],
)
def test_query_of_few_rows_takes_one_round_trip(sql, few):
    [statement] = statements(sql)
    assert statement_description.only_reads(statement)
    assert statement_description.promises_few(statement) is few


def test_session_sees_its_transaction_and_temp_tables(connection):
    query(connection, "begin; create temp table seen on commit drop as select 1 as a")
    assert query(connection, "select a from seen -- the end")["a"].tolist() == [1]
    query(connection, "rollback")
    with pytest.raises(QueryFailed, match='"seen" does not exist'):
        query(connection, "select a from seen")


def test_row_order_is_kept_where_a_column_is_cast(connection):
    frame = query(connection, "select i, point(i, 0) as p from generate_series(1, 20000) i order by i desc")
    assert frame["i"].tolist() == list(range(20000, 0, -1))
    assert frame["p"].iloc[0] == "(20000,0)"


def test_the_place_of_an_error_is_marked(connection):
    with pytest.raises(QueryFailed, match="agee") as raised:
        query(connection, "select\n  agee\nfrom pg_class")
    assert "2 │   agee" in raised.value.why


def test_error_after_rows_leaves_the_session_usable(connection):
    pid = process_of(connection)
    with pytest.raises(QueryFailed, match="division by zero"):
        query(connection, "select 1 / (30000 - i) from generate_series(1, 50000) i")
    assert process_of(connection) == pid


def test_limit_is_the_servers_for_a_reading_query(connection):
    sql = "select i, point(i, 0) as p, i as i from generate_series(1, 20000) i order by i desc"
    for _ in range(2):
        result = run(connection, sql, options=QueryOptions(limit=9000))
        assert result.frame.iloc[:, 0].tolist() == list(range(20000, 11000, -1))
        assert result.frame.columns.tolist() == ["i", "p", "i"]
        assert "The first 9,000 rows; there are more." in result.notes
        assert result.statements[0].tag == "SELECT 9000"
    whole = run(connection, sql, options=QueryOptions(limit=20000))
    assert len(whole.frame) == 20000
    assert not any("there are more" in note for note in whole.notes)
    forever = "select 1 as a from generate_series(1, 100000) a, generate_series(1, 100000) b"
    for _ in range(2):
        assert len(run(connection, forever, options=QueryOptions(limit=3)).frame) == 3
    assert run(connection, sql, options=QueryOptions(limit=0)).frame.shape == (0, 3)


def test_wide_rows_come_in_smaller_chunks(connection, monkeypatch):
    monkeypatch.setattr(result_reader, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(result_reader, "BATCH", 1)
    [statement] = statements("select 'é'::char(100) t from generate_series(1, 50)")
    seen = list(result_reader.read_batches(connection.psycopg, statement, (), on_estimate=lambda _: None))
    assert len(seen) > 4
    assert seen[-1].rows == 50


def test_type_that_changes_between_two_runs_is_read(connection, tables):
    tables.execute("drop table if exists copying.changing; create table copying.changing (a int)")
    tables.execute("insert into copying.changing values (1)")
    sql = "select a from copying.changing"
    assert query(connection, sql)["a"].tolist() == [1]
    tables.execute("alter table copying.changing alter a type text")
    assert query(connection, sql)["a"].tolist() == ["1"]
    tables.execute("alter table copying.changing alter a type point using point(0, 0)")
    assert query(connection, sql)["a"].tolist() == ["(0,0)"]


@pytest.mark.parametrize("change", ["set search_path to copying, public", "create temp table shift (a text)"])
def test_change_of_names_invalidates_known_queries(connection, change):
    seen = statement_description.get_seen_queries(connection.psycopg)
    [statement] = statements("select relname from pg_class")
    query(connection, statement.sql)
    assert seen.get(statement)
    query(connection, "begin; explain select 1; commit")
    assert seen.get(statement)
    query(connection, change)
    assert not seen.get(statement)


def test_what_python_cannot_read_names_its_column(connection):
    digits = "9" * 5000
    for sql in ("select :d::jsonb as document", "select :d::jsonb as document from pg_class"):
        with pytest.raises(QueryFailed, match="document: ") as raised:
            query(connection, sql, {"d": digits})
        assert "::text" in raised.value.hint
    assert query(connection, "select 1 as one")["one"].tolist() == [1]


def test_other_client_encoding_gives_the_same_texts(connection):
    query(connection, "set client_encoding to latin1")
    assert query(connection, "select 'é' as t from pg_class limit 20000")["t"].iloc[0] == "é"
    query(connection, "set client_encoding to utf8")


def test_rows_stream_and_leaving_early_cancels(connection):
    session = connection.psycopg
    [statement] = statements("select a from generate_series(1, 10000) a, generate_series(1, 10000) b")
    first = result_reader.read_batches(session, statement, ())
    assert next(first).rows >= result_reader.CHUNK
    first.close()
    assert session.execute("select 1").fetchone() == (1,)
    assert threading.active_count() < 20
