"""Requests of an apply, with a server whose answers are set; `tests.kubectl.test_cell` has the sandbox and kubectl."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from sspcloud_magics.cluster.api.api_errors import Conflict, Invalid
from sspcloud_magics.cluster.api.resources import Resource
from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.cluster.requests.apply import apply_manifest, upgrade
from sspcloud_magics.cluster.requests.kinds import Kind
from sspcloud_magics.cluster.requests.manifests import parse_manifests
from sspcloud_magics.errors import ServerError
from tests.support.api_server import ApiServer, Asked, serve, status

PATH = "/api/v1/namespaces/default/configmaps/settings"
MAPS = Kind("ConfigMap", Resource("configmaps"), "configmap")
(MANIFEST,) = parse_manifests(
    "# the settings\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  colour: blue\n"
)
STORED = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings"},
    "data": {"colour": "red"},
}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with serve(ApiServer(trustme.CA())) as running:
        yield running


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path) -> Iterator[Cluster]:
    token = tmp_path / "token"
    token.write_text("t0ken")
    found = find_cluster(server=server.url, token_file=token, ca_file=server.ca_file(tmp_path))
    yield found
    found.close()


def answer_patch(reply: Any, stored: Any = STORED) -> Any:
    """Return the stored object to reads, and a reply to writes."""
    return lambda asked: stored if asked.method == "GET" else reply


def read_write(server: ApiServer) -> Asked:
    return next(asked for asked in reversed(server.asked) if asked.method != "GET")


def test_apply_is_that_of_kubectl(cluster: Cluster, server: ApiServer) -> None:
    server.answers[PATH] = answer_patch({**STORED, "data": {"colour": "blue"}})
    applied = apply_manifest(cluster, MAPS, MANIFEST, "default")
    assert str(applied) == "configmap/settings configured"
    assert applied.difference[-2:] == ("-  colour: red", "+  colour: blue")
    assert read_write(server).method == "PATCH"
    assert read_write(server).query == {"fieldManager": ["kubectl"], "fieldValidation": ["Strict"]}
    assert read_write(server).body["metadata"] == {"name": "settings", "namespace": "default"}
    assert "namespace" not in MANIFEST.body["metadata"]


@pytest.mark.parametrize("value", ["🐘", "a\u2028b\x85\ufeff", "\x1b\n", "\ufffd"])
def test_sent_text_is_yaml_and_json(cluster: Cluster, server: ApiServer, value: str) -> None:
    """The server parses YAML, as Go does: without escaped surrogates, and without line ends of its own."""
    server.answers[PATH] = answer_patch(STORED)
    (manifest,) = parse_manifests(
        json.dumps({**STORED, "data": {"colour": value}}).replace("\\ud83d\\udc18", "🐘")
    )
    apply_manifest(cluster, MAPS, manifest, "default")
    sent = read_write(server).raw
    assert b"\\ud83d" not in sent
    for body in (json.loads(sent), yaml.safe_load(sent)):
        assert body["data"] == {"colour": value}


def test_dry_run_and_force_are_sent(cluster: Cluster, server: ApiServer) -> None:
    server.answers[PATH] = answer_patch(STORED)
    applied = apply_manifest(cluster, MAPS, MANIFEST, "default", dry_run=True, force=True)
    assert str(applied) == "configmap/settings unchanged (server dry run)"
    assert (read_write(server).query["dryRun"], read_write(server).query["force"]) == (["All"], ["true"])


def test_old_server_gets_a_merge_patch(cluster: Cluster, server: ApiServer) -> None:
    """Before Kubernetes 1.22, the server does not know the format of server-side apply."""
    unknown = status(415, "the body of the request was in an unknown format")
    merged = {**STORED, "data": {"colour": "blue"}}
    server.answers[PATH] = lambda asked: (
        STORED if asked.method == "GET" else unknown if "fieldManager" in asked.query else merged
    )
    assert apply_manifest(cluster, MAPS, MANIFEST, "default").outcome == "configured"
    del server.answers[PATH]
    server.answers[PATH] = lambda asked: status(404, "not found") if asked.method == "GET" else unknown
    server.answers[PATH.rpartition("/")[0]] = merged
    assert apply_manifest(cluster, MAPS, MANIFEST, "default").outcome == "created"
    assert read_write(server).method == "POST"


def test_conflict_has_the_servers_words(cluster: Cluster, server: ApiServer) -> None:
    words = 'Apply failed with 1 conflict: conflict with "ci": .data.colour'
    server.answers[PATH] = answer_patch(status(409, words))
    with pytest.raises(Conflict, match="Another tool owns fields of configmap/settings") as raised:
        apply_manifest(cluster, MAPS, MANIFEST, "default")
    assert raised.value.why == words


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ('ConfigMap "settings" is invalid: data.colour: Invalid value: "blue": no', "line 7"),
        ('ConfigMap "settings" is invalid: [data.x: Required value, data.colour: Invalid value]', "line 7"),
        ('strict decoding error: unknown field "data.colour"', "line 7"),
        ("failed to create typed patch object (default/settings; /v1, Kind=ConfigMap): .data: field not declared", "line 7"),
        ("something else", "the document at line 2"),
    ],
)  # fmt: skip
def test_refused_field_has_its_line(cluster: Cluster, server: ApiServer, words: str, line: str) -> None:
    server.answers[PATH] = answer_patch(status(422, words))
    with pytest.raises(Invalid) as raised:
        apply_manifest(cluster, MAPS, MANIFEST, "default")
    assert raised.value.what == f"The server refuses configmap/settings, {line}."
    assert raised.value.why == words


def test_unknown_field_may_be_an_internal_error(cluster: Cluster, server: ApiServer) -> None:
    words = "failed to create typed patch object (default/settings; /v1, Kind=ConfigMap): .data.colour: field not declared"
    server.answers[PATH] = answer_patch(status(500, words))
    with pytest.raises(ServerError, match="The server refuses configmap/settings, line 7"):
        apply_manifest(cluster, MAPS, MANIFEST, "default")
    server.answers[PATH] = answer_patch(status(500, "etcd is gone"))
    with pytest.raises(ServerError, match="500"):
        apply_manifest(cluster, MAPS, MANIFEST, "default")


def entry(manager: str, operation: str, fields: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields}


def test_client_side_fields_join_those_of_apply() -> None:
    annotation = {"f:kubectl.kubernetes.io/last-applied-configuration": {}}
    old = {"f:data": {"f:a": {}}, "f:metadata": {"f:annotations": {".": {}, **annotation}}}
    entries = [
        entry("kubectl", "Apply", {"f:data": {"f:b": {}}}),
        entry("kubectl-client-side-apply", "Update", old),
        entry("controller", "Update", {"f:status": {}}),
    ]
    assert upgrade(entries, has_annotation=True) == [
        entry("controller", "Update", {"f:status": {}}),
        entry("kubectl", "Apply", {"f:data": {"f:b": {}, "f:a": {}}}),
        entry("kubectl-last-applied", "Apply", {"f:metadata": {"f:annotations": annotation}}),
    ]
    assert upgrade(entries[::2], has_annotation=True) is None
    assert upgrade([], has_annotation=False) is None
