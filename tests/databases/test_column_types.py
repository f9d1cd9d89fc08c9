"""PostgreSQL's types in pandas: dtypes that follow from the type, and values that psycopg agrees with."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sspcloud_magics.databases.postgres.results import result_reader
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import QueryFailed
from tests.support.examples import examples
from tests.support.queries import query

# The type, its dtype, and values of it as SQL writes them.
TYPES = [
    ("smallint", "Int16", ["1", "-32768", "32767"]),
    ("integer", "Int32", ["1", "-2147483648", "2147483647"]),
    ("bigint", "Int64", ["9007199254740993", "-9223372036854775808", "9223372036854775807"]),
    ("oid", "Int64", ["4294967295"]),
    ("real", "float32", ["1.1", "3.4028235e38", "NaN", "-Infinity"]),
    ("double precision", "float64", ["0.1", "1e-300", "NaN", "Infinity", "123456789.123456789"]),
    ("numeric", "float64", ["0.1", "12345.6789", "NaN", "-1e20"]),
    ("numeric(12,2)", "float64", ["0.10", "-9999999999.99"]),
    ("boolean", "boolean", ["true", "false"]),
    ("text", "string", ["é ☃ 🐘", "", "NULL", "a\nb\tc", 'x"y\\z']),
    ("varchar(5)", "string", ["abc"]),
    ("char(5)", "string", ["ab"]),
    ("name", "string", ["pg_class"]),
    ("money", "string", ["12.30"]),
    ("tsvector", "string", ["a b"]),
    ("point", "string", ["(1,2)"]),
    ("pg_temp.mood", "string", ["sad", "très content"]),
    ("pg_temp.short", "string", ["ab"]),
    ("date", "datetime64[s]", ["2024-02-29", "0001-01-01", "9999-12-31"]),
    ("timestamp", "datetime64[us]", ["2024-02-29 12:34:56.123456", "0001-01-01", "1969-12-31 23:59:59.9"]),
    ("timestamptz", "datetime64[us, UTC]", ["2024-07-14 12:00:00.5+02", "1850-01-01 00:00:00+00"]),
    ("interval", "timedelta64[us]", ["1 day", "-3 hours 0.000001 seconds", "1 year 2 months 3 days"]),
    ("time", "object", ["12:34:56.789", "00:00"]),
    ("timetz", "object", ["12:34:56+02"]),
    ("uuid", "object", ["00000000-0000-0000-0000-00000000002a"]),
    ("bytea", "object", ["\\x00ff41"]),
    ("json", "object", ['{"a": [1, 2.5, null, "é"]}', "null", '"text"', "[1,\n2]", "12345678901234567890"]),
    ("jsonb", "object", ['{"b": {"c": true}}', "[]"]),
    ("inet", "object", ["10.0.0.1", "10.0.0.1/8", "::1"]),
    ("cidr", "object", ["10.0.0.0/8"]),
    ("int4range", "object", ["[1,5)", "empty"]),
    ("tstzrange", "object", ["[2024-01-01,)"]),
    ("int[]", "object", ["{1,NULL,3}", "{}", "{{1,2},{3,4}}"]),
    ("text[]", "object", ['{"a,b",NULL,"NULL"}']),
    ("date[]", "object", ["{2024-01-01}"]),
]
ids = [kind for kind, _, _ in TYPES]


@pytest.fixture
def typed(connection):
    """A connection that knows an enum and a domain of its own."""
    query(connection, "create type pg_temp.mood as enum ('sad', 'très content')")
    query(connection, "create domain pg_temp.short as text check (length(value) < 5)")
    return connection


def same(ours: object, theirs: object) -> bool:
    """Whether two values are the same; NaN is, and so is a missing value."""
    if theirs is None:
        return (
            ours is None or ours is pd.NA or ours is pd.NaT or (isinstance(ours, float) and math.isnan(ours))
        )
    if isinstance(theirs, float | Decimal) and math.isnan(theirs):
        return math.isnan(ours)
    if isinstance(theirs, Decimal) and isinstance(ours, float):
        return ours == float(theirs)
    if isinstance(theirs, dt.date) and not isinstance(theirs, dt.datetime):
        return ours.to_pydatetime().date() == theirs if isinstance(ours, pd.Timestamp) else ours == theirs
    return bool(ours == theirs)


@pytest.fixture(params=[result_reader.CHUNK, 2], ids=["one chunk", "several chunks"])
def chunks(request, monkeypatch):
    """The rows arrive in one chunk, or in several."""
    monkeypatch.setattr(result_reader, "CHUNK", request.param)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize(("kind", "dtype", "values"), TYPES, ids=ids)
def test_each_value_is_the_one_that_psycopg_gives(typed, kind, dtype, values):
    sql = f"select cast(value as {kind}) as value from unnest(%s::text[]) with ordinality as given(value, n) order by n"
    given_values = [values[0], None, *values, None]
    theirs = [row[0] for row in typed.psycopg.execute(sql, [given_values])]
    frame = query(typed, sql.replace("%s", ":given"), {"given": given_values})
    assert str(frame["value"].dtype) == dtype
    assert len(frame) == len(theirs)
    for ours, expected in zip(frame["value"], theirs, strict=True):
        # In the text format, psycopg returns the double that is nearest to the text of a real.
        assert same(ours, float(np.float32(expected)) if kind == "real" and expected else expected)


@pytest.mark.parametrize(("kind", "dtype", "values"), TYPES, ids=ids)
def test_an_empty_result_has_the_same_dtypes(typed, kind, dtype, values):
    frame = query(typed, f"select cast(null as {kind}) as value where false")
    assert (str(frame["value"].dtype), len(frame)) == (dtype, 0)


@pytest.mark.parametrize(("kind", "dtype", "values"), TYPES, ids=ids)
def test_column_of_nulls_has_the_same_dtype(typed, kind, dtype, values):
    frame = query(typed, f"select cast(null as {kind}) as value from generate_series(1, 3)")
    assert str(frame["value"].dtype) == dtype
    assert frame["value"].isna().tolist() == [True] * 3


SUMMER_AND_WINTER = [
    "2024-07-14 12:00+00",
    "2024-01-14 12:00+00",
    "2024-03-31 00:59:59.999999+00",
    "2024-03-31 01:00+00",
    None,
]
BEFORE_ZONES = ["1890-06-01 10:00+00"]  # Paris was 9 minutes and 21 seconds ahead


@pytest.mark.parametrize(
    "stamps", [SUMMER_AND_WINTER, SUMMER_AND_WINTER + BEFORE_ZONES, [None]], ids=["hours", "seconds", "none"]
)
@pytest.mark.parametrize("zone", ["Europe/Paris", "Asia/Kolkata", "America/St_Johns", "UTC", "+05:30"])
def test_an_instant_keeps_the_sessions_time_zone(connection, zone, stamps):
    query(connection, f"set time zone '{zone}'")
    sql = "select value::timestamptz as value from unnest(%s::text[]) with ordinality g(value, n) order by n"
    theirs = [row[0] for row in connection.psycopg.execute(sql, [stamps])]
    column = query(connection, sql.replace("%s", ":stamps"), {"stamps": stamps})["value"]
    assert all(same(ours, expected) for ours, expected in zip(column, theirs, strict=True))
    assert column.dt.tz is not None
    if "/" in zone:
        assert str(column.dtype) == f"datetime64[us, {zone}]"
        offsets = [stamp.utcoffset() for stamp in column if stamp is not pd.NaT]
        assert offsets == [stamp.utcoffset() for stamp in theirs if stamp is not None]


@pytest.mark.parametrize("style", ["German", "SQL, DMY", "Postgres, MDY"])
def test_other_date_style_gives_the_same_dates(connection, login, style):
    query(connection, "create database styled; alter database styled set intervalstyle to iso_8601")
    query(connection, f"alter database styled set datestyle to {style}")
    try:
        styled = DatabaseConnection(connection.database, replace(login, dbname="styled"))
        row = query(
            styled,
            """select date '2024-02-01' d, timestamp '2024-02-01 10:00' t, timestamptz '2024-02-01 10:00+00' z,
               interval '1 day 2 hours' i""",
        ).iloc[0]
        styled.close()
    finally:
        query(connection, "drop database styled")
    assert row.tolist() == [
        pd.Timestamp("2024-02-01"),
        pd.Timestamp("2024-02-01 10:00:00"),
        pd.Timestamp("2024-02-01 10:00", tz="UTC"),
        pd.Timedelta("1 day 2 hours"),
    ]


def test_a_date_style_that_cannot_be_read_is_said(connection):
    query(connection, "set datestyle to German")
    assert query(connection, "select 1 as one")["one"].tolist() == [1]
    with pytest.raises(QueryFailed, match="SET datestyle TO ISO"):
        query(connection, "select current_date as d")
    query(connection, "set datestyle to ISO")
    assert len(query(connection, "select current_date as d")) == 1


def test_far_dates_are_kept_and_infinite_ones_said(connection):
    frame = query(
        connection,
        """select * from (values (date '0044-03-15 BC', timestamp '0044-03-15 12:00 BC', timestamptz '0044-03-15 12:00+00 BC'),
           ('12024-02-03', '12024-02-03 04:05:06.5', '12024-02-03 04:05:06.5+00'), ('infinity', '-infinity', 'infinity')) v(d, t, z)""",
    )
    assert [stamp.year for stamp in frame["d"][:2]] == [-43, 12024]
    assert [(stamp.year, stamp.hour) for stamp in frame["t"][:2]] == [(-43, 12), (12024, 4)]
    assert [(stamp.year, stamp.hour) for stamp in frame["z"][:2]] == [(-43, 12), (12024, 4)]
    assert frame.iloc[2].isna().all()
    assert frame.attrs["notes"] == [f"{name}: 1 value infinite and became NaT." for name in "dtz"]


def test_numeric_is_float_unless_decimal_is_asked_for(connection):
    sql = "select 0.1::numeric as a, 9007199254740992::numeric as b, 9007199254740993::numeric as c, null::numeric as d"
    frame = query(connection, sql)
    assert frame.dtypes.astype(str).tolist() == ["float64"] * 4
    assert [note.split(":")[0] for note in frame.attrs["notes"]] == ["b", "c"]
    exact = query(connection, "select 9007199254740991::numeric a, 'NaN'::numeric b, 'Infinity'::numeric c")
    assert "notes" not in exact.attrs
    exact = query(connection, sql, numeric="decimal")
    assert exact.iloc[0].tolist() == [Decimal("0.1"), Decimal(2**53), Decimal(9007199254740993), None]
    assert "notes" not in exact.attrs


def test_objects_have_the_types_that_python_gives_them(connection):
    row = query(
        connection,
        "select gen_random_uuid() u, '\\x41'::bytea b, array[1] a, '{\"k\": 1}'::jsonb j, time '10:00' t",
    ).iloc[0]
    assert [type(value) for value in row] == [uuid.UUID, bytes, list, dict, dt.time]


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rows=st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(),
            st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
            st.none() | st.datetimes(timezones=st.just(dt.UTC)),
            st.none() | st.dates(),
            st.none() | st.booleans(),
            st.none()
            | st.decimals(
                allow_nan=False, allow_infinity=False, places=3, max_value=10**9, min_value=-(10**9)
            ),
            st.none() | st.binary(),
            st.none() | st.timedeltas(dt.timedelta(days=-(10**6)), dt.timedelta(days=10**6)),
        ),
        max_size=8,
    )
)
def test_whatever_is_stored_comes_back(connection, rows):
    query(connection, "drop table if exists pg_temp.kept")
    query(
        connection,
        "create temp table kept(n serial, a bigint, b float8, c text, d timestamptz, e date, f boolean, g numeric, h bytea, i interval)",
    )
    with connection.psycopg.cursor() as cursor:
        cursor.executemany(
            "insert into kept(a, b, c, d, e, f, g, h, i) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)", rows
        )
    frame = query(connection, "select a, b, c, d, e, f, g, h, i from kept order by n", numeric="decimal")
    assert len(frame) == len(rows)
    for ours, theirs in zip(frame.itertuples(index=False, name=None), rows, strict=True):
        assert all(same(one, other) for one, other in zip(ours, theirs, strict=True)), (ours, theirs)


def test_value_beyond_python_names_the_way_out(connection):
    with pytest.raises(QueryFailed, match="24:00:00") as raised:
        query(connection, "select time '24:00' as t")
    assert "::text" in raised.value.hint
    assert query(connection, "select (time '24:00')::text as t")["t"].tolist() == ["24:00:00"]
