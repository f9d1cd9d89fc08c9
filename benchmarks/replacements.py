"""Run pgbench through one forward while the database's pod is replaced twice, and measure failures and outages.

    python benchmarks/replacements.py [--seconds 60] [--clients 20] [--json]

It runs on its own sandbox. A connection ends with its pod, and pgbench aborts a client whose connection ends. When all
clients have ended, pgbench is restarted for the remaining time, on the same port. The requirements: only clients whose
pod was deleted fail; every restart is served, unless the pod is away for longer than connections wait (10 s); and the
forward is still active on its port at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kubernetes import client, config

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.forwards import Forward, ForwardManager
from sspcloud_magics.sandbox.postgres import binaries
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import State
from tests.testbed import Testbed, open_testbed

REPLACEMENTS = 2
WAIT = 10.0


@dataclass
class Result:
    """The figures of a run."""

    seconds: float = 0.0
    transactions: int = 0
    starts: int = 0
    starts_refused: int = 0
    clients_lost: int = 0
    pods: list[str] = field(default_factory=list)
    outages: list[float] = field(default_factory=list)
    after_ready: list[float] = field(default_factory=list)
    reconnects: int = 0
    connections: int = 0
    failed_connections: int = 0
    same_port: bool = False
    active_at_the_end: bool = False


class Bench:
    """Runs pgbench against a port.

    Parameters
    ----------
    testbed, port
        The database, and the local port that leads to it.
    """

    def __init__(self, testbed: Testbed, port: int) -> None:
        self._program = str(binaries() / "pgbench")
        postgres = testbed.postgres
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        self._env = kept | {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGUSER": postgres.user,
            "PGPASSWORD": postgres.password.reveal(),
            "PGDATABASE": postgres.database,
            "PGCONNECT_TIMEOUT": "30",
        }

    def prepare(self) -> None:
        """Create pgbench's tables."""
        done = subprocess.run(
            [self._program, "--initialize", "--quiet"],
            env=self._env,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"pgbench cannot create its tables: {done.stderr}")

    def run(self, clients: int, seconds: int, result: Result) -> None:
        """Run pgbench once; it ends early when no client is left."""
        done = subprocess.run(
            [self._program, f"--client={clients}", "--jobs=2", f"--time={seconds}", "--no-vacuum"],
            env=self._env,
            check=False,
            capture_output=True,
            text=True,
        )
        found = re.search(r"transactions actually processed: (\d+)", done.stdout)
        result.starts += 1
        result.starts_refused += found is None
        result.transactions += int(found[1]) if found else 0
        result.clients_lost += len(re.findall(r"client \d+ aborted|client \d+ script", done.stderr))


def replace_pods(
    testbed: Testbed, forward: Forward, moments: list[float], began: float, result: Result
) -> None:
    """Delete the pod behind the forward at each of the moments, and record the outages."""
    api = client.CoreV1Api(config.new_client_from_config(str(testbed.kubeconfig), context=testbed.context))
    try:
        for moment in moments:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            result.pods.append(forward.pod)
            reconnects = forward.counters.reconnects
            uid = api.read_namespaced_pod(forward.pod, testbed.namespace).metadata.uid
            api.delete_namespaced_pod(forward.pod, testbed.namespace, grace_period_seconds=0)
            deleted = time.monotonic()
            ready_at = None
            while forward.state is not State.ACTIVE or forward.counters.reconnects == reconnects:
                if time.monotonic() > deleted + 60:
                    return
                if ready_at is None and _is_ready_again(api, testbed.namespace, uid):
                    ready_at = time.monotonic()
                time.sleep(0.01)
            served = time.monotonic()
            result.outages.append(round(served - deleted, 2))
            result.after_ready.append(round(served - (ready_at or served), 2))
    finally:
        api.api_client.close()


def _is_ready_again(api: client.CoreV1Api, namespace: str, old: str) -> bool:
    """Return whether another instance of the database than the pod with the uid `old` is ready."""
    pods = api.list_namespaced_pod(namespace, label_selector="cnpg.io/podRole=instance").items
    return any(
        pod.metadata.uid != old
        and any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ())
        for pod in pods
    )


def problems(result: Result, clients: int) -> list[str]:
    """Return all violated requirements."""
    found = []
    if len(result.outages) < REPLACEMENTS:
        found.append("a pod that was deleted was not taken over within a minute")
    if result.clients_lost > REPLACEMENTS * clients:
        found.append(
            f"{result.clients_lost} clients failed, where {REPLACEMENTS * clients} had lost their pod"
        )
    # If the pod is away for longer than connections wait, one restart may fail.
    refused = result.starts_refused if max(result.outages, default=0.0) < WAIT else 0
    if refused or result.starts - result.starts_refused > REPLACEMENTS + 1:
        found.append(f"pgbench was started {result.starts} times, and failed {result.starts_refused} times")
    if not (result.same_port and result.active_at_the_end):
        found.append("the forward has changed its port or is not active")
    return found


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    result = Result()
    with open_testbed(None) as testbed:
        manager = ForwardManager()
        cluster = find_cluster(kubeconfig=testbed.kubeconfig, namespace=testbed.namespace)
        target = Target(testbed.namespace, "service", testbed.postgres.service)
        with manager.forward(cluster, target, [PortText(testbed.postgres.port, 0)]) as forward:
            port = forward.local_port
            bench = Bench(testbed, port)
            bench.prepare()
            before = forward.counters
            began = time.monotonic()
            moments = [options.seconds * number / (REPLACEMENTS + 1) for number in (1, 2)]
            replacing = threading.Thread(
                target=replace_pods, args=(testbed, forward, moments, began, result), daemon=True
            )
            replacing.start()
            while (left := round(began + options.seconds - time.monotonic())) > 0:
                bench.run(options.clients, left, result)
            replacing.join()
            result.seconds = round(time.monotonic() - began, 1)
            counters = forward.counters
            result.reconnects = counters.reconnects - before.reconnects
            result.connections = counters.connections - before.connections
            result.failed_connections = counters.failed_connections - before.failed_connections
            result.same_port = forward.local_port == port
            result.active_at_the_end = forward.state is State.ACTIVE
        manager.close()
        cluster.close()
    found = problems(result, options.clients)
    told = asdict(result) | {"problems": found}
    if options.json:
        print(json.dumps(told))
    else:
        for name, value in told.items():
            print(f"{name:20} {value}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
