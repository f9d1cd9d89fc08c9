"""The parts of the OpenAPI specification that clients use.

kubectl reads three things in version 3: whether patches accept ``fieldValidation`` (otherwise it validates on
its own), the merge keys of lists (for ``apply``), and the descriptions (for ``explain``). Version 2 must exist, in
protobuf: without it, kubectl prints a wrong error for a List, or for a file with a kind that the sandbox lacks.

Source: KEP-2896 (OpenAPI v3).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from functools import cache
from typing import Any

from aiohttp import web

from sspcloud_magics.sandbox.api.patch import APPLY, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE
from sspcloud_magics.sandbox.api.schema import definition_of, schemas
from sspcloud_magics.sandbox.api.status import no_such_path
from sspcloud_magics.sandbox.resources import RESOURCES, Resource
from sspcloud_magics.sandbox.store import Obj

_VERSION_2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# Swagger version "2.0", title and version of the server, and no paths.
_VERSION_2 = b"\x0a\x032.0\x12\x13\x0a\x0aKubernetes\x12\x05v1.36\x42\x00"


async def describe(request: web.Request) -> web.Response:
    """Answer a request below ``/openapi``; raise `ApiError` if there is nothing at that path."""
    path = request.path.removeprefix("/openapi/").rstrip("/")
    if path == "v2":
        return web.Response(body=_VERSION_2, content_type=_VERSION_2_TYPE)
    if path == "v3":
        body = await asyncio.to_thread(_index)
    elif path.removeprefix("v3/") in _paths():
        body = await asyncio.to_thread(_group_version, path.removeprefix("v3/"))
    else:
        raise no_such_path()
    return web.Response(body=body, content_type="application/json")


def _paths() -> dict[str, tuple[str, str]]:
    groups = dict.fromkeys((resource.group, resource.version) for resource in RESOURCES)
    return {(f"apis/{g}/{v}" if g else f"api/{v}"): (g, v) for g, v in groups}


@cache
def _index() -> bytes:
    entries = {}
    for path in _paths():
        digest = hashlib.sha256(_group_version(path)).hexdigest().upper()
        entries[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return json.dumps({"paths": entries}).encode()


@cache
def _group_version(path: str) -> bytes:
    here = [r for r in RESOURCES if (r.group, r.version) == _paths()[path]]
    return json.dumps(
        {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1.36.1"},
            "paths": {k: v for resource in here for k, v in _resource_paths(path, resource).items()},
            "components": {"schemas": schemas()},
        }
    ).encode()


def _resource_paths(root: str, resource: Resource) -> dict[str, Obj]:
    """Return the operations that kubectl looks for: ``explain`` needs a list, everything else the patch."""
    place = "/namespaces/{namespace}" if resource.namespaced else ""
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    schema = {"schema": {"$ref": f"#/components/schemas/{definition_of(resource)}"}}
    string = {"schema": {"type": "string", "uniqueItems": True}}
    parameters = ("dryRun", "fieldManager", "fieldValidation")
    patches = [APPLY, JSON_PATCH, MERGE_PATCH, *([] if resource.is_custom else [STRATEGIC_MERGE])]

    def operation(action: str, **more: Any) -> Obj:
        responses = {"200": {"description": "OK", "content": {"application/json": schema}}}
        about = {"x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind}
        return {**about, "responses": responses, **more}

    patch = operation(
        "patch",
        parameters=[{"name": name, "in": "query", **string} for name in parameters],
        requestBody={"content": dict.fromkeys(patches, schema)},
    )
    collection = f"/{root}{place}/{resource.plural}"
    return {collection: {"get": operation("list")}, collection + "/{name}": {"patch": patch}}
