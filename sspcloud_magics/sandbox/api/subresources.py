"""Subresources: logs, port-forwards, tokens, scale, and commands, which are refused."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from aiohttp import web

from sspcloud_magics.sandbox.api import status
from sspcloud_magics.sandbox.api.call import Call
from sspcloud_magics.sandbox.api.humanize import format_selector
from sspcloud_magics.sandbox.api.objects import replace
from sspcloud_magics.sandbox.api.patch import apply_patch
from sspcloud_magics.sandbox.auth.rbac import Attributes, decide
from sspcloud_magics.sandbox.auth.tokens import AUDIENCE
from sspcloud_magics.sandbox.node.logs import LogsUnavailable
from sspcloud_magics.sandbox.store import Obj, now

# Seconds that a requested token must be valid at least.
_SHORTEST_TOKEN = 600


async def read_log(call: Call) -> web.StreamResponse:
    """Stream the log of a container."""
    pod = call.store.peek(call.resource, call.namespace, call.info.name)
    container = call.query.get("container") or _get_only_container(pod)
    lines = call.cluster.node.logs(
        call.namespace,
        call.info.name,
        container=container,
        follow=call.flag("follow"),
        tail_lines=call.integer("tailLines"),
        since=_get_start(call),
        previous=call.flag("previous"),
        timestamps=call.flag("timestamps"),
    )
    try:
        first = await anext(lines, b"")
    except LogsUnavailable as error:
        raise status.bad_request(str(error)) from None
    response = web.StreamResponse(
        headers={"Content-Type": "text/plain", "Cache-Control": "no-cache, private"}
    )
    await response.prepare(call.request)
    if first:
        await response.write(first)
        async for line in lines:
            await response.write(line)
    await response.write_eof()
    return response


async def port_forward(call: Call) -> web.StreamResponse:
    """Pass the request to the node, if the user has the verbs ``get`` and ``create``.

    A port-forward over WebSocket is a GET request, for which the verb ``get`` would be enough. Kubernetes 1.35
    and later therefore require ``create`` as well, and give no reason if it is missing.
    """
    info = call.info
    may_create = Attributes("create", info.group, info.resource, info.subresource, info.namespace, info.name)
    if info.verb != "create" and not decide(call.store, call.user, may_create).allowed:
        raise status.make_forbidden("", "pods", info.name, "")
    call.store.peek(call.resource, call.namespace, info.name)
    return await call.cluster.node.portforward(call.request, call.namespace, info.name)


async def refuse_command(call: Call) -> web.StreamResponse:
    """Refuse to run a command in a pod, with an error that all clients show."""
    call.store.peek(call.resource, call.namespace, call.info.name)
    raise status.bad_request(
        "the sandbox cannot run commands in pods: exec, attach and cp need a real cluster"
    )


async def create_token(call: Call) -> web.Response:
    """Issue a token for a service account (the TokenRequest API)."""
    body = await call.body()
    spec: Obj = body.get("spec") or {}
    seconds = spec.get("expirationSeconds", 3600)
    if not isinstance(seconds, int) or seconds < _SHORTEST_TOKEN:
        words = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
        cause = status.Cause("FieldValueInvalid", words, "spec.expirationSeconds")
        raise status.invalid("authentication.k8s.io", "TokenRequest", "", [cause])
    bound = spec.get("boundObjectRef") or {}
    tokens = call.cluster.auth.service_accounts
    audiences = spec.get("audiences") or [AUDIENCE]
    pod = bound.get("name") if bound.get("kind") == "Pod" else None
    token, expires = await asyncio.to_thread(  # signing with RSA takes milliseconds
        tokens.issue, call.namespace, call.info.name, seconds=seconds, audiences=audiences, pod=pod
    )
    moment = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    answer = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": call.info.name, "namespace": call.namespace, "creationTimestamp": now()},
        "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound or None},
        "status": {"token": token, "expirationTimestamp": moment},
    }
    return call.answer(answer, status=201)


async def scale(call: Call) -> web.Response:
    """Read or set the number of replicas."""
    obj = call.store.get(call.resource, call.namespace, call.info.name)
    if call.info.verb != "get":
        wanted = await (apply_patch(call, _scale_of(obj)) if call.info.verb == "patch" else call.body())
        obj["spec"]["replicas"] = (wanted.get("spec") or {}).get("replicas", 0)
        version = (wanted.get("metadata") or {}).get("resourceVersion")
        if version:
            obj["metadata"]["resourceVersion"] = version
        old = call.store.get(call.resource, call.namespace, call.info.name)
        obj = replace(call, old, obj)
    return call.answer(_scale_of(obj))


def _scale_of(obj: Obj) -> Obj:
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    metadata = {name: obj["metadata"][name] for name in kept if name in obj["metadata"]}
    replicas = (obj.get("status") or {}).get("replicas", 0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": obj["spec"].get("replicas", 0)},
        "status": {"replicas": replicas, "selector": format_selector(obj["spec"].get("selector"))},
    }


def _get_only_container(pod: Obj) -> str:
    names = [c["name"] for kind in ("containers", "initContainers") for c in pod["spec"].get(kind) or ()]
    if len(names) > 1:
        why = f"a container name must be specified for pod {pod['metadata']['name']}"
        raise status.bad_request(f"{why}, choose one of: [{' '.join(names)}]")
    return str(names[0])


def _get_start(call: Call) -> datetime | None:
    """Return the start of the requested part of the log."""
    if "sinceSeconds" in call.query:
        return datetime.now(UTC) - timedelta(seconds=call.integer("sinceSeconds") or 0)
    if "sinceTime" in call.query:
        return datetime.fromisoformat(call.query["sinceTime"])
    return None
