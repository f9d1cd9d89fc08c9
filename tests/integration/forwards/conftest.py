import contextlib
import uuid
from collections.abc import Iterator

import pytest
from kubernetes import client, config, watch

from sspcloud_magics.cluster.identity import find_cluster
from sspcloud_magics.forwards.manager import ForwardManager
from tests.forwards.stage import Watcher


@pytest.fixture
def cluster(testbed):
    found = find_cluster(kubeconfig=testbed.kubeconfig, context=testbed.context, namespace=testbed.namespace)
    yield found
    found.close()


@pytest.fixture
def manager():
    manager = ForwardManager()
    yield manager
    manager.close()


@pytest.fixture
def watcher(manager):
    return Watcher(manager)


class Pods:
    """Makes echo pods like the testbed's, and removes them."""

    def __init__(self, testbed) -> None:
        configuration = client.Configuration()
        config.load_kube_config(str(testbed.kubeconfig), testbed.context, client_configuration=configuration)
        self._client = client.ApiClient(configuration)
        self._api = client.CoreV1Api(self._client)
        self._namespace = testbed.namespace
        self._model = self._api.read_namespaced_pod(testbed.echo.pod, self._namespace).spec
        self._made: set[str] = set()
        self._services: set[str] = set()
        self.port = testbed.echo.port
        self.name = f"forwards-{uuid.uuid4().hex[:8]}"

    def create(self, name: str, app: str = "") -> None:
        """Make a pod, and return when it is ready."""
        containers = [
            {
                "name": container.name,
                "image": container.image,
                "command": container.command,
                "args": container.args,
                "ports": [{"containerPort": self.port}],
                "readinessProbe": {"tcpSocket": {"port": self.port}, "periodSeconds": 1},
            }
            for container in self._model.containers
        ]
        spec = {
            "containers": containers,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
        }
        metadata = {"name": name, "labels": {"app": app or name}}
        self._api.create_namespaced_pod(self._namespace, {"metadata": metadata, "spec": spec})
        self._made.add(name)
        self._wait(name, lambda event: event["type"] != "DELETED" and _is_ready(event["object"]))

    def delete(self, name: str) -> None:
        """Delete a pod, and return when it is gone."""
        self._api.delete_namespaced_pod(name, self._namespace, grace_period_seconds=0)
        self._made.discard(name)
        if name in {pod.metadata.name for pod in self._api.list_namespaced_pod(self._namespace).items}:
            self._wait(name, lambda event: event["type"] == "DELETED")

    def service(self, name: str) -> None:
        """Make a service in front of the pods whose label is `name`."""
        ports = [{"name": "echo", "port": 80, "targetPort": self.port}]
        self._api.create_namespaced_service(
            self._namespace,
            {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": ports}},
        )
        self._services.add(name)

    def _wait(self, name: str, condition) -> None:
        watcher = watch.Watch()
        for event in watcher.stream(
            self._api.list_namespaced_pod,
            self._namespace,
            field_selector=f"metadata.name={name}",
            timeout_seconds=60,
        ):
            if condition(event):
                watcher.stop()
                return
        raise AssertionError(f"{name} did not get there within a minute")

    def close(self) -> None:
        """Remove everything that was made."""
        for name in self._made:
            self._api.delete_namespaced_pod(name, self._namespace, grace_period_seconds=0)
        for name in self._services:
            self._api.delete_namespaced_service(name, self._namespace)
        self._client.close()


def _is_ready(pod) -> bool:
    conditions = pod.status.conditions or [] if pod.status else []
    return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)


@pytest.fixture
def pods(testbed) -> Iterator[Pods]:
    with contextlib.closing(Pods(testbed)) as pods:
        yield pods
