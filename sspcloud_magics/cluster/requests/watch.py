"""Objects of a resource type, kept up to date by a list and a watch.

    list ──▶ watch ──▶ event, event, … ──▶ end ──▶ watch from the last version
      ▲                                     │
      └── error (version too old, …), or a malformed event ┘

Without the permission to watch, the list is repeated every `POLL` seconds. This is client-go's reflector
without its cache and its threads: the caller iterates in one thread, and closes the watch from another.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from sspcloud_magics import fork_hooks
from sspcloud_magics.cluster.api.api_errors import Expired
from sspcloud_magics.cluster.api.client import ResponseStream
from sspcloud_magics.cluster.api.resources import Attempt, Resource
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests.object_reads import list_with_version
from sspcloud_magics.errors import Forbidden
from sspcloud_magics.i18n import _

POLL = 5.0
SHORT = 1.0


class Watch:
    """Changes of the objects of a resource type in a namespace.

    Parameters
    ----------
    cluster
        The cluster; its default namespace is watched.
    resource
        The resource type, of `sspcloud_magics.cluster.api.resources`.
    poll
        Seconds between two lists if watching is forbidden.
    short
        A watch that ends in less than this time is restarted after as many seconds.
    """

    def __init__(
        self, cluster: Cluster, resource: Resource, *, poll: float = POLL, short: float = SHORT
    ) -> None:
        self._poll, self._short = poll, short
        self._cluster = cluster
        self._resource = resource
        self._closed = threading.Event()
        # The stream of the running or the last watch; `close` ends it.
        self._stream: ResponseStream | None = None
        # Guards the stream.
        self._lock = threading.Lock()
        fork_hooks.register(self)

    def reset_in_child(self) -> None:
        """Leave the connection to the parent, and end the iteration in the child."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._closed.set()
        self._stream = None

    def changes(self) -> Iterator[dict[str, dict[str, Any] | None] | None]:
        """Yield changed objects by name, with None for a deleted object, until `close`.

        A None instead of a dict starts a new list: discard all objects. It is also the first item.

        Raises
        ------
        Forbidden
            If listing is forbidden.
        ClusterError
            If a request fails; a new iteration starts with a list.
        """
        while not self._closed.is_set():
            listed, version = list_with_version(self._cluster, self._resource)
            yield None
            yield {item["metadata"]["name"]: item for item in listed}
            try:
                yield from self._watch(version)
            except Expired:
                self._closed.wait(self._short)
            except Forbidden:
                self._closed.wait(self._poll)

    def close(self) -> None:
        """Close the watch, and end an iteration over its changes in another thread."""
        self._closed.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()

    def _watch(self, version: str) -> Iterator[dict[str, dict[str, Any] | None]]:
        where = self._cluster.namespace
        attempt = Attempt("watch", self._resource, where)
        while not self._closed.is_set():
            began = time.monotonic()
            stream = self._cluster.api.watch(attempt, version)
            with self._lock:
                self._stream = stream
                if self._closed.is_set():
                    stream.close()
            for event in stream:
                kind, name, version, item = _read(event)
                if kind != "BOOKMARK" and not self._closed.is_set():
                    yield {name: None if kind == "DELETED" else item}
            if time.monotonic() - began < self._short:
                self._closed.wait(self._short)


def _read(event: dict[str, Any]) -> tuple[str, str, str, dict[str, Any]]:
    """Return the type, name, version and object of an event; raise `Expired` for an error or a malformed event."""
    kind, item = str(event.get("type")), event["object"]
    if kind == "ERROR":
        raise Expired(str(item.get("message")))
    metadata = item.get("metadata")
    found = metadata if isinstance(metadata, dict) else {}
    name, version = found.get("name", ""), found.get("resourceVersion")
    if not (isinstance(name, str) and isinstance(version, str) and (name or kind == "BOOKMARK")):
        raise Expired(_("The server sent a malformed event."))
    return kind, name, version, item
