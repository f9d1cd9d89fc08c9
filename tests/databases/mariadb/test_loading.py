"""A DataFrame becomes a table of MariaDB: types, values that come back as they were, and all rows or none."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from sspcloud_magics.databases.mariadb import bulk_load
from sspcloud_magics.databases.mariadb.bulk_load import load_table
from sspcloud_magics.databases.mariadb.query import run
from sspcloud_magics.databases.query_options import QueryOptions
from sspcloud_magics.errors import QueryFailed, UsageProblem


@pytest.fixture
def connection(connect):
    made = connect()
    made.execute("CREATE OR REPLACE DATABASE loading")
    made.execute("USE loading")
    return made


def ask(connection, sql):
    return run(connection, sql).frame


def list_tables(connection):
    return ask(connection, "SHOW TABLES").iloc[:, 0].tolist()


VALUES = {
    "int": ([1, None, -3], "bigint(20)"),
    "big": ([2**64 - 1, 0, 1], "bigint(20) unsigned"),
    "float": ([0.1, float("nan"), -1e300], "double"),
    "mixed": ([1, 0.5, 2], "double"),
    "bool": ([True, False, None], "tinyint(1)"),
    "text": (["é'\\", None, "🦊\n"], "text"),
    "long": (["x" * 70_000, "", None], "longtext"),
    "decimal": ([Decimal("1.50"), Decimal("-12345678901234567890.123"), None], "decimal(23,3)"),
    "bytes": ([b"\x00'", b"", None], "longblob"),
    "date": ([dt.date(2026, 12, 1), None, dt.date(1, 1, 1)], "date"),
    "instant": ([dt.datetime(2026, 12, 1, 1, 2, 3, 4), None, dt.datetime(1999, 1, 1)], "datetime(6)"),  # noqa: DTZ001
    "span": ([dt.timedelta(hours=-30, microseconds=5), None, dt.timedelta(0)], "time(6)"),
    "json": ([{"a": [1, None]}, [1, "é"], None], "longtext"),
    "uuid": ([UUID(int=5), None, UUID(int=6)], "char(36)"),
}


CONVERTED = {UUID: str, dt.date: pd.Timestamp}
"""What a query returns for a type."""


def test_types_and_values_come_back(connection):
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, (values, _type) in VALUES.items()})
    assert load_table(connection, frame, "t") == 3
    found = ask(connection, "SHOW COLUMNS FROM t")
    assert dict(zip(found["Field"], found["Type"], strict=True)) == {
        name: kind for name, (_values, kind) in VALUES.items()
    }
    back = run(connection, "SELECT * FROM t", options=QueryOptions(numeric="decimal")).frame
    for name, (values, _type) in VALUES.items():
        wanted = [CONVERTED.get(type(value), lambda value: value)(value) for value in values]
        for value, want in zip(back[name].tolist(), wanted, strict=True):
            assert pd.isna(value) if pd.api.types.is_scalar(want) and pd.isna(want) else value == want, name


def test_dtypes_of_pandas(connection):
    frame = pd.DataFrame(
        {
            "i": np.array([1, 2], "int32"),
            "u": pd.array([1, None], "UInt8"),
            "c": pd.Categorical(["a", "b"]),
            "t": pd.to_datetime(["2026-12-01 10:00", None]),
            "f": np.array([0.5, np.nan], "float32"),
        }
    )
    load_table(connection, frame, "loading.`with ``quote`")
    back = ask(connection, "SELECT * FROM `with ``quote`")
    assert back["i"].tolist() == [1, 2]
    assert back["c"].tolist() == ["a", "b"]
    assert (
        back["u"].isna().tolist() == back["t"].isna().tolist() == back["f"].isna().tolist() == [False, True]
    )


def test_append_replace_and_empty(connection):
    frame = pd.DataFrame({"a": [1, 2]})
    load_table(connection, frame, "t")
    load_table(connection, frame, "t", "append")
    assert len(ask(connection, "SELECT * FROM t")) == 4
    load_table(connection, frame.head(1), "t", "replace")
    assert len(ask(connection, "SELECT * FROM t")) == 1
    assert load_table(connection, frame.head(0), "empty") == 0
    with pytest.raises(QueryFailed, match="already exists") as caught:
        load_table(connection, frame, "t")
    assert "--append" in caught.value.hint
    assert list_tables(connection) == ["empty", "t"]


@pytest.mark.parametrize("mode", ["new", "replace", "append"])
def test_error_changes_nothing(connection, monkeypatch, mode):
    """The second of two statements fails: no row of the first stays, nor a table of another name."""
    monkeypatch.setattr(bulk_load, "_BATCH", 10)
    monkeypatch.setattr(bulk_load, "_TYPES", {frozenset({float}): "DECIMAL(3)"})
    if mode != "new":
        connection.execute("CREATE TABLE t (a DECIMAL(3) UNIQUE) AS SELECT 7 AS a")
    before = list_tables(connection)
    with pytest.raises(QueryFailed):
        load_table(connection, pd.DataFrame({"a": [1.0, 2.0, 1e9]}), "t", mode)
    assert list_tables(connection) == before
    assert mode == "new" or ask(connection, "SELECT a FROM t")["a"].tolist() == [7]
    assert not connection.in_transaction


def test_replace_keeps_a_table_that_others_need(connection):
    connection.execute("CREATE TABLE t (a int PRIMARY KEY)")
    connection.execute("CREATE TABLE child (a int REFERENCES t (a))")
    with pytest.raises(QueryFailed, match="foreign key"):
        load_table(connection, pd.DataFrame({"a": [1]}), "t", "replace")
    assert list_tables(connection) == ["child", "t"]


def test_open_transaction_is_not_committed(connection):
    connection.execute("CREATE TABLE t (a int)")
    connection.execute("BEGIN")
    with pytest.raises(UsageProblem, match="commit the open transaction"):
        load_table(connection, pd.DataFrame({"a": [1]}), "other")
    load_table(connection, pd.DataFrame({"a": [1]}), "t", "append")
    connection.execute("ROLLBACK")
    assert len(ask(connection, "SELECT * FROM t")) == 0


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([1, "x"], "no common type in MariaDB: int, str"),
        ([1.0, float("inf")], "cannot store the value inf of column 'a', row 1"),
        ([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], "row 0"),
        ([Decimal("1e40"), Decimal("1e-30")], "too many digits"),
        ([object()], "column 'a', row 0"),
    ],
)
def test_value_without_a_type_is_refused(connection, values, problem):
    with pytest.raises(UsageProblem, match=problem):
        load_table(connection, pd.DataFrame({"a": pd.Series(values, dtype=object)}), "t")
    assert list_tables(connection) == []


def test_progress_tells_the_rows(connection, monkeypatch):
    monkeypatch.setattr(bulk_load, "_BATCH", 1)
    told = []
    frame = pd.DataFrame({"a": range(5)})
    load_table(connection, frame, "t", progress=lambda rows, _bytes, _seconds: told.append(rows))
    assert told == [1, 2, 3, 4, 5]
