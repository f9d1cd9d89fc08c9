"""People with different rights on the sandbox: what each finds, and what each is told."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from sspcloud_magics.cluster.api.resources import PODS
from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.cluster.requests.object_reads import secret, secrets
from sspcloud_magics.cluster.requests.permissions import may, who_am_i
from sspcloud_magics.cluster.workloads.inventory import pods, services
from sspcloud_magics.cluster.workloads.resolve import resolve
from sspcloud_magics.errors import Forbidden
from sspcloud_magics.target import Target
from tests.testbed import DATABASE, Sandbox

People = Callable[[str], Cluster]


@pytest.fixture
def person(sandbox: Sandbox) -> Iterator[People]:
    found: list[Cluster] = []

    def be(name: str) -> Cluster:
        found.append(find_cluster(kubeconfig=sandbox.kubeconfig(name), environ={}))
        return found[-1]

    yield be
    for cluster in found:
        cluster.close()


@pytest.mark.parametrize(
    ("name", "user"), [("alice", "oidc-alice"), ("bob", "oidc-bob"), ("carol", "oidc-carol")]
)
def test_each_person_has_a_user_name(person: People, name: str, user: str) -> None:
    me = who_am_i(person(name))
    assert (me.user, me.namespace) == (user, f"user-{name}")


def test_administrator_has_a_client_certificate(person: People) -> None:
    admin = person("admin")
    assert admin.access().token is None
    assert admin.access().client_key is not None
    assert {pod.namespace for pod in pods(admin, "*")} >= {"user-alice"}


def test_colleague_finds_the_service_by_endpoints_only(person: People) -> None:
    bob = person("bob")
    with pytest.raises(Forbidden, match="You may not list pods in user-alice") as caught:
        pods(bob, "user-alice")
    assert 'User "oidc-bob" cannot list resource "pods"' in caught.value.why
    with pytest.raises(Forbidden):
        services(bob, "user-alice")
    found = resolve(bob, f"user-alice/svc/{DATABASE}-rw")
    assert found.target == Target("user-alice", "service", f"{DATABASE}-rw")
    assert [port.number for port in found.ports] == [5432]
    assert not found.ports_known


def test_colleague_forwards_to_the_databases_pods_only(person: People) -> None:
    bob = person("bob")
    assert resolve(bob, f"user-alice/pod/{DATABASE}-1").target.kind == "pod"
    for text in ("user-alice/mon-api", "user-alice/pod/mon-api-abcdef-12345", "user-alice/svc/mon-api"):
        with pytest.raises(Forbidden, match="neither see"):
            resolve(bob, text)


def test_missing_right_is_told_by_its_name(person: People) -> None:
    carol = person("carol")
    with pytest.raises(Forbidden) as caught:
        resolve(carol, f"user-alice/svc/{DATABASE}-rw")
    assert 'cannot get resource "services"' in caught.value.why
    assert "the owner of user-alice" in caught.value.hint
    assert not may(carol, "get", PODS, "user-alice", name=f"{DATABASE}-1", subresource="portforward")


def test_secrets_are_read_if_allowed_and_stay_hidden(person: People) -> None:
    alice = person("alice")
    found = secret(alice, f"{DATABASE}-user")
    assert found is not None
    password = found.value("password")
    assert password
    assert password.reveal() not in repr(found) + repr(secrets(alice))
    with pytest.raises(Forbidden, match="read the secret"):
        secret(person("carol"), f"{DATABASE}-user", "user-alice")
    with pytest.raises(Forbidden, match="list secrets"):
        secrets(person("bob"), "user-alice")


def test_a_mounted_token_is_enough(person: People, tmp_path: Path) -> None:
    access = person("alice").access()
    assert access.token is not None
    (tmp_path / "token").write_text(access.token.reveal())
    (tmp_path / "ca.crt").write_text(access.ca or "")
    (tmp_path / "namespace").write_text("user-alice")
    server = urlsplit(access.server)
    environ = {"KUBERNETES_SERVICE_HOST": server.hostname or "", "KUBERNETES_SERVICE_PORT": str(server.port)}
    inside = find_cluster(mount=tmp_path, environ=environ)
    assert inside.in_service
    assert f"{DATABASE}-1" in [pod.name for pod in pods(inside)]
    with pytest.raises(Forbidden) as caught:
        pods(inside, "user-bob")
    assert "launcher" not in caught.value.hint
    inside.close()


def test_an_exec_plugin_logs_in(person: People, sandbox: Sandbox, tmp_path: Path) -> None:
    access = person("alice").access()
    assert access.token is not None
    (tmp_path / "token").write_text(access.token.reveal())
    script = tmp_path / "login"
    script.write_text(
        f"#!{sys.executable} -IS\nimport json, pathlib\n"
        "token = pathlib.Path(__file__).with_name('token').read_text()\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
        " 'status': {'token': token}}))\n"
    )
    script.chmod(stat.S_IRWXU)
    config = yaml.safe_load(sandbox.kubeconfig("alice").read_text())
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./login",
        "interactiveMode": "Never",
    }
    config["users"][0]["user"] = {"exec": plugin}
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config))
    cluster = find_cluster(kubeconfig=file, environ={})
    assert who_am_i(cluster).user == "oidc-alice"
    cluster.close()


def test_closing_leaves_no_connection(person: People) -> None:
    alice = person("alice")
    port = urlsplit(alice.server).port
    before = _connections_to(port)
    pods(alice)
    assert len(_connections_to(port)) == len(before) + 1
    alice.close()
    assert _connections_to(port) == before
    assert pods(alice)


def _connections_to(port: int | None) -> list[object]:
    import psutil

    mine = psutil.Process().net_connections("tcp")
    return [
        one for one in mine if one.raddr and one.raddr.port == port and one.status == psutil.CONN_ESTABLISHED
    ]
