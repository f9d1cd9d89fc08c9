# ruff: noqa: DTZ001 - instants without a zone are among what is loaded
"""Values of pandas, NumPy, Arrow, polars and Python are loaded exactly, or refused with one sentence."""

import datetime as dt
import functools
import ipaddress
import uuid
from decimal import Decimal
from enum import Enum
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from sspcloud_magics.databases.postgres.transfer.bulk_load import load_table
from sspcloud_magics.errors import UsageProblem
from tests.support.examples import examples
from tests.support.queries import query

PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture
def table(connection):
    """The name of a table that is not there, and its removal."""
    yield "loaded"
    query(connection, "DROP TABLE IF EXISTS loaded")


def load_column(connection, table, values):
    """Load one column, and return its type and its values as texts."""
    load_table(connection, pd.DataFrame({"x": values}), table, "replace")
    rows = connection.psycopg.execute(f"SELECT pg_typeof(x)::text, x::text FROM {table}").fetchall()
    return {kind for kind, _ in rows}, [text for _, text in rows]


class Colour(str, Enum):  # noqa: UP042 - as it is written where Python has no StrEnum
    """An enum of strings, which Python shows as ``Colour.RED``."""

    RED = "red"


class Odd(int):
    """A number with its own representation."""

    def __repr__(self) -> str:
        return "odd"


class Mute:
    """An object without a representation."""

    def __repr__(self) -> str:
        raise RuntimeError


class Unreadable(str):  # noqa: SLOT000 - as users write it
    """A string that cannot be converted."""

    def __str__(self) -> str:
        raise RuntimeError("unreadable")


TOO_DEEP = functools.reduce(lambda inner, _: [inner], range(5000), [])

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
    (pd.Series([Colour.RED], dtype=object), "text", ["red"]),
    (pd.Series([Odd(4)], dtype=object), "bigint", ["4"]),
    (pd.Series([np.timedelta64("NaT"), np.timedelta64(1, "h")], dtype=object), "interval", [None, "01:00:00"]),
    (pd.Series([np.longdouble("1.1")], dtype=object), "numeric", ["1.1"]),
    (pd.Series([np.array(5)], dtype=object), "bigint", ["5"]),
    (pd.Series([dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=1, microseconds=5)))], dtype=object), "timestamp with time zone", ["2023-12-31 23:59:58.999995+00"]),
    (pd.Series([np.ma.masked, 1], dtype=object), "bigint", [None, "1"]),
    (pd.Series([np.ma.array([1, 2], mask=[0, 1])], dtype=object), "jsonb", ["[1, null]"]),
    (pd.Series([{"a": np.timedelta64("NaT"), "b": np.array(5), "c": Decimal("NaN"), "d": np.ma.masked}]), "jsonb", ['{"a": null, "b": 5, "c": null, "d": null}']),
    (pd.Series([np.timedelta64(2, "Y"), np.timedelta64(-5, "M"), np.timedelta64(3, "W")], dtype=object), "interval", ["2 years", "-5 mons", "21 days"]),
    (np.array([10**13], dtype="timedelta64[s]"), "interval", ["115740740 days 17:46:40"]),
    (pd.Series([np.timedelta64(2 * 10**6, "ps")], dtype=object), "interval", ["00:00:00.000002"]),
    (pd.Series([ipaddress.ip_address("1.2.3.4"), ipaddress.ip_interface("10.0.0.1/8"), ipaddress.ip_address("::1")], dtype=object), "inet", ["1.2.3.4/32", "10.0.0.1/8", "::1/128"]),
    (pd.Series([ipaddress.ip_network("10.0.0.0/8")], dtype=object), "cidr", ["10.0.0.0/8"]),
    (pd.Series([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_address("::1")], dtype=object), "inet", ["10.0.0.0/8", "::1/128"]),
    (pd.Series([Range(1, None), Range(empty=True), Multirange([Range(1, 2)])], dtype=object), "text", ['["1",)', "empty", '{["1","2")}']),
    (pd.Series(np.array([57 * 10**10], dtype="datetime64[s]")).dt.tz_localize("UTC").dt.tz_convert(PARIS), "timestamp with time zone", ["20032-07-31 05:20:00+00"]),
]  # fmt: skip


@pytest.mark.parametrize(("values", "kind", "texts"), RIGHT)
def test_values_are_loaded_right(connection, table, values, kind, texts):
    kinds, found = load_column(connection, table, values)
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
    ([Mute()], "a value of the type Mute"),
    ([TOO_DEEP], "nested too deeply"),
    ([10**5000], "a value of the type int"),
    ([pd.Timestamp("2024-01-01 00:00:00.123456789")], "nanoseconds"),
    ([pd.Timedelta(nanoseconds=1)], "nanoseconds"),
    ([dt.time(10, tzinfo=PARIS)], "no offset"),
    ([{"a": object()}], "type object"),
    ([{"a": pd.Series([1])}], "type Series"),
    ([{1: "a", "1": "b"}], "keys"),
    ([{"a": "x\0"}], "NUL"),
    ([np.datetime64(1, "as")], "nanoseconds"),
    ([{"a": np.datetime64(1, "ps")}], "nanoseconds"),
    ([np.timedelta64(1, "fs")], "nanoseconds"),
    ([np.timedelta64(1)], "no unit"),
    ([{"a": Decimal("-Infinity")}], "infinity"),
    ([{Unreadable("k"): 1}], "unreadable"),
    ([Decimal("sNaN")], "sNaN"),
    ([1, Decimal("1E+140000")], "overflows"),
    ([np.datetime64("300000-01-01T00:00")], "out of range"),
    ([np.timedelta64(2**62, "s")], "out of range"),
    ([dt.time(10, tzinfo=dt.timezone(dt.timedelta(hours=20)))], "displacement out of range"),
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
    ("daterange", [Range(dt.date(2024, 1, 1), None), Range(empty=True)], ["[2024-01-01,)", "empty"]),
    (
        "tstzrange[]",
        [[Range(None, dt.datetime(2024, 1, 1, tzinfo=dt.UTC))]],
        ['{"(,\\"2024-01-01 00:00:00+00\\")"}'],
    ),
    ("nummultirange", [Multirange([Range(Decimal("1.5"), 2)])], ["{[1.5,2)}"]),
    ("inet", [ipaddress.ip_address("1.2.3.4")], ["1.2.3.4/32"]),
    ("text", [True, False], ["true", "false"]),
    ("date", ["2024-01-02", "2024-01-03 00:00"], ["2024-01-02", "2024-01-03"]),
    ("timestamp", ["2024-01-02T10:00", "2024-01-02"], ["2024-01-02 10:00:00", "2024-01-02 00:00:00"]),
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
    ("date", np.datetime64("2024-01-02T10:00"), "time of day"),
    ("date[]", [dt.datetime(2024, 1, 2, 10)], "time of day"),
    ("timestamp[]", [dt.datetime(2024, 1, 2, tzinfo=dt.UTC)], "time zone"),
    ("date", pd.Timestamp("2024-01-02", tz="Asia/Tokyo"), "time zone"),
    ("date", "2024-01-02 10:00", "time of day"),
    ("date", "2024-01-02T00:00:00.000001", "time of day"),
    ("timestamp", "2024-01-02T10:00+02:00", "time zone"),
    ("timestamp", "2024-01-02 10:00:00Z", "time zone"),
    ("time", "10:00+02", "time zone"),
    ("time", dt.datetime(2024, 1, 2, 10), "the date would be lost"),
    ("text", b"abc", "decode the bytes"),
]


@pytest.mark.parametrize(("kind", "value", "words"), LOST)
def test_part_of_a_value_is_not_lost_silently(connection, table, kind, value, words):
    query(connection, f"CREATE TABLE loaded (x {kind})")
    with pytest.raises(UsageProblem, match=words):
        load_table(connection, pd.DataFrame({"x": pd.Series([value], dtype=object)}), table, "append")


def test_frames_of_polars_and_arrow_are_loaded(connection, table):
    moment = dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC)
    columns = {"i": [1, None], "d": [Decimal("1.10"), None], "t": [moment, None], "s": ["a", None]}
    coded = pa.table({**columns, "k": pa.array(["x", None]).dictionary_encode()})
    for frame in (pl.DataFrame(columns), coded):
        load_table(connection, frame, table, "replace")
        row = connection.psycopg.execute(f"SELECT i, d, t, s FROM {table} WHERE i = 1").fetchone()
        assert row == (1, Decimal("1.10"), moment, "a")


ARROWS = [
    (pa.array([5 * 10**11, None, -(10**11)], pa.timestamp("s")), "timestamp without time zone", ["17814-05-16 00:53:20", None, "1200-02-15 14:13:20 BC"]),
    (pa.array([5 * 10**11], pa.timestamp("s", "Europe/Paris")), "timestamp with time zone", ["17814-05-16 00:53:20+00"]),
    (pa.array([0], pa.timestamp("s")), "timestamp without time zone", ["1970-01-01 00:00:00"]),
    (pa.array([dt.date(2024, 1, 2), None]), "date", ["2024-01-02", None]),
    (pa.array([10**7], pa.date32()), "date", ["29349-01-26"]),
    (pa.array([dt.date(2024, 1, 2)], pa.date64()), "date", ["2024-01-02"]),
    (pa.array([10**15 - 10**15 % 86_400_000, None], pa.date64()), "date", ["33658-09-27", None]),
    (pa.array([10**12], pa.duration("s")), "interval", ["11574074 days 01:46:40"]),
    (pa.array([0], pa.timestamp("us", "Mars/Olympus")), "timestamp with time zone", ["1970-01-01 00:00:00+00"]),
]  # fmt: skip


@pytest.mark.parametrize(("values", "kind", "texts"), ARROWS)
def test_arrows_instants_are_loaded_right(connection, table, values, kind, texts):
    load_table(connection, pa.table({"x": values}), table, "replace")
    rows = connection.psycopg.execute(f"SELECT pg_typeof(x)::text, x::text FROM {table}").fetchall()
    assert rows == [(kind, text) for text in texts]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1], pa.time64("ns")),
        pa.array([[10**12]], pa.list_(pa.timestamp("s"))),
        pa.array([2**62], pa.timestamp("s")),
        pa.array([-(2**62)], pa.timestamp("s", "UTC")),
        pa.array([2**62], pa.timestamp("ms")),
        pa.array([2**62], pa.date64()),
        pa.array([2**31 - 1], pa.date32()),
        pa.array([2**62], pa.duration("s")),
    ],
)
def test_arrows_value_without_counterpart_is_named(connection, table, values):
    with pytest.raises(UsageProblem, match="Column 'x', row 0: "):
        load_table(connection, pa.table({"x": values}), table)


def test_types_that_arrow_has_not_are_loaded(connection, table):
    load_table(connection, pl.DataFrame({"x": pl.Series([2**100], dtype=pl.Int128)}), table)
    assert connection.psycopg.execute(f"SELECT x FROM {table}").fetchone() == (2**100,)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(
            ("int", 3.5),
            ("int", "abc"),
            ("smallint", 2**15),
            ("boolean", 2),
            ("varchar(3)", "abcd"),
            ("uuid", "no"),
        ),
        *(
            ("int[]", [[1], [2, 3]]),
            ("json", "no JSON"),
            ("bit(3)", "1"),
            ("int NOT NULL", None),
            ("time", dt.timedelta(1)),
        ),
    ],
)
def test_value_that_the_server_refuses_is_named(connection, table, kind, value):
    """Also in a frame whose other columns, values and names resemble it."""
    query(connection, f'CREATE TABLE loaded (y text, x {kind}, "x y" text)')
    values = pd.Series([None if "NOT" not in kind else 1, value], dtype=object)
    frame = pd.DataFrame({"x y": ["x", "COPY x"], "x": values, "y": ["1\n2", "x y"]})
    with pytest.raises(UsageProblem, match="Column 'x', row 1: ") as refused:
        load_table(connection, frame, table, "append")
    assert refused.value.why
    assert query(connection, "SELECT 1 FROM loaded").empty


@pytest.mark.parametrize("name", ["a\0b", "a\ud800"])
def test_name_that_cannot_be_kept_is_refused(connection, table, name):
    with pytest.raises(UsageProblem, match="cannot store"):
        load_table(connection, pd.DataFrame([[1]], columns=pd.Index([name], dtype=object)), table)


def integers(bits, *, signed=True):
    """Integers of this many bits."""
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


NAIVE = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2250, 1, 1))  # what nanoseconds reach
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))
FLOATS = st.floats(allow_nan=False)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)
DURATIONS = st.timedeltas(dt.timedelta(days=-9000), dt.timedelta(days=9000))
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | integers(64) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)

DTYPES = {
    **{f"int{bits}": integers(bits) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": integers(bits, signed=False) for bits in (8, 16, 32, 64)},
    **{f"Int{bits}": integers(bits) | st.none() for bits in (8, 16, 32, 64)},
    **{f"UInt{bits}": integers(bits, signed=False) | st.none() for bits in (8, 16, 32, 64)},
    "float32": st.floats(width=32, allow_nan=False),
    "float64": FLOATS,
    "Float64": FLOATS | st.none(),
    "bool": st.booleans(),
    "boolean": st.booleans() | st.none(),
    "str": TEXTS | st.none(),
    "string": TEXTS | st.none(),
    "category": TEXTS | st.none(),
    "Sparse[float64]": FLOATS,
    "Sparse[int64]": integers(64),
    "datetime64[us]": st.datetimes(),
    "datetime64[ms]": st.datetimes().map(lambda each: each.replace(microsecond=0)),
    "datetime64[ns]": NAIVE | st.none(),
    "datetime64[us, UTC]": st.datetimes(timezones=st.just(dt.UTC)),
    "datetime64[ns, Europe/Paris]": NAIVE.map(lambda each: each.replace(tzinfo=dt.UTC)) | st.none(),
    "timedelta64[us]": DURATIONS,
    "timedelta64[ns]": DURATIONS | st.none(),
    "int64[pyarrow]": integers(64) | st.none(),
    "double[pyarrow]": FLOATS | st.none(),
    "bool[pyarrow]": st.booleans() | st.none(),
    "string[pyarrow]": TEXTS | st.none(),
    "binary[pyarrow]": st.binary() | st.none(),
    "date32[pyarrow]": st.dates() | st.none(),
    "timestamp[us][pyarrow]": st.datetimes() | st.none(),
    "timestamp[us, tz=Europe/Paris][pyarrow]": NAIVE.map(lambda each: each.replace(tzinfo=dt.UTC))
    | st.none(),
    "duration[us][pyarrow]": DURATIONS | st.none(),
}
"""Columns that a dtype describes, and values of each."""

OBJECTS = {
    "int": integers(64),
    "large int": integers(200),
    "float": FLOATS,
    "Decimal": DECIMALS,
    "bool": st.booleans(),
    "str": TEXTS,
    "bytes": st.binary(),
    "date": st.dates(),
    "datetime": st.datetimes(),
    "datetime with a zone": st.datetimes(
        dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1), timezones=st.just(PARIS)
    ),
    "time": st.times(),
    "timedelta": DURATIONS,
    "UUID": st.uuids(),
    "address": st.ip_addresses(),
    "network": st.ip_addresses(v=4).map(ipaddress.ip_network),
    "document": st.dictionaries(TEXTS, DOCUMENTS, max_size=3) | st.lists(DOCUMENTS, max_size=3),
    "nothing": st.none(),
}
"""Columns of Python's objects, among which any may be missing."""


@given(data=st.data(), rows=st.integers(1, 6))
@settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_frames_come_back_as_they_were(connection, table, data, rows):
    kinds = [*((name, name) for name in DTYPES), *((f"object: {name}", "object") for name in OBJECTS)]
    chosen = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4, unique=True))
    drawn = {}
    for name, dtype in chosen:
        values = DTYPES[name] if dtype != "object" else OBJECTS[name.removeprefix("object: ")] | st.none()
        drawn[name] = data.draw(st.lists(values, min_size=rows, max_size=rows))
    frame = pd.DataFrame({name: series(drawn[name], dtype) for name, dtype in chosen})
    load_table(connection, frame, table, "replace")
    # The text of a real has the fewest digits that distinguish it from other reals, so its double differs.
    columns = ", ".join(f'"{name}"' + "::float8" * (dtype == "float32") for name, dtype in chosen)
    back = connection.psycopg.execute(f"SELECT {columns} FROM {table}").fetchall()
    assert back == list(zip(*(map(in_utc, drawn[name]) for name, _ in chosen), strict=True))


def in_utc(value):
    """Return an instant in UTC: in Python, one in a skipped or repeated hour equals no instant of another zone."""
    return (
        value.astimezone(dt.UTC)
        if getattr(value, "tzinfo", None) and isinstance(value, dt.datetime)
        else value
    )


def series(values, dtype):
    """Return a column of a dtype; text of Arrow's types is no dtype of pandas where it has a zone."""
    if dtype.startswith("timestamp[us, tz="):
        return pd.Series(values, dtype=pd.ArrowDtype(pa.timestamp("us", "Europe/Paris")))
    if dtype.startswith("datetime64") and "," in dtype:
        unit, zone = dtype[11:-1].split(", ")
        return pd.Series(values, dtype=f"datetime64[{unit}, UTC]").dt.tz_convert(zone)
    return pd.Series(values, dtype=dtype)
