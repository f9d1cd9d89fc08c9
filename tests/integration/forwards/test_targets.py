"""Forwards to workloads of controllers, named as in kubectl, on the cluster of the testbed."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client, config, utils

import sspcloud_magics as ssp
from sspcloud_magics.errors import PodNotReady
from sspcloud_magics.tunnel.ipc import State
from tests.forwards.stage import say
from tests.support.waiting import wait_until
from tests.testbed import Testbed

pytestmark = pytest.mark.slow

GROUPS = {
    "DaemonSet": "apps",
    "Deployment": "apps",
    "ReplicaSet": "apps",
    "StatefulSet": "apps",
    "Job": "batch",
}


class Workloads:
    """Workloads whose pods are like the testbed's echo."""

    def __init__(self, testbed: Testbed, api: client.ApiClient) -> None:
        self._testbed = testbed
        self._api = api
        self.made: list[tuple[str, str]] = []
        self._model = client.CoreV1Api(api).read_namespaced_pod(testbed.echo.pod, testbed.namespace)

    def make(self, kind: str, port: int = 8000, **container: Any) -> str:
        """Create a workload with this port ``http``, and return its name."""
        name = f"tests-{kind.lower()}-{secrets.token_hex(3)}"
        manifest = {
            "apiVersion": f"{GROUPS[kind]}/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": self._testbed.namespace},
            "spec": {"template": self._template(name, port, **container)},
        }
        if kind != "Job":
            manifest["spec"] |= {"selector": {"matchLabels": {"app": name}}}
        if kind == "StatefulSet":
            manifest["spec"]["serviceName"] = name
        utils.create_from_dict(self._api, manifest)
        self.made.append((kind, name))
        return name

    def move_port(self, deployment: str, port: int) -> None:
        """Make a Deployment roll out pods with another port ``http``."""
        container = "/spec/template/spec/containers/0"
        changes = [
            {"op": "replace", "path": f"{container}/args/1", "value": str(port)},
            {"op": "replace", "path": f"{container}/ports/0/containerPort", "value": port},
        ]
        client.AppsV1Api(self._api).patch_namespaced_deployment(deployment, self._testbed.namespace, changes)

    def delete(self, kind: str, name: str) -> None:
        """Delete a workload, and its pods."""
        client.CustomObjectsApi(self._api).delete_namespaced_custom_object(
            GROUPS[kind],
            "v1",
            self._testbed.namespace,
            f"{kind.lower()}s",
            name,
            propagation_policy="Background",
        )

    def _template(self, name: str, port: int, **container: Any) -> dict[str, Any]:
        model = self._model.spec.containers[0]
        described = {
            "name": "main",
            "image": model.image,
            "imagePullPolicy": model.image_pull_policy,
            "command": model.command,
            "args": ["echo", str(port)],
            "ports": [{"name": "http", "containerPort": port}],
        }
        return {
            "metadata": {"labels": {"app": name}},
            "spec": {
                "containers": [described | container],
                "restartPolicy": "Never" if "-job-" in name else "Always",
                "terminationGracePeriodSeconds": 1,
            },
        }


@pytest.fixture
def workloads(testbed: Testbed) -> Iterator[Workloads]:
    with contextlib.ExitStack() as stack:
        api = config.new_client_from_config(str(testbed.kubeconfig), context=testbed.context)
        stack.callback(api.close)
        ssp.login(kubeconfig=str(testbed.kubeconfig), context=testbed.context, namespace=testbed.namespace)
        stack.callback(ssp.close)
        made = Workloads(testbed, api)
        try:
            yield made
        finally:
            for kind, name in made.made:
                made.delete(kind, name)


def once_ready(open_forward: Callable[[], ssp.Forward]) -> ssp.Forward:
    """Open a forward as soon as a pod is ready."""

    def attempt() -> ssp.Forward | None:
        with contextlib.suppress(PodNotReady):
            return open_forward()
        return None

    return wait_until(attempt)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("ReplicaSet", "rs/{}"),
        ("Job", "job/{}"),
        ("StatefulSet", "sts/{}"),
        ("Deployment", "deployment.apps/{}"),
        ("Deployment", "deployments.v1.apps/{}"),
        ("DaemonSet", "daemonset/{}"),
    ],
    ids=lambda value: value.rstrip("/{}"),
)
def test_workload_in_kubectls_words_forwarded(workloads, kind, text):
    try:
        name = workloads.make(kind)
    except utils.FailToCreateError as error:
        pytest.skip(f"the cluster has no {kind} ({error.api_exceptions[0].status})")
    forward = once_ready(lambda: ssp.forward(text.format(name), ":http"))
    assert forward.pod.startswith(name)
    assert say(forward, b"hello") == b"hello"


@pytest.mark.parametrize("service", [False, True], ids=["deployment", "service"])
def test_named_port_follows_the_rollout(workloads, pods, service):
    name = workloads.make("Deployment")
    if service:
        pods.service(name, "http")
    forward = once_ready(
        lambda: ssp.forward(f"{'svc' if service else 'deploy'}/{name}", ":main" if service else ":http")
    )
    before = forward.pod
    assert say(forward, b"before") == b"before"
    workloads.move_port(name, 9000)
    wait_until(lambda: forward.state is State.ACTIVE and forward.pod != before)
    assert say(forward, b"after") == b"after"


def test_image_that_is_missing_is_named(workloads):
    name = workloads.make("Deployment", image="registry.invalid/no-such:1", imagePullPolicy="IfNotPresent")

    def refusal() -> str:
        with pytest.raises(PodNotReady) as caught:
            ssp.forward(f"deploy/{name}", ":http")
        return str(caught.value) if "ImagePull" in str(caught.value) else ""

    assert "registry.invalid/no-such:1" in wait_until(refusal)
