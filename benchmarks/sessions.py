"""Run consecutive database sessions through one forward, and count failures and leaked resources.

    python benchmarks/sessions.py [--sessions 1000] [--testbed FILE.json] [--json] [--no-kubectl]

Each session is psycopg's: connect, TLS, login, one query, close. When a session over TLS closes, PostgreSQL resets the
socket, which a forward must survive. Threads, descriptors, sockets and child processes are counted before the forward,
before and after the sessions, and after closing everything. For comparison, ``kubectl port-forward`` gets sessions
until it ends. The exit code is 1 if one of our sessions failed or was counted as failed, or if something leaked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from pathlib import Path

import psutil
import psycopg
import subjects

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.testbed import Testbed, open_testbed

Counts = dict[str, int]


def session(testbed: Testbed, port: int) -> float:
    """Run one session over TLS, and return its duration in seconds."""
    started = time.perf_counter()
    postgres = testbed.postgres
    with psycopg.connect(
        host="localhost",
        hostaddr="127.0.0.1",
        port=port,
        dbname=postgres.database,
        user=postgres.user,
        password=postgres.password.reveal(),
        sslmode="require",
        connect_timeout=30,
    ) as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute("SELECT 41 + 1").fetchone() == (42,)
    return time.perf_counter() - started


def counts(process: psutil.Process, *, own: set[int]) -> Counts:
    """Count the resources of a process; `own` are children that existed before."""
    sockets = [link for link in process.net_connections() if link.status != psutil.CONN_TIME_WAIT]
    return {
        "threads": process.num_threads(),
        "descriptors": process.num_fds(),
        "sockets": len(sockets),
        "children": len({child.pid for child in process.children()} - own),
    }


def wait_settled(process: psutil.Process, wanted: Counts, *, own: set[int]) -> Counts:
    """Return the counts once they are as wanted, at most after ten seconds."""
    end = time.monotonic() + 10
    while (found := counts(process, own=own)) != wanted and time.monotonic() < end:
        time.sleep(0.05)
    return found


def through_ours(testbed: Testbed, number: int) -> dict[str, object]:
    """Run the sessions through a forward of ours."""
    import sspcloud_magics as ssp

    me = psutil.Process()
    own = {child.pid for child in me.children()}
    before = counts(me, own=own)
    ssp.login(kubeconfig=str(testbed.kubeconfig), context=testbed.context, namespace=testbed.namespace)
    spent: list[float] = []
    failed = 0
    forward = ssp.forward(f"svc/{testbed.postgres.service}", f":{testbed.postgres.port}")
    (helper,) = [child for child in me.children() if child.pid not in own]
    for _ in range(10):  # the first sessions trigger psycopg's lazy imports, and fill the pool
        session(testbed, forward.local_port)
    standing = wait_settled(helper, counts(helper, own=set()), own=set())
    started = time.perf_counter()
    for _ in range(number):
        try:
            spent.append(session(testbed, forward.local_port))
        except psycopg.Error as error:
            failed += 1
            print(error, file=sys.stderr)
    seconds = time.perf_counter() - started
    after = wait_settled(helper, standing, own=set())
    counters = forward.counters
    forward.stop()
    ssp.close()
    left = wait_settled(me, before, own=own)
    return {
        "sessions": len(spent),
        "failed": failed,
        "counted as failed": counters.failed_connections,
        "last error": counters.last_error,
        "seconds": round(seconds, 2),
        "median ms": round(statistics.median(spent) * 1e3, 2),
        "slowest ms": round(max(spent) * 1e3, 2),
        "reconnects": counters.reconnects,
        "helper before the sessions": standing,
        "helper after the sessions": after,
        "this process before": before,
        "this process after": left,
        "threads": [thread.name for thread in threading.enumerate()],
    }


def through_kubectl(testbed: Testbed, number: int) -> dict[str, object]:
    """Run sessions through kubectl's forward until it ends."""
    place = subjects.Place(testbed.kubeconfig, testbed.context, testbed.namespace)
    target = f"svc/{testbed.postgres.service}"
    served = 0
    with subjects.run_kubectl(place, target, testbed.postgres.port) as running:
        try:
            for _ in range(number):
                session(testbed, running.port)
                served += 1
        except psycopg.Error:
            return {"sessions": served, "ended": running.process.wait(10)}
    return {"sessions": served}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--testbed", type=Path, help="a file that describes a cluster; else the sandbox")
    parser.add_argument("--no-kubectl", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with open_testbed(options.testbed) as testbed:
        told = {"ours": through_ours(testbed, options.sessions)}
        if not options.no_kubectl:
            told["kubectl"] = through_kubectl(testbed, options.sessions)
    if options.json:
        print(json.dumps(told, indent=1))
    else:
        for subject, values in told.items():
            print(subject)
            for name, value in values.items():
                print(f"  {name:28} {value}")
    ours = told["ours"]
    kept = ours["this process after"] == ours["this process before"]
    sys.exit(bool(ours["failed"] or ours["counted as failed"]) or not kept)


if __name__ == "__main__":
    main()
