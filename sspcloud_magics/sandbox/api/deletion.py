"""Deletion of objects: at once, or after the grace period of a pod and the removal of all finalizers.

The garbage collector deletes dependents. This module sets the finalizer of a foreground deletion for it, and
orphans dependents itself.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/,
https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sspcloud_magics.sandbox.api import status
from sspcloud_magics.sandbox.api.call import Call, read_object
from sspcloud_magics.sandbox.api.listing import select_objects
from sspcloud_magics.sandbox.resources import RESOURCES
from sspcloud_magics.sandbox.store import Obj, Store, copy_json, now

FOREGROUND = "foregroundDeletion"
_POLICIES = ("Background", "Foreground", "Orphan")
_DEFAULT_GRACE = 30
# Kinds for which a deletion returns the object; for the others it returns a Status.
_RETURN_OBJECT = {"pods", "services", "serviceaccounts", "persistentvolumeclaims", "resourcequotas"}


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """The options of a deletion."""

    grace: int | None = None  # grace period in seconds; None for the pod's own
    policy: str = "Background"  # for dependents: ``Background``, ``Foreground`` or ``Orphan``
    uid: str | None = None  # preconditions
    resource_version: str | None = None
    dry_run: bool = False


async def delete_object(call: Call) -> web.Response:
    """Answer a request to delete one object."""
    options = await _options(call)
    obj = call.store.peek(call.resource, call.namespace, call.info.name)
    last, gone = delete(call, obj, options)
    if gone and call.resource.plural not in _RETURN_OBJECT:
        metadata = last["metadata"]
        return call.answer(status.success(call.resource, metadata["name"], metadata.get("uid", "")))
    return call.answer_object(last)


async def delete_collection(call: Call) -> web.Response:
    """Answer a request to delete all selected objects."""
    options = await _options(call)
    deleted = [delete(call, obj, options)[0] for obj in select_objects(call)]
    metadata = {"resourceVersion": str(call.store.version)}
    return call.answer(call.view.items(call.resource, deleted, metadata))


def delete(call: Call, obj: Obj, options: DeleteOptions) -> tuple[Obj, bool]:
    """Delete an object or start its deletion; return its last state, and whether it is gone.

    Raise `ApiError` if a precondition fails.
    """
    _check_preconditions(call, obj, options)
    if options.dry_run:
        return obj, True
    store = call.store
    if options.policy == "Orphan":
        _orphan_dependents(store, obj["metadata"]["uid"])
    grace = _grace(obj, options)
    changed = copy_json(obj)
    metadata: Obj = changed["metadata"]
    finalizers = metadata.get("finalizers") or []
    if options.policy == "Foreground" and FOREGROUND not in finalizers:
        finalizers = metadata["finalizers"] = [*finalizers, FOREGROUND]
    if call.resource.plural == "namespaces":
        changed["status"] = {**(changed.get("status") or {}), "phase": "Terminating"}
    elif not grace and not finalizers:
        return store.delete(call.resource, metadata.get("namespace", ""), metadata["name"]), True
    _mark(metadata, grace)
    return store.update(changed), False


def is_done(obj: Obj) -> bool:
    """Say whether nothing holds back the end of an object that is being deleted."""
    metadata = obj["metadata"]
    return bool(
        metadata.get("deletionTimestamp")
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and obj["kind"] != "Namespace"
    )


def _mark(metadata: Obj, grace: int) -> None:
    """Set the time of the deletion; a second deletion can only shorten the grace period."""
    before = metadata.get("deletionGracePeriodSeconds")
    if metadata.get("deletionTimestamp") and (before is None or before <= grace):
        return
    metadata["deletionTimestamp"] = now(grace)
    metadata["deletionGracePeriodSeconds"] = grace


def _grace(obj: Obj, options: DeleteOptions) -> int:
    """Return the grace period in seconds, 0 for kinds other than pods."""
    if obj["kind"] != "Pod":
        return 0
    phase = (obj.get("status") or {}).get("phase")
    if not obj["spec"].get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    if options.grace is not None:
        return options.grace
    return int(obj["spec"].get("terminationGracePeriodSeconds", _DEFAULT_GRACE))


def _check_preconditions(call: Call, obj: Obj, options: DeleteOptions) -> None:
    metadata = obj["metadata"]
    for label, wanted, found in (
        ("UID", options.uid, metadata["uid"]),
        ("ResourceVersion", options.resource_version, metadata["resourceVersion"]),
    ):
        if wanted is not None and wanted != found:
            why = f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {found}"
            raise status.conflict(call.resource, metadata["name"], why)


def _orphan_dependents(store: Store, uid: str) -> None:
    for resource in RESOURCES:
        for obj in store.peek_all(resource):
            owners = obj["metadata"].get("ownerReferences") or ()
            left = [owner for owner in owners if owner["uid"] != uid]
            if len(left) < len(owners):
                freed = {key: value for key, value in obj["metadata"].items() if key != "ownerReferences"}
                store.update({**obj, "metadata": freed | ({"ownerReferences": left} if left else {})})


async def _options(call: Call) -> DeleteOptions:
    data = await call.request.read()
    body: Obj = read_object(data, call.request.content_type) if data.strip() else {}
    grace = body.get("gracePeriodSeconds", call.query.get("gracePeriodSeconds"))
    policy = body.get("propagationPolicy") or call.query.get("propagationPolicy") or "Background"
    if policy not in _POLICIES:
        raise _make_unsupported_error("propagationPolicy", policy, _POLICIES)
    dry_run = body.get("dryRun") or []
    if dry_run not in ([], ["All"]):
        raise _make_unsupported_error("dryRun", dry_run, ("All",))
    preconditions = body.get("preconditions") or {}
    return DeleteOptions(
        None if grace is None else int(grace),
        policy,
        preconditions.get("uid"),
        preconditions.get("resourceVersion"),
        bool(dry_run) or call.dry_run,
    )


def _make_unsupported_error(field: str, value: Any, choice: tuple[str, ...]) -> status.ApiError:
    words = ", ".join(f'"{word}"' for word in choice)
    text = f"Unsupported value: {json.dumps(value)}: supported values: {words}"
    cause = status.Cause("FieldValueNotSupported", text, field)
    return status.invalid("meta.k8s.io", "DeleteOptions", "", [cause])
