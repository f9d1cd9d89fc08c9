"""Create, update, apply and delete objects on the sandbox; repeated calls have the same result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sspcloud_magics.cluster.api.api_errors import NotFound
from sspcloud_magics.cluster.api.resources import ROLES
from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.cluster.requests.object_reads import get_object
from sspcloud_magics.cluster.requests.object_writes import (
    apply_object,
    create_object,
    delete_object,
    update_object,
)
from sspcloud_magics.errors import Forbidden, ServerError
from tests.testbed import Sandbox

NAME = "readers-of-nothing"


def role(*verbs: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": NAME, "namespace": "user-alice", **metadata},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": list(verbs)}],
    }


@pytest.fixture
def alice(sandbox: Sandbox) -> Iterator[Cluster]:
    cluster = find_cluster(kubeconfig=sandbox.kubeconfig("alice"), environ={})
    yield cluster
    delete_object(cluster, ROLES, NAME, "user-alice")
    cluster.close()


def version(found: dict[str, Any]) -> str:
    return str(found["metadata"]["resourceVersion"])


def test_an_object_is_made_once_and_removed_once(alice: Cluster) -> None:
    create_object(alice, ROLES, role("get"))
    with pytest.raises(ServerError, match="already exists"):
        create_object(alice, ROLES, role("get"))
    assert delete_object(alice, ROLES, NAME, "user-alice")
    assert not delete_object(alice, ROLES, NAME, "user-alice")
    with pytest.raises(NotFound):
        get_object(alice, ROLES, NAME, "user-alice")


def test_applied_twice_nothing_changes(alice: Cluster) -> None:
    first = apply_object(alice, ROLES, role("get"))
    assert version(apply_object(alice, ROLES, role("get"))) == version(first)


def test_difference_is_written_and_others_fields_stay(alice: Cluster) -> None:
    apply_object(alice, ROLES, role("get", labels={"theirs": "stays"}))
    changed = apply_object(alice, ROLES, role("list", labels={"ours": "added"}))
    assert changed["rules"][0]["verbs"] == ["list"]
    assert changed["metadata"]["labels"] == {"theirs": "stays", "ours": "added"}


def test_old_version_does_not_overwrite_a_newer_one(alice: Cluster) -> None:
    old = apply_object(alice, ROLES, role("get"))
    apply_object(alice, ROLES, role("list"))
    with pytest.raises(ServerError, match="409"):
        update_object(alice, ROLES, old | {"rules": []})


def test_what_one_may_not_make_is_named(sandbox: Sandbox) -> None:
    bob = find_cluster(kubeconfig=sandbox.kubeconfig("bob"), environ={})
    with pytest.raises(Forbidden, match=r"You may not create roles .*in user-alice"):
        create_object(bob, ROLES, role("get"))
    with pytest.raises(Forbidden, match="delete the role"):
        delete_object(bob, ROLES, NAME, "user-alice")
    bob.close()
