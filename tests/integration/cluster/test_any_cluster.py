"""The cluster layer on a real cluster, compared with kubectl's output."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from kubernetes import client, config

from sspcloud_magics.cluster.api.resources import ENDPOINTS, PODS
from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.cluster.requests.object_reads import get_object, list_objects
from sspcloud_magics.cluster.requests.permissions import may, who_am_i
from sspcloud_magics.cluster.workloads.inventory import pods, services
from sspcloud_magics.cluster.workloads.resolve import check_ports, resolve
from sspcloud_magics.cluster.workloads.tables import pod_table, service_table
from sspcloud_magics.errors import (
    CertificateNotTrusted,
    ClusterError,
    Forbidden,
    PortNotFound,
    ServerUnreachable,
    TargetNotFound,
    TokenExpired,
)
from sspcloud_magics.target import PortText, Target
from tests.support.kubectl import KUBECTL
from tests.testbed import Testbed


@pytest.fixture
def cluster(testbed: Testbed) -> Iterator[Cluster]:
    found = find_cluster(
        kubeconfig=testbed.kubeconfig, context=testbed.context, namespace=testbed.namespace, environ={}
    )
    yield found
    found.close()


def kubectl(testbed: Testbed, *arguments: str) -> list[list[str]]:
    """Return the rows that kubectl prints, without the heading."""
    command = [str(KUBECTL), f"--kubeconfig={testbed.kubeconfig}"]
    command += [
        f"--namespace={testbed.namespace}",
        *([f"--context={testbed.context}"] if testbed.context else []),
    ]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=True, env=os.environ | {"HOME": "/"}
    )
    return [line.split() for line in done.stdout.splitlines()[1:]]


def test_pods_are_told_as_kubectl_tells_them(testbed: Testbed, cluster: Cluster) -> None:
    helpers = {testbed.source.pod, testbed.sink.pod, testbed.echo.pod}
    told = {row[0]: row[1:4] for row in kubectl(testbed, "get", "pods")}
    ours = {pod.name: [pod.ready, pod.status, str(pod.restarts)] for pod in pods(cluster)}
    assert helpers <= set(ours)
    for name in helpers:
        assert ours[name] == told[name]


def test_the_table_shows_the_same_columns_as_kubectl(testbed: Testbed, cluster: Cluster) -> None:
    shown = repr(pod_table([pod for pod in pods(cluster) if pod.name == testbed.echo.pod])).splitlines()
    assert shown[0].split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    [told] = kubectl(testbed, "get", "pod", testbed.echo.pod)
    assert shown[1].split()[:4] == told[:4]


def test_services_are_told_as_kubectl_tells_them(testbed: Testbed, cluster: Cluster) -> None:
    told = {row[0]: row[1:4] for row in kubectl(testbed, "get", "services")}
    found = [service for service in services(cluster) if service.name == testbed.postgres.service]
    ours = {service.name: [service.type, service.cluster_ip, service.external_ip] for service in found}
    assert ours[testbed.postgres.service] == told[testbed.postgres.service]
    assert testbed.postgres.service in repr(service_table(found))


def test_server_says_who_you_are_where_it_can(testbed: Testbed, cluster: Cluster) -> None:
    with config.new_client_from_config(str(testbed.kubeconfig), context=testbed.context) as api:
        offered = client.AuthenticationV1Api(api).get_api_resources().resources
    knows = any(each.name == "selfsubjectreviews" for each in offered)
    me = who_am_i(cluster)
    assert bool(me.user) == knows
    assert ("system:authenticated" in me.groups) == knows
    assert may(cluster, "create", PODS, name=testbed.echo.pod, subresource="portforward")


def test_targets_that_are_there(testbed: Testbed, cluster: Cluster) -> None:
    pod = resolve(cluster, testbed.echo.pod)
    assert pod.target == Target(testbed.namespace, "pod", testbed.echo.pod)
    assert check_ports(pod, [PortText(testbed.echo.port)]) == (PortText(testbed.echo.port),)
    service = resolve(cluster, f"{testbed.namespace}/svc/{testbed.postgres.service}")
    assert service.target == Target(testbed.namespace, "service", testbed.postgres.service)
    assert testbed.postgres.port in [port.number for port in service.ports]


def test_a_prefix_and_a_typo(testbed: Testbed, cluster: Cluster) -> None:
    every = [pod.name for pod in pods(cluster)]
    prefix = testbed.echo.pod
    while sum(name.startswith(prefix[:-1]) for name in every) == 1 and len(prefix) > 1:
        prefix = prefix[:-1]
    assert resolve(cluster, f"pod/{prefix.rstrip('-.')}").target.name == testbed.echo.pod
    with pytest.raises(TargetNotFound, match=f"did you mean .*{testbed.echo.pod}"):
        resolve(cluster, f"pod/x{testbed.echo.pod[1:]}")


def test_what_is_not_there_is_told(testbed: Testbed, cluster: Cluster) -> None:
    for text in ("pod/no-such-thing", "svc/no-such-thing", "no-such-thing"):
        with pytest.raises(TargetNotFound, match="no-such-thing"):
            resolve(cluster, text)
    with pytest.raises(PortNotFound, match="has no port 4"):
        check_ports(resolve(cluster, f"svc/{testbed.postgres.service}"), [PortText(4)])


def test_a_namespace_that_is_not_there(cluster: Cluster) -> None:
    # Without permissions outside your namespace, the server does not even say that it does not exist.
    with pytest.raises((TargetNotFound, Forbidden), match="no-such-namespace"):
        resolve(cluster, "no-such-namespace/svc/x")


def test_a_list_is_the_same_in_pages(
    testbed: Testbed, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {item["metadata"]["name"] for item in list_objects(cluster, PODS)}
    monkeypatch.setattr("sspcloud_magics.cluster.requests.object_reads.PAGE", 1)
    assert {item["metadata"]["name"] for item in list_objects(cluster, PODS)} == whole
    [one] = list_objects(cluster, PODS, field_selector=f"metadata.name={testbed.echo.pod}")
    assert one["metadata"]["name"] == testbed.echo.pod


def test_the_endpoints_of_a_service_name_its_pods(testbed: Testbed, cluster: Cluster) -> None:
    endpoints = get_object(cluster, ENDPOINTS, testbed.postgres.service)
    ready = [
        address["targetRef"]["name"] for subset in endpoints["subsets"] for address in subset["addresses"]
    ]
    assert set(ready) <= {pod.name for pod in pods(cluster)}


def test_a_token_that_means_nothing(cluster: Cluster, tmp_path: Path) -> None:
    access = cluster.access()
    (tmp_path / "token").write_text("not-a-token")
    (tmp_path / "ca").write_text(access.ca or "")
    stranger = find_cluster(
        server=access.server,
        token_file=tmp_path / "token",
        ca_file=tmp_path / "ca" if access.ca else None,
        insecure_skip_tls_verify=access.insecure_skip_tls_verify,
        environ={},
    )
    with pytest.raises(TokenExpired) as caught:
        pods(stranger)
    assert "not-a-token" not in str(caught.value)
    stranger.close()


def test_another_authority_is_not_trusted(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("never-sent")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca"))
    other = find_cluster(
        server=cluster.server, token_file=tmp_path / "token", ca_file=tmp_path / "ca", environ={}
    )
    with pytest.raises(CertificateNotTrusted):
        pods(other)
    other.close()


def test_after_a_failure_the_same_cluster_goes_on(testbed: Testbed, cluster: Cluster) -> None:
    before = len(pods(cluster))
    nowhere = find_cluster(server="https://127.0.0.1:1", token_file=testbed.kubeconfig, environ={})
    with pytest.raises((ServerUnreachable, ClusterError)):
        pods(nowhere)
    assert len(pods(cluster)) == before
