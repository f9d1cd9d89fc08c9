"""Pieces of manifests that several parts of the world use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sspcloud_magics.sandbox.store import Obj


def make(
    api_version: str,
    kind: str,
    namespace: str,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owner: Obj | None = None,
    **rest: Any,
) -> Obj:
    """Return an object; `owner` is an owner reference, `rest` are its top-level fields beside the metadata."""
    metadata: Obj = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    if owner:
        metadata["ownerReferences"] = [owner]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def helm(release: str, chart: str, version: str) -> dict[str, str]:
    """Return the labels that Helm charts put on what they make."""
    return {
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/managed-by": "Helm",
        "app.kubernetes.io/name": chart,
        "helm.sh/chart": f"{chart}-{version}",
    }
