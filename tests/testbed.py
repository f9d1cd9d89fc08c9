"""The clusters for tests and benchmarks: a new sandbox, or any cluster that a file describes.

A *testbed* is four helpers in one namespace: ``source`` sends as many zero bytes as the ASCII number on the
first line that it receives, ``sink`` reads to the end, ``echo`` echoes, ``postgres`` is a service with a database
behind it. On the sandbox they are made through its API, as on any other cluster.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch

from sspcloud_magics.sandbox import daemon
from sspcloud_magics.secret import Secret
from tests.support.database import DATABASE
from tests.support.machine import PROGRAMS

NAMESPACE = "user-alice"
HELPERS = {"source": 9000, "sink": 9001, "echo": 9002}


@dataclass(frozen=True)
class Helper:
    """One helper: a pod, and the port that it listens on."""

    pod: str
    port: int


@dataclass(frozen=True)
class PostgresHelper:
    """A database: its service and a login."""

    service: str
    port: int
    database: str
    user: str
    password: Secret


@dataclass(frozen=True)
class Testbed:
    """One cluster, and the four helpers in it."""

    __test__ = False

    kubeconfig: Path
    context: str | None
    namespace: str
    source: Helper
    sink: Helper
    echo: Helper
    postgres: PostgresHelper
    restarter: int | None = None
    """The process that restarts the API server when it gets SIGUSR1, where there is one."""


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox, which ends with the tests."""

    home: Path
    pid: int

    def kubeconfig(self, person: str = "alice") -> Path:
        """Return the kubeconfig of one of its people."""
        return daemon.kubeconfig(person, self.home)

    def restart_api_server(self) -> None:
        """Restart its API server, which takes a few seconds."""
        os.kill(self.pid, signal.SIGUSR1)

    def env(self, person: str = "alice") -> dict[str, str]:
        """Return an environment in which kubectl is found, and talks to the sandbox as that person."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "PG"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        return kept | {"PATH": path, "KUBECONFIG": str(self.kubeconfig(person)), "HOME": str(self.home)}


@contextlib.contextmanager
def open_sandbox() -> Iterator[Sandbox]:
    """Run a sandbox in a temporary home; it ends with this process, however this process ends."""
    home = Path(tempfile.mkdtemp(prefix="sspcloud-"))
    home.chmod(0o711 if os.geteuid() == 0 else 0o700)
    os.environ.setdefault("SSPCLOUD_SANDBOX_PROGRAMS", str(PROGRAMS))
    try:
        process = daemon.spawn(home, with_parent=True)
        try:
            yield Sandbox(home, process.pid)
        finally:
            _end(process)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def open_testbed(file: Path | None) -> Iterator[Testbed]:
    """Give the testbed that `file` describes, or one on a new sandbox."""
    if file is not None:
        yield read_testbed(file)
        return
    with open_sandbox() as sandbox:
        yield sandbox_testbed(sandbox)


def read_testbed(file: Path) -> Testbed:
    """Read the JSON of ``--testbed``; a relative kubeconfig is relative to the directory of the file."""
    said = json.loads(file.read_text())
    postgres = dict(said["postgres"])
    return Testbed(
        kubeconfig=(file.parent / Path(said["kubeconfig"]).expanduser()).resolve(),
        context=said.get("context"),
        namespace=said["namespace"],
        source=Helper(**said["source"]),
        sink=Helper(**said["sink"]),
        echo=Helper(**said["echo"]),
        restarter=said.get("restarter"),
        postgres=PostgresHelper(**postgres | {"password": Secret(postgres["password"])}),
    )


def sandbox_testbed(sandbox: Sandbox) -> Testbed:
    """Make the helpers on a sandbox, as alice would, and wait until they are ready."""
    kubeconfig = sandbox.kubeconfig("alice")
    api = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    try:
        for name, port in HELPERS.items():
            api.create_namespaced_pod(NAMESPACE, _helper_pod(name, port))
        _wait_until_ready(api, {f"{name}-0" for name in HELPERS})
        secret = api.read_namespaced_secret(DATABASE, NAMESPACE).data
    finally:
        api.api_client.close()
    helpers = {name: Helper(f"{name}-0", port) for name, port in HELPERS.items()}
    user, password = (base64.b64decode(secret[key]).decode() for key in ("username", "password"))
    postgres = PostgresHelper(f"{DATABASE}-rw", 5432, "defaultdb", user, Secret(password))
    return Testbed(kubeconfig, None, NAMESPACE, postgres=postgres, restarter=sandbox.pid, **helpers)


def _helper_pod(name: str, port: int) -> dict[str, Any]:
    container = {
        "name": name,
        "image": "sspcloud-sandbox/helper",
        "args": [name, str(port)],
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{name}-0", "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }


def _wait_until_ready(api: client.CoreV1Api, names: set[str]) -> None:
    waited_for = set(names)
    watcher = watch.Watch()
    for event in watcher.stream(api.list_namespaced_pod, NAMESPACE, timeout_seconds=60):
        pod = event["object"]
        conditions = pod.status.conditions or [] if pod.status else []
        if any(condition.type == "Ready" and condition.status == "True" for condition in conditions):
            waited_for.discard(pod.metadata.name)
        if not waited_for:
            watcher.stop()
            return
    raise AssertionError(f"not ready after a minute: {', '.join(sorted(waited_for))}")
