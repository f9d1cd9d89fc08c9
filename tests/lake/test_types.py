"""Each type of ``docs/types.md`` through DuckDB, Dask and S3: as in a query of PostgreSQL, or as the how-to says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sspcloud_magics as ssp
from sspcloud_magics.lake import instance as instances
from sspcloud_magics.session import session

pytestmark = pytest.mark.servers

SAME = {
    "smallint": "i::smallint",
    "integer": "i",
    "bigint": "i::bigint",
    "real": "1.5::real",
    "double": "i::float8",
    "numeric": "i * 1.1",
    "decimal": "(i * 1.1)::numeric(10, 2)",
    "boolean": "i % 2 = 0",
    "text": "'c' || i",
    "varchar": "'a'::varchar(3)",
    "name": "'n'::name",
    "enum": "'ok'::mood",
    "money": "12.5::money",
    "tsvector": "'a b'::tsvector",
    "bit": "'101'::bit(3)",
    "macaddr": "'08:00:2b:01:02:03'::macaddr",
    "date": "date '2020-01-01' + i",
    "timestamp": "timestamp '2020-01-01 10:00'",
    "timestamptz": "timestamptz '2020-01-01 00:00+00'",
    "interval": "i * interval '1 year 2 months 3 days -4 seconds'",
    "negative interval": "interval '-3 days 4 seconds'",
    "time": "time '10:00'",
    "bytea": "i::text::bytea",
    "domain": "i::positive",
}
OTHER = {
    "uuid": ("md5(i::text)::uuid", "c4ca4238-a0b9-2382-0dcc-509a6f75849b"),
    "jsonb": ("jsonb_build_object('a', i)", '{"a": 1}'),
    "json": ("'{\"a\": 1}'::json", '{"a": 1}'),
    "inet": ("'10.0.0.1'::inet", "10.0.0.1/32"),
    "cidr": ("'10.0.0.0/8'::cidr", "10.0.0.0/8"),
    "range": ("int4range(i, i + 1)", "[1,2)"),
    "oid": ("7::oid", 7),
    "char": ("'b'::char(4)", "b"),
    "multirange": ("int4multirange(int4range(i, i + 1))", "{[1,2)}"),
    "array": ("array[i, 2]", [1, 2]),
    "composite": ("(i, 'a')::pair", {"a": 1, "b": "a"}),
    "timetz": ("timetz '10:00+02'", "10:00:00+02"),
    "point": ("'(1,2)'::point", {"x": 1.0, "y": 2.0}),
}


@pytest.fixture
def frames(connection, monkeypatch):
    """The same table by PostgreSQL and by DuckDB: a row of values, and one of NULL."""
    monkeypatch.setattr(session.session, "connections", [connection])
    listed = SAME | {name: sql for name, (sql, _value) in OTHER.items()}
    columns = ", ".join(f'{sql} AS "{name}"' for name, sql in listed.items())
    nulls = ", ".join(f'CASE WHEN row = 1 THEN "{name}" END AS "{name}"' for name in listed)
    ssp.query_db(
        "SET time zone 'UTC'; DROP TABLE IF EXISTS typed, returned; DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('ok');"
        "DROP DOMAIN IF EXISTS positive; CREATE DOMAIN positive AS int CHECK (value > 0); DROP TYPE IF EXISTS pair;"
        "CREATE TYPE pair AS (a int, b text)"
    )
    ssp.query_db(
        f"CREATE TABLE typed AS SELECT {nulls} FROM (SELECT {columns} FROM (VALUES (1)) AS v(i)) AS t, "
        "generate_series(1, 2) AS row ORDER BY row"
    )
    yield ssp.query_db("SELECT * FROM typed"), ssp.query_db("SELECT * FROM pg.public.typed", duckdb=True)
    instances.close()


def test_types_are_those_of_postgres(frames):
    expected, found = frames
    found["timestamptz"] = found["timestamptz"].dt.tz_convert("UTC")  # DuckDB's name of the zone differs
    pd.testing.assert_frame_equal(found[list(SAME)], expected[list(SAME)])


def test_other_types_are_those_of_the_how_to(frames):
    _expected, found = frames
    values = [list(each) if isinstance(each, np.ndarray) else each for each in found.loc[0, list(OTHER)]]
    assert values == [value for _sql, value in OTHER.values()]
    assert found.loc[1, list(OTHER)].isna().all()


def test_dask_types_are_those_of_postgres(frames):
    pytest.importorskip("dask.dataframe")
    expected, _found = frames
    found = ssp.read_dask("typed", partition_on="integer", partitions=2).compute(scheduler="threads")
    pd.testing.assert_frame_equal(found.sort_values("integer", ignore_index=True), expected)


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_types_return_from_s3(frames, suffix):
    expected = frames[0].drop(columns="array")  # a text in files, which PostgreSQL does not read
    columns = ", ".join(f'"{name}"' for name in expected)
    place = f"s3://diffusion/typed.{suffix}"
    ssp.query_db(f"SELECT {columns} FROM typed", to=place, overwrite=True)
    ssp.query_db(f"CREATE TABLE returned AS SELECT {columns} FROM typed LIMIT 0")
    ssp.load_table(place, "returned", "append")
    pd.testing.assert_frame_equal(ssp.query_db("SELECT * FROM returned"), expected)
