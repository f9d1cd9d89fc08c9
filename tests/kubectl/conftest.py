"""Fixtures that run kubectl as a user of the sandbox, and delete the objects that it creates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from tests.support.kubectl import Said
from tests.support.kubectl import kubectl as run_kubectl
from tests.testbed import Sandbox

MANIFESTS = Path(__file__).parent / "manifests"


class Kubectl(Protocol):
    """Runs kubectl as a user and returns its output."""

    def __call__(self, person: str, *words: str, stdin: str | None = None) -> Said: ...


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A discovery cache for kubectl, for this run only."""
    return tmp_path_factory.mktemp("kubectl-cache")


@pytest.fixture
def kubectl(sandbox: Sandbox, cache: Path) -> Kubectl:
    def run(person: str, *words: str, stdin: str | None = None) -> Said:
        return run_kubectl(sandbox, person, "--cache-dir", cache, *words, stdin=stdin)

    return run


class Apply(Protocol):
    """Creates objects as a user, and deletes them at the end of the test."""

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
    """Return a pod that listens on a port and does nothing else."""
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
                    "readinessProbe": {"tcpSocket": {"port": "echo"}, "periodSeconds": 1},
                }
            ]
        },
    }
