"""The loop of all controllers: a queue of keys, and a task that reconciles them.

A controller maps each change in the store to the affected keys, and reconciles one key at a time: it reads the
store, compares the actual with the desired state, and writes the difference. Reconciliation is synchronous and
idempotent: after a further change, the key is queued again. It can request another call after some seconds, for
deadlines. An error is logged and the key retried; it does not affect other keys.

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
from sspcloud_magics.sandbox.objects import controller_of, find, name_of, namespace_of
from sspcloud_magics.sandbox.pods import is_terminating
from sspcloud_magics.sandbox.resources import RESOURCES, Resource
from sspcloud_magics.sandbox.store import Change, Conflict, NotFound, Obj, Store

log = logging.getLogger(__name__)

Key: TypeAlias = tuple[Hashable, ...]
Keys: TypeAlias = Callable[[Store, Change], Iterable[Key]]
Reconcile: TypeAlias = Callable[[Store, Key], float | None]

# Seconds until a retry: after an error, and after a conflicting change.
RETRY_SECONDS = 1.0
_CONFLICT_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller."""

    name: str  # for the log
    keys: Keys  # returns the keys affected by a change
    reconcile: Reconcile  # reconciles a key; returns the seconds until the next call, or None


def yield_owner(owners: Resource, owned: Resource) -> Keys:
    """Return a function for `Controller.keys` that yields a changed owner, or the owner of a changed object."""

    def keys(_store: Store, change: Change) -> Iterator[tuple[str, str]]:
        obj = change.object
        if change.resource == owners:
            yield namespace_of(obj), name_of(obj)
        elif change.resource == owned and (found := controller_of(obj)) and found["kind"] == owners.kind:
            yield namespace_of(obj), found["name"]

    return keys


def reconcile_kind(resource: Resource) -> Callable[[Callable[[Store, Obj], float | None]], Reconcile]:
    """Turn a function of an object into a function of its key, which skips missing and terminating objects."""

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
        # The queue, and its content by name and key.
        self._queue: deque[tuple[Controller, Key]] = deque()
        self._queued: set[tuple[str, Key]] = set()
        # Calls that `reconcile` has requested for later.
        self._timers: dict[tuple[str, Key], asyncio.TimerHandle] = {}
        # Set while the queue has entries, and while it is empty and no key is being reconciled.
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Start; queue the keys of all existing objects first."""
        for resource in RESOURCES:
            for obj in self._store.peek_all(resource):
                self._on_change(Change("ADDED", resource, obj, None, self._store.version))
        self._unsubscribe = self._store.subscribe(self._on_change)
        self._task = asyncio.create_task(self._run(), name="sandbox controllers")

    async def settle(self) -> None:
        """Wait until the queue is empty."""
        await self._idle.wait()

    async def stop(self) -> None:
        """Stop, without emptying the queue."""
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
                await asyncio.sleep(0)  # let other tasks run between two keys
            self._wake.clear()
            self._idle.set()

    def _reconcile(self, controller: Controller, key: Key) -> None:
        try:
            seconds = controller.reconcile(self._store, key)
        except (Conflict, NotFound):
            seconds = _CONFLICT_SECONDS
        except ApiError as error:  # an object was refused, for example by a quota
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
