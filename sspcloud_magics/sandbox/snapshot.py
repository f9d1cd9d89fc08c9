"""The snapshot of a home: all objects and logins in one file, which is replaced atomically.

It is written at once when a share changes or a login is renewed, within a second of any other change, and when
the sandbox stops. A killed sandbox therefore loses at most one second, and a revoked share stays revoked.
Events are not saved. The content of databases is in their volumes, and keys have their own files.

A start from a snapshot is like the start of a node after a power cut: pods keep their names and UIDs and run
again. Watches must begin with a new list, because older resource versions are gone.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sspcloud_magics.i18n import _, quote_words
from sspcloud_magics.sandbox import postgres
from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.certificates import write_private
from sspcloud_magics.sandbox.daemon import SandboxError, snapshot_file
from sspcloud_magics.sandbox.objects import labels_of, name_of, namespace_of
from sspcloud_magics.sandbox.pods import is_bound, pod_over, pod_ready
from sspcloud_magics.sandbox.resources import RESOURCES
from sspcloud_magics.sandbox.store import Change, Obj, Store

FORMAT: Final = {"format": 1, "postgres": postgres.MAJOR_VERSION}
"""The header of a snapshot that this version can read; increase ``format`` with an incompatible change."""

DELAY: Final = 1.0
"""Seconds in which changes are collected before the snapshot is written; changes of shares do not wait."""

SKIPPED_VERSIONS: Final = 1_000_000
"""Resource versions skipped at a start: more than a killed sandbox can have used after its last snapshot.

Otherwise a version could be assigned twice. Source: etcd documentation, "Restoring a cluster with revision bump".
"""

RESET_HINT: Final = "sspcloud-sandbox reset   deletes everything in the sandbox"

_CONTAINERS: Final = ("initContainerStatuses", "containerStatuses")
# The label of the objects of a share.
_SHARE: Final = ("app.kubernetes.io/managed-by", "sspcloud-magics")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Snapshot:
    """The saved state of a sandbox; the repr hides it."""

    version: int  # the last resource version
    objects: list[Obj]
    logins: dict[str, Any]  # the result of `Issuer.logins`

    def restore(self, store: Store, volumes: Path) -> frozenset[str]:
        """Fill an empty store, and return the UIDs of the pods that were ready.

        Raise `SandboxError` if `volumes` lacks the directory of a claim.
        """
        for claim in self.objects:
            if claim["kind"] == kinds.CLAIMS.kind and is_bound(claim):
                volume = volumes / namespace_of(claim) / name_of(claim)
                if not volume.is_dir():
                    raise SandboxError(f"The volume {volume} is missing.", hint=RESET_HINT)
        store.restore(self.version + SKIPPED_VERSIONS, map(_stop_object, self.objects))
        return frozenset(
            obj["metadata"]["uid"]
            for obj in self.objects
            if obj["kind"] == kinds.PODS.kind and pod_ready(obj)
        )


def read(home: Path) -> Snapshot | None:
    """Return the snapshot of a home, None if there is none.

    Raise `SandboxError` if it cannot be read, or was written by another version.
    """
    path = snapshot_file(home)
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_bytes())
        snapshot = Snapshot(found["version"], found["objects"], found["logins"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise SandboxError(
            _("The snapshot {path} cannot be read.", path=path), why=quote_words(str(error)), hint=RESET_HINT
        ) from None
    header = {key: found.get(key) for key in FORMAT}
    if header != FORMAT:
        raise SandboxError(
            _("The snapshot {path} was written by another version of the sandbox.", path=path),
            why=_(
                "It has {found}, and this version needs {needed}.",
                found=_describe(header),
                needed=_describe(FORMAT),
            ),
            hint=RESET_HINT,
        )
    return snapshot


class Keeper:
    """Writes the snapshot of a home, now and after each change.

    Raise `OSError` if it cannot be written now; later failures are logged.
    """

    def __init__(self, home: Path, store: Store, logins: Callable[[], dict[str, Any]]) -> None:
        self._path = snapshot_file(home)
        self._store = store
        self._logins = logins
        # The scheduled write and its time by the loop's clock; None if nothing has changed.
        self._due: tuple[asyncio.Handle, float] | None = None
        # Whether the last write failed: it is then retried every `DELAY` seconds, and logged once.
        self._failed = False
        self._write()
        self._unsubscribe = store.subscribe(self._on_change)

    def stop(self) -> None:
        """Write the snapshot a last time, and follow the store no longer."""
        self._unsubscribe()
        try:
            self._write()
        except OSError as error:
            _log(error)

    def write_soon(self, delay: float = 0.0) -> None:
        """Write the snapshot within `delay` seconds."""
        loop = asyncio.get_running_loop()
        when = loop.time() + delay
        if self._due is None or when < self._due[1]:
            self._cancel()
            self._due = loop.call_later(delay, self._write_or_retry), when

    def _on_change(self, change: Change) -> None:
        name, value = _SHARE
        if labels_of(change.object).get(name) == value:
            self._write_or_retry()  # before the response is sent: the process may be killed right after it
        elif change.resource != kinds.EVENTS:
            self.write_soon(DELAY)

    def _write_or_retry(self) -> None:
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
    """Return an object in its state while the node is down: pods that have not ended are pending and not ready."""
    if obj["kind"] != kinds.PODS.kind or pod_over(obj):
        return obj
    status = obj.get("status") or {}
    kept = {key: status[key] for key in ("startTime", "qosClass", *_CONTAINERS) if key in status}
    for container in [each for key in _CONTAINERS for each in kept.get(key, ())]:
        container.update(ready=False, started=False)
    return obj | {"status": {"phase": "Pending", **kept}}


def _describe(facts: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items())
