"""Queries in a real MariaDB: values, types, parameters, errors."""

from __future__ import annotations

import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from sspcloud_magics.databases.mariadb import kind
from sspcloud_magics.databases.mariadb.query import run
from sspcloud_magics.databases.query_options import Output, QueryOptions
from sspcloud_magics.errors import ParameterError, QueryFailed, UsageProblem

COLUMNS = {
    # name: (type, value in SQL, dtype, value in Python)
    "tiny": ("tinyint", "-128", "Int8", -128),
    "bool": ("boolean", "true", "Int8", 1),
    "small": ("smallint unsigned", "65535", "UInt16", 65535),
    "medium": ("mediumint", "-8388608", "Int32", -8388608),
    "whole": ("int unsigned", "4294967295", "UInt32", 4294967295),
    "big": ("bigint", "-9223372036854775808", "Int64", -(2**63)),
    "ubig": ("bigint unsigned", "18446744073709551615", "UInt64", 2**64 - 1),
    "year": ("year", "2024", "UInt16", 2024),
    "dec": ("decimal(10,2)", "12345678.91", "float64", 12345678.91),
    "f": ("float", "1.5", "float32", 1.5),
    "d": ("double", "1e300", "float64", 1e300),
    "bit1": ("bit(1)", "b'1'", "boolean", True),
    "bits": ("bit(64)", "~0", "UInt64", 2**64 - 1),
    "day": ("date", "'2024-02-29'", "datetime64[s]", pd.Timestamp("2024-02-29")),
    "moment": ("datetime(6)", "'9999-12-31 23:59:59.999999'", "datetime64[us]", pd.Timestamp("9999-12-31 23:59:59.999999")),
    "stamp": ("timestamp", "'2024-01-02 03:04:05'", "datetime64[us]", pd.Timestamp("2024-01-02 03:04:05")),
    "span": ("time(6)", "'838:59:58.999999'", "timedelta64[us]", timedelta(hours=838, minutes=59, seconds=58, microseconds=999999)),
    "back": ("time(6)", "'-00:00:00.000001'", "timedelta64[us]", timedelta(microseconds=-1)),
    "txt": ("longtext", "'é😀\\n'", "string", "é😀\n"),
    "latin": ("varchar(9) character set latin1", "'é'", "string", "é"),
    "choice": ("enum('a', 'b')", "'b'", "string", "b"),
    "several": ("set('x', 'y')", "'x,y'", "string", "x,y"),
    "uid": ("uuid", "'123e4567-e89b-12d3-a456-426655440000'", "string", "123e4567-e89b-12d3-a456-426655440000"),
    "ip": ("inet6", "'::1'", "string", "::1"),
    "js": ("json", "'{\"a\": [1, 2.5, null]}'", "object", {"a": [1, 2.5, None]}),
    "raw": ("longblob", "x'00ff27'", "object", b"\x00\xff'"),
    "bin": ("varbinary(9)", "x'ff'", "object", b"\xff"),
}  # fmt: skip


@pytest.fixture(scope="module")
def every(server):
    """A table with all types: a row of values, and a row of NULL."""
    root = server.connect(database="defaultdb")
    columns = ", ".join(f"`{name}` {type_} NULL" for name, (type_, *_rest) in COLUMNS.items())
    values = ", ".join(value for _type, value, *_rest in COLUMNS.values())
    with root.cursor() as cursor:
        cursor.execute(f"create or replace table every ({columns})")
        cursor.execute(f"insert into every values ({values}), ({', '.join(['NULL'] * len(COLUMNS))})")
    return "every"


@pytest.mark.parametrize("name", COLUMNS)
def test_type_and_value(connection, every, name):
    _type, _value, dtype, expected = COLUMNS[name]
    for where in ("", " where false"):
        frame = run(connection, f"select `{name}` from every{where}").frame
        assert str(frame.dtypes[name]) == dtype
    value, missing = run(connection, f"select `{name}` from every").frame[name]
    assert value == expected
    assert pd.isna(missing)


def test_same_in_chunks_and_files(connection, every, tmp_path):
    whole = run(connection, "select * from every").frame
    read = QueryOptions()
    chunks = list(kind.run(connection, "select * from every", None, read, Output(chunks=1)))
    pd.testing.assert_frame_equal(pd.concat(chunks, ignore_index=True), whole)
    for suffix in ("parquet", "csv"):
        done = kind.run(connection, "select * from every", None, read, Output(to=tmp_path / f"x.{suffix}"))
        assert done.rows == 2
    table = pd.read_parquet(tmp_path / "x.parquet")
    assert table["raw"][0] == b"\x00\xff'"
    assert table["js"][0] == '{"a": [1, 2.5, null]}'
    assert kind.run(connection, "select * from every", None, read, Output(as_="arrow")).num_rows == 2


def test_zero_dates_become_missing(connection):
    found = run(connection, "set sql_mode = ''; create temporary table z (d date, m datetime, s timestamp); "
                "insert into z values (0, 0, 0), ('2024-05-00', '2024-01-31', '2024-01-31'); select * from z")  # fmt: skip
    assert found.frame.isna().to_numpy().tolist() == [[True, True, True], [True, False, False]]
    assert any("d: 2 dates with the month or day 0" in note for note in found.notes)


def test_decimals_are_exact(connection):
    sql = "select cast(12345678901234567890.5 as decimal(30, 1)) as d"
    found = run(connection, sql)
    assert found.frame["d"].dtype == "float64"
    assert "may be rounded" in found.notes[0]
    (exact,) = run(connection, sql, options=QueryOptions(numeric="decimal")).frame["d"]
    assert exact == Decimal("12345678901234567890.5")


MOMENT = datetime(2024, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 - MariaDB's have no time zone
VALUES = [
    1, -(2**63), 2**64, 1.5, 1e300, Decimal("1.10"), "é' \\ \" %s :a ? ; -- 😀", "", b"\x00\xff'", b"", None,
    date(2024, 2, 29), MOMENT, timedelta(hours=-500, microseconds=1), np.int32(5),
    pd.Timestamp("2024-01-02 03:04:05"), time(1, 2, 3), "\0", "x" * 100_000,
]  # fmt: skip
EXPECTED = {
    2**64: float(2**64),
    Decimal("1.10"): 1.1,
    date(2024, 2, 29): pd.Timestamp("2024-02-29"),
    time(1, 2, 3): timedelta(hours=1, minutes=2, seconds=3),
}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
@pytest.mark.parametrize("mode", ["default", "NO_BACKSLASH_ESCAPES,ANSI_QUOTES"])
def test_parameter_comes_back(connection, value, mode):
    if mode != "default":
        run(connection, "set sql_mode = :mode", {"mode": mode})
    (found,) = run(connection, "select :value as v", {"value": value}).frame["v"]
    if value is None:
        assert pd.isna(found)
    else:
        assert found == EXPECTED.get(value, value)


@pytest.mark.parametrize(
    "ids",
    [[1, 3], (1, 3), {1, 3}, np.array([1, 3]), pd.Series([1, 3, None]), pd.Index([3, 1]), range(1, 4, 2)],
)
def test_list_in_parentheses(connection, ids):
    sql = "select s from (select 1 as s union select 2 union select 3) t where s in :ids"
    assert sorted(run(connection, sql, {"ids": ids}).frame["s"]) == [1, 3]


def test_empty_list(connection):
    sql = "select 5 in :none as one, 5 not in :none as other"
    assert run(connection, sql, {"none": []}).frame.to_numpy().tolist() == [[0, 1]]


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("nan"), print, pd.DataFrame(), timedelta(hours=839), 10**66,
              pd.Timestamp("2024-01-01", tz="UTC"), "\ud800", {"a": float("nan")}]
)  # fmt: skip
def test_value_that_cannot_be_bound(connection, value):
    with pytest.raises(ParameterError, match="cannot be bound"):
        run(connection, "select :value", {"value": value})


def test_dict_is_json(connection):
    frame = run(connection, "select json_value(:j, '$.a[1]') as x", {"j": {"a": [1, np.int64(7)]}}).frame
    assert frame["x"][0] == "7"


def test_injection_stays_a_value(connection):
    hostile = "x'); drop table every; -- "
    run(
        connection,
        "create or replace table victims (a text); insert into victims values (:a)",
        {"a": hostile},
    )
    assert run(connection, "select a from victims where a = :a", {"a": hostile}).frame["a"].tolist() == [
        hostile
    ]


def test_unknown_parameter(connection):
    with pytest.raises(ParameterError) as caught:
        run(connection, "select :anee", {"annee": 1})
    assert "did you mean :annee?" in str(caught.value)


def test_several_statements(connection):
    found = run(
        connection, "create temporary table n (i int); insert into n values (1), (2); select * from n"
    )
    assert [(each.tag, each.rows) for each in found.statements] == [
        ("CREATE TEMPORARY", 0), ("INSERT", 2), ("SELECT", 2)
    ]  # fmt: skip
    with pytest.raises(QueryFailed) as caught:
        run(connection, "select 1; select * from nope; select 2")
    assert "statement 2 of 3" in str(caught.value)


def test_similar_table_is_named(connection, every):
    with pytest.raises(QueryFailed) as caught:
        run(connection, "select * from evry")
    assert "did you mean every?" in str(caught.value)
    assert "1146" in caught.value.what


def test_warnings_are_notes(connection):
    assert "Division by 0" in run(connection, "select 1/0 as x").notes[0]


def test_limit(connection):
    found = run(connection, "select seq from seq_1_to_1000", options=QueryOptions(limit=10))
    assert len(found.frame) == 10
    assert found.notes == ("The first 10 rows; there are more.",)
    assert len(run(connection, "select seq from seq_1_to_1000").frame) == 1000
    assert run(connection, "select 1 as a", options=QueryOptions(limit=10)).notes == ()


def test_stored_code(connection):
    run(connection, "create or replace procedure p(x int) begin select x as a; select x + 1 as b; end;")
    assert run(connection, "call p(:x)", {"x": 4}).frame.to_dict("list") == {"b": [5]}


def test_delimiter_is_explained(connection):
    with pytest.raises(UsageProblem, match="DELIMITER"):
        run(connection, "DELIMITER //\nselect 1 //")


def test_duplicate_names(connection):
    found = run(connection, "select 1 as a, 2 as a")
    assert list(found.frame.columns) == ["a", "a"]
    assert "'a'" in found.notes[0]


def test_file_of_the_client_is_not_read(connection, tmp_path):
    file = tmp_path / "secret"
    file.write_text("secret")
    with pytest.raises(QueryFailed, match="local infile"):
        run(connection, f"create temporary table t (a text); load data local infile '{file}' into table t")


def test_tables_and_description(connection, every):
    run(connection, "create or replace table `with blank` (id int auto_increment primary key, n varchar(9) not null "
        "default 'x' comment 'a name', key (n)) comment 'a table'; insert into `with blank` values (1, 'y')")  # fmt: skip
    listed = kind.tables(connection, "with*")
    assert listed[["schema", "name", "kind", "comment"]].to_numpy().tolist() == [
        ["defaultdb", "with blank", "table", "a table"]
    ]
    assert {"schema", "name", "kind", "rows_about", "bytes", "owner", "comment"} <= set(listed.columns)
    assert str(listed["rows_about"].dtype) == "Int64"
    described = kind.describe_table(connection, "defaultdb.`with blank`")
    assert described.columns["name"].tolist() == ["id", "n"]
    assert described.columns["nullable"].tolist() == [False, False]
    assert list(described.indexes["definition"]) == ["PRIMARY KEY (id)", "INDEX n (n)"]
    assert described.head["n"].tolist() == ["y"]
    assert "a table" in repr(described)
    assert kind.columns(connection, "defaultdb", "with blank").select.startswith(
        "SELECT id, n\nFROM defaultdb.`with"
    )
    with pytest.raises(QueryFailed, match="does not exist"):
        kind.describe_table(connection, "evry")


def test_uuid_is_bound_as_text(connection):
    value = uuid.uuid4()
    assert run(connection, "select :u as u", {"u": value}).frame["u"][0] == str(value)


def test_invoker_view_is_not_read(connection, connect):
    """A view with SQL SECURITY INVOKER runs its functions with the reader's privileges."""
    run(
        connection,
        "create or replace table touched (a int); "
        "create or replace function touch() returns int begin insert into touched values (1); return 1; end",
    )
    run(
        connection,
        "create user if not exists mallory@'%'; "
        "create or replace definer = mallory@'%' sql security invoker view trap as select touch() as x; "
        "create or replace definer = mallory@'%' sql security definer view fine as select 1 as x",
    )
    described = kind.describe_table(connection, "trap")
    assert described.head.empty
    assert "mallory@%" in described.head_note
    assert run(connection, "select * from touched").frame.empty
    assert kind.describe_table(connection, "fine").head["x"].tolist() == [1]
    run(connection, "drop view trap; drop view fine; drop user mallory@'%'")
