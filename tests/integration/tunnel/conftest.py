"""The real helper process on the testbed, under both protocols."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client, config, watch

from sspcloud_magics.access import Access
from sspcloud_magics.cluster.identity import find_cluster
from tests.testbed import Helper, Testbed
from tests.tunnel.helper_process import CHANNELS_ONLY, HelperProcess


@pytest.fixture(scope="session")
def access(testbed: Testbed) -> Access:
    found: Access = find_cluster(kubeconfig=testbed.kubeconfig, context=testbed.context).access()
    return found


@pytest.fixture(scope="module", params=["spdy", "channels"])
def helper(request: pytest.FixtureRequest, access: Access) -> Iterator[HelperProcess]:
    with HelperProcess(access, prelude=CHANNELS_ONLY if request.param == "channels" else "") as process:
        process.protocol = request.param  # type: ignore[attr-defined]
        yield process


@pytest.fixture
def forward(helper: HelperProcess, testbed: Testbed) -> Iterator[Callable[..., int]]:
    """Forward to a helper of the testbed; returns the local port."""
    started = []

    def start(to: Helper) -> int:
        state = helper.forward("pod", to.pod, to.port, namespace=testbed.namespace)
        started.append(state.forward_id)
        return state.local_ports[0]

    yield start
    for number in started:
        helper.stop(number)


class Pods:
    """Makes pods like those of the testbed, for tests that delete them."""

    def __init__(self, testbed: Testbed) -> None:
        self._namespace = testbed.namespace
        self._api = client.CoreV1Api(
            config.new_client_from_config(str(testbed.kubeconfig), context=testbed.context)
        )
        self._made: set[str] = set()

    def like(self, to: Helper, name: str = "") -> str:
        """Create a pod with the containers of `to`, and wait until it is ready."""
        model = self._api.api_client.sanitize_for_serialization(
            self._api.read_namespaced_pod(to.pod, self._namespace)
        )
        name = name or f"tunnel-{secrets.token_hex(3)}"
        spec: dict[str, Any] = {"containers": model["spec"]["containers"], "terminationGracePeriodSeconds": 0}
        for container in spec["containers"]:
            container["volumeMounts"] = []
        metadata = {"name": name, "labels": {"app": "tunnel-test", "case": name}}
        self._api.create_namespaced_pod(
            self._namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        )
        self._made.add(name)
        self._wait(name, lambda kind, pod: kind != "DELETED" and _is_ready(pod))
        return name

    def delete(self, name: str, *, wait: bool = True) -> None:
        """Delete a pod at once."""
        self._made.discard(name)
        self._api.delete_namespaced_pod(name, self._namespace, grace_period_seconds=0)
        if wait:
            with contextlib.suppress(client.ApiException):
                self._api.read_namespaced_pod(name, self._namespace)
                self._wait(name, lambda kind, _pod: kind == "DELETED")

    def close(self) -> None:
        for name in list(self._made):
            with contextlib.suppress(client.ApiException):
                self.delete(name, wait=False)
        self._api.api_client.close()

    def _wait(self, name: str, wanted: Callable[[str, Any], bool]) -> None:
        watcher = watch.Watch()
        for event in watcher.stream(
            self._api.list_namespaced_pod,
            self._namespace,
            field_selector=f"metadata.name={name}",
            timeout_seconds=60,
        ):
            if wanted(event["type"], event["object"]):
                watcher.stop()
                return
        raise AssertionError(f"the pod {name} did not get there")


def _is_ready(pod: Any) -> bool:
    conditions = pod.status.conditions or []
    return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)


@pytest.fixture
def pods(testbed: Testbed) -> Iterator[Pods]:
    made = Pods(testbed)
    try:
        yield made
    finally:
        made.close()
