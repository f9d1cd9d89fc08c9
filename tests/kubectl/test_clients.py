"""The Python clients beside kubectl: kr8s and the ``kubernetes`` client."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import kr8s
import pytest
from kr8s.objects import Pod, Service
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward

from tests.kubectl.conftest import Apply, Kubectl, sleeper
from tests.testbed import Sandbox


@pytest.fixture
def core(sandbox: Sandbox) -> Iterator[Any]:
    with config.new_client_from_config(str(sandbox.kubeconfig("bob"))) as api:
        yield client.CoreV1Api(api)


@pytest.fixture
def echo(kubectl: Kubectl, apply: Apply) -> str:
    apply("bob", sleeper("echo", app="echo"))
    assert kubectl("bob", "wait", "--for=condition=Ready", "pod/echo", "--timeout=60s").code == 0
    return "echo"


def test_kubernetes_client_lists(core: Any, echo: str) -> None:
    found = core.list_namespaced_pod("user-bob", label_selector="app=echo")
    assert [pod.metadata.name for pod in found.items] == [echo]
    assert found.items[0].status.phase == "Running"


def test_kubernetes_client_pages(core: Any, apply: Apply) -> None:
    names = [f"page-{number}" for number in range(5)]
    apply("bob", *({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}} for name in names))
    seen: list[str] = []
    options: dict[str, Any] = {"limit": 2}
    while True:
        page = core.list_namespaced_config_map("user-bob", **options)
        assert len(page.items) <= 2
        seen.extend(item.metadata.name for item in page.items)
        if not page.metadata._continue:
            break
        options["_continue"] = page.metadata._continue
    assert [name for name in seen if name.startswith("page-")] == names


def test_kubernetes_client_watches(core: Any, apply: Apply) -> None:
    version = core.list_namespaced_config_map("user-bob").metadata.resource_version
    apply("bob", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "seen"}, "data": {"a": "1"}})
    core.patch_namespaced_config_map("seen", "user-bob", {"data": {"a": "2"}})
    core.delete_namespaced_config_map("seen", "user-bob")
    told = []
    for event in watch.Watch().stream(
        core.list_namespaced_config_map,
        "user-bob",
        resource_version=version,
        field_selector="metadata.name=seen",
        timeout_seconds=30,
    ):
        told.append((event["type"], event["object"].data["a"]))
        if event["type"] == "DELETED":
            break
    assert told == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


def test_kubernetes_client_is_refused(core: Any) -> None:
    with pytest.raises(ApiException) as caught:
        core.list_namespaced_pod("user-alice")
    assert caught.value.status == 403
    assert 'User \\"oidc-bob\\" cannot list resource \\"pods\\"' in caught.value.body


def test_kubernetes_client_forwards(core: Any, echo: str) -> None:
    forward = portforward(core.connect_get_namespaced_pod_portforward, echo, "user-bob", ports="9000")
    connection = forward.socket(9000)
    try:
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"
        assert forward.error(9000) is None
    finally:
        connection.close()


def test_kr8s_lists(sandbox: Sandbox, echo: str) -> None:
    api = kr8s.api(kubeconfig=str(sandbox.kubeconfig("bob")))
    found = list(api.get("pods", namespace="user-bob", label_selector={"app": "echo"}))
    assert [pod.name for pod in found] == [echo]
    assert found[0].ready()
    with pytest.raises(kr8s.ServerError, match='User "oidc-bob" cannot list resource "pods"'):
        list(api.get("pods", namespace="user-alice"))


def test_kr8s_watches(sandbox: Sandbox, echo: str) -> None:
    api = kr8s.api(kubeconfig=str(sandbox.kubeconfig("bob")))
    for event, pod in api.watch("pods", namespace="user-bob", field_selector={"metadata.name": echo}):
        assert (event, pod.name) == ("ADDED", echo)
        break


def test_kr8s_makes_and_deletes(sandbox: Sandbox) -> None:
    api = kr8s.api(kubeconfig=str(sandbox.kubeconfig("bob")))
    pod = Pod({**sleeper("by-kr8s"), "metadata": {"name": "by-kr8s", "namespace": "user-bob"}}, api=api)
    pod.create()
    try:
        pod.wait("condition=Ready", timeout=60)
        pod.label({"touched": "yes"})
        assert Pod.get("by-kr8s", namespace="user-bob", api=api).labels == {"touched": "yes"}
    finally:
        pod.delete(grace_period=1)


def test_kr8s_forwards(sandbox: Sandbox, apply: Apply, echo: str) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "echo"},
        "spec": {"selector": {"app": "echo"}, "ports": [{"port": 9000}]},
    }
    apply("bob", service)
    api = kr8s.api(kubeconfig=str(sandbox.kubeconfig("bob")))
    for target in (
        Pod.get(echo, namespace="user-bob", api=api),
        Service.get("echo", namespace="user-bob", api=api),
    ):
        with (
            target.portforward(remote_port=9000, local_port="auto") as port,
            socket.create_connection(("127.0.0.1", port), 10) as connection,
        ):
            connection.sendall(b"hello")
            assert connection.recv(5) == b"hello"
