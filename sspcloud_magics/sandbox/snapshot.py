"""The snapshot of a home: all objects and logins, in one file that is replaced whole.

It is written at once when a share changes or a login is renewed, within a second of any other change, and at the
end. So a sandbox that is killed loses a second at most, and a share that was revoked stays revoked. Events are left
out: they are news. What databases hold is in their volumes, and keys have files of their own.

A start from a snapshot is like the start of a node after a power cut: pods keep their names and uids and run again,
and every watch begins with a new list, because all older resource versions are gone.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sspcloud_magics.sandbox import postgres
from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.certificates import write_private
from sspcloud_magics.sandbox.controllers.objects import labels_of, name_of, namespace_of
from sspcloud_magics.sandbox.daemon import SandboxError, snapshot_file
from sspcloud_magics.sandbox.pods import is_bound, pod_over, pod_ready
from sspcloud_magics.sandbox.resources import RESOURCES
from sspcloud_magics.sandbox.store import Change, Obj, Store

FORMAT: Final = {"format": 1, "postgres": postgres.MAJOR_VERSION}
"""What a snapshot must say of itself; raise ``format`` when older snapshots cannot be started from any more."""

DELAY: Final = 1.0
"""Seconds in which changes are gathered into one writing, unless they are of a share."""

SKIPPED_VERSIONS: Final = 1_000_000
"""How far resource versions move on at a start: further than a killed sandbox came after its last writing.

So no version is given twice. Source: etcd documentation, "Restoring a cluster with revision bump".
"""

FORGET: Final = "sspcloud-sandbox reset   forgets all that was done in the sandbox"

_CONTAINERS: Final = ("initContainerStatuses", "containerStatuses")
_SHARE: Final = ("app.kubernetes.io/managed-by", "sspcloud-magics")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What an earlier sandbox of a home has left; it is not shown."""

    version: int  # the last resource version
    objects: list[Obj]  # all objects
    logins: dict[str, Any]  # the identity provider's, as `Issuer` gives them

    def __repr__(self) -> str:
        return f"Snapshot({self.version})"

    def restore(self, store: Store, volumes: Path) -> frozenset[str]:
        """Fill an empty store, and return the uids of the pods that were ready.

        Raise `SandboxError` if `volumes` lacks the directory of a claim.
        """
        for claim in self.objects:
            if claim["kind"] == kinds.CLAIMS.kind and is_bound(claim):
                volume = volumes / namespace_of(claim) / name_of(claim)
                if not volume.is_dir():
                    raise SandboxError(f"The volume {volume} is missing.", hint=FORGET)
        store.restore(self.version + SKIPPED_VERSIONS, map(_stop_object, self.objects))
        return frozenset(
            obj["metadata"]["uid"]
            for obj in self.objects
            if obj["kind"] == kinds.PODS.kind and pod_ready(obj)
        )


def read(home: Path) -> Snapshot | None:
    """Return the snapshot of a home, or None where there is none.

    Raise `SandboxError` if it cannot be read, or was written by another version.
    """
    path = snapshot_file(home)
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_bytes())
        kept = Snapshot(found["version"], found["objects"], found["logins"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise SandboxError(f"The snapshot {path} cannot be read.", why=str(error), hint=FORGET) from None
    wrote = {key: found.get(key) for key in FORMAT}
    if wrote != FORMAT:
        raise SandboxError(
            f"The snapshot {path} is of another version of the sandbox.",
            why=f"it says {_describe(wrote)}, and this version needs {_describe(FORMAT)}",
            hint=FORGET,
        )
    return kept


class Keeper:
    """Writes the snapshot of a home, now and after each change.

    Raise `OSError` if it cannot be written now; later it is logged.
    """

    def __init__(self, home: Path, store: Store, logins: Callable[[], dict[str, Any]]) -> None:
        self._path = snapshot_file(home)
        self._store = store
        self._logins = logins
        # The next writing and its time by the loop's clock; None while nothing has changed.
        self._due: tuple[asyncio.Handle, float] | None = None
        # Whether the last writing failed: it is tried every `DELAY` seconds then, and logged once.
        self._failed = False
        self._write()
        self._unsubscribe = store.subscribe(self._on_change)

    def stop(self) -> None:
        """Write the snapshot for the last time."""
        self._unsubscribe()
        try:
            self._write()
        except OSError as error:
            _log(error)

    def write_soon(self, delay: float = 0.0) -> None:
        """Write the snapshot in at most so many seconds."""
        loop = asyncio.get_running_loop()
        when = loop.time() + delay
        if self._due is None or when < self._due[1]:
            self._cancel()
            self._due = loop.call_later(delay, self._write_or_try_later), when

    def _on_change(self, change: Change) -> None:
        name, value = _SHARE
        if labels_of(change.object).get(name) == value:
            self._write_or_try_later()  # before the request is answered: a kill may follow at once
        elif change.resource != kinds.EVENTS:
            self.write_soon(DELAY)

    def _write_or_try_later(self) -> None:
        try:
            self._write()
            self._failed = False
        except OSError as error:
            if not self._failed:
                _log(error)
            self._failed = True
            self.write_soon(DELAY)

    def _write(self) -> None:
        self._cancel()
        objects = [
            obj
            for resource in RESOURCES
            if resource != kinds.EVENTS
            for obj in self._store.peek_all(resource)
        ]
        content = {**FORMAT, "version": self._store.version, "objects": objects, "logins": self._logins()}
        write_private(self._path, json.dumps(content, separators=(",", ":")).encode())

    def _cancel(self) -> None:
        if self._due is not None:
            self._due[0].cancel()
            self._due = None


def _log(error: OSError) -> None:
    log.error("the snapshot could not be written: %s", error.strerror)


def _stop_object(obj: Obj) -> Obj:
    """Return an object as it is while nothing runs: a pod that has not ended has no address and is not ready."""
    if obj["kind"] != kinds.PODS.kind or pod_over(obj):
        return obj
    status = obj.get("status") or {}
    kept = {key: status[key] for key in ("startTime", "qosClass", *_CONTAINERS) if key in status}
    for container in [each for key in _CONTAINERS for each in kept.get(key, ())]:
        container.update(ready=False, started=False)
    return obj | {"status": {"phase": "Pending", **kept}}


def _describe(facts: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items())
