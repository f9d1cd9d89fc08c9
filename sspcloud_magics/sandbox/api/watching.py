"""Watches: streams of changes.

A watch starts at a resource version, or with all current objects as ADDED events, and then sends every change
of the selected objects. An object that no longer matches the selector is DELETED for this watch, and one that
starts to match is ADDED. Each watch has its own queue, so that a slow client does not delay others. A watch
whose client falls too far behind is closed, and the client starts a new one.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes,
KEP-3157 (streaming lists).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiohttp import web

from sspcloud_magics.sandbox.api.call import Call
from sspcloud_magics.sandbox.api.listing import select_objects, selection
from sspcloud_magics.sandbox.api.rendering import Form, ResponseForm, encode_json
from sspcloud_magics.sandbox.api.status import bad_request, make_expired
from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import Change, Gone, Obj

# Seconds: until a watch ends, if the request sets no timeout, and between bookmarks in a quiet watch.
_DEFAULT_TIMEOUT = 1800.0
_BOOKMARK_INTERVAL = 60.0
# Events that wait for a slow client before its watch is closed.
_QUEUE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """A watch event; `type` is ``ADDED``, ``MODIFIED``, ``DELETED``, ``BOOKMARK`` or ``ERROR``."""

    type: str
    object: Obj


async def watch_objects(call: Call) -> web.StreamResponse:
    """Answer a watch: stream events until its timeout, or until the client leaves."""
    selected = selection(call)
    events: asyncio.Queue[Event | None] = asyncio.Queue(_QUEUE_SIZE)

    def on_change(change: Change) -> None:
        event = _make_event(change, call, selected)
        if event is None:
            return
        try:
            events.put_nowait(event)
        except asyncio.QueueFull:
            # Drop all queued events: the client must see no gap before its last resource version.
            unsubscribe()
            while not events.empty():
                events.get_nowait()
            events.put_nowait(None)

    timeout = call.integer("timeoutSeconds")
    initial = list(_initial(call, selected))
    unsubscribe = call.store.subscribe(on_change)  # there is no await between the list and the subscription
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache"})
    for warning in call.warnings:
        response.headers.add("Warning", f'299 - "{warning}"')
    try:
        await response.prepare(call.request)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_DEFAULT_TIMEOUT if timeout is None else timeout):
                await _stream(call, response, initial, events)
    finally:
        unsubscribe()
    with contextlib.suppress(ConnectionError):
        await response.write_eof()
    return response


async def _stream(
    call: Call, response: web.StreamResponse, initial: list[Event], events: asyncio.Queue[Event | None]
) -> None:
    first, view = True, call.view
    for known in initial:
        await response.write(_line(view, call.resource, known, first=first))
        first = False
        if known.type == "ERROR":
            return
    bookmarks = call.flag("allowWatchBookmarks")
    while True:
        event: Event | None
        try:
            event = await asyncio.wait_for(events.get(), _BOOKMARK_INTERVAL if bookmarks else None)
        except TimeoutError:
            event = _bookmark(call)
        if event is None:
            return
        await response.write(_line(view, call.resource, event, first=first))
        first = False


def _initial(call: Call, selected: Callable[[Obj], bool]) -> Iterator[Event]:
    version = call.query.get("resourceVersion", "")
    send_initial = call.flag("sendInitialEvents")
    if version and not version.isdigit():
        raise bad_request(
            f'Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
        )
    if send_initial or version in ("", "0"):
        for obj in select_objects(call):
            yield Event("ADDED", obj)
        if send_initial:
            yield _bookmark(call, annotations={"k8s.io/initial-events-end": "true"})
        return
    try:
        missed = call.store.changes_since(int(version))
    except Gone as error:
        yield Event("ERROR", make_expired(str(error)).status)
        return
    for change in missed:
        event = _make_event(change, call, selected)
        if event is not None:
            yield event


def _make_event(change: Change, call: Call, selected: Callable[[Obj], bool]) -> Event | None:
    if change.resource is not call.resource:
        return None
    if change.type == "DELETED":
        return Event("DELETED", change.object) if selected(change.object) else None
    matches = selected(change.object)
    matched = change.old is not None and selected(change.old)
    if matches:
        return Event("MODIFIED" if matched else "ADDED", change.object)
    return Event("DELETED", change.object) if matched else None


def _bookmark(call: Call, annotations: dict[str, str] | None = None) -> Event:
    metadata: Obj = {"resourceVersion": str(call.store.version), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    kind = {"kind": call.resource.kind, "apiVersion": call.resource.api_version}
    return Event("BOOKMARK", {**kind, "metadata": metadata})


def _line(view: ResponseForm, resource: Resource, event: Event, *, first: bool) -> bytes:
    if event.type == "ERROR" or (event.type == "BOOKMARK" and view.form is Form.TABLE):
        return encode_json({"type": event.type, "object": event.object})
    return encode_json({"type": event.type, "object": view.event(resource, event.object, first=first)})
