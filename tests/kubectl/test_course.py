"""The course's own steps, as it teaches them, with a real kubectl: a relay, and what the network policies make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.kubectl.conftest import Apply, Kubectl, manifest
from tests.kubectl.test_pods import forwarding
from tests.testbed import Sandbox

DATABASE = "postgresql-cnpg-951239"


def ticked(selected: str) -> dict[str, Any]:
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
    """The owner's own, which the course has the owner send in a chat."""
    secret = ("get", "secret", DATABASE, "-o", 'go-template={{index .data "password" | base64decode}}')
    return kubectl("alice", *secret).out


@pytest.fixture
def proxy(kubectl: Kubectl, apply: Apply) -> str:
    apply("bob", *manifest("pg-proxy.yaml"))
    assert kubectl("bob", "wait", "--for=condition=Ready", "pod/pg-proxy", "--timeout=60s").code == 0
    return "pod/pg-proxy"


def ask(sandbox: Sandbox, cache: Path, proxy: str, password: str) -> Any:
    with (
        forwarding(sandbox, cache, "bob", proxy, ":5432") as port,
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


def test_with_the_box_unticked_the_relay_leads_to_the_database(
    sandbox: Sandbox, cache: Path, proxy: str, password: str
) -> None:
    assert ask(sandbox, cache, proxy, password) == (13,)


def test_the_box_as_the_chart_ticks_it_protects_nothing(
    sandbox: Sandbox, cache: Path, apply: Apply, proxy: str, password: str
) -> None:
    assert apply("alice", ticked("postgresql-cnpg")).code == 0
    assert ask(sandbox, cache, proxy, password) == (13,)


def test_with_the_box_ticked_for_these_pods_nothing_comes_through(
    sandbox: Sandbox, cache: Path, apply: Apply, proxy: str, password: str
) -> None:
    assert apply("alice", ticked(DATABASE)).code == 0
    with pytest.raises(psycopg.OperationalError, match="timeout expired"):
        ask(sandbox, cache, proxy, password)
