"""Compare queries into DataFrames: ours, pandas.read_sql with and without kubectl, ADBC, ConnectorX, JupySQL, psycopg.

    python benchmarks/query.py [--testbed FILE.json [--direct HOST:PORT]] [--rows 1000000] [--rounds 5] [--json]

One run creates a table of 12 columns, then measures all subjects in turn, each in its own process: wall time, CPU time,
and peak memory, including that of the forwarder if there is one (kubectl, or our helper). The output has the medians of
the rounds, and each goal with its verdict. Without a testbed it runs on its own sandbox, and *direct* is the Unix socket
of the sandbox's PostgreSQL; in a cluster, give it with ``--direct``. ADBC, ConnectorX and JupySQL are measured if they
are installed (`make benchmark-query` installs them).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import subjects
from database import direct_socket
from queries import goals
from queries.workers import Numbers, Spec, conninfo

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
SUBJECTS = {
    "kubectl + read_sql": ("read_sql", "kubectl"),
    "read_sql, direct": ("read_sql", "direct"),
    "psycopg, direct": ("psycopg", "direct"),
    "ConnectorX, direct": ("connectorx", "direct"),
    "ADBC, direct": ("adbc", "direct"),
    "ours, direct": ("ours", "direct"),
    "ours, tunnel": ("ours", "tunnel"),
    "ours with parameters, direct": ("parameters", "direct"),
    "ours with parameters, tunnel": ("parameters", "tunnel"),
    "ours, exact numerics": ("decimal", "direct"),
    "one row, direct": ("one-row", "direct"),
    "one row, tunnel": ("one-row", "tunnel"),
    "to Parquet": ("parquet", "direct"),
    "to Parquet, 10 times": ("parquet", "direct"),
}


def attempt(worker: str, spec: Spec) -> Numbers:
    """Run a worker; one that fails has no numbers, and prints its error to the error stream."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "queries.workers", worker],
        input=json.dumps(spec) + "\n",
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parent,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no output"]
        print(f"  {worker}: {said[-1]}", file=sys.stderr, flush=True)
        return {}
    answers = [line for line in done.stdout.splitlines() if line.startswith("{")]  # libraries print, too
    numbers: Numbers = json.loads(answers[-1])
    return numbers


@contextlib.contextmanager
def ways(options: argparse.Namespace) -> Iterator[dict[str, tuple[Spec, subjects.Running | None]]]:
    """Create the table, and yield the login and the forwarder of each route."""
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
        if port:
            direct: Spec | None = login | {"host": host, "port": int(port)}
        else:
            direct = direct_socket(psutil.Process().children(recursive=True), login)
        if direct is None:
            raise SystemExit("no direct route to PostgreSQL was found: give it with --direct HOST:PORT")
        pod = postgres.service.removesuffix("-rw") + "-1" if options.pod is None else options.pod
        found: dict[str, tuple[Spec, subjects.Running | None]] = {"direct": (direct, None)}
        for way, name in (("kubectl", "kubectl"), ("tunnel", "ours")):
            running = stack.enter_context(subjects.run(name, place, pod, postgres.port))
            found[way] = login | {"host": "127.0.0.1", "port": running.port}, running
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
    parser.add_argument("--direct", metavar="HOST:PORT", help="the address of PostgreSQL without a tunnel")
    parser.add_argument("--pod", help="the pod of the database, if its service's name does not imply it")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--json", action="store_true", help="print one object with the medians")
    options = parser.parse_args()
    collected: dict[str, dict[str, list[float]]] = {name: {} for name in options.only}
    with ways(options) as logins:
        for number in range(options.rounds):
            for name in options.only:
                print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr, flush=True)
                for row, value in measure(name, logins).items():
                    collected[name].setdefault(row, []).append(value)
    medians = {
        name: {row: statistics.median(values) for row, values in rows.items()}
        for name, rows in collected.items()
        if rows
    }
    if options.json:
        print(json.dumps(medians, indent=1))
        return
    print(table(medians))


def measure(name: str, logins: dict[str, tuple[Spec, subjects.Running | None]]) -> Numbers:
    """Measure one subject once."""
    worker, way = SUBJECTS[name]
    login, forwarder = logins[way]
    numbers = attempt(worker, login | {"times": 10 if "10 times" in name else 1})
    if forwarder is not None and "peak MiB" in numbers:
        numbers["peak MiB"] += forwarder.rss()
    return numbers


def table(medians: goals.Medians) -> str:
    """Return the medians, one line each, and the goals."""
    width = max(map(len, medians), default=0)
    lines = [
        f"{name:<{width}}  " + "   ".join(f"{row} {value:,.2f}" for row, value in rows.items())
        for name, rows in medians.items()
    ]
    judged = goals.verdicts(medians)
    lines.append("")
    for words, ours, limit, met in judged:
        lines.append(f"{'met' if met else 'NOT MET':<8} {words}: {ours:,.2f}, limit {limit:,.2f}")
    lines.append(f"{sum(met for *_, met in judged)} of {len(judged)} goals met")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
