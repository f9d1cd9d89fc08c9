"""The judge: an unmodified kubectl, run as one of the sandbox's people."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from tests.testbed import Sandbox

KUBECTL = Path(sys.executable).parent / "kubectl"
MANIFESTS = Path(__file__).parent / "manifests"


@dataclass(frozen=True)
class Said:
    """What kubectl said."""

    out: str
    err: str
    code: int

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def table(self) -> list[dict[str, str]]:
        """Read a table by the places of its headings."""
        heading = self.lines[0]
        starts = [0] + [i for i in range(2, len(heading)) if heading[i] != " " and heading[i - 2 : i] == "  "]
        ends = [*starts[1:], None]
        cut = [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in self.lines]
        return [dict(zip(cut[0], row, strict=True)) for row in cut[1:]]


class Kubectl(Protocol):
    """Runs kubectl as a person and returns what it said."""

    def __call__(self, person: str, *words: str, stdin: str | None = None) -> Said: ...


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """kubectl's cache of the discovery, of its own for this run."""
    return tmp_path_factory.mktemp("kubectl-cache")


@pytest.fixture
def kubectl(sandbox: Sandbox, cache: Path) -> Kubectl:
    def run(person: str, *words: str, stdin: str | None = None) -> Said:
        done = subprocess.run(
            [str(KUBECTL), "--cache-dir", str(cache), *words],
            env=sandbox.env(person),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        return Said(done.stdout, done.stderr, done.returncode)

    return run


class Apply(Protocol):
    """Creates objects as a person; they are deleted at the end of the test."""

    def __call__(self, person: str, *objects: dict[str, Any]) -> Said: ...


@pytest.fixture
def apply(kubectl: Kubectl) -> Iterator[Apply]:
    made: list[tuple[str, str]] = []

    def run(person: str, *objects: dict[str, Any]) -> Said:
        manifest = yaml.safe_dump_all(objects)
        made.append((person, manifest))
        return kubectl(person, "apply", "-f", "-", stdin=manifest)

    yield run
    for person, manifest in reversed(made):
        kubectl(person, "delete", "--ignore-not-found", "--grace-period=1", "-f", "-", stdin=manifest)


def manifest(name: str) -> list[dict[str, Any]]:
    """Return the objects of one of the course's manifests."""
    return list(yaml.safe_load_all((MANIFESTS / name).read_text()))


def sleeper(name: str, **labels: str) -> dict[str, Any]:
    """Return a pod that listens and does nothing."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": "sspcloud-sandbox/helper",
                    "args": ["echo", "9000"],
                    "ports": [{"containerPort": 9000, "name": "echo"}],
                }
            ]
        },
    }
