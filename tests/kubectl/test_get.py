"""``kubectl get`` and ``describe``: the same output as on a real cluster."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.kubectl.conftest import Apply, Kubectl, sleeper
from tests.support.kubectl import KUBECTL
from tests.testbed import Sandbox

POD = "postgresql-cnpg-951239-1"
AGE = re.compile(r"\d+[smhd](\d+[smh])?")


def test_version(kubectl: Kubectl) -> None:
    said = kubectl("alice", "version")
    assert re.fullmatch(r"Client Version: v1\.37\.\d+", said.lines[0])
    assert re.fullmatch(r"Server Version: v1\.36\.\d+", said.lines[-1])
    assert (said.err, said.code) == ("", 0)


def test_get_pods(kubectl: Kubectl) -> None:
    rows = kubectl("alice", "get", "pods").table()
    assert list(rows[0]) == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    postgres = next(row for row in rows if row["NAME"] == POD)
    assert AGE.fullmatch(postgres.pop("AGE"))
    assert postgres == {"NAME": POD, "READY": "1/1", "STATUS": "Running", "RESTARTS": "0"}


def test_get_pods_wide(kubectl: Kubectl) -> None:
    rows = kubectl("alice", "get", "pods", "-o", "wide").table()
    assert list(rows[0])[5:] == ["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
    assert re.fullmatch(r"10\.42\.0\.\d+", rows[0]["IP"])
    assert (rows[0]["NOMINATED NODE"], rows[0]["READINESS GATES"]) == ("<none>", "<none>")


def test_get_pod_yaml_and_json_are_the_same_object(kubectl: Kubectl) -> None:
    as_yaml = yaml.safe_load(kubectl("alice", "get", "pod", POD, "-o", "yaml").out)
    as_json = json.loads(kubectl("alice", "get", "pod", POD, "-o", "json").out)
    assert as_yaml == as_json
    assert list(as_json) == ["apiVersion", "kind", "metadata", "spec", "status"]
    assert as_json["metadata"]["labels"]["cnpg.io/instanceRole"] == "primary"


def test_get_pods_json_is_a_list(kubectl: Kubectl) -> None:
    found = json.loads(kubectl("alice", "get", "pods", "-o", "json").out)
    assert (found["apiVersion"], found["kind"]) == ("v1", "List")
    assert {item["kind"] for item in found["items"]} == {"Pod"}


def test_get_by_label_and_by_field(kubectl: Kubectl) -> None:
    assert kubectl(
        "alice", "get", "pods", "-l", "cnpg.io/cluster=postgresql-cnpg-951239", "-o", "name"
    ).lines == [f"pod/{POD}"]
    assert kubectl("alice", "get", "pods", "-l", "app in (mon-api),app!=x", "-o", "name").out.startswith(
        "pod/mon-api-"
    )
    said = kubectl("alice", "get", "pods", "-l", "app=nope")
    assert (said.err, said.out) == ("No resources found in user-alice namespace.\n", "")
    assert kubectl("alice", "get", "pods", f"--field-selector=metadata.name={POD}", "-o", "name").lines == [
        f"pod/{POD}"
    ]


def test_get_in_pages_is_get(kubectl: Kubectl) -> None:
    whole = kubectl("alice", "get", "secrets", "-o", "name").lines
    assert len(whole) > 3
    assert kubectl("alice", "get", "secrets", "-o", "name", "--chunk-size=2").lines == whole


@pytest.mark.parametrize(
    ("kind", "headings"),
    [
        ("svc", ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]),
        ("secrets", ["NAME", "TYPE", "DATA", "AGE"]),
        ("rolebindings", ["NAME", "ROLE", "AGE"]),
        ("roles", ["NAME", "CREATED AT"]),
        ("networkpolicies", ["NAME", "POD-SELECTOR", "AGE"]),
        ("deploy", ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]),
        ("rs", ["NAME", "DESIRED", "CURRENT", "READY", "AGE"]),
        ("endpointslices", ["NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"]),
        ("sa", ["NAME", "SECRETS", "AGE"]),
        ("events", ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]),
        (
            "pvc",
            [
                "NAME",
                "STATUS",
                "VOLUME",
                "CAPACITY",
                "ACCESS MODES",
                "STORAGECLASS",
                "VOLUMEATTRIBUTESCLASS",
                "AGE",
            ],
        ),
    ],
)
def test_columns(kubectl: Kubectl, kind: str, headings: list[str]) -> None:
    assert re.split(r" {2,}", kubectl("alice", "get", kind).lines[0].strip()) == headings


def test_get_services(kubectl: Kubectl) -> None:
    row = next(r for r in kubectl("alice", "get", "svc").table() if r["NAME"] == "postgresql-cnpg-951239-rw")
    assert (row["TYPE"], row["EXTERNAL-IP"], row["PORT(S)"]) == ("ClusterIP", "<none>", "5432/TCP")
    wide = kubectl("alice", "get", "svc", "mon-api", "-o", "wide").table()[0]
    assert wide["SELECTOR"] == "app=mon-api"


def test_get_rolebindings_wide(kubectl: Kubectl) -> None:
    rows = kubectl("alice", "get", "rolebindings", "-o", "wide").table()
    row = next(r for r in rows if r["NAME"] == "full_control_namespace")
    assert list(row) == ["NAME", "ROLE", "AGE", "USERS", "GROUPS", "SERVICEACCOUNTS"]
    assert (row["ROLE"], row["USERS"]) == ("ClusterRole/admin", "oidc-alice")


def test_several_kinds_at_once(kubectl: Kubectl) -> None:
    said = kubectl("alice", "get", "svc,secrets,roles,rolebindings,networkpolicies", "-o", "name")
    assert {line.partition("/")[0] for line in said.lines} == {
        "service",
        "secret",
        "role.rbac.authorization.k8s.io",
        "rolebinding.rbac.authorization.k8s.io",
        "networkpolicy.networking.k8s.io",
    }


def test_get_all(kubectl: Kubectl) -> None:
    names = kubectl("alice", "get", "all", "-o", "name").lines
    assert "deployment.apps/mon-api" in names
    assert "service/mon-api" in names


def test_endpoints_are_deprecated(kubectl: Kubectl) -> None:
    said = kubectl("alice", "get", "endpoints", "postgresql-cnpg-951239-rw")
    assert (
        said.err == "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n"
    )
    assert re.fullmatch(r"10\.42\.0\.\d+:5432", said.table()[0]["ENDPOINTS"])


@pytest.mark.parametrize(
    ("person", "words", "error"),
    [
        (
            "bob",
            "get pods -n user-alice",
            (
                'Error from server (Forbidden): pods is forbidden: User "oidc-bob" cannot list resource "pods" in API '
                'group "" in the namespace "user-alice"'
            ),
        ),
        (
            "alice",
            "get pods -A",
            (
                'Error from server (Forbidden): pods is forbidden: User "oidc-alice" cannot list resource "pods" in API '
                'group "" at the cluster scope'
            ),
        ),
        (
            "bob",
            "get deploy mon-api -n user-alice",
            (
                'Error from server (Forbidden): deployments.apps "mon-api" is forbidden: User "oidc-bob" cannot get '
                'resource "deployments" in API group "apps" in the namespace "user-alice"'
            ),
        ),
        (
            "alice",
            "get clusters.postgresql.cnpg.io",
            (
                'Error from server (Forbidden): clusters.postgresql.cnpg.io is forbidden: User "oidc-alice" cannot list '
                'resource "clusters" in API group "postgresql.cnpg.io" in the namespace "user-alice"'
            ),
        ),
        ("alice", "get pods nope", 'Error from server (NotFound): pods "nope" not found'),
        ("alice", "get deploy nope", 'Error from server (NotFound): deployments.apps "nope" not found'),
        ("alice", "get gadgets", 'error: the server doesn\'t have a resource type "gadgets"'),
        (
            "alice",
            "logs nope",
            'error: error from server (NotFound): pods "nope" not found in namespace "user-alice"',
        ),
        ("alice", "delete svc nope", 'Error from server (NotFound): services "nope" not found'),
        (
            "alice",
            "get pods --field-selector=foo=bar",
            (
                'Error from server (BadRequest): Unable to find "/v1, Resource=pods" that match label selector "", field '
                'selector "foo=bar": field label not supported: foo'
            ),
        ),
        ("alice", "get pods --token=wrong", "error: You must be logged in to the server (Unauthorized)"),
    ],
)
def test_errors(kubectl: Kubectl, person: str, words: str, error: str) -> None:
    said = kubectl(person, *words.split())
    # The last line: kubectl complains several times if it has not discovered the kinds yet.
    assert (said.err.strip().splitlines()[-1], said.out, said.code) == (error, "", 1)


def test_describe_pod(kubectl: Kubectl) -> None:
    said = kubectl("alice", "describe", "pod", POD)
    assert said.err == ""
    for line in (
        rf"Name:             {POD}",
        r"Namespace:        user-alice",
        r"Node:             sandbox-node/10\.0\.0\.10",
        r"Status:           Running",
        r"IP:               10\.42\.0\.\d+",
        r"    Ports?:\s+5432/TCP.*",
        r"    State:          Running",
        r"    Ready:          True",
        r"  Ready\s+True ?",
        r"QoS Class:\s+Burstable",
    ):
        assert any(re.fullmatch(line, found) for found in said.lines), line


def test_describe_shows_no_secret(kubectl: Kubectl) -> None:
    said = kubectl("alice", "describe", "secret", "postgresql-cnpg-951239")
    assert re.search(r"password:  \d+ bytes", said.out)


@pytest.mark.parametrize(
    "words",
    [
        "svc mon-api",
        "deploy mon-api",
        "rs",
        "rolebinding full_control_namespace",
        "networkpolicy",
        "endpointslices",
        "pvc",
        "sa default",
        "secrets",
    ],
)
def test_describe_other_kinds(kubectl: Kubectl, words: str) -> None:
    said = kubectl("alice", "describe", *words.split())
    assert (said.err, said.code) == ("", 0)
    assert said.lines[0].startswith("Name:")


def test_describe_by_the_admin(kubectl: Kubectl) -> None:
    for words in ("ns user-alice", "clusterrole admin", "clusterrolebinding cluster-admin"):
        said = kubectl("admin", "describe", *words.split())
        assert (said.err, said.code) == ("", 0)


def test_explain(kubectl: Kubectl) -> None:
    said = kubectl("alice", "explain", "pod.spec.containers.image")
    assert said.lines[:2] == ["KIND:       Pod", "VERSION:    v1"]
    assert "FIELD: image <string>" in said.lines
    fields = kubectl("alice", "explain", "networkpolicy.spec").out
    assert "podSelector\t<LabelSelector>" in fields
    assert "policyTypes\t<[]string>" in fields


def test_api_resources(kubectl: Kubectl) -> None:
    rows = {row["NAME"]: row for row in kubectl("alice", "api-resources").table()}
    assert rows["pods"] == {
        "NAME": "pods",
        "SHORTNAMES": "po",
        "APIVERSION": "v1",
        "NAMESPACED": "true",
        "KIND": "Pod",
    }
    assert rows["networkpolicies"]["APIVERSION"] == "networking.k8s.io/v1"
    assert "v1" in kubectl("alice", "api-versions").lines


def test_get_watch_prints_every_change(sandbox: Sandbox, cache: Path, kubectl: Kubectl, apply: Apply) -> None:
    command = [
        str(KUBECTL),
        "--cache-dir",
        str(cache),
        "get",
        "configmaps",
        "-l",
        "test=watch",
        "-o",
        "name",
        "--watch",
    ]
    marked = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "one", "labels": {"test": "watch"}},
    }
    apply("bob", marked)
    with subprocess.Popen(command, env=sandbox.env("bob"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "configmap/one\n"
            second = {**marked, "metadata": {"name": "two", "labels": {"test": "watch"}}}
            apply("bob", second)
            assert process.stdout.readline() == "configmap/two\n"
            kubectl("bob", "label", "cm", "one", "seen=yes")
            assert process.stdout.readline() == "configmap/one\n"
        finally:
            process.terminate()


def test_watched_table_keeps_its_columns(sandbox: Sandbox, cache: Path, apply: Apply) -> None:
    command = [str(KUBECTL), "--cache-dir", str(cache), "get", "pods", "--watch"]
    apply("bob", sleeper("shown"))
    with subprocess.Popen(command, env=sandbox.env("bob"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
            rows = (line.split() for line in process.stdout)
            assert next(row for row in rows if row[:3] == ["shown", "1/1", "Running"])
        finally:
            process.terminate()


def test_watch_sees_a_pod_come_and_go(kubectl: Kubectl, apply: Apply) -> None:
    apply("bob", sleeper("watched", test="watch"))
    said = kubectl("bob", "wait", "--for=condition=Ready", "pod/watched", "--timeout=60s")
    assert said.out == "pod/watched condition met\n"
    assert kubectl("bob", "delete", "pod", "watched").out == 'pod "watched" deleted from user-bob namespace\n'
    assert kubectl("bob", "wait", "--for=delete", "pod/watched", "--timeout=60s").code == 0
