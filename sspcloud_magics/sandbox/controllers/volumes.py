"""The provisioner of volumes: it creates a directory for each claim, fills it, and binds the claim.

A `Filler` gives the content. Filling takes a fraction of a second, in a thread. The directory of a deleted claim
remains until the next start of the sandbox, so that the next instance of the same database finds its data. A
start keeps it too, if the database has no instance yet.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

from sspcloud_magics.sandbox import events
from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers.cnpg import CLUSTER
from sspcloud_magics.sandbox.objects import find, labels_of, name_of, namespace_of
from sspcloud_magics.sandbox.pods import is_bound
from sspcloud_magics.sandbox.store import Change, Obj, Store

log = logging.getLogger(__name__)

_PROVISIONER = "rancher.io/local-path"

Filler: TypeAlias = Callable[[Obj], Callable[[Path], None]]
"""Called with a claim in the event loop; returns a function that fills an empty directory in another thread."""


class Provisioner:
    """Binds claims.

    `volumes`: the parent of the directories ``NAMESPACE/CLAIM``. `filler`: gives the content of volumes.
    """

    def __init__(self, store: Store, volumes: Path, filler: Filler) -> None:
        self._store = store
        self._volumes = volumes
        self._filler = filler
        # Volumes that are being filled, by namespace and claim; and deletions, with an empty namespace.
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Delete unused volumes in the background, and bind claims from now on."""
        self._discard()
        self._unsubscribe = self._store.subscribe(self._on_change)
        for claim in self._store.peek_all(kinds.CLAIMS):
            self._bind(claim)

    async def stop(self) -> None:
        """Stop binding claims; wait for the volumes that are being filled, because a thread cannot be cancelled."""
        self._unsubscribe()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _discard(self) -> None:
        """Move unused volumes aside, and delete them and those that an earlier start moved aside."""
        for volume in self._volumes.glob("*/*"):
            if not self._is_needed(volume):
                volume.rename(self._volumes.with_name(f"discarded-{uuid.uuid4().hex}"))
        for old in self._volumes.parent.glob("discarded-*"):
            self._run(("", old.name), asyncio.to_thread(shutil.rmtree, old, ignore_errors=True))

    def _is_needed(self, volume: Path) -> bool:
        """Return whether a volume belongs to a bound claim, or to a database that waits for its next instance."""
        namespace, name = volume.parent.name, volume.name
        claim = find(self._store, kinds.CLAIMS, namespace, name)
        if claim is not None:
            return is_bound(claim)
        return find(self._store, kinds.CLUSTERS, namespace, name.rpartition("-")[0]) is not None

    def _on_change(self, change: Change) -> None:
        if change.resource == kinds.CLAIMS and change.type == "ADDED":
            self._bind(change.object)

    def _bind(self, claim: Obj) -> None:
        key = (namespace_of(claim), name_of(claim))
        if is_bound(claim) or key in self._tasks:
            return
        self._run(key, self._fill(claim))

    def _run(self, key: tuple[str, str], work: Coroutine[Any, Any, None]) -> None:
        self._tasks[key] = asyncio.create_task(work)
        self._tasks[key].add_done_callback(lambda _: self._tasks.pop(key, None))

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
        """Return the directory of an earlier instance of the claim's database whose claim was deleted."""
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
    """Create a volume atomically, even if this process is killed."""
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
