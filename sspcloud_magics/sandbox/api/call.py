"""A request for a resource, as the handlers receive it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml
from aiohttp import web

from sspcloud_magics.sandbox.api import protobuf
from sspcloud_magics.sandbox.api.rendering import ResponseForm, encode_json, parse_accept
from sspcloud_magics.sandbox.api.request_info import RequestInfo
from sspcloud_magics.sandbox.api.status import (
    bad_request,
    make_forbidden,
    make_forbidden_path,
    make_unsupported_media_type,
)
from sspcloud_magics.sandbox.auth.authenticator import Authenticator
from sspcloud_magics.sandbox.auth.rbac import Attributes, decide
from sspcloud_magics.sandbox.auth.users import User
from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import Obj, Store

if TYPE_CHECKING:
    from sspcloud_magics.sandbox.node.kubelet import Node

BODY_TYPES = ("application/json", "application/yaml", protobuf.MEDIA_TYPE)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The parts of the cluster behind the API server; `rbac_store` is the store whose RBAC rules it has read."""

    store: Store
    node: Node
    auth: Authenticator
    rbac_store: Store


@dataclass(frozen=True, slots=True)
class Call:
    """One request for a resource; `warnings` collects the ``Warning`` headers of the response."""

    cluster: Cluster
    request: web.Request
    user: User
    info: RequestInfo
    resource: Resource
    warnings: list[str] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """The store of all objects."""
        return self.cluster.store

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the URL."""
        return self.request.query

    @property
    def namespace(self) -> str:
        """The namespace of the objects, empty for cluster-scoped kinds."""
        return self.info.namespace if self.resource.namespaced else ""

    @property
    def dry_run(self) -> bool:
        """Whether the request must not change anything."""
        values = self.request.query.getall("dryRun", [])
        if any(value != "All" for value in values):
            raise bad_request(f"Invalid value: {json.dumps(values)}: must be [All]")
        return bool(values)

    def flag(self, name: str) -> bool:
        """Return whether a parameter of the URL is set."""
        return self.query.get(name) in ("true", "1")

    def integer(self, name: str) -> int | None:
        """Return a parameter of the URL as a number, None if it is missing; raise `ApiError` if it is not one."""
        text = self.query.get(name)
        try:
            return int(text) if text else None
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    @property
    def view(self) -> ResponseForm:
        """The form in which the client wants objects."""
        return parse_accept(self.request.headers.get("Accept", ""), self.query.get("includeObject", ""))

    async def body(self) -> Obj:
        """Return the object in the body; raise `ApiError` if it cannot be decoded, or is not an object."""
        content_type = self.request.content_type
        if content_type not in (*BODY_TYPES, "application/octet-stream", "text/plain"):
            raise make_unsupported_media_type(BODY_TYPES)
        return read_object(await self.request.read(), content_type)

    def answer(self, value: Mapping[str, Any], *, status: int = 200) -> web.Response:
        """Return a response with a JSON body and the collected warnings."""
        response = json_response(value, status=status)
        for warning in self.warnings:
            response.headers.add("Warning", f'299 - "{warning}"')
        return response

    def answer_object(self, obj: Obj, *, status: int = 200) -> web.Response:
        """Return a response with one object, in the form that the client wants."""
        return self.answer(self.view.object(self.resource, obj), status=status)


def check_allowed(rbac_store: Store, user: User, asked: Attributes) -> None:
    """Raise `ApiError` 403 if a user has no permission for an action."""
    decision = decide(rbac_store, user, asked)
    if decision.allowed:
        return
    if asked.path:
        why = f'User "{user.name}" cannot {asked.verb} path "{asked.path}"'
    else:
        where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
        why = (
            f'User "{user.name}" cannot {asked.verb} resource "{asked.full_resource}" '
            f'in API group "{asked.group}" {where}'
        )
    if decision.reason:
        why += f": {decision.reason}"
    if asked.path:
        raise make_forbidden_path(why)
    raise make_forbidden(asked.group, asked.resource, asked.name, why)


def json_response(
    value: Mapping[str, Any], *, status: int = 200, content_type: str = "application/json"
) -> web.Response:
    """Return a response with a JSON body."""
    return web.Response(
        body=encode_json(value),
        status=status,
        headers={"Content-Type": content_type, "Cache-Control": "no-cache, private"},
    )


def read_object(data: bytes, content_type: str) -> Obj:
    """Return the object in a body; raise `ApiError` if it cannot be decoded, or is not an object."""
    try:
        if content_type == protobuf.MEDIA_TYPE:
            return protobuf.read_protobuf(data)
        value = yaml.safe_load(data) if content_type == "application/yaml" else json.loads(data or b"null")
        if content_type == "application/yaml":  # Go's parser refuses escaped surrogates
            json.dumps(value, ensure_ascii=False, default=str).encode()
    except protobuf.Undecodable:
        raise make_unsupported_media_type(BODY_TYPES[:2]) from None
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the body could not be read: {error}") from None
    if not isinstance(value, dict):
        raise bad_request(
            f"couldn't get version/kind; json parse error: json: cannot unmarshal {json_type(value)} into Go "
            "value of type struct { APIVersion string; Kind string }"
        )
    return value


def json_type(value: Any) -> str:
    """Return the JSON name of a value's type."""
    names = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    return names.get(type(value), "null")
