"""The compared forwarders, each as a separate process with one forward.

A subject is started for one pod and one port, and reports its local port once it listens. It is measured from outside:
CPU time and memory of its processes come from psutil, and the load from the benchmark's process.
The Python libraries run in a small host program, so that none of them shares an interpreter with the load.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from processor import cpu_seconds

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Place:
    """The cluster and the namespace of a forward, and the identity to use."""

    kubeconfig: Path
    context: str | None
    namespace: str


@dataclass
class Running:
    """A running forwarder.

    Parameters
    ----------
    port
        The local port.
    ready
        The seconds from the call (or the start of the program) until it was ready.
    process
        The program.
    workers
        The processes that carry the bytes, whose CPU time and memory are measured.
    added
        The memory that importing the library and opening the forward add to a kernel, in bytes; None without a kernel.
    """

    port: int
    ready: float
    process: subprocess.Popen[str]
    workers: list[psutil.Process]
    added: int | None = None

    def cpu(self) -> float:
        """Return the CPU seconds of the workers."""
        return cpu_seconds(self.workers)

    def rss(self) -> float:
        """Return the workers' resident memory, in MiB."""
        return sum(worker.memory_info().rss for worker in self.workers) / 2**20

    def tell(self, command: dict[str, object]) -> dict[str, object]:
        """Send a command to a host program, and return its reply."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer: dict[str, object] = json.loads(self.process.stdout.readline())
        return answer


def kubectl() -> str:
    """Return the path of kubectl, in the environment or in the system."""
    own = Path(sys.executable).parent / "kubectl"
    found = str(own) if own.exists() else shutil.which("kubectl")
    if found is None:
        sys.exit("kubectl is missing: make installs it into .venv")
    return found


@contextlib.contextmanager
def run_kubectl(place: Place, pod: str, port: int) -> Iterator[Running]:
    """Run ``kubectl port-forward`` to a pod, or to a target of another kind as KIND/NAME."""
    command = [kubectl(), "--kubeconfig", str(place.kubeconfig), "--namespace", place.namespace]
    if place.context:
        command += ["--context", place.context]
    started = time.perf_counter()
    process = subprocess.Popen(
        [*command, "port-forward", pod if "/" in pod else f"pod/{pod}", f":{port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        ready = time.perf_counter() - started
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        if not found:
            raise RuntimeError(f"kubectl did not forward: {line!r}")
        yield Running(int(found[1]), ready, process, [psutil.Process(process.pid)])
    finally:
        _end(process)


@contextlib.contextmanager
def bystander(library: str = "bystander", **env: str) -> Iterator[Running]:
    """Run the host program, which forwards nothing before a command."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(HERE / "host.py"), library],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )
    try:
        yield Running(0, 0.0, process, [psutil.Process(process.pid)])
    finally:
        _end(process)


@contextlib.contextmanager
def run_hosted(library: str, place: Place, pod: str, port: int) -> Iterator[Running]:
    """Run a Python library in the host program."""
    with bystander(library, KUBECONFIG=str(place.kubeconfig)) as running:
        answer = running.tell(
            {
                "do": "forward",
                "kubeconfig": str(place.kubeconfig),
                "context": place.context,
                "namespace": place.namespace,
                "pod": pod,
                "port": port,
            }
        )
        running.port = int(str(answer["port"]))
        running.ready = float(str(answer["ready"]))
        running.added = int(str(answer["added"]))
        if library == "ours":
            running.workers = running.workers[0].children()
        yield running


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()


SUBJECTS = ("ours", "kubectl", "kr8s", "portforward")


def run(name: str, place: Place, pod: str, port: int) -> contextlib.AbstractContextManager[Running]:
    """Start the subject of this name."""
    if name == "kubectl":
        return run_kubectl(place, pod, port)
    return run_hosted(name, place, pod, port)
