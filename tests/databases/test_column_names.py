"""Duplicate and too long names are reported before anything runs."""

from __future__ import annotations

import pandas as pd
import pytest

from sspcloud_magics.databases.postgres.query import run
from sspcloud_magics.databases.postgres.transfer.bulk_load import load_table
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.session import querying, session
from tests.support.queries import export, query

LONG = "é" * 40


@pytest.fixture
def counted(connection, monkeypatch):
    """The current session, and a table that shows whether a statement ran."""
    monkeypatch.setattr(session.session, "connections", [connection])
    query(connection, "drop table if exists counted; create table counted (n int)")
    yield connection
    query(connection, "drop table counted")


TWINS = {
    "change": "insert into counted values (1) returning n, n",
    "query": "select 1 as n, 1 / (n - n) as n from (values (1)) v(n)",
    "few": "select n, n from counted limit 1",
    "several": "insert into counted values (2); select 1 as n, 2 as n; commit",
}


@pytest.mark.parametrize("sql", ["change", "query", "few"])
@pytest.mark.parametrize("to", ["rows.parquet", "rows.csv"])
def test_twins_are_told_before_a_file_is_made(counted, tmp_path, sql, to):
    with pytest.raises(UsageProblem, match="Several columns are named 'n', and a file") as raised:
        export(counted, TWINS[sql], tmp_path / to)
    assert "AS n_2" in raised.value.hint
    assert len(query(counted, "select n from counted")) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("chunks", [None, 10])
@pytest.mark.parametrize("sql", ["change", "query", "few"])
def test_twins_are_told_before_polars_asks(counted, sql, chunks):
    for _ in range(2):
        with pytest.raises(UsageProblem, match="Several columns are named 'n', and a polars"):
            querying.query_db(TWINS[sql], as_="polars", chunks=chunks)
    assert len(query(counted, "select n from counted")) == 0


def test_twins_of_the_answer_alone_are_told(counted):
    with pytest.raises(UsageProblem, match="'n'"):
        querying.query_db(TWINS["several"], as_="polars")
    frame = querying.query_db("select 1 as n, 2 as n; select 1 as n", as_="polars")
    assert frame["n"].to_list() == [1]


def test_twins_are_no_trouble_elsewhere(counted):
    assert querying.query_db("select 1 as n, 2 as n", as_="arrow").column_names == ["n", "n"]
    assert "Several columns" in run(counted, "select 1 as n, 2 as n").notes[0]


def test_long_names_are_refused_by_load_table(counted):
    with pytest.raises(UsageProblem, match="A column name has 80 bytes, and PostgreSQL allows 63") as raised:
        load_table(counted, pd.DataFrame({LONG: [1]}), "loaded")
    assert "rename" in raised.value.hint
    with pytest.raises(UsageProblem, match="table name has 64 bytes"):
        load_table(counted, pd.DataFrame({"n": [1]}), "t" * 64)
    assert load_table(counted, pd.DataFrame({"n" * 63: [1]}), "loaded", "replace") == 1
    query(counted, "drop table loaded")


def test_name_that_is_cut_in_a_query_is_told(counted, tmp_path):
    sql = f'select n as "{LONG}" from generate_series(1, 10) n'
    assert "will be truncated" in "".join(run(counted, sql).notes)
    assert "will be truncated" in "".join(export(counted, sql, tmp_path / "rows.csv").notes)
