"""The API server as an aiohttp application: authentication, authorization and dispatch to handlers.

All requests pass the same stages: authentication (401), impersonation, authorization (403), then the lookup
of the resource (404) and of the verb (405). Handlers are functions of a `Call`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from sspcloud_magics.sandbox.api import deletion, discovery, objects, openapi, status, subresources
from sspcloud_magics.sandbox.api.call import Call, Cluster, check_allowed, json_response
from sspcloud_magics.sandbox.api.listing import list_objects
from sspcloud_magics.sandbox.api.quota import follow_quotas
from sspcloud_magics.sandbox.api.request_info import RequestInfo, read_request
from sspcloud_magics.sandbox.api.reviews import review
from sspcloud_magics.sandbox.api.watching import watch_objects
from sspcloud_magics.sandbox.auth.authenticator import Authenticator, Unauthenticated
from sspcloud_magics.sandbox.auth.rbac import Attributes
from sspcloud_magics.sandbox.auth.users import SERVICE_ACCOUNT_PREFIX, User, authenticate
from sspcloud_magics.sandbox.resources import Resource, by_plural
from sspcloud_magics.sandbox.store import NotFound, Store

if TYPE_CHECKING:
    from sspcloud_magics.sandbox.node.kubelet import Node

Handler = Callable[[Call], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)
# Bytes of a request body; the limit of a real API server.
_LARGEST_BODY = 3 * 1024 * 1024
_ALWAYS_ALLOWED = ("/healthz", "/livez", "/readyz")
_REVIEWS = {(resource.group, resource.plural): resource for resource in discovery.REVIEWS}


_VERBS: dict[str, Handler] = {
    "create": objects.create_object,
    "delete": deletion.delete_object,
    "deletecollection": deletion.delete_collection,
    "get": objects.get_object,
    "list": list_objects,
    "patch": objects.patch_object,
    "update": objects.update_object,
    "watch": watch_objects,
}
_UPGRADES = ("create", "get")
_CHANGES = ("patch", "update")
_SUBRESOURCES: dict[tuple[str, str], Handler] = {
    **{(name, verb): subresources.refuse_command for name in ("attach", "exec") for verb in _UPGRADES},
    **{("portforward", verb): subresources.port_forward for verb in _UPGRADES},
    **{("scale", verb): subresources.scale for verb in ("get", *_CHANGES)},
    **{("status", verb): _VERBS[verb] for verb in ("get", *_CHANGES)},
    ("log", "get"): subresources.read_log,
    ("token", "create"): subresources.create_token,
}


def build_app(
    store: Store, node: Node, auth: Authenticator, rbac_ready: asyncio.Event | None = None
) -> web.Application:
    """Return the API server.

    `rbac_ready`: set when the RBAC rules have been read; until then, they allow nothing. None: they are read.
    """
    cluster = Cluster(store, node, auth, rbac_store=store)
    starting = Cluster(store, node, auth, rbac_store=Store())

    async def handle(request: web.Request) -> web.StreamResponse:
        ready = rbac_ready is None or rbac_ready.is_set()
        try:
            return await _handle(cluster if ready else starting, request)
        except status.ApiError as error:
            return json_response(error.status, status=error.code)
        except web.HTTPException:
            raise
        except ConnectionError:
            raise  # the client has left
        except Exception:  # noqa: BLE001 -- the real server reports its internal errors in the same form
            _log.exception("%s %s", request.method, request.path)
            message = "Internal error occurred: see the sandbox's log"
            failure = status.ApiError(500, "InternalError", message, {"causes": [{"message": message}]})
            return json_response(failure.status, status=failure.code)

    app = web.Application(client_max_size=_LARGEST_BODY)
    app.router.add_route("*", "/{path:.*}", handle)

    async def quotas(_app: web.Application) -> AsyncIterator[None]:
        unsubscribe = follow_quotas(store)
        yield
        unsubscribe()

    app.cleanup_ctx.append(quotas)
    return app


async def _handle(cluster: Cluster, request: web.Request) -> web.StreamResponse:
    user = _authenticate(cluster, request)
    info = read_request(request.method, request.path, request.query)
    if info.path in _ALWAYS_ALLOWED:
        return discovery.health(ready=cluster.rbac_store is cluster.store)
    check_allowed(cluster.rbac_store, user, info.attributes)
    if not info.is_resource:
        if info.path.startswith("/openapi/"):
            return await openapi.describe(request)
        return discovery.discover(request)
    call = Call(cluster, request, user, info, _resource(info))
    if call.resource.plural == "endpoints":
        call.warnings.append("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
    try:
        return await _handler(call)(call)
    except NotFound as error:
        raise status.not_found(error.resource, error.name) from None


def _handler(call: Call) -> Handler:
    info, resource = call.info, call.resource
    handler: Handler | None
    if (resource.group, resource.plural) in _REVIEWS:
        handler = review if info.verb == "create" else None
    elif info.subresource:
        if info.subresource not in resource.subresources:
            raise status.no_such_path()
        handler = _SUBRESOURCES.get((info.subresource, info.verb))
    else:
        handler = _VERBS.get(info.verb) if _fits(info, resource) else None
    if handler is None:
        raise status.method_not_allowed()
    return handler


def _fits(info: RequestInfo, resource: Resource) -> bool:
    """Return whether the verb is possible at the path: objects, for example, are created in a collection."""
    if info.verb not in resource.verbs:
        return False
    if info.verb == "create":
        return not info.name and bool(info.namespace or not resource.namespaced)
    if info.verb == "deletecollection":
        return bool(info.namespace or not resource.namespaced)
    if info.verb in ("update", "patch"):
        return bool(info.name)
    return True


def _resource(info: RequestInfo) -> Resource:
    review = _REVIEWS.get((info.group, info.resource))
    try:
        resource = review or by_plural(info.group, info.resource)
    except KeyError:
        raise status.no_such_path() from None
    if resource.version != info.version:
        raise status.no_such_path()
    return resource


def _authenticate(cluster: Cluster, request: web.Request) -> User:
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    try:
        user = cluster.auth.authenticate(request.headers.get("Authorization"), certificate)
    except Unauthenticated:
        raise status.make_unauthorized() from None
    return _impersonate(cluster.rbac_store, user, request)


def _impersonate(rbac_store: Store, user: User, request: web.Request) -> User:
    """Return the user of the request after impersonation (``kubectl --as``), if `user` may impersonate."""
    name = request.headers.get("Impersonate-User")
    if not name:
        return user
    groups = tuple(request.headers.getall("Impersonate-Group", []))
    for group in groups:
        check_allowed(rbac_store, user, Attributes("impersonate", resource="groups", name=group))
    namespace, _, account = name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
    if name.startswith(SERVICE_ACCOUNT_PREFIX) and account:
        asked = Attributes("impersonate", resource="serviceaccounts", namespace=namespace, name=account)
        groups = groups or ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    else:
        asked = Attributes("impersonate", resource="users", name=name)
    check_allowed(rbac_store, user, asked)
    return authenticate(name, groups=groups)
