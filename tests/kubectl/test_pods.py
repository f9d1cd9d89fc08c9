"""``kubectl logs`` and ``port-forward``."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.kubectl.conftest import Apply, Kubectl, manifest, sleeper
from tests.support.kubectl import KUBECTL
from tests.testbed import Sandbox


@contextlib.contextmanager
def forward_port(sandbox: Sandbox, cache: Path, person: str, *words: str) -> Iterator[int]:
    """Run ``kubectl port-forward`` and yield the local port."""
    command = [str(KUBECTL), "--cache-dir", str(cache), "port-forward", *words]
    with subprocess.Popen(
        command, env=sandbox.env(person), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> \d+", line)
            assert found is not None, line + process.stdout.read()
            yield int(found[1])
        finally:
            process.terminate()


@pytest.fixture
def echo(kubectl: Kubectl, apply: Apply) -> str:
    apply("bob", sleeper("echo", app="echo"))
    assert kubectl("bob", "wait", "--for=condition=Ready", "pod/echo", "--timeout=60s").code == 0
    return "echo"


def test_logs(kubectl: Kubectl) -> None:
    name = kubectl("alice", "get", "pods", "-l", "app=mon-api", "-o", "name").lines[0]
    said = kubectl("alice", "logs", name, "--tail=2")
    assert (len(said.lines), said.err) == (2, "")
    stamped = kubectl("alice", "logs", name, "--tail=1", "--timestamps").out
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z ", stamped)


def test_logs_follow(sandbox: Sandbox, cache: Path, kubectl: Kubectl) -> None:
    name = kubectl("alice", "get", "pods", "-l", "app=mon-api", "-o", "name").lines[0]
    command = [str(KUBECTL), "--cache-dir", str(cache), "logs", name, "--follow", "--tail=1"]
    with subprocess.Popen(command, env=sandbox.env("alice"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = [
                process.stdout.readline() for _ in range(3)
            ]  # the readiness probe writes one each second
        finally:
            process.terminate()
    assert all(lines)


def test_logs_of_a_container_that_is_not_there(kubectl: Kubectl) -> None:
    said = kubectl("alice", "logs", "postgresql-cnpg-951239-1", "-c", "nope")
    assert said.err.startswith("error: container nope is not valid for pod postgresql-cnpg-951239-1")


def test_logs_of_another_users_pod(kubectl: Kubectl) -> None:
    said = kubectl("carol", "logs", "postgresql-cnpg-951239-1", "-n", "user-alice")
    assert said.err == (
        'Error from server (Forbidden): pods "postgresql-cnpg-951239-1" is forbidden: User "oidc-carol" cannot get '
        'resource "pods" in API group "" in the namespace "user-alice"\n'
    )


@pytest.mark.parametrize("words", ["exec echo -- ls", "attach echo", "cp echo:/etc/hosts hosts"])
def test_command_in_a_pod_is_refused_in_one_sentence(kubectl: Kubectl, echo: str, words: str) -> None:
    del echo
    said = kubectl("bob", *words.split())
    assert said.code == 1
    refusal = "the sandbox cannot run commands in pods: exec, attach and cp need a real cluster"
    assert said.err.splitlines()[-1] == f"error: unable to upgrade connection: {refusal}"


@pytest.mark.parametrize("target", ["pod/echo", "echo"])
def test_port_forward_to_a_pod(sandbox: Sandbox, cache: Path, echo: str, target: str) -> None:
    with (
        forward_port(sandbox, cache, "bob", target, ":9000") as port,
        socket.create_connection(("127.0.0.1", port), 10) as connection,
    ):
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"


def test_port_forward_to_a_service(
    sandbox: Sandbox, cache: Path, kubectl: Kubectl, apply: Apply, echo: str
) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "echo"},
        "spec": {"selector": {"app": "echo"}, "ports": [{"port": 80, "targetPort": "echo"}]},
    }
    apply("bob", service)
    with (
        forward_port(sandbox, cache, "bob", "svc/echo", ":80") as port,
        socket.create_connection(("127.0.0.1", port), 10) as connection,
    ):
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"


def test_the_courses_way_to_a_database(sandbox: Sandbox, cache: Path, kubectl: Kubectl, apply: Apply) -> None:
    """A relay in the user's own namespace, and a port-forward to it."""
    apply("bob", *manifest("pg-proxy.yaml"))
    assert kubectl("bob", "wait", "--for=condition=Ready", "pod/pg-proxy", "--timeout=60s").code == 0
    secret = ("get", "secret", "postgresql-cnpg-951239-share-bob", "-n", "user-alice")
    values = {
        name: kubectl("bob", *secret, "-o", f'go-template={{{{index .data "{name}" | base64decode}}}}').out
        for name in ("database", "user", "password")
    }
    with (
        forward_port(sandbox, cache, "bob", "pod/pg-proxy", ":5432") as port,
        psycopg.connect(
            host="127.0.0.1",
            port=port,
            dbname=values["database"],
            user=values["user"],
            password=values["password"],
            sslmode="disable",
        ) as connection,
    ):
        assert connection.execute("select 1").fetchone() == (1,)


def test_port_forward_needs_the_right_to_create(kubectl: Kubectl) -> None:
    said = kubectl("carol", "port-forward", "-n", "user-alice", "pod/postgresql-cnpg-951239-1", ":5432")
    assert said.err == (
        'Error from server (Forbidden): pods "postgresql-cnpg-951239-1" is forbidden: User "oidc-carol" cannot get '
        'resource "pods" in API group "" in the namespace "user-alice"\n'
    )


def test_right_to_get_alone_forwards_nothing(kubectl: Kubectl) -> None:
    """The role view plus ``get`` on the subresource: enough before Kubernetes 1.35, and not since."""
    name = "half-forward"
    try:
        role = ("--verb=get", "--resource=pods,pods/portforward")
        assert kubectl("alice", "create", "role", name, *role).code == 0
        assert (
            kubectl("alice", "create", "rolebinding", name, f"--role={name}", "--user=oidc-carol").code == 0
        )
        said = kubectl("carol", "port-forward", "-n", "user-alice", "pod/postgresql-cnpg-951239-1", ":5432")
        assert (
            'pods "postgresql-cnpg-951239-1" is forbidden: User "oidc-carol" cannot create resource'
            in said.err
        )
        assert '"pods/portforward" in API group "" in the namespace "user-alice"' in said.err
        assert said.code == 1
    finally:
        kubectl("alice", "delete", "role,rolebinding", name, "--ignore-not-found")


def test_port_forward_to_nothing(kubectl: Kubectl) -> None:
    said = kubectl("bob", "port-forward", "pod/nope", ":80")
    assert said.err == 'Error from server (NotFound): pods "nope" not found\n'


def test_unknown_image_is_said_to_be(kubectl: Kubectl, apply: Apply) -> None:
    pod = sleeper("unpullable")
    pod["spec"]["containers"][0]["image"] = "registry.invalid/nothing:1"
    apply("bob", pod)
    jsonpath = "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    assert kubectl("bob", "wait", "pod/unpullable", f"{jsonpath}=ImagePullBackOff", "--timeout=60s").code == 0
    row = kubectl("bob", "get", "pod", "unpullable").table()[0]
    assert (row["READY"], row["STATUS"], row["RESTARTS"]) == ("0/1", "ImagePullBackOff", "0")
