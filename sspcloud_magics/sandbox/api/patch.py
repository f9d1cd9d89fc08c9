"""Patches: JSON Patch, JSON Merge Patch, and Kubernetes' own strategic merge.

The strategic merge knows which lists are maps in disguise: containers are told apart by name, a Service's
ports by port. ``kubectl apply`` sends it for the built-in kinds. Server-side apply is `managed_fields`' part.

Source: RFC 6902, RFC 7386,
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

import json
from typing import Any

from sspcloud_magics.sandbox.api import status
from sspcloud_magics.sandbox.api.call import Call
from sspcloud_magics.sandbox.store import Obj, copy_json

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
STRATEGIC_MERGE = "application/strategic-merge-patch+json"
_MISSING = object()

# By the name of the list: the key that tells its elements apart.
_MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "secrets": "name",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
# Where the name alone does not say it: by the name of what holds the list.
_MERGE_KEYS_WITHIN = {
    ("containers", "ports"): "containerPort",
    ("initContainers", "ports"): "containerPort",
    ("spec", "ports"): "port",
}
_SETS = {"finalizers"}


def list_merge_key(name: str, owner: str) -> str | None:
    """Return the key of the list `name` in the type `owner`, ``None`` where lists are replaced whole."""
    if name == "ports":
        return {"Container": "containerPort", "ServiceSpec": "port"}.get(owner)
    return _MERGE_KEYS.get(name)


def merge_keys(name: str, owner: str) -> tuple[str, ...]:
    """Return the keys that tell apart the elements of the list `name` in the field `owner`; none if they are not."""
    key = _MERGE_KEYS_WITHIN.get((owner, name), _MERGE_KEYS.get(name))
    if key is None:
        return ()
    return (key, "protocol") if name == "ports" else (key,)


def check_patch_type(call: Call) -> None:
    """Refuse a kind of patch that is not spoken; raise `ApiError` 415 with those that are."""
    accepted: tuple[str, ...] = (JSON_PATCH, MERGE_PATCH)
    if not call.resource.is_custom:
        accepted = (*accepted, STRATEGIC_MERGE)
    accepted = (*accepted, APPLY)
    if call.request.content_type not in accepted:
        raise status.make_unsupported_media_type(accepted)


async def apply_patch(call: Call, obj: Obj) -> Obj:
    """Return `obj` as the patch in the request's body changes it; `obj` itself stays as it is.

    Raise `ApiError` if the kind of patch is not spoken, cannot be read, or does not fit the object.
    """
    check_patch_type(call)
    content_type = call.request.content_type
    try:
        patch = json.loads(await call.request.read())
    except ValueError as error:
        raise status.bad_request(f"error decoding patch: {error}") from None
    try:
        if content_type == JSON_PATCH:
            result = json_patch(obj, patch)
        elif content_type == MERGE_PATCH:
            result = merge_patch(obj, patch)
        else:
            result = strategic_merge(obj, patch)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        message = f"the server rejected our request due to an error in our request: {error}"
        raise status.ApiError(422, "Invalid", message, {}) from None
    if not isinstance(result, dict) or not isinstance(result.get("metadata"), dict):
        raise status.bad_request("the patch leaves no object")
    return result


def merge_patch(value: Any, patch: Any) -> Any:
    """Return `value` changed by a JSON Merge Patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return copy_json(patch)
    result = dict(value) if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), change)
    return result


def json_patch(value: Any, operations: list[Obj]) -> Any:
    """Return `value` changed by a JSON Patch (RFC 6902).

    Raise `ValueError`, `KeyError`, `IndexError` if an operation does not fit.
    """
    document = {"": copy_json(value)}
    for operation in operations:
        path = _pointer(operation["path"])
        match operation["op"]:
            case "add":
                _add(document, path, copy_json(operation["value"]))
            case "remove":
                _remove(document, path)
            case "replace":
                _remove(document, path)
                _add(document, path, copy_json(operation["value"]))
            case "test":
                if _look(document, path) != operation["value"]:
                    raise ValueError(f"testing value {operation['path']} failed: test failed")
            case other:
                raise ValueError(f"Unexpected kind: {other}")
    return document[""]


def strategic_merge(value: Any, patch: Any, name: str = "", parent: str = "") -> Any:
    """Return `value` changed by a strategic merge patch.

    `name`, `parent`: the field that holds `value`, and the field that holds that: they say how a list is
    merged.
    """
    if isinstance(patch, dict):
        return _merge_map(value, patch, name)
    if isinstance(patch, list):
        if name in _SETS:
            return [*(value or []), *(item for item in patch if item not in (value or ()))]
        key = _MERGE_KEYS_WITHIN.get((parent, name), _MERGE_KEYS.get(name))
        if key is not None:
            return _merge_list(value or [], patch, key, name)
    return copy_json(patch)


def _merge_map(value: Any, patch: Obj, name: str) -> Obj:
    directive = patch.get("$patch")
    if directive == "replace":
        return {k: copy_json(v) for k, v in patch.items() if k != "$patch"}
    if directive == "delete":
        return {}
    result = dict(value) if isinstance(value, dict) else {}
    if "$retainKeys" in patch:
        result = {k: v for k, v in result.items() if k in patch["$retainKeys"]}
    for field, change in patch.items():
        if field.startswith("$"):
            continue
        if change is None:
            result.pop(field, None)
        else:
            result[field] = strategic_merge(result.get(field), change, field, name)
    for field, change in patch.items():
        directive, _, target = field.partition("/")
        if directive == "$deleteFromPrimitiveList":
            result[target] = [item for item in result.get(target) or () if item not in change]
        elif directive == "$setElementOrder" and isinstance(result.get(target), list):
            key = _MERGE_KEYS_WITHIN.get((name, target), _MERGE_KEYS.get(target, ""))
            result[target] = _in_order(result[target], change, key)
    return result


def _merge_list(value: list[Obj], patch: list[Obj], key: str, name: str) -> list[Obj]:
    if any(item.get("$patch") == "replace" for item in patch):
        return [copy_json(item) for item in patch if "$patch" not in item]
    result = list(value)
    for item in patch:
        place = next((i for i, there in enumerate(result) if there.get(key) == item.get(key, _MISSING)), None)
        if item.get("$patch") == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(_merge_map({}, item, name))
        else:
            result[place] = _merge_map(result[place], item, name)
    return result


def _in_order(items: list[Any], order: list[Any], key: str) -> list[Any]:
    """Return the elements in the order given; those that it does not name keep their place behind."""

    def place(item: Any) -> Any:
        return item.get(key) if isinstance(item, dict) else item

    places = {place(entry): index for index, entry in enumerate(order)}
    return sorted(items, key=lambda item: places.get(place(item), len(places)))


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError(f"not a JSON pointer: {text}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")]


def _look(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _add(document: Any, path: list[str], value: Any) -> None:
    parent = _look(document, path[:-1])
    if isinstance(parent, list):
        index = len(parent) if path[-1] == "-" else int(path[-1])
        if not 0 <= index <= len(parent):
            raise IndexError(f"Unable to access invalid index: {index}")
        parent.insert(index, value)
    else:
        parent[path[-1]] = value


def _remove(document: Any, path: list[str]) -> Any:
    parent = _look(document, path[:-1])
    return parent.pop(int(path[-1])) if isinstance(parent, list) else parent.pop(path[-1])
