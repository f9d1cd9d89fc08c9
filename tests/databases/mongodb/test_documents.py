"""Command documents, and documents as DataFrames, without a server."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal

import bson
import numpy as np
import pandas as pd
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS

from sspcloud_magics.databases.mongodb.command import make_command
from sspcloud_magics.databases.mongodb.connection import CODEC
from sspcloud_magics.databases.mongodb.documents import make_frame
from sspcloud_magics.databases.query_options import QueryOptions
from sspcloud_magics.errors import ParameterError, UsageProblem

OID = ObjectId("6b0e71a2d3857ae06cd5b040")
MOMENT = datetime(2024, 1, 2, 3, 4, 5, 6000, tzinfo=UTC)
VALUES = {
    # name: (value, dtype, value in the frame)
    "int": (5, "Int64", 5),
    "long": (Int64(2**60), "Int64", 2**60),
    "float": (1.5, "float64", 1.5),
    "bool": (True, "boolean", True),
    "text": ("é😀", "string", "é😀"),
    "date": (MOMENT, "datetime64[ms, UTC]", pd.Timestamp(MOMENT)),
    "far": (
        DatetimeMS(10**15),
        "datetime64[ms, UTC]",
        pd.Timestamp(np.datetime64(10**15, "ms")).tz_localize("UTC"),
    ),
    "decimal": (Decimal128("1.10"), "float64", 1.1),
    "oid": (OID, "object", OID),
    "raw": (b"\x00\xff", "object", b"\x00\xff"),
    "uuid": (uuid.UUID(int=5), "object", uuid.UUID(int=5)),
    "nested": ({"a": [1, {"b": None}]}, "object", {"a": [1, {"b": None}]}),
    "list": ([1, "x"], "object", [1, "x"]),
}


def through_bson(document):
    return bson.decode(bson.encode(document, codec_options=CODEC), CODEC)


@pytest.mark.parametrize("name", VALUES)
def test_type_and_value(name):
    value, dtype, expected = VALUES[name]
    documents = [through_bson({name: value}), {}, {name: None}]
    frame, _types = make_frame(documents, QueryOptions())
    assert str(frame.dtypes[name]) == dtype
    assert frame[name][0] == expected
    assert frame[name].isna().tolist() == [False, True, True]


def test_mixed_types_stay_as_they_are():
    frame, _types = make_frame([{"a": 1}, {"a": "x"}, {"a": 2.5}], QueryOptions())
    assert frame["a"].tolist() == [1, "x", 2.5]
    frame, _types = make_frame([{"a": 1}, {"a": 2.5}], QueryOptions())
    assert frame["a"].dtype == "float64"
    frame, _types = make_frame([{"a": 2**60}, {"a": 2.5}], QueryOptions())
    assert frame["a"].tolist() == [2**60, 2.5]


def test_exact_decimals_and_texts():
    documents = [through_bson({"d": Decimal128("1.10"), "n": {"o": OID}})]
    frame, _types = make_frame(documents, QueryOptions(numeric="decimal"))
    assert frame["d"][0] == Decimal("1.10")
    frame, _types = make_frame(documents, QueryOptions(json_text=True))
    assert frame["n"][0] == '{"o": {"$oid": "6b0e71a2d3857ae06cd5b040"}}'


def test_no_document_gives_no_column():
    frame, types = make_frame([], QueryOptions())
    assert (frame.shape, types) == ((0, 0), ())


def test_parameters_are_values():
    text = '{"find": "t", "filter": {"a":true, "b": :b, "c": [:b,:c], "d": ":b", "e"::b}, "limit":5}'
    found = make_command(text, {"b": '"}, "$where": "1', "c": 7, "true": 0})
    value = '"}, "$where": "1'
    assert found == {
        "find": "t",
        "filter": {"a": True, "b": value, "c": [value, 7], "d": ":b", "e": value},
        "limit": 5,
    }


BOUND = [
    (np.int64(5), 5),
    (pd.Timestamp("2024-01-02", tz="Europe/Paris"), datetime(2024, 1, 1, 23, tzinfo=UTC)),
    (date(2024, 1, 2), datetime(2024, 1, 2, tzinfo=UTC)),
    (Decimal("1.10"), Decimal128("1.10")),
    (pd.Series([1, None]), [1.0, None]),
    ({3}, [3]),
    (OID, OID),
    (pd.NA, None),
    ({"$gt": np.float64(1)}, {"$gt": 1.0}),
]


@pytest.mark.parametrize(("value", "expected"), BOUND, ids=lambda value: repr(value)[:25])
def test_value_is_bound(value, expected):
    found = make_command('{"find": "t", "filter": {"a": :a}}', {"a": value})["filter"]["a"]
    assert found == expected
    bson.encode({"a": found}, codec_options=CODEC)
    assert make_command({"find": "t", "filter": {"a": value}}, None)["filter"]["a"] == expected


def test_extended_json():
    found = make_command('{"find": "t", "filter": {"_id": {"$oid": "6b0e71a2d3857ae06cd5b040"}}}', None)
    assert found["filter"]["_id"] == OID


@pytest.mark.parametrize(
    "text", ["SELECT 1", "[1]", "{}", '{"find": }', "{'find': 't'}", "BEGIN", "[" * 100_000]
)
def test_other_text_is_refused(text):
    with pytest.raises(UsageProblem, match="no command document"):
        make_command(text, {})


def test_unknown_parameter():
    with pytest.raises(ParameterError) as caught:
        make_command('{"find": :anee}', {"annee": 1})
    assert "did you mean :annee?" in str(caught.value)
    with pytest.raises(ParameterError, match="cannot be bound"):
        make_command('{"find": :a}', {"a": pd.DataFrame()})
