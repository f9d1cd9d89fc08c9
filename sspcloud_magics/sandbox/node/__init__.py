"""The sandbox's one machine: it runs pods as processes, keeps their logs, and forwards to their ports.

`Node` plays the parts of the scheduler, the kubelet and the container runtime. The programs which stand for
container images are in `programs`, each a process of its own; they import this package, which is why it
brings nothing before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sspcloud_magics.sandbox.node.connection import DialError as DialError
    from sspcloud_magics.sandbox.node.kubelet import Node as Node
    from sspcloud_magics.sandbox.node.logs import LogsUnavailable as LogsUnavailable

__all__ = ["DialError", "LogsUnavailable", "Node"]

_HOMES = {"DialError": "connection", "LogsUnavailable": "logs", "Node": "kubelet"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
