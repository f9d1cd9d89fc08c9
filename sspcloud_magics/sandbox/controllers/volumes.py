"""Claims become directories: the provisioner fills each new one and says that it is bound.

What belongs into a volume is decided by `Filler`; filling one takes a part of a second, so it happens on
a thread while the cluster goes on. A directory lives until the sandbox starts again after its claim has gone, so
that the next instance of the same database finds its data there; while the database waits for that one, a start keeps it.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from sspcloud_magics.sandbox import events
from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers.cnpg import CLUSTER
from sspcloud_magics.sandbox.controllers.objects import find, labels_of, name_of, namespace_of
from sspcloud_magics.sandbox.pods import is_bound
from sspcloud_magics.sandbox.store import Change, Obj, Store

log = logging.getLogger(__name__)

_PROVISIONER = "rancher.io/local-path"

Filler: TypeAlias = Callable[[Obj], Callable[[Path], None]]
"""From a claim, in the store's thread: what puts the content into an empty directory, on another thread."""


class Provisioner:
    """Binds claims.

    `volumes`: the directory that holds ``NAMESPACE/CLAIM``; what nothing needs at the start goes, in the
    background. `filler`: says what belongs into a volume.
    """

    def __init__(self, store: Store, volumes: Path, filler: Filler) -> None:
        self._store = store
        self._volumes = volumes
        self._filler = filler
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Remove what nothing needs, and bind claims from now on."""
        self._discard()
        self._unsubscribe = self._store.subscribe(self._on_change)
        for claim in self._store.peek_all(kinds.CLAIMS):
            self._bind(claim)

    async def stop(self) -> None:
        """Bind no more; what is being filled is waited for, since a thread cannot be stopped."""
        self._unsubscribe()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _discard(self) -> None:
        """Put aside the volumes that nothing needs, and delete them and what was put aside before."""
        for volume in self._volumes.glob("*/*"):
            if not self._is_needed(volume):
                volume.rename(self._volumes.with_name(f"discarded-{uuid.uuid4().hex}"))
        for old in self._volumes.parent.glob("discarded-*"):
            task = asyncio.create_task(asyncio.to_thread(shutil.rmtree, old, ignore_errors=True))
            self._tasks["", old.name] = task
            task.add_done_callback(partial(self._forget, ("", old.name)))

    def _is_needed(self, volume: Path) -> bool:
        """Return whether a volume belongs to a bound claim, or waits for the next instance of a database."""
        namespace, name = volume.parent.name, volume.name
        claim = find(self._store, kinds.CLAIMS, namespace, name)
        if claim is not None:
            return is_bound(claim)
        return find(self._store, kinds.CLUSTERS, namespace, name.rpartition("-")[0]) is not None

    def _forget(self, key: tuple[str, str], _: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)

    def _on_change(self, change: Change) -> None:
        if change.resource == kinds.CLAIMS and change.type == "ADDED":
            self._bind(change.object)

    def _bind(self, claim: Obj) -> None:
        key = (namespace_of(claim), name_of(claim))
        if is_bound(claim) or key in self._tasks:
            return
        task = asyncio.create_task(self._fill(claim), name=f"volume {'/'.join(key)}")
        self._tasks[key] = task
        task.add_done_callback(partial(self._forget, key))

    async def _fill(self, claim: Obj) -> None:
        namespace, name = namespace_of(claim), name_of(claim)
        directory = self._volumes / namespace / name
        try:
            if not directory.exists():
                old = self._find_abandoned(claim)
                if old is not None:
                    old.rename(directory)
                else:
                    await asyncio.to_thread(_make, directory, self._filler(claim))
        except Exception:
            log.exception("the volume of %s/%s could not be filled", namespace, name)
            return
        fresh = find(self._store, kinds.CLAIMS, namespace, name)
        if fresh is not None:
            fresh["spec"]["volumeName"] = f"pvc-{fresh['metadata']['uid']}"
            fresh["status"] = {
                "phase": "Bound",
                "accessModes": fresh["spec"].get("accessModes", ["ReadWriteOnce"]),
                "capacity": {"storage": fresh["spec"]["resources"]["requests"]["storage"]},
            }
            made = f"Successfully provisioned volume {fresh['spec']['volumeName']}"
            events.record_event(self._store, fresh, "ProvisioningSucceeded", made, component=_PROVISIONER)
            self._store.update(fresh)

    def _find_abandoned(self, claim: Obj) -> Path | None:
        """Return the directory of an earlier instance of the claim's database whose claim has gone."""
        cluster = labels_of(claim).get(CLUSTER)
        place = self._volumes / namespace_of(claim)
        if cluster is None or not place.exists():
            return None
        for found in sorted(place.glob(f"{cluster}-*")):
            number = found.name.removeprefix(f"{cluster}-")
            if number.isdigit() and find(self._store, kinds.CLAIMS, namespace_of(claim), found.name) is None:
                return found
        return None


def _make(directory: Path, fill: Callable[[Path], None]) -> None:
    """Make a volume: whole or not at all, even if this process is killed."""
    directory.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    directory.parent.chmod(0o711)
    scratch = directory.parent / f"making-{uuid.uuid4().hex}"
    scratch.mkdir(mode=0o711)
    try:
        fill(scratch)
        scratch.rename(directory)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
