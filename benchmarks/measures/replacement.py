"""The time from the readiness of a replaced pod until the forward serves a connection again.

A prober connects and echoes without pause after the deletion. The clock starts when a watch reports the new pod as
ready, and stops at the first echo. Refused connections are counted: the local port must never refuse.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial

import load
import subjects

from measures.bed import NEVER, Bed, Numbers
from tests.integration.pods import Pods

_PATIENCE = 5.0
"""The seconds after readiness that count as never."""


class Prober:
    """Connects repeatedly, on a thread, until it is served."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._probe)
        self.refused = 0
        self.served_at = NEVER
        self._thread.start()

    def _probe(self) -> None:
        while not self._over.is_set():
            try:
                load.one(self._port, 2 * _PATIENCE)
            except ConnectionRefusedError:
                self.refused += 1
            except OSError:
                pass
            else:
                self.served_at = time.perf_counter()
                return
            self._over.wait(0.005)

    def wait(self, seconds: float) -> None:
        """Wait until it is served, for at most `seconds`."""
        self._thread.join(seconds)
        self._over.set()
        self._thread.join()


def measure_replaced(bed: Bed, name: str, _scale: float) -> Numbers:
    """Replace the pod by one of the same name, then behind a service by one of another name."""
    numbers: Numbers = {}
    echo = bed.testbed.echo
    with contextlib.closing(Pods(bed.testbed)) as pods:
        pod = pods.like(echo)
        with subjects.run(name, bed.place, pod, echo.port) as running:
            numbers |= _rows("pod replaced, same name", running, pods, pod, lambda: pods.like(echo, pod))
        app = f"bench-{secrets.token_hex(3)}"
        # The same number before and behind the service: not every subject knows the difference.
        pods.service(app, echo.port, port=echo.port)
        pod = pods.like(echo, f"{app}-a", app=app)
        with subjects.run(name, bed.place, f"svc/{app}", echo.port) as running:
            new = partial(pods.like, echo, f"{app}-b", app=app)
            numbers |= _rows("pod replaced, new name", running, pods, pod, new)
    return numbers


def _rows(
    row: str, running: subjects.Running, pods: Pods, old: str, make_new: Callable[[], object]
) -> Numbers:
    load.one(running.port)
    pods.delete(old)
    prober = Prober(running.port)
    try:
        make_new()
        ready_at = time.perf_counter()
    finally:
        prober.wait(_PATIENCE)
    # The word of the watch and the echo are on their way at the same time: to be earlier is no merit.
    return {
        f"{row}, served after Ready s": max(0.0, prober.served_at - ready_at),
        f"{row}, refused": prober.refused,
    }
