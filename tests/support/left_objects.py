"""The objects that the people of a sandbox have, to find what a test has left or removed."""

from __future__ import annotations

import contextlib
import time

from sspcloud_magics.cluster.api.resources import (
    JOBS,
    NETWORK_POLICIES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICES,
)
from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.cluster.requests.object_reads import list_metadata
from sspcloud_magics.cluster.requests.object_writes import delete_object
from tests.testbed import Sandbox

PEOPLE = ("alice", "bob", "carol")
KINDS = (SECRETS, SERVICES, ROLES, ROLE_BINDINGS, NETWORK_POLICIES, JOBS, PODS)


def list_objects(sandbox: Sandbox) -> set[str]:
    """Return the path of each object; left out are pods of a controller, whose names change."""
    found = set()
    for person in PEOPLE:
        with contextlib.closing(find_cluster(kubeconfig=sandbox.kubeconfig(person))) as cluster:
            found |= {
                f"{person}/{kind.plural}/{metadata['name']}"
                for kind in KINDS
                for metadata in list_metadata(cluster, kind)
                if kind is not PODS or not metadata.get("ownerReferences")
            }
    return found


def list_objects_at_rest(sandbox: Sandbox, expected: set[str]) -> set[str]:
    """Return the objects as soon as they are the expected ones; what is being deleted needs a moment."""
    found = list_objects(sandbox)
    deadline = time.monotonic() + 60
    while found != expected and time.monotonic() < deadline:
        found = list_objects(sandbox)
    return found


def delete_new_objects(sandbox: Sandbox, before: set[str]) -> None:
    """Delete the objects that have come since."""
    kinds = {kind.plural: kind for kind in KINDS}
    for path in list_objects(sandbox) - before:
        person, plural, name = path.split("/")
        with contextlib.closing(find_cluster(kubeconfig=sandbox.kubeconfig(person))) as cluster:
            delete_object(cluster, kinds[plural], name, cluster.namespace)
