"""What there is of a kind, kept true: a list, then a watch that tells what changes, then both again.

    list ──▶ watch ──▶ an event, an event, … ──▶ its end ──▶ watch, from where it was
      ▲                                            │
      └── an error (the server has forgotten that version, …), or what no server should say ┘

Where one may list and not watch, the list is asked again every `POLL` seconds. This is client-go's reflector
without its cache and its threads: who uses it runs it on a thread of its own, and closes it from another.

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

POLL = 5.0
SHORT = 1.0


class Watch:
    """The objects of a kind in one namespace.

    Parameters
    ----------
    cluster
        Where, and as whom; its default namespace is watched.
    resource
        The kind, of `sspcloud_magics.cluster.api.resources`.
    poll
        Seconds between lists, for one who may not watch.
    short
        A watch that ends within this many seconds is begun again after as many.
    """

    def __init__(
        self, cluster: Cluster, resource: Resource, *, poll: float = POLL, short: float = SHORT
    ) -> None:
        self._poll, self._short = poll, short
        self._cluster = cluster
        self._resource = resource
        self._closed = threading.Event()
        self._stream: ResponseStream | None = None
        self._lock = threading.Lock()
        fork_hooks.begin_again(self)

    def begin_in_child(self) -> None:
        """Leave the conversation to the parent process."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._closed.set()
        self._stream = None

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
                self._closed.wait(self._short)
            except Forbidden:
                self._closed.wait(self._poll)

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
                kind, name, version, item = _read(event)
                if kind != "BOOKMARK" and not self._closed.is_set():
                    yield {name: None if kind == "DELETED" else item}
            if time.monotonic() - began < self._short:
                self._closed.wait(self._short)


def _read(event: dict[str, Any]) -> tuple[str, str, str, dict[str, Any]]:
    """Return the type of an event, the name, the version and the object that it tells; raises `Expired` if none."""
    kind, item = str(event.get("type")), event["object"]
    if kind == "ERROR":
        raise Expired(str(item.get("message")))
    metadata = item.get("metadata")
    found = metadata if isinstance(metadata, dict) else {}
    name, version = found.get("name", ""), found.get("resourceVersion")
    if not (isinstance(name, str) and isinstance(version, str) and (name or kind == "BOOKMARK")):
        raise Expired("The server sent what is no event.")
    return kind, name, version, item
