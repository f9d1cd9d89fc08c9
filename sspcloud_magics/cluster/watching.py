"""What there is of a kind, kept true: a list, then a watch that tells what changes, then both again.

    list ──▶ watch ──▶ an event, an event, … ──▶ its end ──▶ watch, from where it was
      ▲                                            │
      └───────────── the server has forgotten that version (410) ┘

Where one may list and not watch, the list is asked again every `POLL` seconds. This is client-go's reflector
without its cache and its threads: who uses it runs it on a thread of its own, and closes it from another.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from sspcloud_magics.cluster.client import Stream
from sspcloud_magics.cluster.failures import Expired, malformed
from sspcloud_magics.cluster.identity import Cluster
from sspcloud_magics.cluster.objects import list_with_version
from sspcloud_magics.cluster.resources import Attempt, Resource
from sspcloud_magics.errors import Forbidden, ServerError

POLL = 5.0
GONE = 410
SHORT = 1.0
"""A watch that ends within this many seconds is not begun again at once."""


class Watch:
    """The objects of a kind in one namespace.

    Parameters
    ----------
    cluster
        Where, and as whom; its default namespace is watched.
    resource
        The kind, of `sspcloud_magics.cluster.resources`.
    """

    def __init__(self, cluster: Cluster, resource: Resource) -> None:
        self._cluster = cluster
        self._resource = resource
        self._closed = threading.Event()
        self._stream: Stream | None = None
        self._lock = threading.Lock()

    def changes(self) -> Iterator[dict[str, dict[str, Any] | None] | None]:
        """Yield what changes, by name, None standing for an object that is gone; for ever, until `close`.

        The first one, and each after which everything is to be forgotten, is None.

        Raises
        ------
        Forbidden
            If one may not list them.
        ClusterError
            If the server cannot be asked; iterated over anew, it begins anew.
        """
        while not self._closed.is_set():
            listed, version = list_with_version(self._cluster, self._resource)
            yield None
            yield {item["metadata"]["name"]: item for item in listed}
            try:
                yield from self._watch(version)
            except Expired:
                continue
            except Forbidden:
                self._closed.wait(POLL)

    def close(self) -> None:
        """End it; what iterates over its changes on another thread comes to its end."""
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
                item = event.get("object") or {}
                kind, metadata = event.get("type"), item.get("metadata") or {}
                if kind == "ERROR":
                    raise _error(item)
                if not isinstance(metadata, dict) or not (kind == "BOOKMARK" or metadata.get("name")):
                    raise malformed(self._cluster.server, "It tells of a change of an object without a name.")
                version = metadata.get("resourceVersion") or version
                if kind != "BOOKMARK" and not self._closed.is_set():
                    yield {metadata["name"]: None if kind == "DELETED" else item}
            if time.monotonic() - began < SHORT:
                self._closed.wait(SHORT)


def _error(status: dict[str, Any]) -> ServerError:
    message = str(status.get("message") or "the server ended the watch")
    kind = Expired if status.get("code") == GONE else ServerError
    return kind(message)
