"""Python clients: kr8s and the ``kubernetes`` client."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
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


def kr8s_says(sandbox: Sandbox, what: str) -> str:
    """Run one of the functions of ``kr8s_client.py`` as bob."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.kubectl.kr8s_client", what],
        cwd=Path(__file__).parents[2],
        env=sandbox.env("bob"),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("echo")
def test_kr8s_lists(sandbox: Sandbox) -> None:
    assert kr8s_says(sandbox, "lists") == (
        "['echo'] True\n"
        'pods is forbidden: User "oidc-bob" cannot list resource "pods" in API group "" in the namespace "user-alice"\n'
    )


@pytest.mark.usefixtures("echo")
def test_kr8s_watches(sandbox: Sandbox) -> None:
    assert kr8s_says(sandbox, "watches") == "ADDED echo\n"


def test_kr8s_makes_and_deletes(sandbox: Sandbox) -> None:
    assert kr8s_says(sandbox, "makes") == "{'touched': 'yes'}\n"


@pytest.mark.usefixtures("echo")
def test_kr8s_forwards(sandbox: Sandbox, apply: Apply) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "echo"},
        "spec": {"selector": {"app": "echo"}, "ports": [{"port": 9000}]},
    }
    apply("bob", service)
    assert kr8s_says(sandbox, "forwards") == "Pod hello\nService hello\n"
