"""What all controllers share: a queue of keys, and one task that reconciles them.

A controller says of each change in the store which keys it concerns, and reconciles one key at a time: it reads
the store, compares what is with what should be, and writes the difference. Reconciling is synchronous and may
be repeated at any time, so nothing is lost when a change comes in between: the key is simply queued again.
It may ask to be called once more after some seconds, for deadlines. An error of one key is logged and
tried again later; it stops nobody else.

Source: controller-runtime's work queue, without its threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from sspcloud_magics.sandbox.api.status import ApiError
from sspcloud_magics.sandbox.controllers.objects import controller_of, find, name_of, namespace_of
from sspcloud_magics.sandbox.pods import is_terminating
from sspcloud_magics.sandbox.resources import RESOURCES, Resource
from sspcloud_magics.sandbox.store import Change, Conflict, NotFound, Obj, Store

log = logging.getLogger(__name__)

Key: TypeAlias = tuple[Hashable, ...]
Keys: TypeAlias = Callable[[Store, Change], Iterable[Key]]
Reconcile: TypeAlias = Callable[[Store, Key], float | None]

RETRY_SECONDS = 1.0
_CONFLICT_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Controller:
    """One controller."""

    name: str  # for the log
    keys: Keys  # which keys a change concerns
    # Makes one key right; returns in how many seconds it wants to look again, or None.
    reconcile: Reconcile


def yield_owner(owners: Resource, owned: Resource) -> Keys:
    """Return what yields the owner that a change concerns: the object itself, or what controls it."""

    def keys(_store: Store, change: Change) -> Iterator[tuple[str, str]]:
        obj = change.object
        if change.resource == owners:
            yield namespace_of(obj), name_of(obj)
        elif change.resource == owned and (found := controller_of(obj)) and found["kind"] == owners.kind:
            yield namespace_of(obj), found["name"]

    return keys


def reconcile_kind(resource: Resource) -> Callable[[Callable[[Store, Obj], float | None]], Reconcile]:
    """Make of a function that takes an object further one that is called with its key, while it is not to go."""

    def decorate(function: Callable[[Store, Obj], float | None]) -> Reconcile:
        def reconcile(store: Store, key: Key) -> float | None:
            obj = find(store, resource, *map(str, key))
            return None if obj is None or is_terminating(obj) else function(store, obj)

        return reconcile

    return decorate


class ControllerLoop:
    """Runs controllers on a store."""

    def __init__(self, store: Store, controllers: Iterable[Controller]) -> None:
        self._store = store
        self._controllers = tuple(controllers)
        self._queue: deque[tuple[Controller, Key]] = deque()
        self._queued: set[tuple[str, Key]] = set()
        self._timers: dict[tuple[str, Key], asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Begin; what stands in the store already is looked at first."""
        for resource in RESOURCES:
            for obj in self._store.peek_all(resource):
                self._on_change(Change("ADDED", resource, obj, None, self._store.version))
        self._unsubscribe = self._store.subscribe(self._on_change)
        self._task = asyncio.create_task(self._run(), name="sandbox controllers")

    async def settle(self) -> None:
        """Wait until nothing is left in the queue."""
        await self._idle.wait()

    async def stop(self) -> None:
        """End, in the middle of the queue."""
        self._unsubscribe()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _on_change(self, change: Change) -> None:
        for controller in self._controllers:
            for key in controller.keys(self._store, change):
                self._add(controller, key)

    def _add(self, controller: Controller, key: Key) -> None:
        mark = (controller.name, key)
        if mark not in self._queued:
            self._queued.add(mark)
            self._queue.append((controller, key))
            self._wake.set()
            self._idle.clear()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            while self._queue:
                controller, key = self._queue.popleft()
                self._queued.discard((controller.name, key))
                self._reconcile(controller, key)
                await asyncio.sleep(0)  # requests are answered between two keys
            self._wake.clear()
            self._idle.set()

    def _reconcile(self, controller: Controller, key: Key) -> None:
        try:
            seconds = controller.reconcile(self._store, key)
        except (Conflict, NotFound):
            seconds = _CONFLICT_SECONDS
        except ApiError as error:  # what it would make is refused, as it would be to a user
            log.warning("%s %s: %s", controller.name, key, error)
            seconds = RETRY_SECONDS
        except Exception:
            log.exception("%s %s", controller.name, key)
            seconds = RETRY_SECONDS
        mark = (controller.name, key)
        if timer := self._timers.pop(mark, None):
            timer.cancel()
        if seconds is not None:
            self._timers[mark] = asyncio.get_running_loop().call_later(
                max(seconds, 0.0), self._again, controller, key
            )

    def _again(self, controller: Controller, key: Key) -> None:
        self._timers.pop((controller.name, key), None)
        self._add(controller, key)
