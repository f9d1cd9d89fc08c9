"""The notebook's variables as parameters: PostgreSQL reports the type and the value that it received."""

from __future__ import annotations

import datetime as dt
import ipaddress
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from sspcloud_magics.errors import ParameterError
from tests.support.queries import query

ZONE = dt.timezone(dt.timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (True, "boolean", "true"),
        (np.bool_(False), "boolean", "false"),
        (7, "integer", "7"),
        (2**40, "bigint", "1099511627776"),
        (np.int64(5), "integer", "5"),
        (np.uint8(5), "integer", "5"),
        (1.5, "double precision", "1.5"),
        (float("nan"), "double precision", "NaN"),
        (np.float32(0.5), "double precision", "0.5"),
        (Decimal("1.10"), "numeric", "1.10"),
        (b"\x00\xff", "bytea", "\\x00ff"),
        (uuid.UUID(int=1), "uuid", "00000000-0000-0000-0000-000000000001"),
        (dt.date(2024, 2, 29), "date", "2024-02-29"),
        (dt.time(1, 2), "time without time zone", "01:02:00"),
        (dt.datetime.fromisoformat("2024-01-02 03:04:05"), "timestamp without time zone", "2024-01-02 03:04:05"),
        (dt.datetime(2024, 1, 2, 3, tzinfo=ZONE), "timestamp with time zone", "2024-01-02 01:00:00+00"),
        (pd.Timestamp("2024-01-02 03:04:05.123456700"), "timestamp without time zone", "2024-01-02 03:04:05.123457"),
        (pd.Timestamp("2024-07-14", tz="Europe/Paris"), "timestamp with time zone", "2024-07-13 22:00:00+00"),
        (np.datetime64("2024-01-02"), "timestamp without time zone", "2024-01-02 00:00:00"),
        (pd.Timedelta("90min"), "interval", "01:30:00"),
        (np.timedelta64(1, "D"), "interval", "1 day"),
        (ipaddress.ip_address("10.0.0.1"), "inet", "10.0.0.1/32"),
        ({"a": [1, None, np.int8(3)], "b": pd.NA}, "jsonb", '{"a": [1, null, 3], "b": null}'),
        ([1, None, 3], "integer[]", "{1,NULL,3}"),
        ((1, 2), "integer[]", "{1,2}"),
        ([1, 2**40, None], "bigint[]", "{1,1099511627776,NULL}"),
        ([1, 2**70], "numeric[]", "{1,1180591620717411303424}"),
        (2**70, "numeric", "1180591620717411303424"),
        (-(2**31), "integer", "-2147483648"),
        (2**31, "bigint", "2147483648"),
        ({4}, "integer[]", "{4}"),
        (range(3), "integer[]", "{0,1,2}"),
        (np.array([1.5, 2.5]), "double precision[]", "{1.5,2.5}"),
        (pd.Series([1, None, 3], dtype="Int64"), "integer[]", "{1,NULL,3}"),
        (pd.Series([1.5, None]), "double precision[]", "{1.5,NULL}"),
        (pd.Index([dt.date(2024, 1, 1)]), "date[]", "{2024-01-01}"),
        (pd.Series(["2024-01-01", None]).astype("datetime64[s]"), "timestamp without time zone[]", '{"2024-01-01 00:00:00",NULL}'),
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_keeps_its_meaning(connection, value, kind, text):
    row = query(connection, "select pg_typeof(:x)::text as kind, (:x)::text as text", {"x": value}).iloc[0]
    assert row["kind"] == kind
    assert row["text"] == text


@pytest.mark.parametrize(
    "missing", [None, pd.NaT, pd.NA, np.datetime64("NaT", "us"), np.timedelta64("NaT", "us")], ids=repr
)
def test_what_is_missing_is_null(connection, missing):
    assert query(connection, "select :x::text is null as answer", {"x": missing})["answer"].tolist() == [True]


@pytest.mark.parametrize(
    ("ids", "found"),
    [([1, 3], [1, 3]), (pd.Series([2, 99]), [2]), ([], []), (pd.Series([], dtype="Int64"), [])],
    ids=repr,
)
def test_a_list_is_what_any_compares_with(connection, ids, found):
    frame = query(connection, "select i from generate_series(1, 4) i where i = any(:ids)", {"ids": ids})
    assert frame["i"].tolist() == found


@pytest.mark.parametrize("words", [["O'Brien", 'a"b', "{},\\", "", "NULL"], pd.Series(["é", None])], ids=repr)
def test_texts_are_bound_as_they_are(connection, words):
    frame = query(connection, "select word from unnest(:words::text[]) word", {"words": words})
    assert [None if pd.isna(word) else word for word in frame["word"]] == [
        None if pd.isna(word) else word for word in words
    ]


def test_a_value_cannot_become_sql(connection):
    poison = "'; drop table precious; --"
    query(
        connection,
        "create temp table precious(word text); insert into precious values (:word)",
        {"word": poison},
    )
    assert query(connection, "select word from precious")["word"].tolist() == [poison]


@pytest.mark.parametrize(
    "value",
    [print, object(), pd.DataFrame({"a": [1]}), "a\0b", [1, "a"], pd.Period("2024-01"), pytest],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_bound_is_said(connection, value):
    with pytest.raises(ParameterError, match=":x cannot be bound") as raised:
        query(connection, "select :x::text", {"x": value})
    assert raised.value.why
    assert query(connection, "select 1 as one")["one"].tolist() == [1]


def test_an_unknown_name_is_answered_with_the_nearest(connection):
    with pytest.raises(ParameterError, match=":begining") as raised:
        query(connection, "create temp table never(); select :begining", {"beginning": 1, "_": 2, "other": 3})
    assert "did you mean :beginning?" in raised.value.hint
    assert query(connection, "select to_regclass('never') is null as unsent")["unsent"].tolist() == [True]


def test_only_the_names_that_are_used_are_looked_up(connection):
    class Careful(dict):
        def __getitem__(self, name):
            assert name == "x"
            return super().__getitem__(name)

    assert query(connection, "select :x + 1 as y", Careful(x=1, secret=2))["y"].tolist() == [2]
