"""A node of one's own, and a plain HTTP server in front of its port-forwarding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.api.status import ApiError
from sspcloud_magics.sandbox.network.routing import Network
from sspcloud_magics.sandbox.node.kubelet import Node
from sspcloud_magics.sandbox.store import NotFound, Obj, Store

LISTENS: Obj = {"exec": {"command": ["true"]}}


@dataclass
class Cluster:
    store: Store
    node: Node
    url: str

    def create(
        self,
        name: str,
        image: str = "sspcloud-sandbox/helper",
        args: Sequence[str] = (),
        *,
        container: Obj | None = None,
        **spec: Any,
    ) -> Obj:
        """Create a pod with one container, ``main``, that is ready when its program listens."""
        described = {
            "name": "main",
            "image": image,
            "args": list(args),
            "readinessProbe": LISTENS,
            **(container or {}),
        }
        return self.store.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "ns", "labels": {"app": name}},
                "spec": {"containers": [described], **spec},
            }
        )

    def pod(self, name: str) -> Obj | None:
        try:
            return self.store.get(kinds.PODS, "ns", name)
        except NotFound:
            return None

    def container(self, name: str) -> Obj:
        """Return the status of its container, as far as there is one."""
        statuses = (self.pod(name) or {}).get("status", {}).get("containerStatuses")
        return statuses[0] if statuses else {"state": {}, "restartCount": 0}

    def events(self, name: str) -> list[tuple[str, str]]:
        return [
            (event["reason"], event["message"])
            for event in self.store.list_objects(kinds.EVENTS, "ns")
            if event["involvedObject"]["name"] == name
        ]

    async def wait_until(self, condition: Callable[[], Any]) -> None:
        """Wait until the store is such that `condition` holds."""
        changed = asyncio.Event()
        unsubscribe = self.store.subscribe(lambda _: changed.set())
        try:
            while not condition():
                changed.clear()
                await changed.wait()
        finally:
            unsubscribe()

    async def ready(self, name: str) -> Obj:
        await self.wait_until(lambda: _is_ready(self.pod(name)))
        pod = self.pod(name)
        assert pod is not None
        return pod

    async def log(self, name: str, **how: Any) -> str:
        return b"".join([part async for part in self.node.logs("ns", name, container="main", **how)]).decode()


def condition(pod: Obj | None, kind: str) -> Obj:
    for found in (pod or {}).get("status", {}).get("conditions", []):
        if found["type"] == kind:
            return found
    return {}


def _is_ready(pod: Obj | None) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def delete(cluster: Cluster, name: str, grace: int = 30) -> None:
    """Ask for a pod's deletion as the API server does."""
    pod = cluster.store.get(kinds.PODS, "ns", name)
    pod["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
    cluster.store.update(pod)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    store = Store()
    store.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}})
    node = Node(store, Network(store), tmp_path / "home", back_off=0.01)

    async def forward(request: web.Request) -> web.StreamResponse:
        try:
            return await node.portforward(request, "ns", request.match_info["pod"])
        except ApiError as error:
            return web.json_response(error.status, status=error.code)

    app = web.Application()
    app.router.add_route("*", "/{pod}/portforward", forward)
    await node.start()
    server = TestServer(app)
    await server.start_server()
    yield Cluster(store, node, str(server.make_url("")).rstrip("/"))
    await node.stop()
    await server.close()
