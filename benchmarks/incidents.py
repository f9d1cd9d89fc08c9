"""Count failures after restarts of the API server under open forwards, and of forwards through new relays.

    python benchmarks/incidents.py restarts [--times 10] [--forwards 9] [--testbed FILE.json] [--json]
    python benchmarks/incidents.py relays [--times 100] [--testbed FILE.json] [--json]

`restarts` opens forwards to the echo pod and to the database alternately, and makes the process that the testbed names
restart the API server. After each restart, every forward must be active on its port and carry a session.
`relays` opens forwards through relays one after the other; their pods are ready before socat listens.
The exit code is 0 if nothing was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import sys
import time
from pathlib import Path

from kubernetes import client, config

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sessions import session

import sspcloud_magics as ssp
from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.forwards import Forward, ForwardManager
from sspcloud_magics.session.session import current_cluster
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import State
from tests.forwards.stage import connect
from tests.support.ports import free_port
from tests.testbed import Testbed, open_testbed

LONGEST_OUTAGE = 60.0

Told = dict[str, object]


def survive_restarts(testbed: Testbed, times: int, number: int) -> Told:
    """Restart the API server under forwards; return the number of lost ones and the outages."""
    if testbed.restarter is None:
        sys.exit("The testbed names no process that restarts its API server.")
    postgres = testbed.postgres
    echo = Target(testbed.namespace, "pod", testbed.echo.pod), testbed.echo.port
    database = Target(testbed.namespace, "service", postgres.service), postgres.port
    cluster, manager = current_cluster(), ForwardManager()
    forwards = []
    for index in range(number):
        target, port = database if index % 3 == 2 else echo
        # Separate local ports, so that each is another forward.
        forwards.append(manager.forward(cluster, target, [PortText(port, free_port())]))
    ports = [forward.local_port for forward in forwards]
    outages: list[float] = []
    lost: set[int] = set()
    for _ in range(times):
        before = [forward.counters.reconnects for forward in forwards]
        os.kill(testbed.restarter, signal.SIGUSR1)
        began = time.monotonic()
        for index, forward in enumerate(forwards):
            if not _is_back(forward, before[index], began + LONGEST_OUTAGE):
                lost.add(index)
            elif index % 3 == 2:
                session(testbed, forward.local_port)
            else:
                with connect(forward) as link:
                    link.sendall(b"still")
                    if link.recv(5, socket.MSG_WAITALL) != b"still":
                        lost.add(index)
        outages.append(time.monotonic() - began)
    manager.close()
    return {
        "restarts": times,
        "forwards": number,
        "lost": len(lost),
        "on other ports": sum(
            forward.local_port != port for forward, port in zip(forwards, ports, strict=True)
        ),
        "reconnects": sum(forward.counters.reconnects for forward in forwards),
        "failed connections": sum(forward.counters.failed_connections for forward in forwards),
        "last errors": sorted({forward.counters.last_error for forward in forwards}),
        "median seconds until all serve": round(statistics.median(outages), 2),
        "failed": len(lost),
    }


def _is_back(forward: Forward, reconnects: int, until: float) -> bool:
    """Wait until a forward has reconnected; return whether it has."""
    while forward.state is not State.FAILED and time.monotonic() < until:
        if forward.state is State.ACTIVE and forward.counters.reconnects > reconnects:
            return True
        time.sleep(0.02)
    return False


def open_relays(testbed: Testbed, times: int) -> Told:
    """Open forwards through new relays one after the other; return the number of failures."""
    helpers = (testbed.source, testbed.sink, testbed.echo)
    with config.new_client_from_config(str(testbed.kubeconfig), context=testbed.context) as api:
        pods = client.CoreV1Api(api)
        destinations = [
            f"{pods.read_namespaced_pod(each.pod, testbed.namespace).status.pod_ip}:{each.port}"
            for each in helpers
        ]
    spent: list[float] = []
    failures: list[str] = []
    for number in range(times):
        # Alternate destinations, since a new relay to the same one waits until the last relay is gone.
        destination, helper = (each[number % len(helpers)] for each in (destinations, helpers))
        began = time.monotonic()
        try:
            with ssp.forward_through_relay(destination) as forward:
                spent.append(time.monotonic() - began)
                with connect(forward) as link:
                    link.sendall(b"1\n")
                    if helper is not testbed.sink and not link.recv(1):
                        failures.append("the first connection ended")
        except (SspcloudError, OSError) as error:
            failures.append(str(error))
    return {
        "relays": times,
        "failed": len(failures),
        "why": sorted(set(failures)),
        "median seconds": round(statistics.median(spent), 2) if spent else None,
    }


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("restarts", "relays"))
    parser.add_argument("--times", type=int)
    parser.add_argument("--forwards", type=int, default=9)
    parser.add_argument("--testbed", type=Path, help="a file that describes a cluster; else the sandbox")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with open_testbed(options.testbed) as testbed:
        ssp.login(kubeconfig=str(testbed.kubeconfig), context=testbed.context, namespace=testbed.namespace)
        if options.what == "restarts":
            told = survive_restarts(testbed, options.times or 10, options.forwards)
        else:
            told = open_relays(testbed, options.times or 100)
        ssp.close()
    if options.json:
        print(json.dumps(told))
    else:
        for name, value in told.items():
            print(f"{name:32} {value}")
    sys.exit(bool(told["failed"]))


if __name__ == "__main__":
    main()
