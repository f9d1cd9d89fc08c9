"""Making, changing and removing objects of the cluster: plain dicts, as the API server has them.

`apply` is what makes a command that was interrupted safe to run again: what is missing is made, what
differs is changed, what is right is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sspcloud_magics.cluster.api.api_errors import Conflict, NotFound
from sspcloud_magics.cluster.api.resources import Attempt, Resource
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests.object_reads import get_object
from sspcloud_magics.secret import Secret

_OURS = ("spec", "data", "rules", "roleRef", "subjects", "type")
"""The parts of an object that its maker decides; the rest is the server's."""

_TRIES = 4


def create_object(cluster: Cluster, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
    """Make an object in the namespace that it names, and return it as the server has it.

    Raises
    ------
    Forbidden
        If the right is missing.
    Conflict
        If one of that name is there.
    ServerError
        If the server refuses it.
    """
    namespace = body["metadata"]["namespace"]
    own = namespace == cluster.namespace
    return cluster.api.ask(Attempt("create", resource, namespace), body=body, own=own)


def update_object(cluster: Cluster, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
    """Replace an object by `body`, which carries the version that was read, and return it.

    Raises
    ------
    NotFound, Forbidden
        If it is gone, or the right is missing.
    Conflict
        If somebody has changed it since.
    ServerError
        If the server refuses it.
    """
    metadata = body["metadata"]
    own = metadata["namespace"] == cluster.namespace
    attempt = Attempt("update", resource, metadata["namespace"], metadata["name"])
    return cluster.api.ask(attempt, body=body, own=own)


def delete_object(cluster: Cluster, resource: Resource, name: str, namespace: str) -> bool:
    """Remove an object, and in the background what it owns; return whether it was there.

    Raises
    ------
    Forbidden
        If the right is missing.
    """
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    attempt = Attempt("delete", resource, namespace, name)
    try:
        cluster.api.ask(attempt, body=options, own=namespace == cluster.namespace)
    except NotFound:
        return False
    return True


def apply_object(cluster: Cluster, resource: Resource, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Make an object, or change the one of that name until it is as `wanted`; return it.

    Labels and annotations are added to those that are there; owner references are set. The values of a Secret may be
    hidden in `sspcloud_magics.secret.Secret`.

    Raises
    ------
    Forbidden
        If a right is missing.
    ServerError
        If the server refuses it.
    """
    for _ in range(_TRIES - 1):
        try:
            return _apply_once(cluster, resource, wanted)
        except Conflict:
            continue  # another session of the same owner is at it, too
    return _apply_once(cluster, resource, wanted)


def _apply_once(cluster: Cluster, resource: Resource, wanted: Mapping[str, Any]) -> dict[str, Any]:
    metadata = wanted["metadata"]
    try:
        found = _hide_values(get_object(cluster, resource, metadata["name"], metadata["namespace"]))
    except NotFound:
        return create_object(cluster, resource, wanted)
    changed = _has_changed(found, wanted)
    return found if changed == found else update_object(cluster, resource, changed)


def _hide_values(found: dict[str, Any]) -> dict[str, Any]:
    """Hide the values of a Secret from whatever shows variables."""
    if found.get("kind") == "Secret" and "data" in found:
        found["data"] = {key: Secret(value) for key, value in found["data"].items()}
    return found


def _has_changed(found: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    said, has = wanted["metadata"], found["metadata"]
    metadata = {**has}
    for part in ("labels", "annotations"):
        if said.get(part):
            metadata[part] = {**(has.get(part) or {}), **said[part]}
    if "ownerReferences" in said:
        metadata["ownerReferences"] = said["ownerReferences"]
    ours = {part: wanted[part] for part in _OURS if part in wanted}
    return {**found, **ours, "metadata": metadata}
