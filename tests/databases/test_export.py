"""Export of rows to files, tables, and conversions for other libraries."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from sspcloud_magics.databases import arrow
from sspcloud_magics.databases import export as export_module
from sspcloud_magics.databases.postgres.catalogue import describe_table, tables
from sspcloud_magics.databases.postgres.query import run
from sspcloud_magics.databases.postgres.results import result_reader
from sspcloud_magics.databases.postgres.session.session_settings import Preferences
from sspcloud_magics.databases.postgres.transfer.bulk_load import load_table
from sspcloud_magics.databases.postgres.transfer.copy import copy_from, copy_to
from sspcloud_magics.databases.query_options import QueryOptions
from sspcloud_magics.errors import FileNotWritten, QueryFailed, UsageProblem
from tests.databases.conftest import process_of
from tests.support.queries import export, query

EVERYTHING = """select i as n, i / 7.0::float8 as x, case when i % 3 > 0 then 'é' || i end as t, jsonb_build_object('i', i) as j,
    timestamptz '2024-01-01 00:00+00' + i * interval '1 s' as z, '\\x41'::bytea as b, time '10:00' as c, array[i, null] as a,
    gen_random_uuid() as u, date '2024-02-29' as d, i % 2 = 0 as f, i::numeric / 4 as m
    from generate_series(1, 30) i"""


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of a few rows, so that a file has several."""
    monkeypatch.setattr(result_reader, "CHUNK", 4)
    monkeypatch.setattr(result_reader, "BATCH", 1)
    monkeypatch.setattr(export_module, "PART", 8)


@pytest.mark.usefixtures("small_parts")
def test_parquet_holds_what_the_frame_holds(connection, tmp_path):
    pytest.importorskip("pyarrow")
    done = export(connection, EVERYTHING, tmp_path / "rows.parquet")
    assert done.rows == 30
    assert "30 rows" in repr(done)
    read = pd.read_parquet(done.file)
    whole = query(connection, EVERYTHING)
    for name in ("n", "x", "t", "z", "f", "m"):
        assert read[name].dropna().tolist() == whole[name].dropna().tolist()
    assert read["t"].isna().sum() == 10
    assert read["j"].iloc[0] == '{"i": 1}'
    assert read["b"].iloc[0] == b"A"
    assert read["a"].iloc[0] == "[1, None]"


# The type, a value as SQL writes it, Arrow's type, the value in Arrow, and in CSV.
OUTPUTS = [
    ("smallint", "1", "int16", 1, "1"),
    ("integer", "-2147483648", "int32", -(2**31), "-2147483648"),
    ("bigint", "9007199254740993", "int64", 2**53 + 1, "9007199254740993"),
    ("oid", "4294967295", "int64", 2**32 - 1, "4294967295"),
    ("real", "0.5", "float", 0.5, "0.5"),
    ("double precision", "0.1", "double", 0.1, "0.1"),
    ("numeric(12,2)", "1.25", "double", 1.25, "1.25"),
    ("boolean", "true", "bool", True, "True"),
    ("text", "é,", "large_string", "é,", '"é,"'),
    ("char(3)", "a", "large_string", "a  ", "a  "),
    ("money", "12.30", "large_string", "$12.30", "$12.30"),
    ("date", "2024-02-29", "date32[day]", dt.date(2024, 2, 29), "2024-02-29"),
    (
        "timestamp",
        "2024-02-29 12:00:00.5",
        "timestamp[us]",
        dt.datetime.fromisoformat("2024-02-29T12:00:00.500000"),
        None,
    ),
    (
        "timestamptz",
        "2024-07-14 12:00+00",
        "timestamp[us, tz=Europe/Paris]",
        dt.datetime(2024, 7, 14, 14, tzinfo=ZoneInfo("Europe/Paris")),
        "2024-07-14 14:00:00+02:00",
    ),
    ("interval", "1 day 2 hours", "duration[us]", dt.timedelta(days=1, hours=2), "1 days 02:00:00"),
    ("time", "12:34:56.5", "time64[us]", dt.time(12, 34, 56, 500000), "12:34:56.500000"),
    ("timetz", "12:34:56+02", "large_string", "12:34:56+02:00", "12:34:56+02:00"),
    (
        "uuid",
        "00000000-0000-0000-0000-00000000002a",
        "large_string",
        *["00000000-0000-0000-0000-00000000002a"] * 2,
    ),
    ("bytea", "\\x4100", "binary", b"A\0", None),
    ("json", '{"a":  [1]}', "large_string", '{"a":  [1]}', None),
    ("jsonb", '{"é": 1.50}', "large_string", '{"é": 1.50}', None),
    ("inet", "10.0.0.1/8", "large_string", "10.0.0.1/8", "10.0.0.1/8"),
    ("int4range", "[1,5)", "large_string", "[1, 5)", None),
    ("int[]", "{1,NULL}", "large_string", "[1, None]", None),
]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [(kind, value, expected) for kind, value, *expected in OUTPUTS],
    ids=[kind for kind, *_ in OUTPUTS],
)
def test_each_type_in_arrow_polars_parquet_and_csv(connection, tmp_path, kind, value, expected):
    pytest.importorskip("pyarrow")
    pytest.importorskip("polars")
    import pyarrow.parquet as pq

    arrows, in_arrow, in_csv = expected
    connection.settings.prefer(Preferences(time_zone="Europe/Paris"))
    sql = f"select cast(given as {kind}) as value from unnest(:given::text[]) given"
    values = {"given": [value, None]}
    for fetch in (sql, f"{sql} limit 5"):  # in the binary format, and as text
        result = run(connection, fetch, values, options=QueryOptions(json_text=True))
        table = arrow.arrow_table(result.frame, result.types)
        assert (str(table.schema.types[0]), table["value"].to_pylist()) == (arrows, [in_arrow, None])
        described = arrow.arrow_table(run(connection, fetch, values).frame, result.types)
        assert described.schema == table.schema
    none = run(connection, sql, {"given": []}, options=QueryOptions(json_text=True))
    assert arrow.arrow_table(none.frame, none.types).schema == table.schema
    polars_frame = arrow.polars_frame(result.frame, result.types)
    assert polars_frame["value"].null_count() == 1
    assert polars_frame["value"].to_list()[0] == in_arrow
    done = export(connection, sql, tmp_path / "rows.parquet", values)
    assert pq.read_table(done.file).schema.types == table.schema.types
    assert pq.read_table(done.file)["value"].to_pylist() == [in_arrow, None]
    lines = export(connection, sql, tmp_path / "rows.csv", values).file.read_text().splitlines()
    assert lines[0] == "value"
    if in_csv is not None:
        assert lines[1] == in_csv
    assert lines[2] in ("", '""')


@pytest.mark.parametrize("storage", ["python", "pyarrow"])
def test_wide_rows_are_written_in_smaller_parts(connection, tmp_path, monkeypatch, storage):
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    monkeypatch.setattr(result_reader, "BATCH", 1)
    monkeypatch.setattr(export_module, "PART_BYTES", 1 << 20)
    sql = "select repeat('é', 1000) as t from generate_series(1, 5000)"
    with pd.option_context("mode.string_storage", storage):
        done = export(connection, sql, tmp_path / "wide.parquet")
    assert pq.ParquetFile(done.file).num_row_groups > 3
    assert done.rows == 5000


@pytest.mark.usefixtures("small_parts")
def test_csv_has_one_heading(connection, tmp_path):
    done = export(
        connection, "select i as n, 'a,\"b\"' as t from generate_series(1, 30) i", tmp_path / "rows.csv"
    )
    read = pd.read_csv(done.file)
    assert read["n"].tolist() == list(range(1, 31))
    assert set(read["t"]) == {'a,"b"'}


def test_an_empty_result_makes_a_file_with_columns(connection, tmp_path):
    done = export(connection, "select 1 as a, 'x' as b from pg_class where false", tmp_path / "none.csv")
    assert done.rows == 0
    assert done.file.read_text().strip() == "a,b"


def test_a_file_that_is_there_stays_unless_told(connection, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("mine")
    with pytest.raises(UsageProblem, match="exists"):
        export(connection, "select 1 as a", file)
    assert file.read_text() == "mine"
    with pytest.raises(QueryFailed):
        export(connection, "select 1 / (5 - i) from generate_series(1, 9) i", file, overwrite=True)
    assert file.read_text() == "mine"
    export(connection, "select 1 as a", file, overwrite=True)
    assert file.read_text().split() == ["a", "1"]
    assert [file.name for file in tmp_path.iterdir()] == ["rows.csv"]


FULL = """
import json, resource, signal, sys
from pathlib import Path
from sspcloud_magics.databases.postgres.transfer import copy
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres.libpq import Login
from tests.support.queries import export, query
from sspcloud_magics.errors import FileNotWritten
from sspcloud_magics.secret import Secret
told, folder = json.load(sys.stdin), Path(sys.argv[1])
login = Login(**told | {"password": Secret(told["password"])})
connection = DatabaseConnection(Database("db", "user-alice", "postgres", "db-rw", 5432), login)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
rows = "select md5(i::text) as t from generate_series(1, 400000) i"
for write, sql, name in (
    (export, rows, "rows.csv"), (export, rows, "rows.parquet"), (copy.copy_to, f"copy ({rows}) to stdout", "rows.txt")
):
    try:
        write(connection, sql, folder / name)
    except FileNotWritten as error:
        print(json.dumps([error.what, error.why, query(connection, "select 1 as one")["one"].tolist()]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of the size of files is set")
def test_full_disk_is_told_and_leaves_no_part(login, tmp_path):
    told = {name: getattr(login, name) for name in ("host", "address", "port", "user", "dbname")}
    told["password"] = login.password.reveal()
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == 3
    for what, why, then in said:
        assert "no partial file is left" in what
        assert why == "The file would exceed the maximum file size."
        assert then == [1]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said(tmp_path):
    with pytest.raises(FileNotWritten, match="no partial file is left") as raised:
        _fill(tmp_path / "rows.csv")
    assert raised.value.why == "The disk is full."
    assert not list(tmp_path.iterdir())


def _fill(file: Path) -> None:
    with export_module.replace_atomically(file, overwrite=False) as partial:
        partial.symlink_to("/dev/full")
        partial.write_bytes(b"1" * 100_000)


def test_copy_writes_a_file_and_reads_it_back(connection, tmp_path):
    file = tmp_path / "rows.txt"
    query(
        connection,
        "drop table if exists t; create table t (i int, w text); insert into t select i, 'é' || i from generate_series(1, 5000) i",
    )
    seen = []
    done = copy_to(
        connection, "copy t to stdout (format csv, header)", file, progress=lambda *told: seen.append(told)
    )
    assert (done.rows, done.size) == (5000, file.stat().st_size)
    assert seen[-1][1] == done.size
    assert pd.read_csv(file)["i"].tolist() == list(range(1, 5001))
    with pytest.raises(UsageProblem, match="exists"):
        copy_to(connection, "copy t to stdout", file)
    back = copy_from(connection, "copy t from stdin (format csv, header)", file)
    assert "5,000 rows" in repr(back)
    assert query(connection, "select count(*) n, sum(i)::int s from t").iloc[0].tolist() == [
        10000,
        2 * 5000 * 5001 // 2,
    ]
    file.write_text("i,w\n1,a\noops,b\n")
    with pytest.raises(QueryFailed, match="oops") as raised:
        copy_from(connection, "copy t from stdin (format csv, header)", file)
    assert "line 3" in raised.value.why
    assert query(connection, "select count(*) n from t")["n"].tolist() == [10000]
    with pytest.raises(QueryFailed, match="nowhere"):
        copy_to(connection, "copy nowhere to stdout", tmp_path / "none.csv")
    with pytest.raises(UsageProblem, match="cannot be read"):
        copy_from(connection, "copy t from stdin", tmp_path / "none.csv")
    assert [each.name for each in tmp_path.iterdir()] == ["rows.txt"]


def test_two_columns_of_one_name_are_refused_by_a_file(connection, tmp_path):
    with pytest.raises(UsageProblem, match="'a'"):
        export(connection, "select 1 as a, 2 as a", tmp_path / "rows.csv")
    assert not list(tmp_path.iterdir())


def test_another_ending_is_refused(connection, tmp_path):
    with pytest.raises(UsageProblem, match=r"neither in \.parquet nor in \.csv"):
        export(connection, "select 1 as a", tmp_path / "rows.xlsx")


# ------------------------------------------------------------------ limits


def test_timeout_cancels_and_keeps_the_session(connection):
    pid = process_of(connection)
    with pytest.raises(QueryFailed, match=r"timeout of 0\.2 s"):
        query(connection, "select pg_sleep(60)", timeout=0.2)
    assert process_of(connection) == pid
    assert query(connection, "select 1 as a", timeout=60)["a"].tolist() == [1]


def test_result_that_may_not_fit_is_warned_of_first(connection):
    told = []
    run(connection, "select i from generate_series(1, 1000) i", options=QueryOptions(warn=told.append))
    assert told == []
    run(
        connection,
        "select i from generate_series(1, 1000) i",
        options=QueryOptions(warn=told.append, memory_share=0.0),
    )
    assert "1,000 rows expected" in told[0]
    assert "--limit" in told[0]


def test_progress_counts_rows_and_bytes(connection):
    seen = []
    query(connection, "select i from generate_series(1, 20000) i", progress=lambda *said: seen.append(said))
    assert [rows for rows, _, _ in seen][-1] == 20000
    assert seen[-1][1] == 20000 * 4


# ------------------------------------------------------------------ the catalogue


@pytest.fixture
def schema(connection):
    query(
        connection,
        """create schema shop; create table shop.orders (id int primary key, "With Blank" text not null default 'x', at timestamptz);
        comment on table shop.orders is 'What was bought'; comment on column shop.orders.at is 'When'; insert into shop.orders select i from generate_series(1, 9) i;
        analyze shop.orders; create view shop.recent as select * from shop.orders; create table shop."Odd Name" (a int)""",
    )
    yield "shop"
    query(connection, "drop schema shop cascade")


def test_tables_are_found_by_a_pattern(connection, schema):
    found = tables(connection, "shop.*")
    assert found["name"].tolist() == ["Odd Name", "orders", "recent"]
    orders = found.set_index("name").loc["orders"]
    assert (orders["kind"], orders["rows_about"], orders["comment"]) == ("table", 9, "What was bought")
    assert tables(connection, "order?")["name"].tolist() == ["orders"]
    assert tables(connection, "order_")["name"].tolist() == []


def test_a_table_is_described(connection, schema):
    told = describe_table(connection, "shop.orders")
    assert told.columns["name"].tolist() == ["id", "With Blank", "at"]
    assert told.columns["nullable"].tolist() == [False, False, True]
    assert told.columns["type"].iloc[2] == "timestamp with time zone"
    assert told.columns["comment"].iloc[2] == "When"
    assert "orders_pkey" in told.indexes["name"].tolist()
    assert len(told.head) == 5
    for word in ("What was bought", "about 9 rows", "orders_pkey", "With Blank"):
        assert word in repr(told)
        assert word in told._repr_mimebundle_()["text/html"]
    view = describe_table(connection, "shop.recent")
    assert view.bytes is None
    assert repr(view).startswith("shop.recent: owner postgres\n")
    assert describe_table(connection, 'shop."Odd Name"').columns["name"].tolist() == ["a"]
    with pytest.raises(QueryFailed, match="nowhere") as raised:
        describe_table(connection, "nowhere")
    assert "%tables" in raised.value.hint


def test_partitioned_table_counts_its_parts(connection, schema):
    query(
        connection,
        """create table shop.parts (n int) partition by list (n); create table shop.part_1 partition of shop.parts for values in (1);
        create table shop.part_2 partition of shop.parts for values in (2) partition by list (n);
        create table shop.part_22 partition of shop.part_2 for values in (2);
        insert into shop.parts select 1 + i % 2 from generate_series(1, 10) i; analyze shop.parts""",
    )
    found = tables(connection, "shop.part*")
    assert found["name"].tolist() == ["parts"]
    assert (found["rows_about"][0], found["bytes"][0] > 0) == (10, True)
    described = describe_table(connection, "shop.parts")
    assert (described.rows_about, described.bytes) != (0, 0)
    assert describe_table(connection, "shop.part_1").rows_about == 5


def test_identity_and_generated_columns_say_so(connection, schema):
    query(
        connection,
        """create table shop.made (a int generated always as identity, b int generated by default as identity,
        c int generated always as (1 + 1) stored, d int default 4, e int)""",
    )
    told = describe_table(connection, "shop.made").columns["default"].tolist()
    assert told[:4] == [
        "generated always as identity",
        "generated by default as identity",
        "generated always as ((1 + 1))",
        "4",
    ]


@pytest.mark.parametrize(
    "make",
    [
        "create view shop.odd as select 1 / (id - id) as x from shop.orders",
        "create materialized view shop.odd as select 1 as x with no data",
        "create table shop.odd as select time '24:00' as x, '[,infinity)'::daterange as y, date '20000-01-01' as z",
    ],
)
def test_columns_are_told_whatever_the_rows_do(connection, schema, make):
    query(connection, make)
    described = describe_table(connection, "shop.odd")
    assert described.columns["name"][0] == "x"
    assert described.head_note.startswith("Rows not shown: ") or len(described.head) == 1
    assert "x" in repr(described)
    assert described._repr_mimebundle_()["text/html"]


def test_columns_are_told_while_a_view_computes(connection, schema):
    query(connection, "create view shop.slow as select pg_sleep(600)::text as x")
    described = describe_table(connection, "shop.slow", seconds=0.1)
    assert described.columns["name"].tolist() == ["x"]
    assert "timeout of" in described.head_note


# ------------------------------------------------------------------ back into the database


def test_what_was_read_is_loaded_with_its_types(connection, schema):
    whole = query(connection, EVERYTHING.replace("array[i, null] as a,", ""))
    assert load_table(connection, whole, "shop.kept") == 30
    types = describe_table(connection, "shop.kept").columns.set_index("name")["type"]
    assert types.to_dict() == {
        "n": "integer",
        "x": "double precision",
        "t": "text",
        "j": "jsonb",
        "z": "timestamp with time zone",
        "b": "bytea",
        "c": "time without time zone",
        "u": "uuid",
        "d": "date",
        "f": "boolean",
        "m": "double precision",
    }
    back = query(connection, "select * from shop.kept order by n")
    pd.testing.assert_frame_equal(back, whole, check_dtype=False)


def test_a_date_with_a_time_of_day_is_none(connection, schema):
    times = pd.DataFrame({"d": pd.to_datetime(["2024-02-29 12:00"]).astype("datetime64[s]")})
    load_table(connection, times, "shop.times")
    assert query(connection, "select d::text as d from shop.times")["d"].tolist() == ["2024-02-29 12:00:00"]


def test_a_tables_name_is_read_as_sql_reads_it(connection, schema):
    frame = pd.DataFrame({"N": [1]})
    load_table(connection, frame, "Shop.Results")
    load_table(connection, frame, 'shop."Results 2"')
    assert {"results", "Results 2"} <= set(tables(connection, "shop.*")["name"])
    with pytest.raises(UsageProblem, match="is not a table name"):
        load_table(connection, frame, "two words")


def test_loading_appends_matching_columns(connection, schema):
    """A float for numeric, integral floats for integers, text for a date: the server parses or refuses them."""
    connection.psycopg.execute("CREATE TABLE shop.mixed (n numeric(8,2), i integer, d date, j jsonb, t text)")
    frame = pd.DataFrame(
        {
            "n": [1720.35, None],
            "i": [3.0, None],
            "d": ["2024-02-29", pd.Timestamp("2024-03-01")],
            "j": [{"a": [1, "é"]}, None],
            "t": [12, "tab\tand \\ and\nline"],
        }
    )
    assert load_table(connection, frame, "shop.mixed", "append") == 2
    assert connection.psycopg.execute("SELECT * FROM shop.mixed").fetchall() == [
        (Decimal("1720.35"), 3, dt.date(2024, 2, 29), {"a": [1, "é"]}, "12"),
        (None, None, dt.date(2024, 3, 1), None, "tab\tand \\ and\nline"),
    ]
    with pytest.raises(UsageProblem, match=r"Column 'i', row 0: 1\.5 cannot be loaded"):
        load_table(connection, pd.DataFrame({"i": [1.5]}), "shop.mixed", "append")


def test_loading_appends_to_each_kind_of_text(connection, schema):
    connection.psycopg.execute("CREATE TYPE shop.size AS ENUM ('small', 'large')")
    connection.psycopg.execute("CREATE DOMAIN shop.code AS char(5)")
    columns = "c char(5), v varchar(3), e shop.size, d shop.code, n name, t text"
    connection.psycopg.execute(f"CREATE TABLE shop.words ({columns})")
    row = {"c": "35238", "v": "é", "e": "large", "d": "01001", "n": "nom", "t": "été"}
    assert load_table(connection, pd.DataFrame([row, dict.fromkeys(row)]), "shop.words", "append") == 2
    found = connection.psycopg.execute(f"SELECT {', '.join(row)} FROM shop.words").fetchall()
    assert found == [tuple(row.values()), (None,) * len(row)]


def test_loading_appends_replaces_and_refuses(connection, schema):
    frame = pd.DataFrame({"id": [100, 101], "With Blank": ["a", "b"]})
    assert load_table(connection, frame, "shop.orders", "append") == 2
    assert query(connection, "select count(*) as n from shop.orders")["n"].tolist() == [11]
    with pytest.raises(QueryFailed, match="already exists") as raised:
        load_table(connection, frame, "shop.orders")
    assert "--append" in raised.value.hint
    with pytest.raises(QueryFailed, match="duplicate key"):
        load_table(
            connection, pd.DataFrame({"id": [500, 1], "With Blank": ["a", "b"]}), "shop.orders", "append"
        )
    assert query(connection, "select count(*) as n from shop.orders")["n"].tolist() == [11]
    load_table(connection, frame, "shop.new")
    load_table(connection, frame.head(1), "shop.new", "replace")
    assert query(connection, "select id from shop.new")["id"].tolist() == [100]


def test_what_has_no_type_is_refused(connection, schema):
    with pytest.raises(UsageProblem, match="'x'"):
        load_table(connection, pd.DataFrame({"x": [object()]}), "shop.no")
    with pytest.raises(UsageProblem, match="need unique names"):
        load_table(connection, pd.DataFrame([[1, 2]], columns=["a", "a"]), "shop.no")
    assert tables(connection, "shop.no").empty


def test_a_package_that_is_missing_is_said():
    with pytest.raises(UsageProblem, match="not_there_at_all") as raised:
        arrow.import_optional("not_there_at_all", "arrow", "This")
    assert "sspcloud-magics[arrow]" in raised.value.hint
