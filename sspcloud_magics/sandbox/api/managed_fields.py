"""Field management (``metadata.managedFields``) and server-side apply.

Paths have the steps of managedFields: ``f:NAME`` for a field, ``k:{"name":"x"}`` for the list element with that
key, ``v:"x"`` for a value of a set, and ``.`` for the element itself. An apply owns the fields of its
configuration; fields that its manager omits the next time are removed, unless another manager owns them. Any
other write owns the fields that it changed. The writes of the sandbox's controllers are not recorded. An apply of the manager
``kubectl`` takes over what the last client-side apply has set, and renews its annotation.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/, KEP-555.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from sspcloud_magics.sandbox.api.call import Call
from sspcloud_magics.sandbox.api.patch import merge_key
from sspcloud_magics.sandbox.api.status import apply_conflict
from sspcloud_magics.sandbox.store import Obj, copy_json, now

Path: TypeAlias = tuple[str, ...]

ELEMENT = "."
# Maps that are owned as a whole.
_ATOMIC = {"configMapKeyRef", "fieldRef", "labelSelector", "namespaceSelector", "nodeSelector", "podSelector"}
_ATOMIC |= {"roleRef", "secretKeyRef", "selector"}
_SETS = {"finalizers"}
# The manager and the annotation with which `kubectl apply` moves from the client to the server.
_KUBECTL = "kubectl"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_DEFAULTS = {"protocol": "TCP"}
_UNMANAGED = {("f:apiVersion",), ("f:kind",)} | {
    ("f:metadata", f"f:{name}")
    for name in (
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    )
}


def record_write(call: Call, obj: Obj, old: Obj | None) -> None:
    """Set the ``managedFields`` of `obj`, which the request has made from `old`."""
    metadata = obj["metadata"]
    entries = metadata.pop("managedFields", None)
    if not entries or not _is_readable(entries):  # like the real server, keep those of the old object
        entries = (old or {}).get("metadata", {}).get("managedFields") or []
    before, after = _leaves(call, old or {}), _leaves(call, obj)
    gone = before.keys() - after.keys()
    changed = _changes(before, after)
    mine = _entry(call, "Update")
    managed: list[Obj] = []
    for entry in filter(None, entries):  # a single empty entry is a request to remove all managers
        owned = _decode(entry["fieldsV1"])
        is_mine = _same_manager(entry, mine)
        left = owned - gone | changed if is_mine else owned - gone - changed
        changed = set() if is_mine else changed
        managed.append(entry if left == owned else _with_fields(entry, left, moved=is_mine))
    if changed:
        managed.append(_with_fields(mine, changed, moved=True))
    managed = [entry for entry in managed if entry["fieldsV1"]]
    if managed:
        metadata["managedFields"] = managed


def apply_configuration(call: Call, config: Obj, live: Obj | None) -> Obj:
    """Apply a configuration to `live`, and return the result with its ``managedFields``.

    Raise `ApiError` 409 if another manager owns a field that would change, and the request does not force it.
    """
    wanted = _leaves(call, config)
    result: Obj = copy_json(live) if live else {}
    mine = _entry(call, "Apply")
    before: set[Path] = set()
    others: list[tuple[Obj, set[Path]]] = []
    for entry in result.get("metadata", {}).get("managedFields") or ():
        if _same_manager(entry, mine):
            mine, before = entry, _decode(entry["fieldsV1"])
        else:
            others.append((entry, _decode(entry["fieldsV1"])))
    changed = _changes(_leaves(call, result), wanted)
    allowed = _last_applied_fields(call, result) if mine["manager"] == _KUBECTL else set()
    conflicts = [(entry, path) for entry, owned in others for path in sorted((owned & changed) - allowed)]
    if conflicts and call.query.get("force") != "true":
        raise apply_conflict([(_describe(entry), _show_path(path)) for entry, path in conflicts])
    managed = [_with_fields(entry, owned - changed) if owned & changed else entry for entry, owned in others]
    elsewhere = {
        path[:length]
        for entry in managed
        for path in _decode(entry["fieldsV1"])
        for length in range(len(path) + 1)
    }
    for path in sorted(before - wanted.keys(), key=lambda path: path[-1] != ELEMENT):  # whole elements first
        if (path[:-1] if path[-1] == ELEMENT else path) not in elsewhere:
            _drop(result, path)
    for path, value in wanted.items():
        _put(result, path, value)
    result = {"apiVersion": config["apiVersion"], "kind": config["kind"], **result}
    result.setdefault("metadata", {}).update(
        {name: config["metadata"][name] for name in ("name", "namespace") if name in config["metadata"]}
    )
    annotations = result["metadata"].get("annotations") or {}
    if mine["manager"] == _KUBECTL and _LAST_APPLIED in annotations:
        annotations[_LAST_APPLIED] = json.dumps(config, separators=(",", ":")) + "\n"
    managed.append(mine if before == wanted.keys() else _with_fields(mine, wanted, moved=True))
    result["metadata"]["managedFields"] = [entry for entry in managed if entry["fieldsV1"]]
    return result


def _last_applied_fields(call: Call, live: Obj) -> set[Path]:
    """Return the fields that client-side apply has set, which kubectl may change without a conflict."""
    text = (live.get("metadata", {}).get("annotations") or {}).get(_LAST_APPLIED)
    try:
        return set(_leaves(call, json.loads(text))) if text else set()
    except (ValueError, AttributeError):
        return set()


def _leaves(call: Call, obj: Obj) -> dict[Path, Any]:
    """Return the fields that can be owned, with their values."""
    status = call.info.subresource == "status"
    has_status = "status" in call.resource.subresources
    return {
        path: value
        for path, value in _fields((), obj, "", "")
        if path[:1] not in _UNMANAGED
        and path[:2] not in _UNMANAGED
        and (not has_status or (path[0] == "f:status") is status)
    }


def _changes(before: dict[Path, Any], after: dict[Path, Any]) -> set[Path]:
    return {path for path, value in after.items() if path not in before or before[path] != value}


def _fields(path: Path, value: Any, name: str, owner: str) -> Iterator[tuple[Path, Any]]:
    merged_by = merge_key(name, owner)
    if isinstance(value, dict) and value and name not in _ATOMIC:
        for field, inner in value.items():
            yield from _fields((*path, f"f:{field}"), inner, field, name)
    elif isinstance(value, list) and value and name in _SETS:
        yield from (((*path, f"v:{json.dumps(item)}"), item) for item in value)
    elif isinstance(value, list) and value and merged_by and all(isinstance(item, dict) for item in value):
        for item in value:
            keys = (merged_by, "protocol") if name == "ports" else (merged_by,)
            key = {each: item.get(each, _DEFAULTS.get(each)) for each in keys}
            element = (*path, f"k:{json.dumps(key, separators=(',', ':'))}")
            yield (*element, ELEMENT), None
            for field, inner in item.items():
                yield from _fields((*element, f"f:{field}"), inner, field, name)
    elif path and value is not None:
        yield path, value


def _put(value: Any, path: Path, leaf: Any) -> None:
    """Set a field, and create its missing parents."""
    step, rest = path[0], path[1:]
    kind, _, text = step.partition(":")
    if kind == "f" and not rest:
        if leaf != {} or not isinstance(value.get(text), dict):  # an empty map keeps the entries of others
            value[text] = copy_json(leaf)
    elif kind == "f":
        if not isinstance(value.get(text), dict | list):
            value[text] = [] if rest[0][0] in "kv" else {}
        _put(value[text], rest, leaf)
    elif kind == "k":
        found = _element(value, json.loads(text))
        if found is None:
            value.append(found := json.loads(text))
        _put(found, rest, leaf)
    elif kind == "v" and leaf not in value:
        value.append(leaf)


def _drop(value: Any, path: Path) -> None:
    """Remove a field, and the parents that become empty."""
    step, rest = path[0], path[1:]
    kind, _, text = step.partition(":")
    if kind == "f" and text in value:
        if rest:
            _drop(value[text], rest)
        if not rest or value[text] in ({}, []):
            del value[text]
    elif kind == "k" and (found := _element(value, json.loads(text))) is not None:
        if rest == (ELEMENT,):
            value.remove(found)
        elif rest[0].removeprefix("f:") not in json.loads(text):  # an element that others own needs its key
            _drop(found, rest)
    elif kind == "v" and json.loads(text) in value:
        value.remove(json.loads(text))


def _element(items: list[Obj], key: Obj) -> Obj | None:
    def matches(item: Obj) -> bool:
        return all(item.get(name, _DEFAULTS.get(name)) == value for name, value in key.items())

    return next(filter(matches, items), None)


def _entry(call: Call, operation: str) -> Obj:
    agent = call.request.headers.get("User-Agent", "").partition("/")[0]
    entry: Obj = {"manager": call.query.get("fieldManager") or agent or "unknown", "operation": operation}
    entry |= {"apiVersion": call.resource.api_version, "fieldsType": "FieldsV1", "fieldsV1": {}}
    return entry | ({"subresource": call.info.subresource} if call.info.subresource else {})


def _same_manager(entry: Obj, other: Obj) -> bool:
    return all(entry.get(name) == other.get(name) for name in ("manager", "operation", "subresource"))


def _with_fields(entry: Obj, paths: Iterable[Path], *, moved: bool = False) -> Obj:
    tree: Obj = {}
    for path in sorted(paths):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    return {**entry, "fieldsV1": tree} | ({"time": now()} if moved else {})


def _decode(tree: Obj, path: Path = ()) -> set[Path]:
    if not tree:
        return {path} if path else set()
    return {found for step, inner in tree.items() for found in _decode(inner, (*path, step))}


def _is_readable(entries: Any) -> bool:
    try:
        for entry in filter(None, entries):
            _describe(entry)
            for path in _decode(entry["fieldsV1"]):
                _show_path(path)
    except (TypeError, KeyError, ValueError, AttributeError):
        return False
    return isinstance(entries, list)


def _describe(entry: Obj) -> str:
    words = f'"{entry["manager"]}"'
    if entry.get("subresource"):
        words += f' with subresource "{entry["subresource"]}"'
    return words if entry["operation"] == "Apply" else f"{words} using {entry['apiVersion']}"


def _show_path(path: Path) -> str:
    """Format a path for messages: ``.spec.containers[name="web"].image``."""
    words = ""
    for step in path:
        kind, _, text = step.partition(":")
        if kind == "f":
            words += f".{text}"
        elif kind == "k":
            words += (
                f"[{','.join(f'{name}={json.dumps(value)}' for name, value in json.loads(text).items())}]"
            )
        elif kind == "v":
            words += f"[={json.dumps(json.loads(text))}]"
    return words
