"""Measure results that outgrow a kernel: DuckDB, S3, GeoPandas and Dask next to their peers, interleaved in one run.

    python benchmarks/lake.py [--rows 10000000] [--points 1000000] [--rounds 3] [--json]

================  ====================================================================================  ======
key               measure                                                                               goal
================  ====================================================================================  ======
duckdb_ratio      a tenth of the rows by ATTACH through the tunnel / `query_db` with that filter        <= 1.5
pushdown_ratio    an aggregate by `postgres_query` / by `query_db`                                      <= 1.1
s3_ratio          rows a second of `--to s3://` / of DuckDB's own COPY                                  >= 0.9
s3_memory_ratio   growth of a new process during `--to s3://` with all rows / with a tenth              <= 1.5
geo_ratio         points into a GeoDataFrame / `geopandas.read_postgis`, seconds                        <= 0.5
dask_peak_ratio   peak memory of a worker / its largest partition in pandas, the largest of three sizes <= 3
================  ====================================================================================  ======
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

GOALS = {
    "duckdb_ratio": ("<=", 1.5),
    "pushdown_ratio": ("<=", 1.1),
    "s3_ratio": (">=", 0.9),
    "s3_memory_ratio": ("<=", 1.5),
    "geo_ratio": ("<=", 0.5),
    "dask_peak_ratio": ("<=", 3.0),
}
AGGREGATE = (
    "SELECT category, count(*) AS n, sum(x) AS x FROM query_benchmark GROUP BY category ORDER BY category"
)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextlib.contextmanager
def peak_growth(process: int | None = None) -> Iterator[list[int]]:
    """Yield a list that contains, after the block, the growth of a process's memory in bytes."""
    watched, ended = psutil.Process(process), threading.Event()
    before, found = watched.memory_info().rss, []

    def watch() -> None:
        while not ended.wait(0.02):
            found.append(watched.memory_info().rss - before)

    thread = threading.Thread(target=watch)
    thread.start()
    result: list[int] = []
    try:
        yield result
    finally:
        ended.set()
        thread.join()
        result.append(max(found, default=0))


def export(share: str = "true", name: str = "ours") -> None:
    """Write a share of the table into an object."""
    import sspcloud_magics as ssp

    ssp.query_db(
        f"SELECT * FROM query_benchmark WHERE {share}", to=f"s3://benchmark/{name}.parquet", overwrite=True
    )


def measure_export(share: str) -> int:
    """Return the growth of this process, which is a new one, while it exports."""
    import sspcloud_magics as ssp
    from tests.support.database import DATABASE_PATH

    ssp.connect_db(DATABASE_PATH)
    export("id <= 1000", "few")  # imports
    with peak_growth() as growth:
        export(share, "many")
    print(f"export of {share}: {growth[0] >> 20} MiB", file=sys.stderr, flush=True)
    ssp.close()
    return growth[0]


def in_new_process(work: Callable[[str], int], argument: str) -> int:
    """Run a function in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (argument,))


def interleave(rounds: int, **works: Callable[[], object]) -> dict[str, float]:
    """Return the median seconds of each work; each round runs all of them, and one before the first is not counted."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            took = seconds(work)
            print(f"round {number}: {name} {took:.2f} s", file=sys.stderr, flush=True)
            if number:
                times[name].append(took)
    return {name: statistics.median(found) for name, found in times.items()}


def measure_lake(rows: int, rounds: int) -> dict[str, float]:
    """Measure DuckDB and S3 through the tunnel of a sandbox."""
    import sspcloud_magics as ssp

    part = f"id <= {rows // 10}"

    def attach() -> None:
        ssp.duckdb().execute(
            f"CREATE OR REPLACE TEMP TABLE part AS SELECT * FROM pg.public.query_benchmark WHERE {part}"
        )

    def query() -> None:
        frame = ssp.query_db(f"SELECT * FROM query_benchmark WHERE {part}")
        ssp.duckdb().register("queried", frame)

    def push_down() -> None:
        ssp.query_db(f"FROM postgres_query('pg', '{AGGREGATE}')", duckdb=True)

    def copy() -> None:
        options = "FORMAT parquet, COMPRESSION zstd"
        ssp.duckdb().execute(
            f"COPY (SELECT * FROM pg.public.query_benchmark) TO 's3://benchmark/theirs.parquet' ({options})"
        )

    times = interleave(
        rounds,
        duckdb=attach,
        query_db=query,
        pushdown=push_down,
        aggregate=lambda: ssp.query_db(AGGREGATE),
        s3=export,
        copy=copy,
    )
    large, small = in_new_process(measure_export, "true"), in_new_process(measure_export, part)
    return {
        "duckdb_ratio": times["duckdb"] / times["query_db"],
        "pushdown_ratio": times["pushdown"] / times["aggregate"],
        "s3_ratio": times["copy"] / times["s3"],
        "s3_memory_ratio": large / small,
    }


def measure_dask(rows: int) -> dict[str, float]:
    """Measure the memory of one worker that reads all partitions, of three tables."""
    import distributed

    import sspcloud_magics as ssp

    def size(frame: object) -> int:
        return int(frame.memory_usage(deep=True).sum())  # type: ignore[attr-defined]

    ratios = []
    for share in (rows // 10, rows // 3, rows):
        sql = f"SELECT * FROM query_benchmark WHERE id <= {share}"
        frame = ssp.read_dask(sql, partition_on="id")
        with (
            distributed.LocalCluster(
                n_workers=1, threads_per_worker=1, dashboard_address=None, memory_limit=None
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            ssp.read_dask("SELECT 1 AS id", partition_on="id").compute()  # imports
            (process,) = client.run(os.getpid).values()
            with peak_growth(process) as peak:
                sizes = frame.map_partitions(size, meta=("size", "int64")).compute()
        ratios.append(peak[0] / max(sizes))
        print(
            f"{share} rows in {len(sizes)} partitions: {ratios[-1]:.2f} times {max(sizes) >> 20} MiB",
            file=sys.stderr,
            flush=True,
        )
    return {"dask_peak_ratio": max(ratios)}


def measure_geometries(points: int, rounds: int) -> dict[str, float]:
    """Measure points of a local PostGIS, without a tunnel."""
    import geopandas

    from sspcloud_magics.databases.discovery import Database
    from sspcloud_magics.databases.postgres import kind
    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
    from sspcloud_magics.databases.query_options import DEFAULTS, Output
    from tests.databases.conftest import login_to
    from tests.support.postgres_servers import start_server, with_postgis

    with start_server(with_postgis()) as server:
        connection = DatabaseConnection(
            Database("db", "user-alice", "postgres", "db-rw", 5432), login_to(server)
        )
        connection.psycopg.execute("CREATE EXTENSION postgis")
        connection.psycopg.execute(
            "CREATE TABLE points AS SELECT i AS id, ST_SetSRID(ST_MakePoint(random(), 45 + random()), 4326) AS geom "
            f"FROM generate_series(1, {points}) i"
        )
        sql, engine = "SELECT * FROM points", kind.engine(connection)
        times = interleave(
            rounds,
            ours=lambda: kind.run(connection, sql, None, DEFAULTS, Output()),
            read_postgis=lambda: geopandas.read_postgis(sql, engine),
        )
        connection.close()
    return {"geo_ratio": times["ours"] / times["read_postgis"]}


@contextlib.contextmanager
def table(rows: int) -> Iterator[None]:
    """Connect to a sandbox's database with the table of `query.py`, and to an S3 server."""
    from query import TABLE

    import sspcloud_magics as ssp
    from tests.support.database import DATABASE_PATH
    from tests.support.s3_server import start_s3
    from tests.testbed import open_sandbox

    with open_sandbox() as sandbox, start_s3() as s3:
        s3.make_bucket("benchmark")
        os.environ.update(s3.environment, KUBECONFIG=str(sandbox.kubeconfig("alice")))
        ssp.connect_db(DATABASE_PATH)
        try:
            ssp.query_db(TABLE.format(rows=rows))
            ssp.query_db("ALTER TABLE query_benchmark ADD PRIMARY KEY (id)")
            ssp.query_db("ANALYZE query_benchmark")
            yield
        finally:
            ssp.close()


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one object")
    options = parser.parse_args()
    figures = measure_geometries(options.points, options.rounds)
    with table(options.rows):
        figures |= measure_lake(options.rows, options.rounds)
        figures |= measure_dask(options.rows)
    if options.json:
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=1))
        return
    for name, value in figures.items():
        sign, goal = GOALS[name]
        is_met = value <= goal if sign == "<=" else value >= goal
        print(f"{name:<16} {value:6.2f}  goal {sign} {goal:g}  {'met' if is_met else 'missed'}")


if __name__ == "__main__":
    main()
