"""Lists: which objects, in pages if asked, as they were at one moment.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from sspcloud_magics.sandbox.api.call import Call
from sspcloud_magics.sandbox.api.selectors import FieldSelector, LabelSelector
from sspcloud_magics.sandbox.api.status import bad_request
from sspcloud_magics.sandbox.store import Obj


def selection(call: Call) -> Callable[[Obj], bool]:
    """Return what decides whether an object is meant by the request's namespace and selectors.

    Raises
    ------
    ApiError
        If a selector cannot be read.
    """
    labels = LabelSelector.parse(call.query.get("labelSelector", ""))
    fields = FieldSelector.parse(call.query.get("fieldSelector", ""), call.resource)
    namespace = call.namespace

    def selected(obj: Obj) -> bool:
        if namespace and obj["metadata"].get("namespace") != namespace:
            return False
        return labels.matches(obj) and fields.matches(obj)

    return selected


def selected_objects(call: Call) -> list[Obj]:
    """Return the objects that the request means, as they are stored: not to be changed."""
    selected = selection(call)
    return [obj for obj in call.store.peek_all(call.resource, call.namespace or None) if selected(obj)]


def list_objects(call: Call) -> web.Response:
    """Answer a list."""
    items = selected_objects(call)
    metadata: dict[str, Any] = {"resourceVersion": str(call.store.version)}
    start = _read_continue(call.query.get("continue", ""))
    if start is not None:
        items = [item for item in items if _place(item) > start]
    limit = _number(call, "limit")
    if limit and len(items) > limit:
        metadata["continue"] = _continue_after(items[limit - 1])
        if not (call.query.get("labelSelector") or call.query.get("fieldSelector")):
            metadata["remainingItemCount"] = len(items) - limit
        items = items[:limit]
    return call.answer(call.view.items(call.resource, items, metadata))


def _number(call: Call, name: str) -> int:
    text = call.query.get(name, "")
    try:
        return int(text or 0)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _place(obj: Obj) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _continue_after(obj: Obj) -> str:
    return base64.urlsafe_b64encode(json.dumps(_place(obj)).encode()).decode()


def _read_continue(token: str) -> tuple[str, str] | None:
    if not token:
        return None
    try:
        namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error):
        raise bad_request("continue key is not valid: illegal base64 data") from None
    return str(namespace), str(name)
