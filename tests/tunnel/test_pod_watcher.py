"""The pods that a watcher finds, with the server's answers in an order that the test chooses."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any

import pytest

from sspcloud_magics.target import Target
from sspcloud_magics.tunnel.http import StatusError
from sspcloud_magics.tunnel.pod_watcher import FORBIDDEN, PodWatcher

PATIENCE = 20.0
Object = dict[str, Any]


def pod(name: str) -> Object:
    return {
        "metadata": {"name": name, "uid": name},
        "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 8000}]}, {"name": "side"}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": "app", "ready": True, "state": {"running": {}}}],
        },
    }


def endpoints(name: str, *, ready: bool) -> Object:
    addresses = [{"targetRef": {"kind": "Pod", "name": name, "uid": name}}]
    subset = {"addresses" if ready else "notReadyAddresses": addresses, "ports": [{"port": 8000}]}
    return {"metadata": {"name": "web"}, "subsets": [subset]}


class Server:
    """A double of the credentials and their client: a service ``web`` that selects the pod of its name."""

    def __init__(self) -> None:
        self.selected = "old"
        self.endpoints = endpoints("old", ready=True)
        self.may_list_pods = True
        self.lets_list_pods = asyncio.Event()
        self.lets_list_pods.set()
        self.lists_of_pods: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue()
        self.watched: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._events: defaultdict[str, asyncio.Queue[Object]] = defaultdict(asyncio.Queue)

    async def call(self, operation: Callable[[Server], Awaitable[Any]]) -> Any:
        return await operation(self)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        if path.endswith("/services/web"):
            spec = {"selector": {"app": self.selected}, "ports": [{"port": 80, "targetPort": 8000}]}
            return {"metadata": {"name": "web"}, "spec": spec}
        if path.endswith("/endpoints"):
            return {"items": [self.endpoints]}
        self.lists_of_pods.put_nowait(asyncio.current_task())
        await self.lets_list_pods.wait()
        if not self.may_list_pods:
            raise StatusError(FORBIDDEN, "no right to list pods")
        return {"items": [pod((query or {})["labelSelector"].removeprefix("app="))]}

    async def watch(self, path: str, _query: Mapping[str, str]) -> AsyncIterator[Object]:
        collection = path.rpartition("/")[2]
        events = self._events[collection]
        self.watched[collection].set()
        while True:
            yield await events.get()
            events.task_done()

    def tell(self, collection: str, event: Object) -> None:
        self._events[collection].put_nowait(event)

    async def change_endpoints(self, name: str, *, ready: bool) -> None:
        """Change the Endpoints, and wait until the watcher has applied them."""
        self.endpoints = endpoints(name, ready=ready)
        self.tell("endpoints", {"type": "MODIFIED", "object": self.endpoints})
        await self.wait_for(self._events["endpoints"].join())

    async def wait_for(self, wanted: Coroutine[Any, Any, Any]) -> Any:
        async with asyncio.timeout(PATIENCE):
            return await wanted


class Found:
    """A watcher of the service, and the pods that it found."""

    def __init__(self, server: Server) -> None:
        self._changed = asyncio.Event()
        self.follower = PodWatcher(
            server,  # type: ignore[arg-type]
            Target("lab", "service", "web"),
            [80],
            on_change=self._changed.set,
            on_break=lambda: None,
            on_refusal=lambda _error: None,
            watch_time=60.0,
        )

    @property
    def usable(self) -> list[str]:
        return [one.name for one in self.follower.candidates if one.usable]

    async def wait_for(self, name: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.usable != [name]:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def found(server: Server) -> AsyncIterator[Found]:
    found = Found(server)
    yield found
    found.follower.close()


async def test_refused_pod_list_leaves_ready_endpoints(server, found):
    """The pods became ready while their list was on its way."""
    await found.follower.start()
    server.may_list_pods = False
    server.lets_list_pods.clear()
    await server.change_endpoints("old", ready=False)
    look = await server.wait_for(server.lists_of_pods.get())
    await server.change_endpoints("old", ready=True)
    server.lets_list_pods.set()
    await asyncio.wait({look})
    assert found.usable == ["old"]


async def test_refused_pod_list_uses_latest_endpoints(server, found):
    await found.follower.start()
    server.may_list_pods = False
    server.lets_list_pods.clear()
    await server.change_endpoints("old", ready=False)
    await server.wait_for(server.lists_of_pods.get())
    await server.change_endpoints("new", ready=False)
    look = await server.wait_for(server.lists_of_pods.get())
    server.lets_list_pods.set()
    await asyncio.wait({look})
    assert [one.name for one in found.follower.candidates] == ["new"]


async def tell_ready(server: Server, _watcher: PodWatcher) -> None:
    await server.change_endpoints("new", ready=True)


async def tell_other_pod(server: Server, _watcher: PodWatcher) -> None:
    await server.change_endpoints("new", ready=False)


async def end_watch(server: Server, _watcher: PodWatcher) -> None:
    server.tell("pods", {"type": "ERROR", "object": {"code": 410}})


async def restart(_server: Server, follower: PodWatcher) -> None:
    follower.restart()


@pytest.mark.parametrize("happen", [tell_ready, tell_other_pod, end_watch, restart])
async def test_changed_selector_followed_from_the_pods(server, found, happen):
    """The Endpoints had no ready pod before, so that the pods themselves were watched."""
    await found.follower.start()
    await server.change_endpoints("old", ready=False)
    await server.wait_for(server.watched["pods"].wait())
    assert found.usable == ["old"]
    server.selected = "new"
    await happen(server, found.follower)
    await found.wait_for("new")


async def test_changed_selector_followed_without_endpoints(server, found, monkeypatch):
    get = server.get

    async def refuse_endpoints(path: str, query: Mapping[str, str] | None = None) -> Object:
        if path.endswith("/endpoints"):
            raise StatusError(FORBIDDEN, "no right to list endpoints")
        return await get(path, query)

    monkeypatch.setattr(server, "get", refuse_endpoints)
    await found.follower.start()
    assert found.usable == ["old"]
    server.selected = "new"
    found.follower.restart()
    await found.wait_for("new")


async def test_wake_up_during_the_first_list_survived(server, found):
    server.endpoints = endpoints("old", ready=False)
    server.lets_list_pods.clear()
    start = asyncio.create_task(found.follower.start())
    await server.wait_for(server.lists_of_pods.get())
    found.follower.restart()
    await server.wait_for(server.lists_of_pods.get())
    server.lets_list_pods.set()
    async with asyncio.timeout(PATIENCE):
        await start
    assert found.usable == ["old"]
