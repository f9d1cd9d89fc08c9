"""The kinds of objects that the server knows, custom ones too, by the names that kubectl accepts.

Two requests list all of them (KEP-3352, aggregated discovery; Kubernetes 1.26). An older server is asked once per group.
The list is kept with the connections to the server, in memory only.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#discovery
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from sspcloud_magics.cluster.api.api_errors import report_malformed
from sspcloud_magics.cluster.api.client import ApiClient
from sspcloud_magics.cluster.api.resources import Attempt, Resource
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.errors import ClusterError, TargetNotFound
from sspcloud_magics.i18n import _
from sspcloud_magics.spelling import nearest

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_ACCEPT = f"{_AGGREGATED},{_AGGREGATED.replace('v=v2', 'v=v2beta1')},application/json"
# Seconds before the kinds are read again for a name that is not among them: an operator may have been installed.
_FRESH = 10.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object."""

    kind: str  # the name in manifests, such as ``Deployment``
    resource: Resource  # the resource type, in the server's preferred version
    # Other names that kubectl accepts, such as ``deployment`` and ``deploy``.
    singular: str
    short_names: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()  # the verbs that the server offers

    @property
    def api_version(self) -> str:
        """The group and the version, as in a manifest."""
        return f"{self.resource.group}/{self.resource.version}".lstrip("/")

    def ref(self, name: str) -> str:
        """Return an object in kubectl's words: ``pod/web-1``, ``deployment.apps/web``."""
        return f"{'.'.join(filter(None, [self.singular, self.resource.group]))}/{name}"


_known: WeakKeyDictionary[ApiClient, tuple[float, list[Kind]]] = WeakKeyDictionary()


def list_kinds(cluster: Cluster, *, fresh: float = float("inf")) -> list[Kind]:
    """Return the kinds of the server, those of the core group first.

    Parameters
    ----------
    fresh
        The age in seconds up to which an earlier list is returned.

    Raises
    ------
    ClusterError
        If a request fails.
    """
    read_at, kinds = _known.get(cluster.api, (float("-inf"), []))
    if not kinds or time.monotonic() - read_at > fresh:
        kinds = [*_read(cluster, "/api"), *_read(cluster, "/apis")]
        _known[cluster.api] = time.monotonic(), kinds
    return kinds


def find_kind(cluster: Cluster, text: str) -> Kind:
    """Return the kind that a word means, as in kubectl: ``po``, ``pods``, ``Pod``, ``deployments.apps``.

    Raises
    ------
    TargetNotFound
        If the server knows no such kind; names the nearest.
    ClusterError
        If a request fails.
    """
    word, _dot, group = text.strip().lower().partition(".")
    for fresh in (float("inf"), _FRESH):
        kinds = list_kinds(cluster, fresh=fresh)
        for kind in kinds:
            names = {kind.resource.plural, kind.singular, kind.kind.lower(), *kind.short_names}
            in_group = kind.resource.group.startswith(group.removeprefix(kind.resource.version).lstrip("."))
            if word in names and (not group or in_group):
                return kind
    known = [name for kind in kinds for name in (kind.resource.plural, kind.singular)]
    raise _make_unknown(text, nearest(word, known))


def find_manifest_kind(cluster: Cluster, api_version: str, kind: str) -> Kind:
    """Return the kind of a manifest.

    Raises
    ------
    TargetNotFound
        If the server knows no such kind in that version; names the nearest.
    ClusterError
        If a request fails.
    """
    for fresh in (float("inf"), _FRESH):
        kinds = list_kinds(cluster, fresh=fresh)
        for each in kinds:
            if each.kind == kind and each.api_version == api_version:
                return each
    same = [each.api_version for each in kinds if each.kind == kind]
    if same:
        raise TargetNotFound(
            _("The server has no {kind} in {version}.", kind=kind, version=api_version),
            hint=_("write apiVersion: {version}", version=same[0]),
        )
    raise _make_unknown(kind, nearest(kind, [each.kind for each in kinds]))


def _make_unknown(text: str, near: str) -> TargetNotFound:
    return TargetNotFound(
        _("The server has no kind {kind}.", kind=text),
        hint=_("did you mean {name}?", name=near)
        if near
        else _("%k8s_get kinds   lists the kinds of the server"),
    )


def _read(cluster: Cluster, root: str) -> list[Kind]:
    answer = _get(cluster, root, _ACCEPT)
    with report_malformed(cluster):
        if answer.get("kind") == "APIGroupDiscoveryList":
            return list(_read_aggregated(answer))
    if root == "/api":
        groups = {"": "v1"}
    else:
        with report_malformed(cluster):
            groups = {
                each["name"]: each["preferredVersion"]["version"] for each in answer.get("groups") or ()
            }
    found: list[Kind] = []
    for group, version in groups.items():
        try:
            listed = _get(cluster, f"{root}/{group}/{version}".replace("//", "/"))
        except (ClusterError, TargetNotFound):
            continue  # a group whose own server is down
        with report_malformed(cluster):
            found += _read_resource_list(group, version, listed)
    return found


def _get(cluster: Cluster, path: str, accept: str = "application/json") -> dict[str, Any]:
    return cluster.api.ask(Attempt("get", Resource(path, namespaced=False)), accept=accept)


def _read_aggregated(answer: dict[str, Any]) -> Iterator[Kind]:
    for group in answer.get("items") or ():
        name = group["metadata"].get("name") or ""
        for version in group.get("versions") or ():  # the preferred one first
            for each in version.get("resources") or ():
                kind = (each.get("responseKind") or {}).get("kind")
                namespaced = each["scope"] == "Namespaced"
                resource = Resource(each["resource"], name, version["version"], namespaced=namespaced)
                if kind:
                    yield _make_kind(kind, resource, each.get("singularResource"), each)


def _read_resource_list(group: str, version: str, answer: dict[str, Any]) -> Iterator[Kind]:
    for each in answer.get("resources") or ():
        if "/" not in each["name"]:
            resource = Resource(each["name"], group, version, namespaced=bool(each["namespaced"]))
            yield _make_kind(each["kind"], resource, each.get("singularName"), each)


def _make_kind(kind: str, resource: Resource, singular: str | None, names: dict[str, Any]) -> Kind:
    shorts: Iterable[str] = names.get("shortNames") or ()
    verbs: Iterable[str] = names.get("verbs") or ()
    return Kind(kind, resource, singular or kind.lower(), tuple(shorts), tuple(verbs))
