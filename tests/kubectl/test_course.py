"""The steps of the course with a real kubectl: a relay, and the effect of the network policies on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

import sspcloud_magics as ssp
from tests.kubectl.conftest import Apply, Kubectl, manifest
from tests.kubectl.test_pods import forward_port
from tests.support.database import DATABASE
from tests.testbed import Sandbox


def make_policy(selected: str) -> dict[str, Any]:
    """Return "only allow access from the same namespace" as the chart writes it, for pods of that cluster."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "same-namespace-only"},
        "spec": {
            "podSelector": {"matchLabels": {"cnpg.io/cluster": selected}},
            "ingress": [{"from": [{"podSelector": {}}]}],
            "policyTypes": ["Ingress"],
        },
    }


@pytest.fixture
def password(kubectl: Kubectl) -> str:
    """The owner's own password, which the course tells the owner to send in a chat."""
    secret = ("get", "secret", DATABASE, "-o", 'go-template={{index .data "password" | base64decode}}')
    return kubectl("alice", *secret).out


@pytest.fixture
def proxy(kubectl: Kubectl, apply: Apply) -> str:
    (pod,) = manifest("pg-proxy.yaml")
    # In the course, the pod is ready before socat listens; here an exec probe waits for that.
    pod["spec"]["containers"][0]["readinessProbe"] = {"exec": {"command": ["true"]}}
    apply("bob", pod)
    assert kubectl("bob", "wait", "--for=condition=Ready", "pod/pg-proxy", "--timeout=60s").code == 0
    return "pod/pg-proxy"


def ask(sandbox: Sandbox, cache: Path, proxy: str, password: str) -> Any:
    with (
        forward_port(sandbox, cache, "bob", proxy, ":5432") as port,
        psycopg.connect(
            host="127.0.0.1",
            port=port,
            dbname="defaultdb",
            user="alice",
            password=password,
            sslmode="disable",
            connect_timeout=3,
        ) as connection,
    ):
        return connection.execute("SELECT count(*) FROM regions").fetchone()


def test_unticked_box_lets_the_relay_through(
    sandbox: Sandbox, cache: Path, proxy: str, password: str
) -> None:
    assert ask(sandbox, cache, proxy, password) == (13,)


def test_charts_ticked_box_protects_nothing(
    sandbox: Sandbox, cache: Path, apply: Apply, proxy: str, password: str
) -> None:
    assert apply("alice", make_policy("postgresql-cnpg")).code == 0
    assert ask(sandbox, cache, proxy, password) == (13,)


def test_box_ticked_for_these_pods_blocks_the_relay(
    sandbox: Sandbox, cache: Path, apply: Apply, proxy: str, password: str
) -> None:
    assert apply("alice", make_policy(DATABASE)).code == 0
    with pytest.raises(psycopg.OperationalError, match="timeout expired"):
        ask(sandbox, cache, proxy, password)


def test_courses_role_fails_and_a_kubectl_share_works(
    sandbox: Sandbox, cache: Path, kubectl: Kubectl, apply: Apply
) -> None:
    """The page's recommendation: ``kubectl port-forward`` to the owner's service, with a separate password."""
    forward = ("svc/" + DATABASE + "-rw", "-n", "user-alice", ":5432")
    objects = manifest("portforward-role.yaml")
    objects[1]["subjects"][0]["name"] = "oidc-bob"
    ssp.login(kubeconfig=sandbox.kubeconfig("alice"))
    try:
        ssp.unshare(DATABASE, all_colleagues=True)
        assert apply("admin", *objects).code == 0  # an administrator's word, since Alice is refused
        refused = kubectl("bob", "port-forward", *forward)
        assert refused.code == 1
        assert 'cannot list resource "pods"' in refused.err
        ssp.share_db(DATABASE, "bob")
        assert 'cannot list resource "pods"' in kubectl("bob", "port-forward", *forward).err
        opened = ssp.share_db(DATABASE, "bob", for_kubectl=True)
        assert any("they may list every pod" in note for note in getattr(opened, "notes", ()))
        name = ("get", "secret", f"{DATABASE}-share-bob", "-n", "user-alice")
        template = "go-template={{index .data %s | base64decode}}"
        user, password = (
            kubectl("bob", *name, "-o", template % f'"{key}"').out for key in ("user", "password")
        )
        with (
            forward_port(sandbox, cache, "bob", *forward) as port,
            psycopg.connect(
                host="127.0.0.1",
                port=port,
                dbname="defaultdb",
                user=user,
                password=password,
                sslmode="disable",
                connect_timeout=10,
            ) as connection,
        ):
            assert connection.execute("SELECT count(*) FROM regions").fetchone() == (13,)
    finally:
        ssp.unshare(DATABASE, all_colleagues=True)
        ssp.share_db(DATABASE, "bob", duration="30d")
        ssp.close()
