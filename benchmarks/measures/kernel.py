"""Measures while the program that opened the forward is busy: with a loop in pure Python, or with rows of a database.

A busy program also takes CPU time from all others, and a machine of two cores has none to spare. So it gets the last
core to itself, idle or not, with its database; the tunnel, the load and the sandbox have the other cores.

On the sandbox it fetches from the database's own socket: through the API server, which has one core here, it would take
bandwidth from the download. On another cluster it fetches through a forward of ours.

The same work also runs in a program that has no part in the forward ("elsewhere"). That loss is due to the machine or
the server, and any further loss is due to the GIL. kubectl is not in a kernel, so its work always runs elsewhere: its row
shows a forwarder that no GIL affects.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import load
import psutil
import subjects
from database import direct_socket
from processor import family

from measures.bed import GIB, Bed, Numbers, percentile

_ECHOES = 1000


def measure_busy_kernel(bed: Bed, name: str, scale: float) -> Numbers:
    """Download and echo while the kernel computes, while it fetches, and while another program does the same."""
    works = {"computes": {"work": "spin"}, "fetches": {"work": "fetch", **_database(bed)}}
    hosted = name != "kubectl"
    numbers: Numbers = {}
    source, echo = bed.testbed.source, bed.testbed.echo
    size = int(GIB * scale / 4)

    def rate(port: int) -> float:
        return load.download(port, size).rate

    def p99(port: int) -> float:
        return percentile(load.echo(port, _ECHOES), 0.99)

    for row, helper, measure in (("download", source, rate), ("echo p99", echo, p99)):
        with (
            subjects.run(name, bed.place, helper.pod, helper.port) as running,
            subjects.bystander() as other,
            _the_last_core_for_kernels(bed, running, other, hosted),
        ):
            kernel = running if hosted else None
            numbers |= _measure_beside(row, kernel, other, works, lambda: measure(running.port))  # noqa: B023 - called at once
    return numbers


@contextmanager
def _the_last_core_for_kernels(
    bed: Bed, running: subjects.Running, other: subjects.Running, hosted: bool
) -> Iterator[None]:
    """Split the cores between the busy programs with their database, and the processes that carry bytes."""
    cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
    if len(cores) < 2:
        yield
        return
    all_colleagues = _of_the_sandbox(bed)
    databases = [each for each in all_colleagues if _is_of_a_database(each)]
    kernels = [other.process.pid, *([running.process.pid] if hosted else [])]
    busy_ones = [*map(psutil.Process, kernels), *databases]
    carriers = (
        [each for each in all_colleagues if each not in databases] + running.workers + [psutil.Process()]
    )
    _put(busy_ones, cores[-1:])
    _put(carriers, cores[:-1])
    try:
        yield
    finally:
        _put([*databases, *carriers], cores)


def _of_the_sandbox(bed: Bed) -> list[psutil.Process]:
    """Return the current processes of the sandbox, since databases start new ones."""
    return family(bed.sandbox[0].pid) if bed.sandbox else []


def _is_of_a_database(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return "postgres" in " ".join([process.name(), *process.cmdline()[-2:]])
    return False


def _put(processes: Iterable[psutil.Process], cores: list[int]) -> None:
    """Pin all threads of the processes to these cores; new threads inherit them."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            for thread in process.threads():
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(thread.id, cores)


def _measure_beside(
    row: str,
    kernel: subjects.Running | None,
    other: subjects.Running,
    works: dict[str, dict[str, Any]],
    measure: Callable[[], float],
) -> Numbers:
    """Measure during each kind of work in the kernel, relative to an idle kernel and to the work in another program.

    The order is reversed for the second half, so that a machine that slows down affects all alike.
    """
    measure()
    doers = {"idle": None, "here": kernel or other}
    if kernel is not None:
        doers["elsewhere"] = other
    numbers: Numbers = {}
    for what, work in works.items():
        measured: dict[str, list[float]] = {who: [] for who in doers}
        for who in (*doers, *reversed(doers)):
            doer = doers[who]
            with busy(doer, work) if doer else contextlib.nullcontext():
                measured[who].append(measure())
        mean = {who: statistics.mean(values) for who, values in measured.items()}
        here = mean.pop("here")
        numbers |= {f"kernel {what}: {row} of {reference}": here / value for reference, value in mean.items()}
    return numbers


@contextmanager
def busy(running: subjects.Running, work: dict[str, Any]) -> Iterator[None]:
    """Keep a host program busy during the block."""
    running.tell({"do": "start", **work})
    try:
        yield
    finally:
        running.tell({"do": "stop"})


def _database(bed: Bed) -> dict[str, Any]:
    """Return the login of a host program to the testbed's database: directly if possible, else through a forward of ours."""
    found = bed.testbed
    login = {
        "user": found.postgres.user,
        "password": found.postgres.password.reveal(),
        "dbname": found.postgres.database,
    }
    return direct_socket(_of_the_sandbox(bed), login) or login | {
        "kubeconfig": str(found.kubeconfig),
        "context": found.context,
        "namespace": found.namespace,
        "service": found.postgres.service,
        "port": found.postgres.port,
    }
