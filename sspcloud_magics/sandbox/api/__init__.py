"""The Kubernetes API server of the sandbox: HTTP in front, the store and the node behind."""

from __future__ import annotations

from sspcloud_magics.sandbox.api.app import build_app

__all__ = ["build_app"]
