"""Pods for the tests, like the testbed's helpers, which tests must not delete."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from typing import Any

from kubernetes import client, config, watch

from tests.testbed import Helper, Testbed

WAIT = 60


class Pods:
    """Pods and services in the testbed's namespace, which are removed at the end."""

    def __init__(self, testbed: Testbed) -> None:
        self._namespace = testbed.namespace
        self._client = config.new_client_from_config(str(testbed.kubeconfig), context=testbed.context)
        self._api = client.CoreV1Api(self._client)
        self._made: set[str] = set()
        self._services: set[str] = set()

    def like(self, helper: Helper, name: str = "", *, app: str = "") -> str:
        """Create a pod with the containers of `helper`, wait until it is ready, and return its name."""
        name = name or f"tests-{secrets.token_hex(3)}"
        model = self._client.sanitize_for_serialization(
            self._api.read_namespaced_pod(helper.pod, self._namespace)
        )
        kept = ("name", "image", "command", "args", "env", "resources", "securityContext")
        containers = [
            {key: container[key] for key in kept if key in container}
            | {
                "ports": [{"containerPort": helper.port}],
                "readinessProbe": {"tcpSocket": {"port": helper.port}, "periodSeconds": 1},
            }
            for container in model["spec"]["containers"]
        ]
        spec = {
            "containers": containers,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
        }
        metadata = {"name": name, "labels": {"app": app or name}}
        self._api.create_namespaced_pod(self._namespace, {"metadata": metadata, "spec": spec})
        self._made.add(name)
        self._wait(name, lambda kind, pod: kind != "DELETED" and _is_ready(pod))
        return name

    def delete(self, name: str) -> None:
        """Delete a pod without a grace period, and wait until it is gone."""
        self._api.delete_namespaced_pod(name, self._namespace, grace_period_seconds=0)
        self._made.discard(name)
        if name in {pod.metadata.name for pod in self._api.list_namespaced_pod(self._namespace).items}:
            self._wait(name, lambda kind, _pod: kind == "DELETED")

    def service(self, name: str, target: int | str, *, port: int = 80) -> None:
        """Create a service for the port `target` of the pods with the label ``app=NAME``."""
        spec = {"selector": {"app": name}, "ports": [{"name": "main", "port": port, "targetPort": target}]}
        self._api.create_namespaced_service(self._namespace, {"metadata": {"name": name}, "spec": spec})
        self._services.add(name)

    def close(self) -> None:
        """Delete all pods and services."""
        with contextlib.closing(self._client):
            for name in self._made:
                self._api.delete_namespaced_pod(name, self._namespace, grace_period_seconds=0)
            for name in self._services:
                # Older servers answer with a Status, which the client cannot parse as a service.
                self._api.delete_namespaced_service(
                    name, self._namespace, _preload_content=False
                ).release_conn()

    def _wait(self, name: str, wanted: Callable[[str, Any], bool]) -> None:
        watcher = watch.Watch()
        for event in watcher.stream(
            self._api.list_namespaced_pod,
            self._namespace,
            field_selector=f"metadata.name={name}",
            timeout_seconds=WAIT,
        ):
            if wanted(event["type"], event["object"]):
                watcher.stop()
                return
        raise AssertionError(f"the pod {name} did not get there within {WAIT} s")


def _is_ready(pod: Any) -> bool:
    conditions = pod.status.conditions or [] if pod.status else []
    return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)
