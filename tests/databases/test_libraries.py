"""Other libraries on a connection: they see its temporary tables and its transaction, and end neither."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import polars as pl
import pytest

from sspcloud_magics.databases import arrow
from sspcloud_magics.databases.postgres.query import run
from sspcloud_magics.databases.postgres.transfer.sqlalchemy_engine import engine
from tests.support.queries import query

ROWS = (
    "select i, case when i % 3 > 0 then 'é' || i end as t, i / 4.0::float8 as x from generate_series(1, 30) i"
)


@pytest.fixture
def seen(connection):
    """A temporary table in an open transaction, which only this session sees."""
    query(connection, f"begin; create temp table seen on commit drop as {ROWS}")
    yield connection
    assert connection.in_transaction
    query(connection, "rollback")


def test_pandas_reads_and_writes_in_the_same_session(seen):
    shared = engine(seen)
    assert pd.read_sql("select i from seen order by i", shared)["i"].tolist() == list(range(1, 31))
    pd.DataFrame({"i": [100]}).to_sql("seen", shared, if_exists="append", index=False)
    assert query(seen, "select max(i) as i from seen")["i"].tolist() == [100]


def test_pandas_takes_parameters_and_keeps_the_state(seen):
    import sqlalchemy

    shared = engine(seen)
    where = sqlalchemy.text("select i from seen where i = any(:ids) order by i")
    assert pd.read_sql(where, shared, params={"ids": [3, 5]})["i"].tolist() == [3, 5]
    query(seen, "savepoint before")
    # pandas 2 lets SQLAlchemy's own error pass.
    with pytest.raises((pd.errors.DatabaseError, sqlalchemy.exc.ProgrammingError), match="nowhere"):
        pd.read_sql("select * from nowhere", shared)
    query(seen, "rollback to before")
    assert len(pd.read_sql("select i from seen", shared)) == 30


@pytest.mark.parametrize("way", ["engine", "connection"])
def test_polars_reads_in_the_same_session(seen, way):
    lent = engine(seen) if way == "engine" else seen.psycopg
    frame = pl.read_database("select * from seen order by i", lent)
    assert frame["i"].to_list() == list(range(1, 31))
    assert frame["t"].null_count() == 10


def test_duckdb_asks_the_dataframe_and_the_arrow_table(connection):
    import duckdb  # a process that has imported it reports a hundred leaks of its own when it ends

    result = run(connection, ROWS)
    frame = result.frame
    rows = arrow.arrow_table(frame, result.types)
    for name, asked in {"frame": frame, "rows": rows}.items():
        with duckdb.connect() as duck:
            duck.register(name, asked)
            found = duck.sql(f"select sum(i), count(t) from {name}").fetchall()
        assert found == [(465, 20)]
    assert arrow.polars_frame(frame, result.types)["x"].sum() == frame["x"].sum()


JUPYSQL = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres.libpq import Login
from sspcloud_magics.secret import Secret
from sspcloud_magics.session import session as module
told = json.load(sys.stdin)
login = Login(**told | {"password": Secret(told["password"])})
module.session.connections.append(DatabaseConnection(Database("db", "user-alice", "postgres", "db-rw", 5432), login))
shell = InteractiveShell.instance()
for cell in (
    "%load_ext sspcloud_magics\\n%load_ext sql\\nimport sspcloud_magics as ssp\\nengine = ssp.engine()\\n%sql engine",
    "%config SqlMagic.named_parameters = 'enabled'",
    "%query_db --begin",
    "%query_db CREATE TEMP TABLE seen ON COMMIT DROP AS SELECT i FROM generate_series(1, 30) i",
    "least = 28\\nfound = %sql SELECT i FROM seen WHERE i >= :least ORDER BY i",
    "%%sql --save big\\nSELECT i FROM seen WHERE i > 10",
    "%sql INSERT INTO seen VALUES (1000)",
    "total = %query_db SELECT sum(i) AS s FROM seen",
    "%query_db --rollback",
    "left = %query_db SELECT to_regclass('seen') IS NULL AS gone",
):
    shell.run_cell(cell).raise_error()
space = shell.user_ns
print(json.dumps([space["found"].DataFrame()["i"].tolist(), int(space["total"]["s"][0]), bool(space["left"]["gone"][0])]))
module.close()
"""


def test_jupysql_asks_in_the_same_session(login, tmp_path):
    told = {name: getattr(login, name) for name in ("host", "address", "port", "user", "dbname")}
    told["password"] = login.password.reveal()
    done = subprocess.run(
        [sys.executable, "-c", JUPYSQL],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PLOOMBER_STATS_ENABLED": "false",
            "IPYTHONDIR": str(tmp_path),
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (answer,) = [line for line in done.stdout.splitlines() if line.startswith("[[")]
    assert json.loads(answer) == [[28, 29, 30], 1465, True]
