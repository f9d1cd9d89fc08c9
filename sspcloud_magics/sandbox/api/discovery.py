"""Discovery: the server's version, its API groups, and their resources.

kubectl requests the aggregated form (one request for everything), the Python clients the older one.

Source: KEP-3352 (aggregated discovery).
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from sspcloud_magics.sandbox.api.call import json_response
from sspcloud_magics.sandbox.api.status import no_such_path
from sspcloud_magics.sandbox.resources import RESOURCES, Resource
from sspcloud_magics.sandbox.store import Obj

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.1",
    "gitCommit": "sspcloud-magics-sandbox",
    "gitTreeState": "clean",
    "buildDate": "2026-07-14T10:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "linux/amd64",
}

# Kinds that are only created, and answered instead of stored.
REVIEWS: tuple[Resource, ...] = tuple(
    Resource(group, "v1", kind, kind.lower() + "s", kind.lower(), kind.startswith("Local"), verbs=("create",))
    for group, kind in (
        ("authentication.k8s.io", "SelfSubjectReview"),
        ("authentication.k8s.io", "TokenReview"),
        ("authorization.k8s.io", "LocalSubjectAccessReview"),
        ("authorization.k8s.io", "SelfSubjectAccessReview"),
        ("authorization.k8s.io", "SelfSubjectRulesReview"),
        ("authorization.k8s.io", "SubjectAccessReview"),
    )
)

# By subresource: kind and group of the response, and verbs.
_SUBRESOURCES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "attach": ("PodAttachOptions", "", ("create", "get")),
    "exec": ("PodExecOptions", "", ("create", "get")),
    "log": ("Pod", "", ("get",)),
    "portforward": ("PodPortForwardOptions", "", ("create", "get")),
    "scale": ("Scale", "autoscaling", ("get", "patch", "update")),
    "token": ("TokenRequest", "authentication.k8s.io", ("create",)),
}
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def health(*, ready: bool) -> web.Response:
    """Answer a request for ``/readyz``, ``/livez`` or ``/healthz``."""
    if ready:
        return web.Response(text="ok")
    checks = ["[+]ping ok", "[-]poststarthook/rbac/bootstrap-roles failed: reason withheld"]
    return web.Response(status=500, text="\n".join([*checks, "readyz check failed", ""]))


def discover(request: web.Request) -> web.Response:  # noqa: PLR0911 -- a table of paths
    """Answer a request for ``/version``, ``/api``, ``/apis`` or a path below them.

    Raise `ApiError` if there is nothing at that path.
    """
    aggregated = "as=APIGroupDiscoveryList" in request.headers.get("Accept", "").replace(" ", "")
    match [part for part in request.path.split("/") if part]:
        case ["version"]:
            return json_response(VERSION)
        case [("api" | "apis") as root] if aggregated:
            groups = [g for g in _groups() if (g == "") == (root == "api")]
            return json_response(_aggregate(groups), content_type=_AGGREGATED)
        case ["api"]:
            return json_response({"kind": "APIVersions", "versions": ["v1"]})
        case ["apis"]:
            named = [_group(group) for group in _groups() if group]
            return json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": named})
        case ["apis", group] if group in _groups():
            return json_response({"kind": "APIGroup", "apiVersion": "v1", **_group(group)})
        case ["api", "v1"]:
            return json_response(_resource_list(""))
        case ["apis", group, "v1"] if group in _groups():
            return json_response(_resource_list(group))
        case _:
            raise no_such_path()


def _groups() -> list[str]:
    return list(dict.fromkeys(resource.group for resource in (*RESOURCES, *REVIEWS)))


def _of_group(group: str) -> Iterable[Resource]:
    return (resource for resource in (*RESOURCES, *REVIEWS) if resource.group == group)


def _group(group: str) -> Obj:
    version = {"groupVersion": f"{group}/v1", "version": "v1"}
    return {"name": group, "versions": [version], "preferredVersion": version}


def _subresources(resource: Resource) -> Iterable[tuple[str, Obj, list[str]]]:
    """Yield the name of each subresource, the kind of its responses, and its verbs."""
    default = (resource.kind, resource.group, ("get", "patch", "update"))
    for name in resource.subresources:
        kind, group, verbs = _SUBRESOURCES.get(name, default)
        yield name, {"group": group, "version": "v1", "kind": kind}, list(verbs)


def _describe_use(resource: Resource) -> Obj:
    """Return the fields that are the same in both forms."""
    lists = {"verbs": resource.verbs, "shortNames": resource.short_names, "categories": resource.categories}
    return {name: list(values) for name, values in lists.items() if values}


def _resource_list(group: str) -> Obj:
    entries: list[Obj] = []
    for resource in _of_group(group):
        scope: Obj = {"namespaced": resource.namespaced}
        names = {"name": resource.plural, "singularName": resource.singular, "kind": resource.kind}
        entries.append({**names, **scope, **_describe_use(resource)})
        for name, kind, verbs in _subresources(resource):
            entries.append(
                {"name": f"{resource.plural}/{name}", "singularName": "", **scope, **kind, "verbs": verbs}
            )
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/v1" if group else "v1",
        "resources": sorted(entries, key=lambda entry: entry["name"]),
    }


def _aggregate(groups: Iterable[str]) -> Obj:
    items = []
    for group in groups:
        resources = [_aggregate_resource(resource) for resource in _of_group(group)]
        version = {"version": "v1", "resources": resources, "freshness": "Current"}
        items.append({"metadata": {"name": group, "creationTimestamp": None}, "versions": [version]})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregate_resource(resource: Resource) -> Obj:
    return {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": "v1", "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        **_describe_use(resource),
        "subresources": [
            {"subresource": name, "responseKind": kind, "verbs": verbs}
            for name, kind, verbs in _subresources(resource)
        ],
    }
