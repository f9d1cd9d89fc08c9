"""Geometries of a real PostGIS, and vectors of a real pgvector, into frames, files and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres import kind
from sspcloud_magics.databases.postgres.results import extension_types
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.query_options import Output, QueryOptions
from sspcloud_magics.errors import UsageProblem
from tests.databases.conftest import login_to
from tests.support.postgres_servers import Server, start_server, with_postgis

geopandas = pytest.importorskip("geopandas")
import shapely  # noqa: E402 - with geopandas

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def postgis() -> Iterator[Server]:
    with start_server(with_postgis()) as running:
        yield running


@pytest.fixture
def connection(postgis: Server) -> Iterator[DatabaseConnection]:
    yield from connect(postgis, "postgis")


@pytest.fixture
def vectors(server: Server) -> Iterator[DatabaseConnection]:
    yield from connect(server, "vector")


def connect(server: Server, extension: str) -> Iterator[DatabaseConnection]:
    made = DatabaseConnection(Database("db", "user-alice", "postgres", "db-rw", 5432), login_to(server))
    run(made, f"create schema if not exists ext; create extension if not exists {extension} schema ext")
    run(made, "set search_path = public, ext")
    yield made
    made.close()


def run(connection: DatabaseConnection, sql: str, as_: str = "pandas", **more: object):
    options = QueryOptions(json_text=as_ in ("arrow", "polars"))
    return kind.run(connection, sql, None, options, Output(as_=as_, **more))


POINTS = "select i as id, ST_SetSRID(ST_MakePoint(i, i + 0.5), 2154) as geom from generate_series(1, 3000) i"


@pytest.mark.parametrize("suffix", [" limit 5", ""], ids=["text", "binary"])
def test_geometry_becomes_geodataframe(connection, suffix):
    for _unused in range(2):  # the session knows the type the second time
        frame = run(connection, POINTS + suffix)
        assert type(frame) is geopandas.GeoDataFrame
        assert frame.crs == "EPSG:2154"
        assert frame.dtypes.astype(str).to_dict() == {"id": "Int32", "geom": "geometry"}
        assert (frame.geom.x == frame["id"].astype(float)).all()


def test_declared_srid_is_kept_without_rows(connection):
    frame = run(connection, "select null::geometry(Point, 3035) as a, null::geography as b where false")
    assert frame["a"].crs == "EPSG:3035"
    assert frame["b"].crs == "EPSG:4326"


def test_several_srids_have_no_crs(connection):
    frame = run(
        connection, "select ST_MakePoint(1, 2) as a union all select ST_SetSRID(ST_MakePoint(1, 2), 4326)"
    )
    assert frame.crs is None
    assert "2 SRIDs" in frame.attrs["notes"][0]


def test_unreadable_geometry_stays_text(connection):
    frame = run(connection, "select 'CIRCULARSTRING(0 0, 1 1, 1 0)'::geometry as a")
    assert frame["a"].dtype == "string"
    assert (
        frame["a"][0]
        == connection.psycopg.execute("select 'CIRCULARSTRING(0 0, 1 1, 1 0)'::geometry").fetchone()[0]
    )
    assert "ST_CurveToLine" in frame.attrs["notes"][0]


@pytest.mark.parametrize("suffix", [" limit 5", ""], ids=["few", "many"])
def test_geometry_is_text_without_geopandas(connection, monkeypatch, suffix):
    monkeypatch.setattr(extension_types, "has_geopandas", lambda: False)
    frame = run(connection, POINTS + suffix)
    assert type(frame) is pd.DataFrame
    assert frame["geom"].dtype == "string"
    assert len(frame.attrs["notes"]) == 1
    assert "[geo]" in frame.attrs["notes"][0]


def test_foreign_type_of_this_name_is_text(vectors):
    run(vectors, "drop type if exists geometry; create type geometry as enum ('0101')")
    assert run(vectors, "select '0101'::geometry as a")["a"].dtype == "string"


def test_geodataframe_needs_a_geometry(connection):
    assert run(connection, POINTS, "geopandas").crs == "EPSG:2154"
    with pytest.raises(UsageProblem, match="no column of geometries"):
        run(connection, "select 1 as a", "geopandas")


def test_chunks_are_geodataframes(connection):
    chunks = list(run(connection, POINTS, chunks=1000))
    assert [(type(each), len(each)) for each in chunks] == [(geopandas.GeoDataFrame, 1000)] * 3


def test_geoparquet_keeps_the_crs(connection, tmp_path: Path):
    run(connection, POINTS, to=tmp_path / "points.parquet")
    frame = geopandas.read_parquet(tmp_path / "points.parquet")
    assert frame.crs == "EPSG:2154"
    assert frame.geom.geom_equals(run(connection, POINTS).geom).all()


def test_geoparquet_refuses_several_srids(connection, tmp_path: Path):
    sql = "select ST_SetSRID(ST_MakePoint(i, i), case when i < 100000 then 2154 else 4326 end) as g from generate_series(1, 150000) i"
    with pytest.raises(UsageProblem, match="several SRIDs"):
        run(connection, sql, to=tmp_path / "points.parquet")
    assert not list(tmp_path.iterdir())


def test_csv_has_the_text_of_the_server(connection, tmp_path: Path):
    run(connection, POINTS + " limit 1", to=tmp_path / "points.csv")
    (text,) = connection.psycopg.execute("select ST_SetSRID(ST_MakePoint(1, 1.5), 2154)").fetchone()
    assert (tmp_path / "points.csv").read_text().splitlines()[1] == f"1,{text}"


def test_arrow_and_polars_have_wkb(connection):
    expected = shapely.to_wkb(shapely.Point(1, 1.5))
    assert run(connection, POINTS, "arrow")["geom"][0].as_py() == expected
    assert run(connection, POINTS, "polars")["geom"][0] == expected


def test_load_table_writes_type_srid_and_index(connection):
    frame = run(connection, POINTS)
    kind.load_table(connection, frame, "towns", "replace")
    again = run(connection, "select * from towns order by id")
    assert again.crs == frame.crs
    assert again.geom.geom_equals(frame.geom).all()
    (declared,) = connection.psycopg.execute(
        "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'towns'::regclass and attname = 'geom'"
    ).fetchone()
    assert declared == "geometry(Point,2154)"
    (index,) = connection.psycopg.execute(
        "select pg_get_indexdef(indexrelid) from pg_index where indrelid = 'towns'::regclass"
    ).fetchone()
    assert "USING gist (geom)" in index


def test_append_refuses_another_srid(connection):
    frame = run(connection, POINTS)
    kind.load_table(connection, frame, "towns", "replace")
    kind.load_table(connection, frame, "towns", "append")
    with pytest.raises(UsageProblem, match="SRID"):
        kind.load_table(connection, frame.to_crs(4326), "towns", "append")
    assert len(run(connection, "select * from towns")) == 6000


@pytest.mark.parametrize(
    ("shapes", "declared"),
    [
        ([shapely.Point(1, 2, 3), None], "geometry(PointZ,2154)"),
        ([shapely.Point(1, 2), shapely.LineString([(0, 0), (1, 1)])], "geometry(Geometry,2154)"),
        ([shapely.Point(1, 2, 3), shapely.Point(1, 2)], "geometry"),
        ([None], "geometry(Geometry,2154)"),
    ],
    ids=["third dimension", "several types", "mixed dimensions", "no value"],
)
def test_type_follows_the_geometries(connection, shapes, declared):
    frame = geopandas.GeoDataFrame({"geom": shapes}, geometry="geom", crs=2154)
    kind.load_table(connection, frame, "shapes", "replace")
    (found,) = connection.psycopg.execute(
        "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'shapes'::regclass and attnum = 1"
    ).fetchone()
    assert found == declared
    again = run(connection, "select * from shapes")
    assert shapely.to_wkb(again["geom"].array._data).tolist() == shapely.to_wkb(shapes).tolist()


def test_geometry_needs_postgis(vectors):
    frame = geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(1, 2)], crs=2154)
    with pytest.raises(UsageProblem, match="no PostGIS"):
        kind.load_table(vectors, frame, "refused")


VECTORS = """
select * from (values (1, '[1,2,0.1]'::vector(3), '[1,2.5]'::halfvec(2), '{1:0.5,3:2}/5'::sparsevec),
(2, null, null, null), (3, '[4,5,6]', '[1,7]', '{1:0.1}/20000')) as t(id, a, b, c)
"""


@pytest.mark.parametrize("suffix", [" limit 5", ""], ids=["text", "binary"])
def test_vectors_become_arrays(vectors, suffix):
    for _unused in range(2):
        frame = run(vectors, VECTORS + suffix)
        assert frame["a"][0].dtype == np.float32
        assert frame["a"][0].tolist() == np.array([1, 2, 0.1], "f4").tolist()
        assert frame["b"][2].dtype == np.float16
        assert frame["b"][2].tolist() == [1, 7]
        assert frame["c"][0].tolist() == [0.5, 0, 2, 0, 0]
        assert frame["c"][2] == "{1:0.1}/20000"
        assert frame.iloc[1, 1:].tolist() == [None, None, None]


def test_many_vectors_equal_their_text(vectors):
    sql = "select array_agg(random())::vector(7) as v from generate_series(1, 7000) i group by i % 1000"
    run(vectors, f"drop table if exists many; create table many as {sql}")
    texts = [text for (text,) in vectors.psycopg.execute("select v::text from many order by many.v")]
    frame = run(vectors, "select v from many order by v")
    assert [np.array(text[1:-1].split(","), "f4").tolist() for text in texts] == [
        each.tolist() for each in frame["v"]
    ]


def test_vectors_in_arrow_have_one_schema(vectors, tmp_path: Path):
    run(
        vectors,
        f"drop table if exists v; create table v (id int, a vector(3), b halfvec, c sparsevec); insert into v {VECTORS}",
    )
    table = run(vectors, "select a, b, c from v", "arrow")
    empty = run(vectors, "select a, b, c from v where false", "arrow")
    assert table.schema == empty.schema
    assert str(table.schema.field("a").type) == "fixed_size_list<item: float>[3]"
    assert table["b"].to_pylist() == [[1, 2.5], None, [1, 7]]
    assert table["c"].to_pylist() == ["{1:0.5,3:2}/5", None, "{1:0.1}/20000"]
    assert run(vectors, "select a from v", "polars")["a"].dtype == pl.Array(pl.Float32, 3)
    run(vectors, "select * from v", to=tmp_path / "v.parquet")
    assert pq.read_table(tmp_path / "v.parquet")["a"].to_pylist() == table["a"].to_pylist()
    run(vectors, "select a, c from v", to=tmp_path / "v.csv")
    assert (tmp_path / "v.csv").read_text().splitlines()[1] == '"[1,2,0.1]","{1:0.5,3:2}/5"'


def test_vectors_go_back(vectors):
    frame = run(vectors, VECTORS)
    kind.load_table(vectors, frame[["id", "a", "b"]], "back", "replace")
    assert run(vectors, "select * from back").iloc[0, 1].tolist() == frame["a"][0].tolist()
    found = vectors.psycopg.execute(
        "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'back'::regclass and attnum > 1"
    ).fetchall()
    assert [name.removeprefix("ext.") for (name,) in found] == ["vector(3)", "halfvec(2)"]
    run(vectors, "drop table if exists sparse; create table sparse (c sparsevec)")
    kind.load_table(vectors, frame[["c"]], "sparse", "append")
    assert run(vectors, "select * from sparse limit 1")["c"][0].tolist() == [0.5, 0, 2, 0, 0]


def test_arrays_stay_json_without_pgvector(connection):
    frame = pd.DataFrame({"a": [np.array([1, 2], "f4")]})
    kind.load_table(connection, frame, "documents", "replace")
    assert run(connection, "select * from documents limit 1")["a"][0] == [1.0, 2.0]
