"""The official client on our transport: renewal, errors, watches, discovery without a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import urllib3
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException, ForbiddenException, NotFoundException
from kubernetes.dynamic.exceptions import NotFoundError
from kubernetes.stream import stream

from sspcloud_magics import errors
from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.cluster.requests.official_client import KubernetesClient
from tests.support.api_server import ApiServer, serve
from tests.testbed import Sandbox

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with serve(ApiServer(trustme.CA())) as running:
        yield running


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path) -> Iterator[Cluster]:
    token = tmp_path / "token"
    token.write_text("first")
    found = find_cluster(server=server.url, token_file=token, ca_file=server.ca_file(tmp_path))
    yield found
    found.close()


@pytest.fixture
def core(cluster: Cluster) -> client.CoreV1Api:
    return client.CoreV1Api(KubernetesClient(cluster))


def test_refused_token_is_renewed(core: client.CoreV1Api, server: ApiServer, tmp_path: Path) -> None:
    server.answers[PODS] = {"kind": "PodList", "apiVersion": "v1", "items": []}
    server.tokens = {"second"}
    assert core.api_client.configuration.api_key == {}
    (tmp_path / "token").write_text("first")
    with pytest.raises(errors.TokenExpired):
        core.list_namespaced_pod("default")
    (tmp_path / "token").write_text("second")
    assert core.list_namespaced_pod("default").items == []


def test_error_is_of_both_packages(core: client.CoreV1Api, server: ApiServer) -> None:
    server.forbidden = {PODS}
    with pytest.raises(errors.Forbidden) as raised:
        core.list_namespaced_pod("default")
    assert isinstance(raised.value, ForbiddenException)
    assert (raised.value.status, raised.value.reason) == (403, "Forbidden")
    assert str(raised.value).startswith("You may not list pods in default.")
    with pytest.raises(NotFoundException) as missing:
        core.read_namespaced_pod("x", "default")
    assert isinstance(missing.value, errors.TargetNotFound)
    assert missing.value.status == 404


def test_oversized_answer_is_refused(
    core: client.CoreV1Api, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sspcloud_magics.cluster.api.transport.LONGEST_ANSWER", 1000)
    monkeypatch.setattr("sspcloud_magics.cluster.api.transport.read.__defaults__", (1000,))
    server.answers[PODS] = {"kind": "PodList", "items": ["x" * 5000]}
    with pytest.raises(errors.ServerError):
        core.list_namespaced_pod("default")


def test_client_needs_no_credentials_of_its_own(core: client.CoreV1Api) -> None:
    made = core.api_client
    assert "first" not in repr(made)
    assert not any("first" in str(value) for value in vars(made.configuration).values())
    assert (made.configuration.cert_file, made.configuration.ssl_ca_cert) == (None, None)
    with pytest.raises(TypeError, match="not pickled"):
        made.__reduce__()


def test_stream_package_is_refused_with_a_hint(core: client.CoreV1Api) -> None:
    with pytest.raises(errors.UsageProblem, match=r"kubernetes\.stream"):
        stream(core.connect_get_namespaced_pod_exec, "x", "default", command="ls")


def test_closed_client_leaves_the_session_open(core: client.CoreV1Api, server: ApiServer) -> None:
    server.answers[PODS] = {"kind": "PodList", "items": []}
    core.api_client.close()
    assert core.list_namespaced_pod("default").items == []


@pytest.fixture
def alice(sandbox: Sandbox) -> Iterator[KubernetesClient]:
    cluster = find_cluster(kubeconfig=sandbox.kubeconfig("alice"))
    yield KubernetesClient(cluster)
    cluster.close()


def test_typed_apis_read_and_write(alice: KubernetesClient) -> None:
    core = client.CoreV1Api(alice)
    names = [pod.metadata.name for pod in core.list_namespaced_pod("user-alice").items]
    assert "mon-api-abcdef-12345" in names
    made = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="typed"), data={"a": "1"})
    core.create_namespaced_config_map("user-alice", made)
    try:
        changed = core.patch_namespaced_config_map("typed", "user-alice", {"data": {"a": "2"}})
        assert changed.data == {"a": "2"}
        log = core.read_namespaced_pod_log("mon-api-abcdef-12345", "user-alice", tail_lines=1)
        assert log.endswith("\n")
        listed = core.list_namespaced_pod("user-alice", async_req=True).get(30)
        assert listed.items
    finally:
        core.delete_namespaced_config_map("typed", "user-alice")
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("typed", "user-alice")
    assert gone.value.status == 404


def test_watch_yields_and_ends(alice: KubernetesClient) -> None:
    core = client.CoreV1Api(alice)
    watching = watch.Watch()
    seen = []
    for event in watching.stream(core.list_namespaced_pod, "user-alice"):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 2:
            watching.stop()
    assert {kind for kind, _ in seen} == {"ADDED"}
    quick = list(watch.Watch().stream(core.list_namespaced_pod, "user-alice", timeout_seconds=1))
    assert len(quick) >= 2


def test_silent_watch_outlives_the_answers_deadline(server: ApiServer, cluster: Cluster) -> None:
    """The limit of an answer's total time is for answers, not for a watch or a followed log."""
    server.answers[PODS] = {"kind": "PodList", "items": []}
    cluster.api.exchange("GET", PODS)
    answer, error = cluster.api.exchange("GET", f"{PODS}?watch=true", endless=True)
    assert error is None
    assert isinstance(answer, urllib3.BaseHTTPResponse)
    connection: Any = answer.connection
    assert connection.sock.deadline == float("inf")
    answer.close()


def test_dynamic_client_keeps_its_discovery_in_memory(alice: KubernetesClient) -> None:
    folder = Path(tempfile.gettempdir())
    before = set(folder.glob("osrcp-*"))
    pods = alice.dynamic().resources.get(api_version="v1", kind="Pod")
    assert (
        pods.get(namespace="user-alice", name="mon-api-abcdef-12345").metadata.name == "mon-api-abcdef-12345"
    )
    with pytest.raises(NotFoundError):
        pods.get(namespace="user-alice", name="x")
    assert set(folder.glob("osrcp-*")) == before
