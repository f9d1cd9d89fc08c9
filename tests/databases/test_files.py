"""Rows straight into files, and libraries that work on the connection."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from sspcloud_magics.databases import arrow, fetching, files
from sspcloud_magics.databases.catalogue import describe_table, tables
from sspcloud_magics.databases.client_copy import copy_from, copy_to
from sspcloud_magics.databases.files import export
from sspcloud_magics.databases.loading import load_table
from sspcloud_magics.databases.query import query, run
from sspcloud_magics.errors import FileNotWritten, QueryFailed, UsageProblem

EVERYTHING = """select i as n, i / 7.0::float8 as x, case when i % 3 > 0 then 'é' || i end as t, jsonb_build_object('i', i) as j,
    timestamptz '2024-01-01 00:00+00' + i * interval '1 s' as z, '\\x41'::bytea as b, time '10:00' as c, array[i, null] as a,
    gen_random_uuid() as u, date '2024-02-29' as d, i % 2 = 0 as f, i::numeric / 4 as m
    from generate_series(1, 30) i"""


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of a few rows, so that a file has several."""
    monkeypatch.setattr(fetching, "CHUNK", 4)
    monkeypatch.setattr(fetching, "BATCH", 1)
    monkeypatch.setattr(files, "PART", 8)


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
from sspcloud_magics.databases import client_copy, files
from sspcloud_magics.databases.connection import DatabaseConnection
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.libpq import Login
from sspcloud_magics.databases.query import query
from sspcloud_magics.errors import FileNotWritten
from sspcloud_magics.secret import Secret
told, folder = json.load(sys.stdin), Path(sys.argv[1])
login = Login(**told | {"password": Secret(told["password"])})
connection = DatabaseConnection(Database("db", "user-alice", "postgres", "db-rw", 5432), login)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
rows = "select md5(i::text) as t from generate_series(1, 400000) i"
for write, sql, name in (
    (files.export, rows, "rows.csv"), (files.export, rows, "rows.parquet"), (client_copy.copy_to, f"copy ({rows}) to stdout", "rows.txt")
):
    try:
        write(connection, sql, folder / name)
    except FileNotWritten as error:
        print(json.dumps([error.what, error.why, query(connection, "select 1 as one")["one"].tolist()]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of the size of files is set")
def test_a_file_that_cannot_grow_is_said_and_no_part_is_left(login, tmp_path):
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
        assert "no part of it is left" in what
        assert why == "The file would be larger than is allowed here."
        assert then == [1]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said(tmp_path):
    with pytest.raises(FileNotWritten, match="no part of it is left") as raised:
        _fill(tmp_path / "rows.csv")
    assert raised.value.why == "The disk is full."
    assert not list(tmp_path.iterdir())


def _fill(file: Path) -> None:
    with files.whole(file, overwrite=False) as partial:
        partial.symlink_to("/dev/full")
        partial.write_bytes(b"1" * 100_000)


def test_copy_writes_a_file_and_reads_it_back(connection, tmp_path):
    file = tmp_path / "rows.txt"
    query(
        connection,
        "create temp table t (i int, w text); insert into t select i, 'é' || i from generate_series(1, 5000) i",
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


def test_a_statement_that_takes_too_long_is_cancelled_and_the_session_stays(connection):
    pid = connection.psycopg.info.backend_pid
    with pytest.raises(QueryFailed, match=r"longer than 0\.2 s"):
        query(connection, "select pg_sleep(60)", timeout=0.2)
    assert query(connection, "select pg_backend_pid() p", timeout=60)["p"].tolist() == [pid]


def test_a_result_that_may_not_fit_is_warned_of_before_it_comes(connection):
    told = []
    run(connection, "select i from generate_series(1, 1000) i", warn=told.append)
    assert told == []
    run(connection, "select i from generate_series(1, 1000) i", warn=told.append, memory_share=0.0)
    assert "1,000 rows are expected" in told[0]
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
    assert describe_table(connection, 'shop."Odd Name"').columns["name"].tolist() == ["a"]
    with pytest.raises(QueryFailed, match="nowhere") as raised:
        describe_table(connection, "nowhere")
    assert "%tables" in raised.value.mend


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
        "d": "timestamp without time zone",
        "f": "boolean",
        "m": "double precision",
    }
    back = query(connection, "select * from shop.kept order by n")
    pd.testing.assert_frame_equal(back, whole, check_dtype=False)


def test_loading_appends_replaces_and_refuses(connection, schema):
    frame = pd.DataFrame({"id": [100, 101], "With Blank": ["a", "b"]})
    assert load_table(connection, frame, "shop.orders", "append") == 2
    assert query(connection, "select count(*) as n from shop.orders")["n"].tolist() == [11]
    with pytest.raises(QueryFailed, match="already exists") as raised:
        load_table(connection, frame, "shop.orders")
    assert "--append" in raised.value.mend
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
    with pytest.raises(UsageProblem, match="name of its own"):
        load_table(connection, pd.DataFrame([[1, 2]], columns=["a", "a"]), "shop.no")
    assert tables(connection, "shop.no").empty


def test_a_package_that_is_missing_is_said():
    with pytest.raises(UsageProblem, match="not_there_at_all") as raised:
        arrow.needed("not_there_at_all", "arrow", "This")
    assert "sspcloud-magics[arrow]" in raised.value.mend
