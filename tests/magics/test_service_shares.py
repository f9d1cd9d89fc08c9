"""``%share svc/NAME``: the network or the forward to a service, its end, and what a colleague may do with it."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from sspcloud_magics import errors, session
from sspcloud_magics.cluster.api.resources import (
    JOBS,
    NETWORK_POLICIES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SERVICES,
    STATEFULSETS,
    Resource,
)
from sspcloud_magics.cluster.requests.object_reads import list_objects
from sspcloud_magics.cluster.requests.object_writes import apply_object, delete_object
from sspcloud_magics.cluster.requests.permissions import may
from sspcloud_magics.sharing import services
from tests.magics.conftest import Notebook
from tests.support.closed_service import CLOSED
from tests.support.waiting import wait_until
from tests.testbed import Sandbox

ALICE = "user-alice"
# A StatefulSet, whose pods keep their names, and its service.
SET = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "front", "namespace": ALICE},
    "spec": {
        "serviceName": "front",
        "replicas": 2,
        "selector": {"matchLabels": {"app": "front"}},
        "template": {
            "metadata": {"labels": {"app": "front"}},
            "spec": {
                "containers": [
                    {
                        "name": "front",
                        "image": "ghcr.io/ensai/mon-api:1.0",
                        "ports": [{"name": "http", "containerPort": 8000}],
                    }
                ]
            },
        },
    },
}
FRONT = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "front", "namespace": ALICE},
    "spec": {"selector": {"app": "front"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
}


@pytest.fixture
def act(notebook: Notebook, sandbox: Sandbox) -> Callable[[str], Notebook]:
    """Return the notebook with the identity of a person."""

    def become(person: str) -> Notebook:
        notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig(person)}")
        return notebook

    return become


@pytest.fixture
def closed(act: Callable[[str], Notebook]) -> Iterator[None]:
    """A network policy that closes mon-api to other namespaces."""
    act("alice")
    apply_object(session.current_cluster(), NETWORK_POLICIES, CLOSED)
    yield
    act("alice").run("%unforward --all")
    delete_object(session.current_cluster(), NETWORK_POLICIES, "mon-api-closed", ALICE)


@pytest.fixture
def front(act: Callable[[str], Notebook]) -> Iterator[None]:
    """A service of two pods with fixed names, as the StatefulSet of a catalogue's service has."""
    act("alice")
    cluster = session.current_cluster()
    apply_object(cluster, STATEFULSETS, SET)
    apply_object(cluster, SERVICES, FRONT)
    wait_until(lambda: len(list_objects(cluster, PODS, ALICE, label_selector="app=front")) == 2)
    yield
    act("alice").run("%unforward --all")
    delete_object(session.current_cluster(), SERVICES, "front", ALICE)
    delete_object(session.current_cluster(), STATEFULSETS, "front", ALICE)


def names(resource: Resource) -> list[str]:
    """Return the names of the objects of shares of services."""
    listed = list_objects(session.current_cluster(), resource, ALICE, label_selector=services._OURS)
    return [item["metadata"]["name"] for item in listed]


def read_health(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        return int(answer.status)


def test_network_is_open_to_the_colleague_alone(act: Callable[[str], Notebook], closed: None) -> None:
    refused = act("bob").fail("%forward user-alice/svc/mon-api :80")
    assert isinstance(refused, errors.Forbidden)
    assert "%share svc/mon-api --with bob" in refused.hint

    shared = act("alice").run("%share svc/mon-api --with bob --for 2d")
    assert "bob may reach port 80 of svc/mon-api for 2 days" in shared.granted
    assert shared.line == "%forward user-alice/svc/mon-api 80"
    assert "no login" in shared.notes[0]
    assert names(NETWORK_POLICIES) == names(JOBS) == ["svc-mon-api-share-bob"]
    assert names(ROLES) == names(ROLE_BINDINGS) == []

    bob = act("bob")
    opened = bob.run("%forward user-alice/svc/mon-api :80")
    assert read_health(opened.local_port) == 200
    assert not may(session.current_cluster(), "list", PODS, ALICE)
    opened.stop()
    assert isinstance(act("carol").fail("%forward user-alice/svc/mon-api :80"), errors.Forbidden)

    listed = act("alice").run("%shares")
    [row] = listed[listed["database"] == "svc/mon-api"].to_dict("records")
    assert (row["colleague"], row["access"], row["state"]) == ("bob", "network:80", "open")
    assert len(act("alice").run("%shares svc/mon-api")) == 1
    said = str(act("alice").run("%unshare svc/mon-api bob"))
    assert said.startswith("svc/mon-api is no longer shared with bob.")
    wait_until(lambda: not names(NETWORK_POLICIES))
    assert isinstance(act("bob").fail("%forward user-alice/svc/mon-api :80"), errors.Forbidden)


def test_policy_admits_one_port_and_nothing_more(act: Callable[[str], Notebook], closed: None) -> None:
    shared = act("alice").run("%share svc/mon-api http --with bob projet-x --dry-run")
    assert names(JOBS) == []
    first = shared.shares[0].manifests("uid")[0]
    assert first["spec"] == {
        "podSelector": {"matchLabels": {"app": "mon-api"}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "user-bob"}}}],
                "ports": [{"protocol": "TCP", "port": "http"}],
            }
        ],
    }
    assert first["metadata"]["ownerReferences"][0]["kind"] == "Job"
    text = str(shared)
    assert "Nothing was done." in text
    assert "kind: NetworkPolicy" in text
    assert "In PostgreSQL" not in text


def test_open_service_needs_no_object(act: Callable[[str], Notebook]) -> None:
    shared = act("alice").run("%share svc/mon-api --with bob")
    assert shared.is_open
    assert "open to every namespace" in shared.granted
    assert str(shared).splitlines()[-1].strip() == "%forward user-alice/svc/mon-api 80"
    assert names(JOBS) == []


def test_forward_is_granted_by_exact_names(act: Callable[[str], Notebook], front: None) -> None:
    refused = act("alice").fail("%share svc/mon-api --with bob --via forward")
    assert "ReplicaSet/mon-api-abcdef" in str(refused)
    shared = act("alice").run("%share svc/front --with bob --via forward")
    assert "opens every port of the pods front-0 and front-1" in shared.notes[0]
    role = shared.shares[0].manifests("uid")[0]
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["endpoints"],
            "verbs": ["get", "list", "watch"],
            "resourceNames": ["front"],
        },
        {
            "apiGroups": [""],
            "resources": ["pods/portforward"],
            "verbs": ["get", "create"],
            "resourceNames": ["front-0", "front-1"],
        },
    ]
    assert names(NETWORK_POLICIES) == []

    assert shared.line == "%forward user-alice/svc/front 8000"
    opened = act("bob").run("%forward user-alice/svc/front :8000")
    assert read_health(opened.local_port) == 200
    cluster = session.current_cluster()
    for name in ("front-0", "front-1"):
        assert may(cluster, "create", PODS, ALICE, name=name, subresource="portforward")
    for name in ("front-2", "mon-api-abcdef-12345", ""):
        assert not may(cluster, "create", PODS, ALICE, name=name, subresource="portforward")

    act("alice").run("%share svc/front --with bob --via network --dry-run")
    act("alice").run("%unshare svc/front --all")
    wait_until(lambda: not names(ROLES))
    act("bob")
    assert not may(
        session.current_cluster(), "create", PODS, ALICE, name="front-0", subresource="portforward"
    )


def test_share_ends_by_its_job(act: Callable[[str], Notebook], closed: None) -> None:
    act("alice").run("%share svc/mon-api --with bob --for 2s")
    wait_until(lambda: not names(JOBS) and not names(NETWORK_POLICIES))


def test_colleague_cannot_share_what_is_not_theirs(act: Callable[[str], Notebook], closed: None) -> None:
    act("alice").run("%share svc/mon-api --with bob")
    try:
        refused = act("bob").fail("%share user-alice/svc/mon-api --with carol")
        assert isinstance(refused, errors.Forbidden)
        with pytest.raises(errors.Forbidden):
            act("bob").run("%unshare user-alice/svc/mon-api --all")
    finally:
        act("alice").run("%unshare svc/mon-api --all")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mon-api --with bob", "%share svc/NAME"),
        ("svc/nothing --with bob", "no service 'nothing'"),
        ("svc/mon-api 81 --with bob", "no port 81"),
        ("svc/mon-api --with alice", "is you"),
        ("svc/mon-api --with Bob!", "not the name"),
    ],
)
def test_wrong_line_is_explained(act: Callable[[str], Notebook], line: str, said: str) -> None:
    assert said in str(act("alice").fail(f"%share {line}"))


def test_unknown_share_is_not_found(act: Callable[[str], Notebook]) -> None:
    assert "svc/mon-api is not shared with bob." in str(act("alice").fail("%unshare svc/mon-api bob"))
