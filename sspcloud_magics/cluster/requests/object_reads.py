"""Read objects of the API server as plain dicts, and Secrets with hidden values."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sspcloud_magics.cluster.api.api_errors import Expired, NotFound, make_malformed_error, report_malformed
from sspcloud_magics.cluster.api.resources import ALL_NAMESPACES, SECRETS, Attempt, Resource
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.i18n import _
from sspcloud_magics.secret import Form, Secret, check_secret, without_frames

_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
PAGE = 500
"""Objects per page of a list, as in kubectl."""


def get_object(
    cluster: Cluster, resource: Resource, name: str, namespace: str | None = None
) -> dict[str, Any]:
    """Return an object.

    Raises
    ------
    NotFound
        If it does not exist.
    Forbidden
        If the permission is missing.
    ClusterError
        If the request fails.
    """
    where = (namespace or cluster.namespace) if resource.namespaced else None
    found = cluster.api.ask(Attempt("get", resource, where, name), own=where in (None, cluster.namespace))
    return _check_shape(found, cluster)


def list_objects(
    cluster: Cluster,
    resource: Resource,
    namespace: str | None = None,
    *,
    label_selector: str = "",
    field_selector: str = "",
) -> list[dict[str, Any]]:
    """Return all objects of a resource type, in the server's order.

    Parameters
    ----------
    resource
        The resource type, of `sspcloud_magics.cluster.api.resources`.
    namespace
        The namespace; the cluster's default if None; ``*`` for all.
    label_selector, field_selector
        Selectors in the API's syntax, such as ``app=x`` and ``metadata.name=x``.

    Raises
    ------
    Forbidden
        If the permission is missing.
    NotFound
        If the server does not know the resource type, for example because its operator is not installed.
    ClusterError
        If the request fails.
    """
    return list_with_version(cluster, resource, namespace, label_selector, field_selector)[0]


def list_with_version(
    cluster: Cluster,
    resource: Resource,
    namespace: str | None = None,
    label_selector: str = "",
    field_selector: str = "",
) -> tuple[list[dict[str, Any]], str]:
    """Return the objects of `list_objects`, and the resource version from which to watch them."""
    where: str | None = namespace or cluster.namespace
    if where == ALL_NAMESPACES or not resource.namespaced:
        where = None
    attempt = Attempt("list", resource, where)
    query = {"limit": str(PAGE)}
    if label_selector:
        query["labelSelector"] = label_selector
    if field_selector:
        query["fieldSelector"] = field_selector
    found: list[dict[str, Any]] = []
    while True:
        try:
            answer = cluster.api.ask(attempt, query=query, own=where == cluster.namespace)
        except Expired:
            if "limit" not in query:
                raise
            # The server no longer has the version of the first page: list without pages, as client-go does.
            found = []
            query = {key: value for key, value in query.items() if key not in ("limit", "continue")}
            continue
        items = answer.get("items")
        if not isinstance(items, list):
            raise make_malformed_error(cluster.server, _("It answered a list request with something else."))
        found += [_check_shape(item, cluster) for item in items]
        metadata = answer.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        more = metadata.get("continue")
        if not more:
            return found, str(metadata.get("resourceVersion") or "")
        if more == query.get("continue"):
            raise make_malformed_error(cluster.server, _("A page of its list refers to itself."))
        query["continue"] = str(more)


def list_metadata(cluster: Cluster, resource: Resource, namespace: str | None = None) -> list[dict[str, Any]]:
    """Return the metadata of all objects of a resource type, without the objects.

    Raises
    ------
    Forbidden, NotFound, ClusterError
        As `list_objects`.
    """
    where = (namespace or cluster.namespace) if resource.namespaced and namespace != ALL_NAMESPACES else None
    attempt = Attempt("list", resource, where)
    answer = cluster.api.ask(attempt, accept=_METADATA, own=where in (None, cluster.namespace))
    with report_malformed(cluster):
        return [_check_shape(item, cluster)["metadata"] for item in answer["items"] or ()]


def _check_shape(item: Any, cluster: Cluster) -> dict[str, Any]:
    """Return an object unchanged after checking the fields that all objects have."""
    metadata = item.get("metadata") if isinstance(item, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise make_malformed_error(cluster.server, _("It returned an object without a name."))
    parts = (item.get("spec"), item.get("status"), metadata.get("labels"), metadata.get("annotations"))
    if not all(part is None or isinstance(part, dict) for part in parts):
        raise make_malformed_error(
            cluster.server, _("Its object {name} is not a valid Kubernetes object.", name=metadata["name"])
        )
    shaped: dict[str, Any] = item
    return shaped


@dataclass(frozen=True, slots=True)
class SecretObject:
    """A Secret of the cluster."""

    # The fields of the object.
    name: str
    namespace: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    type: str
    raw: Mapping[str, Secret] = field(repr=False)  # the values as in the object (normally base64), hidden
    created: str = ""  # the creation time, in the server's format

    def value(self, key: str) -> Secret | None:
        """Return the decoded value of a key; None if it is missing, empty or not text."""
        raw = self.raw.get(key)
        if raw is None:
            return None
        try:
            return check_secret(
                base64.b64decode(raw.reveal(), validate=True).decode(), Form.PASSWORD, ValueError
            )
        except ValueError:  # also the base class of base64's and UTF-8's errors
            return None


@without_frames
def secrets(cluster: Cluster, namespace: str | None = None) -> list[SecretObject]:
    """Return the Secrets of a namespace.

    Raises
    ------
    Forbidden
        If the permission to list them is missing; `secret` may still read a single one.
    """
    listed = list_objects(cluster, SECRETS, namespace)
    with report_malformed(cluster):
        return [_hide_values(item) for item in listed]


@without_frames
def secret(cluster: Cluster, name: str, namespace: str | None = None) -> SecretObject | None:
    """Return a Secret; None if it does not exist.

    Raises
    ------
    Forbidden
        If the permission to read it is missing.
    """
    try:
        found = get_object(cluster, SECRETS, name, namespace)
    except NotFound:
        return None
    with report_malformed(cluster):
        return _hide_values(found)


def _hide_values(item: dict[str, Any]) -> SecretObject:
    metadata = item["metadata"]
    data = item.pop("data", None)
    data = data if isinstance(data, dict) else {}
    return SecretObject(
        name=metadata["name"],
        namespace=metadata["namespace"],
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        type=item.get("type", ""),
        created=metadata.get("creationTimestamp") or "",
        raw={key: Secret(value) for key, value in data.items() if isinstance(value, str)},
    )
