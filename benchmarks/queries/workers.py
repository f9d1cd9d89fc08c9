"""The measured process: it connects with one library, runs one query, and prints its figures.

Each worker imports its library, connects, and returns a function; only the call of that function is timed. Its memory
is the peak of the whole process with its libraries, as the operating system reports it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psutil

ALL = "SELECT * FROM query_benchmark"
Numbers = dict[str, float]
Spec = dict[str, Any]
Run = Callable[[], object]


def conninfo(spec: Spec) -> dict[str, Any]:
    """Return psycopg's connection parameters."""
    names = ("host", "port", "user", "password", "dbname")
    return {**{name: spec[name] for name in names}, "sslmode": "disable", "autocommit": True}


def read_sql(spec: Spec) -> Run:
    import pandas as pd
    import psycopg
    import sqlalchemy

    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(**conninfo(spec))
    )
    engine.connect().close()
    return lambda: pd.read_sql(ALL, engine)


def adbc(spec: Spec) -> Run:
    import adbc_driver_postgresql.dbapi as driver

    words = {name: value for name, value in conninfo(spec).items() if name != "autocommit"}
    cursor = driver.connect("postgresql:///?" + urlencode(words)).cursor()

    def run() -> object:
        cursor.execute(ALL)
        return cursor.fetch_arrow_table().to_pandas()

    return run


def connectorx(spec: Spec) -> Run:
    import connectorx as library

    words = {name: quote(str(value), safe="") for name, value in spec.items()}
    url = "postgresql://{user}:{password}@{host}:{port}/{dbname}?sslmode=disable".format(**words)
    return lambda: library.read_sql(url, ALL)


def plain_psycopg(spec: Spec) -> Run:
    import psycopg

    session = psycopg.connect(**conninfo(spec))
    return lambda: session.execute(ALL).fetchall()


def open_connection(spec: Spec) -> Any:
    """Return a connection of this package."""
    from sspcloud_magics.databases.discovery import Database
    from sspcloud_magics.databases.postgres.libpq import Login
    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
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


def _query(connection: Any, sql: str, params: Any = None, **options: Any) -> Any:
    from sspcloud_magics.databases.postgres.query import run
    from sspcloud_magics.databases.query_options import QueryOptions
    from sspcloud_magics.databases.query_result import attach_notes

    return attach_notes(run(connection, sql, params, QueryOptions(**options)))


def ours(spec: Spec) -> Run:
    connection = open_connection(spec)
    return lambda: _query(connection, ALL, warn=lambda _: None)


def ours_with_parameters(spec: Spec) -> Run:
    connection = open_connection(spec)
    sql = f"{ALL} WHERE id > :least AND day >= :since"
    values = {"least": 0, "since": "2020-01-01"}
    return lambda: _query(connection, sql, values, warn=lambda _: None)


def ours_decimal(spec: Spec) -> Run:
    connection = open_connection(spec)
    return lambda: _query(connection, ALL, numeric="decimal")


def to_parquet(spec: Spec) -> Run:
    """Write the table `times` times into a file, and sample the memory."""
    from tests.support.queries import export

    connection = open_connection(spec)
    sql = f"SELECT q.* FROM query_benchmark q, generate_series(1, {spec['times']})"

    def run() -> Numbers:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder, _sample_memory() as samples:
            done = export(connection, sql, Path(folder) / "rows.parquet")
        seconds = time.perf_counter() - started
        half = samples[len(samples) // 2 :]
        return {
            "s": seconds,
            "rows": float(done.rows),
            "file MiB": done.size / 2**20,
            "peak MiB": _peak(),
            "second half's median MiB": statistics.median(half),
        }

    return run


@contextlib.contextmanager
def _sample_memory(every: float = 0.05) -> Iterator[list[float]]:
    """Collect the resident memory of this process, in MiB, while the block runs."""
    process, over = psutil.Process(), threading.Event()
    samples = [process.memory_info().rss / 2**20]

    def watch() -> None:
        while not over.wait(every):
            samples.append(process.memory_info().rss / 2**20)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def one_row(spec: Spec) -> Run:
    """Query one row repeatedly, with each library in turn; a first run has a text that the server has not seen."""
    import psycopg
    from IPython.core.interactiveshell import InteractiveShell

    import sspcloud_magics
    from sspcloud_magics.session import session as session_module

    connection, session = open_connection(spec), psycopg.connect(**conninfo(spec))
    by_id = "SELECT id, x, hash FROM query_benchmark WHERE id = "
    by_range = (
        "SELECT id, x, hash FROM query_benchmark WHERE id < "  # no word of few rows: it is described first
    )
    shell: Any = InteractiveShell.instance()
    sspcloud_magics.load_ipython_extension(shell)
    session_module.session.connections = [connection]
    shell.user_ns["i"] = 77
    calls: dict[str, Callable[[int], object]] = {
        "psycopg ms": lambda _: session.execute(by_id + "%s", [77]).fetchall(),
        "ours ms": lambda _: _query(connection, by_id + ":i", {"i": 77}),
        "ours, no parameter ms": lambda _: _query(connection, f"{by_id}77"),
        "%query_db ms": lambda _: shell.run_line_magic("query_db", by_id + ":i"),
        "psycopg, first run ms": lambda n: session.execute(f"{by_id}%s -- {n}", [77]).fetchall(),
        "ours, first run ms": lambda n: _query(connection, f"{by_id}:i -- {n}", {"i": 77}),
        "ours, first run, described ms": lambda n: _query(connection, f"{by_range}:n -- {n}", {"n": 2}),
    }
    with contextlib.suppress(ImportError), contextlib.redirect_stdout(None):
        calls["JupySQL ms"] = _jupysql(shell, spec, by_id)

    def run() -> Numbers:
        spent: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(-20, 200):  # the first ones warm up
            for name, call in calls.items():
                started = time.perf_counter()
                call(number)
                if number >= 0:
                    spent[name].append(time.perf_counter() - started)
        return {name: statistics.median(times) * 1e3 for name, times in spent.items()}

    return run


def _jupysql(shell: Any, spec: Spec, by_id: str) -> Callable[[int], object]:
    import psycopg
    import sqlalchemy

    os.environ["PLOOMBER_STATS_ENABLED"] = "false"  # it would report its use over the network
    importlib.import_module("sql")

    shell.user_ns["jupysql_engine"] = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(**conninfo(spec))
    )
    for name, line in (
        ("load_ext", "sql"),
        ("config", "SqlMagic.autopandas=True"),
        ("config", "SqlMagic.displaycon=False"),
        ("config", "SqlMagic.feedback=0"),
        ("sql", "jupysql_engine"),
    ):
        shell.run_line_magic(name, line)
    return lambda _: shell.run_line_magic("sql", f"{by_id}77")


WORKERS: dict[str, Callable[[Spec], Run]] = {
    "read_sql": read_sql,
    "adbc": adbc,
    "connectorx": connectorx,
    "psycopg": plain_psycopg,
    "ours": ours,
    "parameters": ours_with_parameters,
    "decimal": ours_decimal,
    "parquet": to_parquet,
    "one-row": one_row,
}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def work(name: str) -> None:
    """Connect, run once, and print the numbers."""
    run = WORKERS[name](json.loads(sys.stdin.readline()))
    started, cpu = time.perf_counter(), time.process_time()
    answer = run()
    numbers = {
        "s": time.perf_counter() - started,
        "CPU s": time.process_time() - cpu,
        "peak MiB": _peak(),
    }
    print("\n" + json.dumps(answer if isinstance(answer, dict) else numbers))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    work(sys.argv[1])
