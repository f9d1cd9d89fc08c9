"""Objects that the tests of the controllers put into a store."""

from __future__ import annotations

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.objects import name_of
from sspcloud_magics.sandbox.store import Obj, Store

NS = "user-alice"
CONTAINER = {"name": "main", "image": "x:1", "ports": [{"name": "http", "containerPort": 8000}]}
LABELS = {"app": "web"}


def make(kind: str, name: str, spec: Obj | None = None, api_version: str = "v1", **metadata: object) -> Obj:
    metadata = {"name": name, "namespace": NS, **metadata}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec or {}}


def pods(store: Store) -> list[str]:
    return [name_of(pod) for pod in store.list_objects(kinds.PODS, NS)]
