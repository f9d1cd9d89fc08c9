"""Create, update, apply and delete objects of the cluster, as plain dicts.

`apply_object` makes an interrupted command safe to run again: it creates missing objects, updates those that differ,
and leaves the others unchanged.
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
"""The fields that the client sets; the others belong to the server."""

# Attempts to apply an object that other sessions change at the same time.
_TRIES = 4


def create_object(cluster: Cluster, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
    """Create an object in the namespace of its metadata, and return the server's version of it.

    Raises
    ------
    Forbidden
        If the permission is missing.
    Conflict
        If an object of that name exists.
    ServerError
        If the server refuses it.
    """
    namespace = body["metadata"]["namespace"]
    own = namespace == cluster.namespace
    return cluster.api.ask(Attempt("create", resource, namespace), body=body, own=own)


def update_object(cluster: Cluster, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
    """Replace an object by `body`, which has the resource version that was read, and return it.

    Raises
    ------
    NotFound, Forbidden
        If it no longer exists, or the permission is missing.
    Conflict
        If another client has changed it since.
    ServerError
        If the server refuses it.
    """
    metadata = body["metadata"]
    own = metadata["namespace"] == cluster.namespace
    attempt = Attempt("update", resource, metadata["namespace"], metadata["name"])
    return cluster.api.ask(attempt, body=body, own=own)


def delete_object(cluster: Cluster, resource: Resource, name: str, namespace: str) -> bool:
    """Delete an object, and its dependents in the background; return whether it existed.

    Raises
    ------
    Forbidden
        If the permission is missing.
    """
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    attempt = Attempt("delete", resource, namespace, name)
    try:
        cluster.api.ask(attempt, body=options, own=namespace == cluster.namespace)
    except NotFound:
        return False
    return True


def apply_object(cluster: Cluster, resource: Resource, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Create an object, or update the one of that name to match `wanted`; return it.

    Labels and annotations are merged with the existing ones; owner references are replaced. The values of a Secret may be
    hidden in `sspcloud_magics.secret.Secret`.

    Raises
    ------
    Forbidden
        If a permission is missing.
    ServerError
        If the server refuses it.
    """
    for _ in range(_TRIES - 1):
        try:
            return _apply_once(cluster, resource, wanted)
        except Conflict:
            continue  # another session of the same owner has changed it at the same time
    return _apply_once(cluster, resource, wanted)


def _apply_once(cluster: Cluster, resource: Resource, wanted: Mapping[str, Any]) -> dict[str, Any]:
    metadata = wanted["metadata"]
    try:
        found = _hide_values(get_object(cluster, resource, metadata["name"], metadata["namespace"]))
    except NotFound:
        return create_object(cluster, resource, wanted)
    merged = _merge(found, wanted)
    return found if merged == found else update_object(cluster, resource, merged)


def _hide_values(found: dict[str, Any]) -> dict[str, Any]:
    """Hide the values of a Secret from tracebacks and debuggers."""
    if found.get("kind") == "Secret" and "data" in found:
        found["data"] = {key: Secret(value) for key, value in found["data"].items()}
    return found


def _merge(found: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    new, metadata = wanted["metadata"], {**found["metadata"]}
    for part in ("labels", "annotations"):
        if new.get(part):
            metadata[part] = {**(metadata.get(part) or {}), **new[part]}
    if "ownerReferences" in new:
        metadata["ownerReferences"] = new["ownerReferences"]
    ours = {part: wanted[part] for part in _OURS if part in wanted}
    return {**found, **ours, "metadata": metadata}
