"""The cluster on which the benchmark runs, and the cost of its processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import subjects
import yaml
from processor import cpu_seconds, family

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.testbed import Testbed, open_sandbox, read_testbed, sandbox_testbed

GIB = 1 << 30
MIB = 1 << 20
NEVER = float("inf")
Numbers = dict[str, float]


@dataclass(frozen=True)
class Bed:
    """A cluster with the four helpers in it.

    Parameters
    ----------
    testbed
        The helpers, and who uses them.
    sandbox
        The processes of the sandbox where it is one: its API server, and its pods.
    """

    testbed: Testbed
    sandbox: list[psutil.Process] = field(default_factory=list)

    @property
    def place(self) -> subjects.Place:
        """The cluster and the namespace of a forward, and the identity to use."""
        found = self.testbed
        return subjects.Place(found.kubeconfig, found.context, found.namespace)

    @property
    def server_port(self) -> int:
        """The port of the API server."""
        config = yaml.safe_load(self.testbed.kubeconfig.read_text())
        wanted = self.testbed.context or config["current-context"]
        context = next(each["context"] for each in config["contexts"] if each["name"] == wanted)
        cluster = next(each for each in config["clusters"] if each["name"] == context["cluster"])
        return urlsplit(cluster["cluster"]["server"]).port or 443

    @contextmanager
    def cost(self, running: subjects.Running) -> Iterator[Cost]:
        """Measure the cost of the subject and of the sandbox during the block."""
        before, here, started = running.cpu(), cpu_seconds(self.sandbox), time.perf_counter()
        found = Cost()
        yield found
        found.seconds = time.perf_counter() - started
        found.client = running.cpu() - before
        found.sandbox = cpu_seconds(self.sandbox) - here if self.sandbox else None


@dataclass
class Cost:
    """The cost of a piece of work.

    Parameters
    ----------
    client, sandbox
        CPU seconds of the subject, and of the sandbox with its pods (None on another cluster).
    seconds
        The time that passed.
    """

    client: float = 0.0
    sandbox: float | None = None
    seconds: float = 0.0

    def shares(self, name: str) -> Numbers:
        """Return the share of the time in which the sandbox computed."""
        return {} if self.sandbox is None else {f"{name}, sandbox's share": self.sandbox / self.seconds}

    def per_gib(self, name: str, size: int) -> Numbers:
        """Return the CPU seconds per GiB of the subject and of the sandbox."""
        numbers = {f"{name} CPU s/GiB": self.client / (size / GIB)}
        if self.sandbox is not None:
            numbers[f"{name}, sandbox CPU s/GiB"] = self.sandbox / (size / GIB)
        return numbers | self.shares(name)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextmanager
def the_bed(file: Path | None) -> Iterator[Bed]:
    """Yield the cluster that the file describes, or a new sandbox with the helper pods."""
    if file is not None:
        yield Bed(read_testbed(file))
        return
    with open_sandbox() as sandbox:
        testbed = sandbox_testbed(sandbox)
        yield Bed(testbed, family(sandbox.pid))
