"""Watches: a list that goes on as a stream of changes.

A watch begins at a resource version, or with everything that is there (as ADDED events), and then sends
every change of the objects it selects. An object that stops matching the selector is DELETED for this
watch, one that begins to match is ADDED. Each watch has its own queue, filled by the store's
subscription, so a slow reader holds up nobody; one that falls too far behind is ended, and begins anew.

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

_DEFAULT_TIMEOUT = 1800.0
_BOOKMARK_EVERY = 60.0
_MOST_WAITING = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """What one watch is told: ``ADDED``, ``MODIFIED``, ``DELETED``, ``BOOKMARK`` or ``ERROR``."""

    type: str
    object: Obj


async def watch_objects(call: Call) -> web.StreamResponse:
    """Answer a watch: stream events until its timeout, or until the client has gone."""
    selected = selection(call)
    events: asyncio.Queue[Event | None] = asyncio.Queue(_MOST_WAITING)

    def on_change(change: Change) -> None:
        event = _make_event(change, call, selected)
        if event is None:
            return
        try:
            events.put_nowait(event)
        except asyncio.QueueFull:
            # What waits is dropped whole, so that the client's last version has no gap before it.
            unsubscribe()
            while not events.empty():
                events.get_nowait()
            events.put_nowait(None)

    timeout = _timeout(call)
    initial = list(_initial(call, selected))
    unsubscribe = call.store.subscribe(on_change)  # no await since the look at what is there
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache"})
    for warning in call.warnings:
        response.headers.add("Warning", f'299 - "{warning}"')
    try:
        await response.prepare(call.request)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(timeout):
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
    for told in initial:
        await response.write(_line(view, call.resource, told, first=first))
        first = False
        if told.type == "ERROR":
            return
    bookmarks = call.query.get("allowWatchBookmarks") in ("true", "1")
    while True:
        event: Event | None
        try:
            event = await asyncio.wait_for(events.get(), _BOOKMARK_EVERY if bookmarks else None)
        except TimeoutError:
            event = _bookmark(call)
        if event is None:
            return
        await response.write(_line(view, call.resource, event, first=first))
        first = False


def _initial(call: Call, selected: Callable[[Obj], bool]) -> Iterator[Event]:
    version = call.query.get("resourceVersion", "")
    send_initial = call.query.get("sendInitialEvents", "") in ("true", "1")
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


def _timeout(call: Call) -> float:
    text = call.query.get("timeoutSeconds", "")
    try:
        return float(int(text)) if text else _DEFAULT_TIMEOUT
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
