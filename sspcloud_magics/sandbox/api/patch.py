"""Patches: JSON Patch, JSON Merge Patch, and Kubernetes' strategic merge patch.

The strategic merge treats some lists as maps: its merge key is the name for containers, and the port for the
ports of a Service. ``kubectl apply`` sends it for built-in kinds. `managed_fields` has server-side apply.

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

# The merge key of a list, by the name of the list.
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
# The merge key of a list of ports, by the field or the type that contains it.
_PORTS_KEYS = dict.fromkeys(("containers", "initContainers", "Container"), "containerPort")
_PORTS_KEYS |= dict.fromkeys(("spec", "ServiceSpec"), "port")
_SETS = {"finalizers"}


def merge_key(name: str, owner: str) -> str | None:
    """Return the merge key of the list `name` in the field or type `owner`, None if it is replaced as a whole."""
    return _PORTS_KEYS.get(owner) if name == "ports" else _MERGE_KEYS.get(name)


def check_patch_type(call: Call) -> None:
    """Raise `ApiError` 415 if the resource does not support this type of patch."""
    accepted: tuple[str, ...] = (JSON_PATCH, MERGE_PATCH)
    if not call.resource.is_custom:
        accepted = (*accepted, STRATEGIC_MERGE)
    accepted = (*accepted, APPLY)
    if call.request.content_type not in accepted:
        raise status.make_unsupported_media_type(accepted)


async def apply_patch(call: Call, obj: Obj) -> Obj:
    """Apply the patch in the request's body to `obj`, and return the result as a new object.

    Raise `ApiError` if the type of patch is not supported, or the patch is malformed or does not fit `obj`.
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
        raise status.bad_request("the result of the patch is not an object")
    return result


def merge_patch(value: Any, patch: Any) -> Any:
    """Apply a JSON Merge Patch (RFC 7386), and return the result."""
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
    """Apply a JSON Patch (RFC 6902), and return the result.

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
    """Apply a strategic merge patch, and return the result.

    `name`, `parent`: the name of the field with `value`, and that of its parent, which give the merge key.
    """
    if isinstance(patch, dict):
        return _merge_map(value, patch, name)
    if isinstance(patch, list):
        if name in _SETS:
            return [*(value or []), *(item for item in patch if item not in (value or ()))]
        if key := merge_key(name, parent):
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
            result[target] = _in_order(result[target], change, merge_key(target, name))
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


def _in_order(items: list[Any], order: list[Any], key: str | None) -> list[Any]:
    """Return the elements in the given order, followed by those that it does not name."""

    def get_key(item: Any) -> Any:
        return item.get(key) if isinstance(item, dict) else item

    positions = {get_key(entry): index for index, entry in enumerate(order)}
    return sorted(items, key=lambda item: positions.get(get_key(item), len(positions)))


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
