"""Start, idle time, and kills."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

import load
import psutil
import subjects

from measures.bed import MIB, NEVER, Bed, Numbers

_IDLE_SECONDS = 5.0
# Our pool lets go of what it has too much after half a minute, and looks every ten seconds.
_OUR_IDLE_SECONDS = 45.0
_PATIENCE = 10.0


def measure_start(bed: Bed, name: str, _scale: float) -> Numbers:
    """Start and wait until it is ready."""
    with subjects.run(name, bed.place, bed.testbed.echo.pod, bed.testbed.echo.port) as running:
        load.one(running.port)
        return {"ready ms": running.ready * 1e3}


def measure_idle(bed: Bed, name: str, _scale: float) -> Numbers:
    """Measure the cost of an idle forward after its first connection."""
    with subjects.run(name, bed.place, bed.testbed.echo.pod, bed.testbed.echo.port) as running:
        load.one(running.port)
        time.sleep(1.0)
        idle = _OUR_IDLE_SECONDS if name == "ours" else _IDLE_SECONDS
        before = running.cpu()
        time.sleep(idle)
        numbers = {
            "idle CPU %": (running.cpu() - before) / idle * 100,
            "RSS MiB": running.rss(),
            "idle connections to the server": _connections(running, bed.server_port),
        }
        if running.added is not None:
            numbers["added to the kernel MiB"] = running.added / MIB
        return numbers


def _connections(running: subjects.Running, port: int) -> int:
    links = (link for worker in running.workers for link in worker.net_connections("tcp"))
    return sum(
        bool(link.raddr) and link.raddr.port == port and link.status == "ESTABLISHED" for link in links
    )


def measure_killed(bed: Bed, name: str, _scale: float) -> Numbers:
    """Kill the helper, then the kernel; only ours has two processes."""
    if name != "ours":
        return {}
    with subjects.run(name, bed.place, bed.testbed.echo.pod, bed.testbed.echo.port) as running:
        load.one(running.port)
        (helper,) = running.workers
        helper.kill()
        back = _time_until(lambda: _serves(running.port))
        (helper,) = psutil.Process(running.process.pid).children()
        running.process.kill()
        started = time.perf_counter()
        gone = _time_until(
            lambda: not helper.is_running() or helper.status() == psutil.STATUS_ZOMBIE, started
        )
        free = _time_until(lambda: _is_free(running.port), started)
        return {
            "helper killed, served again s": back,
            "kernel killed, helper gone s": gone,
            "kernel killed, port free s": free,
        }


def _time_until(done: Callable[[], bool], started: float | None = None) -> float:
    """Return the seconds until a condition holds."""
    started = time.perf_counter() if started is None else started
    while time.perf_counter() < started + _PATIENCE:
        with contextlib.suppress(psutil.NoSuchProcess):
            if done():
                return time.perf_counter() - started
        time.sleep(0.001)
    return NEVER


def _serves(port: int) -> bool:
    with contextlib.suppress(OSError):
        return bool(load.one(port, _PATIENCE))
    return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
