"""While the program that asked for the forward is busy: with a loop in pure Python, and with rows from a database.

Such a program takes processor time from everybody on the machine, too. So the same work is also done by a
program that has no part in the forward ("elsewhere"): what is lost then is the machine's, and what is lost beyond
it is the interpreter lock's. kubectl is in no kernel, so whatever the kernel does is done elsewhere: its row says
what the same machine leaves of a forwarder that no lock can touch.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import load
import subjects

from measures.bed import GIB, Bed, Numbers, percentile

_ECHOES = 1000


def measure_busy_kernel(bed: Bed, name: str, scale: float) -> Numbers:
    """Download and echo while the kernel computes, while it fetches, and while somebody else does."""
    works = {"computes": {"work": "spin"}, "fetches": {"work": "fetch", **_database(bed)}}
    hosted = name != "kubectl"
    numbers: Numbers = {}
    source, echo = bed.testbed.source, bed.testbed.echo
    size = int(GIB * scale / 4)
    with subjects.run(name, bed.place, source.pod, source.port) as running:
        numbers |= _beside("download", running, works, lambda: load.download(running.port, size).rate, hosted)
    with subjects.run(name, bed.place, echo.pod, echo.port) as running:

        def p99() -> float:
            return percentile(load.echo(running.port, _ECHOES), 0.99)

        numbers |= _beside("echo p99", running, works, p99, hosted)
    return numbers


def _beside(
    row: str,
    running: subjects.Running,
    works: dict[str, dict[str, Any]],
    measure: Callable[[], float],
    hosted: bool,
) -> Numbers:
    """Measure while each work is done in the kernel, as a share of when none is, and of when others do it."""
    measure()
    numbers: Numbers = {}
    with subjects.bystander() as other:
        for what, work in works.items():
            idle = [measure()]
            with busy(other, work):
                kernel = elsewhere = measure()
            if hosted:
                with busy(running, work):
                    kernel = measure()
            idle.append(measure())
            numbers[f"kernel {what}: {row} of idle"] = kernel / statistics.mean(idle)
            if hosted:
                numbers[f"kernel {what}: {row} of elsewhere"] = kernel / elsewhere
    return numbers


@contextmanager
def busy(running: subjects.Running, work: dict[str, Any]) -> Iterator[None]:
    """Keep a host program busy inside of the block."""
    running.tell({"do": "start", **work})
    try:
        yield
    finally:
        running.tell({"do": "stop"})


def _database(bed: Bed) -> dict[str, Any]:
    """Return how a host program reaches the database of the testbed: through a forward of ours."""
    found = bed.testbed
    return {
        "kubeconfig": str(found.kubeconfig),
        "context": found.context,
        "namespace": found.namespace,
        "service": found.postgres.service,
        "port": found.postgres.port,
        "dbname": found.postgres.database,
        "user": found.postgres.user,
        "password": found.postgres.password.reveal(),
    }
