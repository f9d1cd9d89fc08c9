"""Delete an object, after listing the objects that the garbage collector deletes with it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sspcloud_magics.cluster.api.api_errors import NotFound, report_malformed
from sspcloud_magics.cluster.api.resources import Attempt
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests.kinds import Kind, list_kinds
from sspcloud_magics.cluster.requests.object_reads import get_object, list_metadata
from sspcloud_magics.errors import ClusterError
from sspcloud_magics.i18n import _

# The kinds that own others, and their dependents: one request for each kind, and not for all hundred of a cluster.
_OWNED = (
    "replicasets",
    "statefulsets",
    "jobs",
    "pods",
    "services",
    "secrets",
    "configmaps",
    "roles",
    "rolebindings",
    "networkpolicies",
    "serviceaccounts",
    "persistentvolumeclaims",
    "poddisruptionbudgets",
    "ingresses",
)
# Seconds between two looks at an object that is being deleted.
_PAUSE = 0.3


@dataclass(frozen=True, slots=True)
class Removal:
    """An object to delete."""

    # The object; the namespace is None for a kind without namespaces.
    kind: Kind
    name: str
    namespace: str | None
    ref: str  # the object in kubectl's words
    dependents: tuple[str, ...]  # the objects that are deleted with it, in kubectl's words
    stranger: str  # why the object may not be yours to delete, in one sentence; empty if it is yours
    # Tells the object from a later one of the same name.
    uid: str = field(repr=False, default="")


def plan_removal(cluster: Cluster, kind: Kind, name: str, namespace: str | None) -> Removal:
    """Read an object and its dependents, before its deletion.

    Raises
    ------
    NotFound
        If it does not exist.
    Forbidden
        If you may not read it.
    ClusterError
        If the request fails.
    """
    item = get_object(cluster, kind.resource, name, namespace)
    with report_malformed(cluster):
        uid = str(item["metadata"].get("uid") or "")
        stranger = _find_stranger(cluster, kind, item)
    return Removal(
        kind, name, namespace, kind.ref(name), tuple(_dependents(cluster, uid, namespace)), stranger, uid
    )


def _find_stranger(cluster: Cluster, kind: Kind, item: Mapping[str, Any]) -> str:
    """Return why an object may not be the caller's to delete; empty if it seems to be."""
    metadata = item["metadata"]
    namespace = metadata.get("namespace")
    if kind.resource.plural == "namespaces":
        return _("It is a namespace: everything in it is deleted with it.")
    if not kind.resource.namespaced:
        return _("It belongs to the whole cluster.")
    if namespace != cluster.namespace:
        return _("It is in {namespace}; your namespace is {own}.", namespace=namespace, own=cluster.namespace)
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            ref = f"{str(owner.get('kind')).lower()}/{owner.get('name')}"
            return _("It belongs to {owner}, which may create it again.", owner=ref)
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    release = annotations.get("meta.helm.sh/release-name") or labels.get("app.kubernetes.io/instance")
    if labels.get("app.kubernetes.io/managed-by") == "Helm" or "meta.helm.sh/release-name" in annotations:
        return _(
            "It is a part of your service {release}, which you delete as a whole on the page of your services.",
            release=release or "?",
        )
    return ""


def _dependents(cluster: Cluster, uid: str, namespace: str | None) -> Iterator[str]:
    """Yield the dependents of an object, and theirs; kinds that you may not list are left out."""
    if not uid or namespace is None:
        return
    owned: dict[str, list[tuple[str, str]]] = {}
    kinds = {kind.resource.plural: kind for kind in reversed(list_kinds(cluster))}
    for plural in _OWNED:
        kind = kinds.get(plural)
        if kind is None:
            continue
        try:
            listed = list_metadata(cluster, kind.resource, namespace)
        except (ClusterError, NotFound):
            continue
        with report_malformed(cluster):
            for metadata in listed:
                found = kind.ref(metadata["name"]), str(metadata.get("uid"))
                for owner in metadata.get("ownerReferences") or ():
                    owned.setdefault(str(owner.get("uid")), []).append(found)
    waiting, seen = [uid], {uid}
    while waiting:
        for ref, inner in owned.get(waiting.pop(0), ()):
            if inner not in seen:
                seen.add(inner)
                waiting.append(inner)
                yield ref


def remove(cluster: Cluster, removal: Removal, *, dry_run: bool = False) -> None:
    """Delete an object; its dependents follow in the background.

    Raises
    ------
    NotFound
        If it no longer exists.
    Conflict
        If another object has its name by now.
    Forbidden
        If the permission is missing.
    """
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    options |= {"preconditions": {"uid": removal.uid}} if removal.uid else {}
    options |= {"dryRun": ["All"]} if dry_run else {}
    attempt = Attempt("delete", removal.kind.resource, removal.namespace, removal.name)
    cluster.api.ask(attempt, body=options, own=removal.namespace in (None, cluster.namespace))


def wait_until_gone(cluster: Cluster, removal: Removal, seconds: float) -> bool:
    """Wait until the server no longer has an object, and return whether it is gone."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            item = get_object(cluster, removal.kind.resource, removal.name, removal.namespace)
        except NotFound:
            return True
        if (item["metadata"].get("uid") or "") != removal.uid:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
