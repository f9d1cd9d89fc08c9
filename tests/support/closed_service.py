"""A network policy that closes mon-api to other namespaces, as the box "only allow access from the same namespace" does."""

from __future__ import annotations

from typing import Any

CLOSED: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "mon-api-closed", "namespace": "user-alice"},
    "spec": {
        "podSelector": {"matchLabels": {"app": "mon-api"}},
        "ingress": [{"from": [{"podSelector": {}}]}],
    },
}
