"""Requests for single objects: get, create, update, patch.

An object in a request passes the stages of the real server: decoding, defaults, admission, validation, the
check for privilege escalation, quota, and storage.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import uuid

from aiohttp import web

from sspcloud_magics.sandbox.api import deletion, status
from sspcloud_magics.sandbox.api.admission import admit
from sspcloud_magics.sandbox.api.call import Call, check_allowed, read_object
from sspcloud_magics.sandbox.api.defaults import set_defaults
from sspcloud_magics.sandbox.api.escalation import check_escalation
from sspcloud_magics.sandbox.api.fields import check_fields
from sspcloud_magics.sandbox.api.managed_fields import apply_configuration, record_write
from sspcloud_magics.sandbox.api.patch import APPLY, apply_patch, check_patch_type
from sspcloud_magics.sandbox.api.quota import check_quota
from sspcloud_magics.sandbox.api.status import Cause
from sspcloud_magics.sandbox.api.validation import validate
from sspcloud_magics.sandbox.auth.rbac import Attributes
from sspcloud_magics.sandbox.names import suffix
from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import AlreadyExists, Conflict, NotFound, Obj, copy_json, now

# Characters of generateName that are used; with the random suffix the name has at most 63.
_LONGEST_GENERATED = 58
_SYSTEM_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


async def get_object(call: Call) -> web.Response:
    """Answer with one object."""
    return call.answer_object(call.store.peek(call.resource, call.namespace, call.info.name))


async def create_object(call: Call) -> web.Response:
    """Create the object in the body."""
    obj = await call.body()
    _check_kind(call, obj)
    await check_fields(call, obj)
    return call.answer_object(create(call, obj), status=201)


def create(call: Call, obj: Obj, *, managed: bool = False) -> Obj:
    """Pass a new object through all stages, and return the stored object.

    `managed`: whether its ``managedFields`` are already set.
    """
    resource = call.resource
    metadata = _metadata(obj)
    _settle_namespace(call, metadata)
    if metadata.get("resourceVersion"):
        raise status.bad_request("resourceVersion should not be set on objects to be created")
    for name in (*_SYSTEM_FIELDS, "selfLink"):
        metadata.pop(name, None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"][:_LONGEST_GENERATED] + suffix()
    if "status" in resource.subresources:
        obj.pop("status", None)
    set_defaults(resource, obj)
    admit(call, obj)
    validate(resource, obj)
    check_escalation(call, obj, None)
    check_quota(call.store, obj)
    if not managed:
        metadata.pop("managedFields", None)
        record_write(call, obj, None)
    name = metadata["name"]
    if call.dry_run:
        if _exists(call, name):
            raise status.already_exists(resource, name)
        return _as_if_stored(obj)
    try:
        return call.store.create(obj)
    except AlreadyExists:
        raise status.already_exists(resource, name) from None


async def update_object(call: Call) -> web.Response:
    """Replace an object, or its status, by the one in the body."""
    obj = await call.body()
    _check_kind(call, obj)
    await check_fields(call, obj)
    metadata = _metadata(obj)
    _settle_namespace(call, metadata)
    _settle_name(call, metadata)
    old = call.store.get(call.resource, call.namespace, call.info.name)
    return call.answer_object(replace(call, old, obj))


async def patch_object(call: Call) -> web.Response:
    """Apply the patch in the body to an object, or to its status."""
    check_patch_type(call)
    if call.request.content_type == APPLY:
        return await _apply_object(call)
    old = call.store.get(call.resource, call.namespace, call.info.name)
    obj = await apply_patch(call, old)
    _check_kind(call, obj)
    await check_fields(call, obj)
    if obj["metadata"].get("name") != call.info.name:
        cause = Cause(
            "FieldValueInvalid",
            f'Invalid value: "{obj["metadata"].get("name")}": field is immutable',
            "metadata.name",
        )
        raise status.invalid(call.resource.group, call.resource.kind, call.info.name, [cause])
    return call.answer_object(replace(call, old, obj))


async def _apply_object(call: Call) -> web.Response:
    """Apply the configuration in the body; create a missing object if the user may."""
    info = call.info
    if not call.query.get("fieldManager"):
        cause = Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
        raise status.invalid("meta.k8s.io", "PatchOptions", "", [cause])
    config = read_object(await call.request.read(), "application/yaml")
    metadata = _metadata(config)
    if metadata.pop("managedFields", None):
        raise status.bad_request("metadata.managedFields must be nil")
    _settle_name(call, metadata)
    _settle_namespace(call, metadata)
    _check_kind(call, config)
    await check_fields(call, config)
    try:
        old = call.store.get(call.resource, call.namespace, info.name)
    except NotFound:
        if info.subresource:
            raise
        asked = Attributes("create", info.group, info.resource, "", info.namespace, info.name)
        check_allowed(call.store, call.user, asked)
        return call.answer_object(
            create(call, apply_configuration(call, config, None), managed=True), status=201
        )
    return call.answer_object(replace(call, old, apply_configuration(call, config, old), managed=True))


def replace(call: Call, old: Obj, obj: Obj, *, managed: bool = False) -> Obj:
    """Pass `obj` through all stages as the replacement of `old`, and return the stored object.

    `managed`: whether its ``managedFields`` are already set.
    """
    resource, before, metadata = call.resource, old["metadata"], obj["metadata"]
    _keep_system_fields(call, before, metadata)
    if call.info.subresource == "status":
        kept = {name: metadata[name] for name in ("resourceVersion", "managedFields") if metadata.get(name)}
        obj = {**old, "metadata": {**before, **kept}, "status": obj.get("status") or {}}
    else:
        if "status" in resource.subresources:
            obj.pop("status", None)
            if "status" in old:
                obj["status"] = old["status"]
        set_defaults(resource, obj, old)
        validate(resource, obj, old)
        check_escalation(call, obj, old)
    if not managed:
        record_write(call, obj, old)
    if call.dry_run:
        if metadata.get("resourceVersion") not in (None, "", before["resourceVersion"]):
            raise _stale(resource, before["name"])
        return obj
    try:
        stored = call.store.update(obj)
    except Conflict:
        raise _stale(resource, before["name"]) from None
    if deletion.is_done(stored):
        return call.store.delete(resource, call.namespace, before["name"])
    return stored


def _keep_system_fields(call: Call, before: Obj, metadata: Obj) -> None:
    """Keep the fields that only the server sets; refuse an update with the UID of another object."""
    wanted = metadata.get("uid")
    if wanted and wanted != before["uid"]:
        why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {before['uid']}"
        raise status.conflict(call.resource, before["name"], why)
    for name in _SYSTEM_FIELDS:
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)


def _metadata(obj: Obj) -> Obj:
    metadata = obj.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise status.bad_request(
            "json: cannot unmarshal into Go struct field .metadata of type v1.ObjectMeta"
        )
    return metadata


def _check_kind(call: Call, obj: Obj) -> None:
    resource = call.resource
    version = obj.setdefault("apiVersion", resource.api_version)
    kind = obj.setdefault("kind", resource.kind)
    if (version, kind) == (resource.api_version, resource.kind):
        return
    wanted = f"{resource.group}/{resource.version}, Kind={resource.kind}"
    group, _, number = str(version).rpartition("/")
    raise status.bad_request(
        f"the API version in the data ({group}/{number}, Kind={kind}) does not match the expected API version ({wanted})"
    )


def _settle_name(call: Call, metadata: Obj) -> None:
    if metadata.setdefault("name", call.info.name) != call.info.name:
        raise status.bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.info.name})"
        )


def _settle_namespace(call: Call, metadata: Obj) -> None:
    if not call.resource.namespaced:
        metadata.pop("namespace", None)
        return
    if metadata.setdefault("namespace", call.namespace) != call.namespace:
        if not metadata["namespace"]:
            metadata["namespace"] = call.namespace
            return
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def _exists(call: Call, name: str) -> bool:
    return any(obj["metadata"]["name"] == name for obj in call.store.peek_all(call.resource, call.namespace))


def _as_if_stored(obj: Obj) -> Obj:
    obj = copy_json(obj)
    obj["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
    return obj


def _stale(resource: Resource, name: str) -> status.ApiError:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return status.conflict(resource, name, why)
