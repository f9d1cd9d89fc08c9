# ruff: noqa: DTZ001 - instants without a zone are among what is loaded
"""What pandas, NumPy, Arrow, polars and Python hold is loaded right, or refused by one sentence."""

import datetime as dt
import uuid
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sspcloud_magics.databases.loading import load_table
from sspcloud_magics.databases.query import query
from sspcloud_magics.errors import UsageProblem

PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture
def table(connection):
    """The name of a table that is not there, and its removal."""
    yield "loaded"
    query(connection, "DROP TABLE IF EXISTS loaded")


def loaded(connection, table, values):
    """Load one column, and return its type and its values as texts."""
    load_table(connection, pd.DataFrame({"x": values}), table, "replace")
    rows = connection.psycopg.execute(f"SELECT pg_typeof(x)::text, x::text FROM {table}").fetchall()
    return {kind for kind, _ in rows}, [text for _, text in rows]


RIGHT = [
    (pd.Categorical([3, 1, None]), "bigint", ["3", "1", None]),
    (pd.Categorical(["b", "a"]), "text", ["b", "a"]),
    (pd.cut([1, 5], [0, 2, 6]), "text", ["(0, 2]", "(2, 6]"]),
    (pd.Series([dt.datetime(2024, 1, 2, 3, 4), None], dtype=object), "timestamp without time zone", ["2024-01-02 03:04:00", None]),
    (pd.Series([dt.datetime(2024, 7, 1, 12, tzinfo=PARIS)], dtype=object), "timestamp with time zone", ["2024-07-01 10:00:00+00"]),
    (pd.Series([dt.date(2024, 1, 2), dt.datetime(2024, 1, 2, 3)], dtype=object), "timestamp without time zone", ["2024-01-02 00:00:00", "2024-01-02 03:00:00"]),
    (pd.Series([dt.time(10, 0, tzinfo=dt.timezone(dt.timedelta(hours=2)))], dtype=object), "time with time zone", ["10:00:00+02"]),
    (pd.Series([2**70, -1], dtype=object), "numeric", [str(2**70), "-1"]),
    (pd.Series([1, 2.5], dtype=object), "double precision", ["1", "2.5"]),
    (pd.Series([1, 2.5, Decimal("0.1")], dtype=object), "numeric", ["1", "2.5", "0.1"]),
    (pd.Series([2**53 + 1, 0.5], dtype=object), "numeric", [str(2**53 + 1), "0.5"]),
    (pd.arrays.SparseArray([0, 0, 7]), "bigint", ["0", "0", "7"]),
    (pd.Series([{"a": np.int64(1), "t": pd.Timestamp("2024-01-02"), "n": [float("nan"), pd.NA]}]), "jsonb", ['{"a": 1, "n": [null, null], "t": "2024-01-02T00:00:00"}']),
    (np.array(["20000-01-01", "-0043-03-15"], dtype="datetime64[s]"), "date", ["20000-01-01", "0044-03-15 BC"]),
    (np.array(["20000-01-01T12:00"], dtype="datetime64[s]"), "timestamp without time zone", ["20000-01-01 12:00:00"]),
    (pd.Series(["a", 'x"\t\\.\n', "é"], dtype="string"), "text", ["a", 'x"\t\\.\n', "é"]),
    (pd.Series([b"\x00\xff", bytearray(b"b")]), "bytea", ["\\x00ff", "\\x62"]),
    (pd.Series([uuid.UUID(int=5)]), "uuid", [str(uuid.UUID(int=5))]),
    (pd.Series([True, None], dtype="boolean"), "boolean", ["true", None]),
    (pd.Series([float("inf"), float("nan"), -0.0]), "double precision", ["Infinity", None, "-0"]),
    (pd.to_timedelta(["-1 days +02:00:00", "3 days"]), "interval", ["-22:00:00", "3 days"]),
    (pd.period_range("2024-01", periods=2, freq="M"), "text", ["2024-01", "2024-02"]),
    (pd.Series([None, None], dtype=object), "text", [None, None]),
    (np.array([1, 2**63], dtype="uint64"), "numeric", ["1", str(2**63)]),
]  # fmt: skip


@pytest.mark.parametrize(("values", "kind", "texts"), RIGHT)
def test_values_are_loaded_right(connection, table, values, kind, texts):
    kinds, found = loaded(connection, table, values)
    assert kinds == {kind}
    assert found == texts


REFUSED = [
    ([object()], "row 0"),
    (["a", 1], "row 1"),
    (["a", "b\0c"], "NUL"),
    (["a", "\ud800"], "lone surrogate"),
    ([dt.datetime(2024, 1, 2), dt.datetime(2024, 1, 2, tzinfo=dt.UTC)], "with a zone"),
    ([{"a": float("inf")}], "infinity"),
    ([{"a": b"b"}], "bytes"),
    ([{"a": Decimal("0.1")}], "round"),
    ([1 + 2j], "no type"),
    ([True, 7], "integer"),
]


@pytest.mark.parametrize(("values", "words"), REFUSED)
def test_value_that_cannot_be_loaded_is_named(connection, table, values, words):
    with pytest.raises(UsageProblem) as refused:
        load_table(connection, pd.DataFrame({"x": pd.Series(values, dtype=object)}), table)
    told = str(refused.value)
    assert "Column 'x', row " in told
    assert words in told
    assert len(refused.value.what) < 140
    assert query(connection, "SELECT to_regclass('loaded') IS NULL AS gone")["gone"][0]


def test_long_value_is_cut_where_it_is_refused(connection, table):
    with pytest.raises(UsageProblem) as refused:
        load_table(connection, pd.DataFrame({"x": ["y" * 10_000 + "\0"]}), table)
    assert len(refused.value.what) < 140


APPENDED = [
    ("json", [{"a": 1}, None], ['{"a": 1}', None]),
    ("jsonb[]", [[{"a": 1}, {"b": [2]}]], ['{"{\\"a\\": 1}","{\\"b\\": [2]}"}']),
    ("text[]", [["a", None, 'x"y\\z'], ["{,}"]], ['{a,NULL,"x\\"y\\\\z"}', '{"{,}"}']),
    ("int[]", [[1, 2], np.array([3])], ["{1,2}", "{3}"]),
    ("date", [pd.Timestamp("2024-01-02"), dt.date(2024, 1, 3)], ["2024-01-02", "2024-01-03"]),
    ("int", [3.0, None], ["3", None]),
    ("daterange", ["[2024-01-01,2024-01-05)"], ["[2024-01-01,2024-01-05)"]),
]


@pytest.mark.parametrize(("kind", "values", "texts"), APPENDED)
def test_values_are_appended_to_what_is_there(connection, table, kind, values, texts):
    query(connection, f"CREATE TABLE loaded (x {kind})")
    load_table(connection, pd.DataFrame({"x": pd.Series(values, dtype=object)}), table, "append")
    assert query(connection, f"SELECT x::text AS x FROM {table}")["x"].tolist() == [
        pd.NA if t is None else t for t in texts
    ]


LOST = [
    ("date", pd.Timestamp("2024-01-02 10:00"), "time of day"),
    ("timestamp", dt.datetime(2024, 1, 2, tzinfo=dt.UTC), "time zone"),
    ("time", dt.time(10, tzinfo=dt.UTC), "time zone"),
]


@pytest.mark.parametrize(("kind", "value", "words"), LOST)
def test_part_of_a_value_is_not_lost_silently(connection, table, kind, value, words):
    query(connection, f"CREATE TABLE loaded (x {kind})")
    with pytest.raises(UsageProblem, match=words):
        load_table(connection, pd.DataFrame({"x": pd.Series([value], dtype=object)}), table, "append")


def test_frames_of_polars_and_arrow_are_loaded(connection, table):
    polars, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    moment = dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC)
    columns = {"i": [1, None], "d": [Decimal("1.10"), None], "t": [moment, None], "s": ["a", None]}
    coded = pa.table({**columns, "k": pa.array(["x", None]).dictionary_encode()})
    for frame in (polars.DataFrame(columns), coded):
        load_table(connection, frame, table, "replace")
        row = connection.psycopg.execute(f"SELECT i, d, t, s FROM {table} WHERE i = 1").fetchone()
        assert row == (1, Decimal("1.10"), moment, "a")


SCALARS = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "Int32": st.integers(-(2**31), 2**31 - 1) | st.none(),
    "float64": st.floats(allow_nan=False),
    "boolean": st.booleans() | st.none(),
    "string": st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))) | st.none(),
    "object": st.dates() | st.none(),
    "datetime64[us]": st.datetimes(),
    "timedelta64[us]": st.timedeltas(dt.timedelta(days=-9000), dt.timedelta(days=9000)),
}


@given(data=st.data(), rows=st.integers(1, 6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_frames_come_back_as_they_were(connection, table, data, rows):
    names = data.draw(st.lists(st.sampled_from(sorted(SCALARS)), min_size=1, max_size=4, unique=True))
    frame = pd.DataFrame(
        {
            name: pd.Series(data.draw(st.lists(SCALARS[name], min_size=rows, max_size=rows)), dtype=name)
            for name in names
        }
    )
    load_table(connection, frame, table, "replace")
    columns = ", ".join(f'"{name}"' for name in names)
    back = connection.psycopg.execute(f"SELECT {columns} FROM {table}").fetchall()
    expected = [
        tuple(None if pd.isna(value) else value for value in row) for row in frame.itertuples(index=False)
    ]
    assert [tuple(map(comparable, row)) for row in back] == [tuple(map(comparable, row)) for row in expected]


def comparable(value):
    """Return a value of pandas or NumPy as Python has it."""
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    if isinstance(value, pd.Timedelta):
        return value.to_pytimedelta()
    return value.item() if isinstance(value, np.generic) else value
