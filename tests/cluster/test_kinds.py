"""Discovery of kinds: by the aggregated form, and by the older one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.cluster.requests.kinds import find_kind, find_manifest_kind, list_kinds
from sspcloud_magics.errors import TargetNotFound
from tests.support.api_server import ApiServer, serve


def aggregate(group: str, *versions: str, **names: Any) -> dict[str, Any]:
    resource = {"scope": "Namespaced", "verbs": ["get", "list"], **names}
    return {
        "metadata": {"name": group},
        "versions": [{"version": each, "resources": [resource]} for each in versions],
    }


def discovery(*groups: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "APIGroupDiscoveryList", "items": list(groups)}


PODS = {"resource": "pods", "singularResource": "pod", "shortNames": ["po"], "responseKind": {"kind": "Pod"}}
CLUSTERS = {"resource": "clusters", "singularResource": "cluster", "responseKind": {"kind": "Cluster"}}
SCALERS = {"resource": "scalers", "singularResource": "", "responseKind": {"kind": "Scaler"}}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with serve(ApiServer(trustme.CA())) as running:
        running.answers["/api"] = discovery(aggregate("", "v1", **PODS))
        running.answers["/apis"] = discovery(
            aggregate("postgresql.cnpg.io", "v1", **CLUSTERS), aggregate("autoscaling", "v2", "v1", **SCALERS)
        )
        yield running


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path) -> Iterator[Cluster]:
    token = tmp_path / "token"
    token.write_text("t0ken")
    found = find_cluster(server=server.url, token_file=token, ca_file=server.ca_file(tmp_path))
    yield found
    found.close()


@pytest.mark.parametrize("word", ["po", "pod", "pods", "Pod", "PODS", "pods.v1"])
def test_kind_has_kubectls_names(cluster: Cluster, word: str) -> None:
    assert find_kind(cluster, word).ref("a") == "pod/a"


@pytest.mark.parametrize("word", ["clusters", "clusters.postgresql.cnpg.io", "cluster.v1.postgresql.cnpg.io"])
def test_custom_kind_is_found(cluster: Cluster, word: str) -> None:
    assert find_kind(cluster, word).ref("db") == "cluster.postgresql.cnpg.io/db"


def test_kinds_are_requested_once(cluster: Cluster, server: ApiServer) -> None:
    assert [kind.kind for kind in list_kinds(cluster)] == ["Pod", "Cluster", "Scaler", "Scaler"]
    find_kind(cluster, "pods")
    assert [asked.path for asked in server.asked] == ["/api", "/apis"]
    with pytest.raises(TargetNotFound):
        find_kind(cluster, "gadgets")
    assert len(server.asked) == 2


def test_version_of_a_manifest_counts(cluster: Cluster) -> None:
    assert find_kind(cluster, "scaler").api_version == "autoscaling/v2"
    assert find_manifest_kind(cluster, "autoscaling/v1", "Scaler").api_version == "autoscaling/v1"
    with pytest.raises(TargetNotFound) as raised:
        find_manifest_kind(cluster, "extensions/v1beta1", "Cluster")
    assert raised.value.hint == "write apiVersion: postgresql.cnpg.io/v1"


@pytest.mark.parametrize(
    ("word", "near"), [("podz", "pod"), ("clutsers", "clusters"), ("zzz", "%k8s_get kinds")]
)
def test_unknown_kind_has_the_nearest(cluster: Cluster, word: str, near: str) -> None:
    with pytest.raises(TargetNotFound, match=f"no kind {word}") as raised:
        find_kind(cluster, word)
    assert near in raised.value.hint


def test_older_server_is_asked_by_group(cluster: Cluster, server: ApiServer) -> None:
    listed = {"name": "pods", "kind": "Pod", "namespaced": True, "singularName": "", "shortNames": ["po"]}
    log = {"name": "pods/log", "kind": "Pod", "namespaced": True}
    group = {"name": "apps", "preferredVersion": {"version": "v1"}}
    down = {"name": "metrics.k8s.io", "preferredVersion": {"version": "v1beta1"}}
    server.answers = {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "groups": [group, down]},
        "/api/v1": {"resources": [listed, log]},
        "/apis/apps/v1": {"resources": [{**listed, "name": "deployments", "kind": "Deployment"}]},
    }
    assert [kind.ref("a") for kind in list_kinds(cluster)] == ["pod/a", "deployment.apps/a"]
