"""A small API server with pods, for events that no real cluster causes on demand.

It speaks TLS, lists, watches and forwards; the forwarding itself is the sandbox's (`sandbox.node.portforward`). A test
says which pods there are and which ports of this machine stand for theirs, takes rights and credentials away,
refuses a protocol. It runs on a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import trustme
from aiohttp import web

from sspcloud_magics.access import Access
from sspcloud_magics.sandbox.node import portforward
from sspcloud_magics.sandbox.node.bare_connection import BareConnection, TakenOver
from sspcloud_magics.sandbox.node.connection import Connection, DialError, connect
from sspcloud_magics.sandbox.node.relay import Sandbox
from sspcloud_magics.secret import Secret

NAMESPACE = "lab"
_PLURALS = {
    "Pod": "pods",
    "Service": "services",
    "Endpoints": "endpoints",
    "Deployment": "deployments",
    "ReplicaSet": "replicasets",
    "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets",
    "Job": "jobs",
}


PATIENCE = 20.0
_SPDY = b"SPDY"


class ApiServer:
    """The server; `access` is how to reach it."""

    def __init__(self) -> None:
        self.port = 0
        self.token = "let-me-in"
        self.forbidden: set[tuple[str, str]] = set()
        """The pairs of verb and resource that get a 403."""
        self.starting = False
        """Whether every request is refused, as before an API server has read the RBAC rules."""
        self.readyz: int | None = None
        """The answer to ``/readyz``; None for the true one."""
        self.busy: dict[str, list[int]] = {}
        """By ``VERB RESOURCE``: the refusals of the next requests, with `retry_after`; 0 hangs up."""
        self.retry_after = "0"
        self.ready_when_asked = False
        """Whether the server becomes ready just before it answers ``/readyz``."""
        self.protocols = {portforward.STREAMS, portforward.TUNNEL, portforward.CHANNELS}
        self.instead_of_spdy: bytes | None = _SPDY
        """The data after the answer to an upgrade; None for silence."""
        self.requests: list[str] = []
        self.paths: list[str] = []
        """The paths of the requests, as received."""
        self.redirects_to = ""
        self.upgrades = self.refused_upgrades = 0
        self._upgrades_go = asyncio.Event()
        self._upgrades_go.set()
        self._requested = threading.Condition()
        self._authority = trustme.CA()
        self._objects: dict[tuple[str, str], dict[str, Any]] = {}
        self._ports: dict[tuple[str, int], int] = {}
        self._dialled: list[Connection] = []
        self._version = 100
        # All events of a resource, oldest first: a watch replays those after the version that it starts from.
        self._events: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._watchers: dict[str, set[asyncio.Queue[dict[str, Any] | bytes]]] = defaultdict(set)
        self._watching: set[asyncio.BaseTransport | None] = set()
        self._loop = asyncio.new_event_loop()
        # The loop holds its transports weakly. One without another reference, such as a paused one, would be collected
        # before the end, and its warning would fail another test.
        self._loop._transports = {}  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._loop.run_forever, name="api-server", daemon=True)
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_error: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    @property
    def ca(self) -> str:
        return self._authority.cert_pem.bytes().decode()

    def access(self, *, port: int | None = None, token: str | None = None) -> Access:
        """Return the access of a user who may do everything that is not forbidden."""
        token = self.token if token is None else token
        return Access(server=f"https://127.0.0.1:{port or self.port}", ca=self.ca, token=Secret(token))

    @contextmanager
    def upgrades_held(self) -> Iterator[None]:
        """Delay the answers to all upgrades until the end of the block."""
        self._call(self._hold_upgrades(True))
        try:
            yield
        finally:
            self.let_upgrades_go()

    def let_upgrades_go(self) -> None:
        """Answer waiting and later upgrades."""
        self._call(self._hold_upgrades(False))

    async def _hold_upgrades(self, yes: bool) -> None:
        (self._upgrades_go.clear if yes else self._upgrades_go.set)()

    def wait_for_request(self, wanted: str, times: int = 1) -> None:
        """Wait until ``VERB RESOURCE`` was requested this many times."""
        with self._requested:
            assert self._requested.wait_for(lambda: self.requests.count(wanted) >= times, 30)

    # The world, as the test wants it.

    def put(self, kind: str, name: str, **parts: Any) -> dict[str, Any]:
        """Create or replace an object."""
        metadata = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", **parts.pop("metadata", {})}
        return self._call(self._put(kind, {"kind": kind, "metadata": metadata, **parts}))

    def put_pod(
        self,
        name: str,
        ports: dict[int, int],
        *,
        ready: bool = True,
        uid: str = "",
        labels: dict[str, str] | None = None,
        owner: tuple[str, str] | None = None,
        names: dict[int, str] | None = None,
        deleting: bool = False,
        started: str = "2026-01-01T00:00:00Z",
    ) -> None:
        """Create or replace a pod; `ports` maps its ports to those of this machine."""
        for key in [key for key in self._ports if key[0] == name]:
            del self._ports[key]
        self._ports |= {(name, port): real for port, real in ports.items()}
        metadata: dict[str, Any] = {"uid": uid or f"uid-{name}", "labels": labels or {"app": "web"}}
        if owner:
            kind, owner_name = owner
            metadata["ownerReferences"] = [
                {"kind": kind, "name": owner_name, "uid": f"uid-{owner_name}", "controller": True}
            ]
        if deleting:
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        declared = [
            {"containerPort": port, **({"name": names[port]} if names and port in names else {})}
            for port in ports
        ]
        self.put(
            "Pod",
            name,
            metadata=metadata,
            spec={"containers": [{"name": "main", "ports": declared}]},
            status={
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": str(ready)}],
                "containerStatuses": [{"name": "main", "state": {"running": {"startedAt": started}}}],
            },
        )

    def listen(self, pod: str, port: int, real: int) -> None:
        """Make a port of a pod accept connections; `real` is the port on this machine."""
        self._ports[pod, port] = real

    def put_endpoints(
        self, name: str, pods: list[str], ports: list[dict[str, Any]], *, ready: bool = True
    ) -> None:
        """Create or replace the Endpoints of a service."""
        addresses = [
            {"ip": "10.42.0.1", "targetRef": {"kind": "Pod", "name": pod, "uid": f"uid-{pod}"}}
            for pod in pods
        ]
        kind = "addresses" if ready else "notReadyAddresses"
        self.put("Endpoints", name, subsets=[{kind: addresses, "ports": ports}] if pods else [])

    def delete(self, kind: str, name: str) -> None:
        """Delete an object; the ports of a pod no longer accept connections."""
        for key in [key for key in self._ports if kind == "Pod" and key[0] == name]:
            del self._ports[key]
        self._call(self._delete(kind, name))

    async def _put(self, kind: str, found: dict[str, Any]) -> dict[str, Any]:
        key = (_PLURALS[kind], found["metadata"]["name"])
        known = key in self._objects
        self._tell("MODIFIED" if known else "ADDED", key, found)
        self._objects[key] = found
        return found

    async def _delete(self, kind: str, name: str) -> None:
        key = (_PLURALS[kind], name)
        self._tell("DELETED", key, self._objects.pop(key))

    def _tell(self, what: str, key: tuple[str, str], found: dict[str, Any]) -> None:
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        event = {"type": what, "object": found | {"metadata": dict(found["metadata"])}}
        self._events[key[0]].append(event)
        for queue in self._watchers[key[0]]:
            queue.put_nowait(event)

    # The server.

    async def _start(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        app = web.Application(middlewares=[self._check])
        for before in ("", "/k8s/clusters/{cluster}"):
            for method in ("GET", "POST"):
                path = before + "/api/v1/namespaces/{ns}/pods/{name}/portforward"
                app.router.add_route(method, path, self._portforward)
            for root in ("/api/v1", "/apis/apps/v1", "/apis/batch/v1"):
                app.router.add_get(before + root + "/namespaces/{ns}/{resource}", self._list)
                app.router.add_get(before + root + "/namespaces/{ns}/{resource}/{name}", self._get)
        app.router.add_get("/{resource:version}", self._version_of_the_server)
        app.router.add_get("/{resource:readyz}", self._readiness)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context, backlog=1024)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        assert self._runner is not None
        for site in list(self._runner.sites):
            await site.stop()
        await asyncio.sleep(
            0
        )  # who was accepted last gets a transport; cancelled before, the socket would stay open
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        assert self._runner.server is not None
        transports = [handler.transport for handler in self._runner.server.connections if handler.transport]
        await self._runner.cleanup()
        for connection in self._dialled:
            connection.abort()
        for transport in transports:
            # Python 3.11.2 forgets the protocol of a transport that was closed twice.
            with contextlib.suppress(AttributeError):
                transport.abort()
        # Only the event loop knows connections in the handshake; it closes aborted ones in its next iterations.
        known = asyncio.get_running_loop()._transports  # type: ignore[attr-defined]
        for transport in list(known.values()):
            if transport._sock is not None:  # closed, but not yet forgotten
                transport.abort()
        async with asyncio.timeout(PATIENCE):
            while any(transport._sock is not None for transport in list(known.values())):  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)

    @web.middleware
    async def _check(self, request: web.Request, handler):
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        resource = request.match_info.get("resource", "pods/portforward")
        watching = request.query.get("watch") == "true"
        verb = "get" if "name" in request.match_info else "watch" if watching else "list"
        verb = "create" if request.method == "POST" else verb
        self.paths.append(request.raw_path)
        if self.redirects_to:
            return web.Response(status=302, headers={"Location": self.redirects_to})
        with self._requested:
            self.requests.append(f"{verb} {resource}")
            self._requested.notify_all()
        if codes := self.busy.get(f"{verb} {resource}"):
            if code := codes.pop(0):
                return _status(code, "busy", self.retry_after)
            assert request.transport is not None
            request.transport.abort()
        if (verb, resource) in self.forbidden or (self.starting and resource != "readyz"):
            return _status(403, f'{resource} is forbidden: User "bob" cannot {verb} resource "{resource}"')
        return await handler(request)

    async def _version_of_the_server(self, _request: web.Request) -> web.Response:
        return web.json_response({"major": "1", "minor": "36"})

    async def _readiness(self, _request: web.Request) -> web.Response:
        if self.ready_when_asked:
            self.starting = False
        code = self.readyz or (500 if self.starting else 200)
        return web.Response(
            status=code, text="ok" if code == 200 else "[-]poststarthook/rbac/bootstrap-roles failed"
        )

    async def _get(self, request: web.Request) -> web.Response:
        resource, name = request.match_info["resource"], request.match_info["name"]
        found = self._objects.get((resource, name))
        return web.json_response(found) if found else _status(404, f'{resource} "{name}" not found')

    async def _list(self, request: web.Request) -> web.StreamResponse:
        resource = request.match_info["resource"]
        if request.query.get("watch") == "true":
            return await self._watch(request, resource)
        items = [
            found
            for (kind, _name), found in self._objects.items()
            if kind == resource and _matches(request, found)
        ]
        body = {"kind": "List", "metadata": {"resourceVersion": str(self._version)}, "items": items}
        return web.json_response(body)

    async def _watch(self, request: web.Request, resource: str) -> web.StreamResponse:
        response = web.StreamResponse()
        queue: asyncio.Queue[dict[str, Any] | bytes] = asyncio.Queue()
        self._watchers[resource].add(queue)
        try:
            since = int(request.query.get("resourceVersion") or 0)
            for event in self._events[resource]:
                if int(event["object"]["metadata"]["resourceVersion"]) > since:
                    queue.put_nowait(event)
            await response.prepare(request)
            assert request.transport is not None
            with self._requested:
                self._watching.add(request.transport)
                self._requested.notify_all()
            while True:
                event = await queue.get()
                if isinstance(event, bytes):
                    await response.write(event + b"\n")
                elif _matches(request, event["object"]):
                    await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self._watchers[resource].discard(queue)
            self._watching.discard(request.transport)

    def end_watches(self) -> None:
        """Tell every watch that its resource version is too old."""
        gone = {"type": "ERROR", "object": {"code": 410, "metadata": {}, "message": "too old"}}
        self.say_to_watches(json.dumps(gone).encode())

    def say_to_watches(self, line: bytes) -> None:
        """Send any line to every watch."""

        async def tell() -> None:
            for queues in self._watchers.values():
                for queue in queues:
                    queue.put_nowait(line)

        self._call(tell())

    def wait_for_watches(self) -> set[int]:
        """Wait for a watch; return the client ports of the watches' connections."""
        with self._requested:
            assert self._requested.wait_for(lambda: self._watching, 30)
            return {transport.get_extra_info("peername")[1] for transport in self._watching if transport}

    def break_watches(self) -> None:
        """Cut the connection of every watch."""

        async def abort() -> None:
            for transport in self._watching:
                transport.abort()

        self._call(abort())

    async def _pretend(self, request: web.Request) -> web.StreamResponse:
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "SPDY/3.1",
            "X-Stream-Protocol-Version": portforward.STREAMS,
        }
        connection = BareConnection.take_over(request, headers)
        if self.instead_of_spdy is not None:
            await connection.send(self.instead_of_spdy)
            connection.close()
        else:
            while await connection.receive():
                pass
        return TakenOver()

    async def _portforward(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if ("pods", name) not in self._objects:
            return _status(404, f'pods "{name}" not found')
        headers = ("Sec-WebSocket-Protocol", "X-Stream-Protocol-Version")
        if not self.protocols & {request.headers.get(header) for header in headers}:
            self.refused_upgrades += 1
            return _status(400, "")
        if request.method == "POST" and self.instead_of_spdy is not _SPDY:
            return await self._pretend(request)
        self.upgrades += 1
        await self._upgrades_go.wait()
        uid = self._objects["pods", name]["metadata"]["uid"]

        async def dial(port: int) -> Connection:
            real = self._ports.get((name, port))
            pod = self._objects.get(("pods", name))
            if pod is None or pod["metadata"]["uid"] != uid:
                raise DialError(f'failed to find sandbox "{uid}" in store: not found')
            if real is None:
                raise ConnectionRefusedError
            connection = await connect(real)
            self._dialled.append(connection)
            return connection

        return await portforward.serve(request, Sandbox("a" * 64, "/var/run/netns/cni-1", dial))


def _matches(request: web.Request, found: dict[str, Any]) -> bool:
    metadata = found["metadata"]
    field = request.query.get("fieldSelector", "")
    if field and field != f"metadata.name={metadata.get('name')}":
        return False
    labels = metadata.get("labels", {})
    wanted = [pair.split("=", 1) for pair in request.query.get("labelSelector", "").split(",") if pair]
    return all(labels.get(key) == value for key, value in wanted)


def _status(code: int, message: str, retry_after: str = "") -> web.Response:
    if not message:
        return web.Response(status=code)
    headers = {"Retry-After": retry_after} if retry_after else {}
    return web.json_response(
        {"kind": "Status", "code": code, "message": message}, status=code, headers=headers
    )
