"""A restart of the sandbox's API server, and the deletion of a pod: forwards, connections and queries continue."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator

import pytest
from kubernetes import client, config

from sspcloud_magics.cluster.api.resources import PODS
from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.cluster.requests.object_reads import list_objects
from sspcloud_magics.errors import ServerUnreachable
from sspcloud_magics.forwards import Forward, ForwardManager
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import State
from tests.forwards.stage import Watcher
from tests.support.waiting import wait_until
from tests.testbed import Sandbox, open_sandbox

RESTARTS = 2


@pytest.fixture(scope="module")
def own_sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as running:
        yield running


@pytest.fixture
def clusters(own_sandbox: Sandbox) -> Iterator[dict[str, Cluster]]:
    with contextlib.ExitStack() as stack:
        found = {name: find_cluster(kubeconfig=own_sandbox.kubeconfig(name)) for name in ("alice", "bob")}
        for cluster in found.values():
            stack.callback(cluster.close)
        yield found


def test_restart_loses_no_forward(own_sandbox: Sandbox, clusters: dict[str, Cluster]) -> None:
    with contextlib.closing(ForwardManager()) as manager:
        watcher = Watcher(manager)
        database = Target("user-alice", "service", "postgresql-cnpg-951239-rw")
        api = Target("user-alice", "service", "mon-api")
        forwards = [
            manager.forward(clusters["alice"], api, [PortText(80, 0)]),
            manager.forward(clusters["alice"], database, [PortText(5432, 0)]),
            manager.forward(clusters["bob"], database, [PortText(5432, 0)]),
        ]
        ports = [forward.local_port for forward in forwards]
        for number in range(1, RESTARTS + 1):
            own_sandbox.restart_api_server()
            watcher.wait_until(lambda number=number: all(back(watcher, each, number) for each in forwards))
        assert [forward.local_port for forward in forwards] == ports
        with urllib.request.urlopen(f"http://localhost:{ports[0]}/") as answer:
            assert answer.status == 200


def back(watcher: Watcher, forward: Forward, restarts: int) -> bool:
    """Return whether a forward has reconnected this many times; it must not fail in between."""
    states = watcher.states(forward)
    assert State.FAILED not in states
    return states.count(State.RECONNECTING) == restarts and states[-1] == State.ACTIVE


def test_restart_is_no_missing_right(own_sandbox: Sandbox, clusters: dict[str, Cluster]) -> None:
    alice = clusters["alice"]
    assert list_objects(alice, PODS)
    own_sandbox.restart_api_server()
    failures: list[str] = []
    while True:
        try:
            found = list_objects(alice, PODS)
        except ServerUnreachable as error:  # and never `Forbidden`
            failures.append(str(error))
        else:
            if failures:
                break
    assert found


def test_request_after_deletion_reaches_next_pod(clusters: dict[str, Cluster], own_sandbox: Sandbox) -> None:
    """A request that follows the deletion at once is answered: by the old pod, or by the next."""
    api = client.CoreV1Api(config.new_client_from_config(str(own_sandbox.kubeconfig("alice"))))
    with contextlib.closing(api.api_client), contextlib.closing(ForwardManager()) as manager:
        target = Target("user-alice", "service", "mon-api")
        forward = manager.forward(clusters["alice"], target, [PortText("http", 0)])
        pod = ""
        for _ in range(5):
            wait_until(lambda pod=pod: forward.state is State.ACTIVE and forward.pod != pod)
            pod = forward.pod
            api.delete_namespaced_pod(pod, "user-alice")
            with urllib.request.urlopen(f"http://localhost:{forward.local_port}/health") as answer:
                assert answer.read() == b'{"status": "ok"}'
