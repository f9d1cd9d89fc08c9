"""Lists of objects, with selectors and in consistent pages.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from sspcloud_magics.sandbox.api.call import Call
from sspcloud_magics.sandbox.api.selectors import FieldSelector, LabelSelector
from sspcloud_magics.sandbox.api.status import bad_request, make_expired
from sspcloud_magics.sandbox.store import Gone, Obj

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


def selection(call: Call) -> Callable[[Obj], bool]:
    """Return the predicate for the request's namespace and selectors.

    Raise `ApiError` if a selector cannot be read.
    """
    labels = LabelSelector.parse(call.query.get("labelSelector", ""))
    fields = FieldSelector.parse(call.query.get("fieldSelector", ""), call.resource)
    namespace = call.namespace

    def is_selected(obj: Obj) -> bool:
        if namespace and obj["metadata"].get("namespace") != namespace:
            return False
        return labels.matches(obj) and fields.matches(obj)

    return is_selected


def select_objects(call: Call) -> list[Obj]:
    """Return the stored objects that the request selects; the caller must not change them."""
    selected = selection(call)
    return [obj for obj in call.store.peek_all(call.resource, call.namespace or None) if selected(obj)]


async def list_objects(call: Call) -> web.Response:
    """Answer a list request; later pages show the objects as they were at the first page."""
    version, start = _read_continue(call)
    items = select_objects(call) if start is None else _objects_at(call, version)
    items = [item for item in items if start is None or _place(item) > start]
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    limit = call.integer("limit")
    if limit and len(items) > limit:
        metadata["continue"] = _token(version, _place(items[limit - 1]))
        if not (call.query.get("labelSelector") or call.query.get("fieldSelector")):
            metadata["remainingItemCount"] = len(items) - limit
        items = items[:limit]
    return call.answer(call.view.items(call.resource, items, metadata))


def _objects_at(call: Call, version: int) -> list[Obj]:
    """Return the selected objects at a resource version, by undoing all later changes."""
    found = {_place(obj): obj for obj in call.store.peek_all(call.resource)}
    for change in reversed(call.store.changes_since(version)):
        if change.resource is call.resource:
            found.pop(_place(change.object), None)
            if change.old is not None:
                found[_place(change.old)] = change.old
    selected = selection(call)
    return [found[place] for place in sorted(found) if selected(found[place])]


def _place(obj: Obj) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _token(version: int, place: tuple[str, str]) -> str:
    value = {"v": "meta.k8s.io/v1", "rv": version, "start": "/".join(place)}
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def _read_continue(call: Call) -> tuple[int, tuple[str, str] | None]:
    """Return the resource version of a list, and the object after which its next page starts.

    Raise `ApiError` 400 if the continue token is malformed; 410 if its version is older than the history, with
    a token for the rest of the current list.
    """
    text, now = call.query.get("continue", ""), call.store.version
    if not text:
        return now, None
    if call.query.get("resourceVersion", "0") != "0":
        raise bad_request("specifying resource version is not allowed when using continue")
    try:
        token = json.loads(base64.urlsafe_b64decode(text))
        version, (namespace, name) = int(token["rv"]), token["start"].split("/")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise bad_request("continue key is not valid: illegal base64 data") from None
    try:
        call.store.changes_since(version)
    except Gone:
        error = make_expired(_TOO_OLD)
        error.metadata = {"continue": _token(now, (namespace, name))}
        raise error from None
    return version, (namespace, name)
