"""Reading in Dask's workers: few connections at a time, queries that end with their task, and no earlier partition in memory."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import psycopg

# Seconds between looks at the state of a task, and the limit of a request to cancel.
_WATCH_SECONDS = 0.5
_CANCEL_SECONDS = 5.0
# The sessions that read partitions in this process.
_reading: set[psycopg.Connection[Any]] = set()


@contextmanager
def take_slot(name: str, room: int) -> Iterator[None]:
    """Wait until one of `room` places of that name is free: in the whole Dask cluster, or in this process."""
    worker = _find_worker()
    if worker is None:
        with _semaphore(name, room):
            yield
        return
    _survive_interruptions(worker)
    from distributed import Semaphore  # noqa: PLC0415 - optional

    with Semaphore(max_leases=room, name=name):  # type: ignore[no-untyped-call]  # Dask's
        # The future of an earlier task, with its partition, belongs to a cycle of references until Python's collector runs,
        # which does not count bytes: four partitions at a time were in memory, of twelve that a worker read.
        gc.collect()
        yield


@cache
def _semaphore(name: str, room: int) -> threading.BoundedSemaphore:  # noqa: ARG001 - one for each name
    return threading.BoundedSemaphore(room)


def _find_worker() -> Any:
    """Return the Dask worker of this thread; None in a local scheduler."""
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker  # noqa: PLC0415 - optional

    with suppress(ValueError):
        return get_worker()
    return None


@cache
def _survive_interruptions(worker: Any) -> None:
    """Ignore SIGINT in a worker process, so that it can cancel its queries at the server.

    Jupyter sends an interruption to all processes of the kernel's group, among them the workers of a `LocalCluster`. They
    would end, and their queries would go on at the server.
    """
    if multiprocessing.parent_process() is not None:  # else the worker runs in the notebook's own process
        worker.loop.add_callback(signal.signal, signal.SIGINT, signal.SIG_IGN)


@contextmanager
def cancel_with_task(reading: psycopg.Connection[Any]) -> Iterator[None]:
    """Cancel the query at the server when Dask drops the task, such as after an interruption in the notebook."""
    ended = threading.Event()
    if (worker := _find_worker()) is not None:
        key = worker.get_current_task()

        def watch() -> None:
            while not ended.wait(_WATCH_SECONDS):
                task = worker.state.tasks.get(key)
                if task is None or task.state == "cancelled":
                    _cancel(reading)

        threading.Thread(target=watch, name="sspcloud-dask", daemon=True).start()
    _reading.add(reading)
    try:
        yield
    finally:
        ended.set()
        _reading.discard(reading)


def _cancel(reading: psycopg.Connection[Any]) -> None:
    with suppress(psycopg.Error):  # the query has just ended
        reading.cancel_safe(timeout=_CANCEL_SECONDS)


@cache
def cancel_with_local_scheduler() -> None:
    """Cancel the reads of this process when a computation of a local scheduler fails or is interrupted."""
    from dask.callbacks import Callback  # noqa: PLC0415 - optional

    def finish(_graph: object, _state: object, has_failed: bool) -> None:
        for each in list(_reading) if has_failed else ():
            _cancel(each)

    Callback(finish=finish).register()  # type: ignore[no-untyped-call]  # Dask's
