"""Queries into DataFrames, compared: ours, pandas.read_sql through kubectl and without, ADBC, psycopg.

    python benchmarks/query.py [--testbed FILE.json [--direct HOST:PORT]] [--rows 1000000] [--rounds 5] [--json]

One run makes a table of 12 columns, then measures all subjects in turn, round after round, each in a process
of its own: wall time, CPU time, and the most memory that the process ever held. Without a testbed it runs on
a sandbox of its own, and *direct* is the Unix socket of the PostgreSQL in it; in a cluster say it with ``--direct``. ADBC is measured where ``adbc-driver-postgresql`` and ``pyarrow`` are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import subjects

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

TABLE = """
CREATE TABLE query_benchmark AS
SELECT i AS id, (i::bigint * 7919) % 1000003 AS big, (i % 1000)::smallint AS small, i / 7.0::float8 AS x,
       (i * 1.25)::numeric(12,2) AS amount, timestamptz '2020-01-01 00:00+00' + i * interval '1 minute' AS at,
       date '2020-01-01' + (i % 3650) AS day, i % 2 = 0 AS flag, md5(i::text) AS hash,
       CASE WHEN i % 3 > 0 THEN 'category ' || i % 100 END AS category, CASE WHEN i % 5 > 0 THEN i END AS gaps,
       jsonb_build_object('i', i, 'even', i % 2 = 0) AS document
FROM generate_series(1, {rows}) i
"""
ALL = "SELECT * FROM query_benchmark"
Numbers = dict[str, float]
Spec = dict[str, Any]


# --- In the process that is measured --------------------------------------------------------------------


def conninfo(spec: Spec) -> dict[str, Any]:
    names = ("host", "port", "user", "password", "dbname")
    return {**{name: spec[name] for name in names}, "sslmode": "disable", "autocommit": True}


def read_sql(spec: Spec) -> Callable[[], object]:
    import pandas as pd
    import psycopg
    import sqlalchemy

    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(**conninfo(spec))
    )
    engine.connect().close()
    return lambda: pd.read_sql(ALL, engine)


def adbc(spec: Spec) -> Callable[[], object]:
    import adbc_driver_postgresql.dbapi as driver

    words = {name: value for name, value in conninfo(spec).items() if name != "autocommit"}
    cursor = driver.connect("postgresql:///?" + urlencode(words)).cursor()

    def run() -> object:
        cursor.execute(ALL)
        return cursor.fetch_arrow_table().to_pandas()

    return run


def plain_psycopg(spec: Spec) -> Callable[[], object]:
    import psycopg

    session = psycopg.connect(**conninfo(spec))
    return lambda: session.execute(ALL).fetchall()


def opened(spec: Spec) -> Any:
    from sspcloud_magics.databases.connection import DatabaseConnection
    from sspcloud_magics.databases.discovery import Database
    from sspcloud_magics.databases.libpq import Login
    from sspcloud_magics.secret import Secret

    database = Database("benchmark", "benchmark", "postgres", "benchmark", spec["port"], "postgres")
    login = Login(
        host=spec["host"],
        port=spec["port"],
        user=spec["user"],
        password=Secret(spec["password"]),
        dbname=spec["dbname"],
    )
    return DatabaseConnection(database, login)


def ours(spec: Spec) -> Callable[[], object]:
    from sspcloud_magics.databases.query import query

    connection = opened(spec)
    return lambda: query(connection, ALL)


def ours_with_parameter(spec: Spec) -> Callable[[], object]:
    from sspcloud_magics.databases.query import query

    connection = opened(spec)
    return lambda: query(connection, f"{ALL} WHERE id > :least", {"least": 0})


def to_parquet(spec: Spec) -> Callable[[], object]:
    from sspcloud_magics.databases.files import export

    connection = opened(spec)
    sql = f"SELECT q.* FROM query_benchmark q, generate_series(1, {spec['times']})"  # noqa: S608 - a number of ours

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            export(connection, sql, Path(folder) / "rows.parquet")

    return run


def one_row(spec: Spec) -> Callable[[], object]:
    """Measure by itself: the median of many, next to psycopg's."""
    import psycopg

    from sspcloud_magics.databases.query import query

    connection, session = opened(spec), psycopg.connect(**conninfo(spec))
    identity = 77

    def median(call: Callable[[], object]) -> float:
        spent = []
        for _ in range(200):
            started = time.perf_counter()
            call()
            spent.append(time.perf_counter() - started)
        return statistics.median(spent) * 1e3

    def run() -> Numbers:
        by_id = "SELECT id, x, hash FROM query_benchmark WHERE id = "
        return {
            "psycopg ms": median(lambda: session.execute(by_id + "%s", [identity]).fetchall()),
            "ours, parameter ms": median(lambda: query(connection, by_id + ":i", {"i": identity})),
            "ours, no parameter ms": median(lambda: query(connection, f"{by_id}{identity}")),
        }

    return run


WORKERS: dict[str, Callable[[Spec], Callable[[], Any]]] = {
    "read_sql": read_sql,
    "adbc": adbc,
    "psycopg": plain_psycopg,
    "ours": ours,
    "parameter": ours_with_parameter,
    "parquet": to_parquet,
    "one-row": one_row,
}


def work(name: str) -> None:
    """Connect, tell the memory so far, run once, and print the numbers."""
    run = WORKERS[name](json.loads(sys.stdin.readline()))
    started, cpu = time.perf_counter(), time.process_time()
    answer = run()
    numbers = {
        "s": time.perf_counter() - started,
        "CPU s": time.process_time() - cpu,
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(answer if isinstance(answer, dict) else numbers))


# --- In the process that compares -----------------------------------------------------------------------

SUBJECTS = {
    "kubectl + read_sql": ("read_sql", "kubectl"),
    "direct + read_sql": ("read_sql", "direct"),
    "direct + psycopg": ("psycopg", "direct"),
    "direct + ADBC": ("adbc", "direct"),
    "ours, direct": ("ours", "direct"),
    "ours, tunnel": ("ours", "tunnel"),
    "ours, direct, parameter": ("parameter", "direct"),
    "one row, direct": ("one-row", "direct"),
    "to Parquet": ("parquet", "direct"),
    "to Parquet, 10 times": ("parquet", "direct"),
}


def attempt(worker: str, spec: Spec) -> Numbers:
    """Run a worker; one that fails has no numbers, and says why on the error stream."""
    done = subprocess.run(
        [sys.executable, __file__, "--worker", worker],
        input=json.dumps(spec) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"  {worker}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr, flush=True)
        return {}
    numbers: Numbers = json.loads(done.stdout)
    return numbers


def direct_socket(login: Spec) -> Spec:
    """Return the login at the PostgreSQL inside the sandbox: the socket of a descendant that lets one in."""
    import psycopg

    for process in psutil.Process().children(recursive=True):
        if process.name() != "postgres":
            continue
        for each in process.net_connections("unix"):
            folder, _, name = str(each.laddr).rpartition("/")
            if name.startswith(".s.PGSQL."):
                found = login | {"host": folder, "port": int(name.removeprefix(".s.PGSQL."))}
                with contextlib.suppress(psycopg.Error):
                    psycopg.connect(**conninfo(found)).close()
                    return found
    raise SystemExit("no direct way to PostgreSQL was found: say it with --direct HOST:PORT")


@contextlib.contextmanager
def ways(options: argparse.Namespace) -> Iterator[dict[str, Spec]]:
    """Yield the login by each way, with the table in place."""
    import psycopg

    from tests.testbed import open_testbed

    with contextlib.ExitStack() as stack:
        bed = stack.enter_context(open_testbed(options.testbed))
        place = subjects.Place(bed.kubeconfig, bed.context, bed.namespace)
        postgres = bed.postgres
        login = {
            "user": postgres.user,
            "password": postgres.password.reveal(),
            "dbname": postgres.database,
            "times": 1,
        }
        host, _, port = (options.direct or "").rpartition(":")
        direct = login | {"host": host, "port": int(port)} if port else direct_socket(login)
        pod = postgres.service.removesuffix("-rw") + "-1" if options.pod is None else options.pod
        found = {"direct": direct}
        for way, name in (("kubectl", "kubectl"), ("tunnel", "ours")):
            running = stack.enter_context(subjects.run(name, place, pod, postgres.port))
            found[way] = login | {"host": "127.0.0.1", "port": running.port}
        session = stack.enter_context(psycopg.connect(**conninfo(direct)))
        session.execute("DROP TABLE IF EXISTS query_benchmark")
        session.execute(TABLE.format(rows=options.rows))
        session.execute("ALTER TABLE query_benchmark ADD PRIMARY KEY (id)")
        session.execute("ANALYZE query_benchmark")
        stack.callback(session.execute, "DROP TABLE query_benchmark")
        yield found


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--testbed", type=Path, help="a file that describes a cluster; else the sandbox")
    parser.add_argument("--direct", metavar="HOST:PORT", help="where PostgreSQL is reached without a tunnel")
    parser.add_argument("--pod", help="the pod of the database, if its service's name does not tell")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--json", action="store_true", help="print one object with the medians")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return
    collected: dict[str, dict[str, list[float]]] = {name: {} for name in options.only}
    with ways(options) as logins:
        for number in range(options.rounds):
            for name in options.only:
                print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr, flush=True)
                worker, way = SUBJECTS[name]
                spec = logins[way] | {"times": 10 if "10 times" in name else 1}
                for row, value in attempt(worker, spec).items():
                    collected[name].setdefault(row, []).append(value)
    medians = {
        name: {row: statistics.median(values) for row, values in rows.items()}
        for name, rows in collected.items()
    }
    if options.json:
        print(json.dumps(medians, indent=1))
        return
    for name, rows in medians.items():
        print(f"{name:<26}" + "   ".join(f"{row} {value:.2f}" for row, value in rows.items()))


if __name__ == "__main__":
    main()
