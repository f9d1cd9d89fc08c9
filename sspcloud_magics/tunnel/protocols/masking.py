"""The masking of WebSocket payloads (RFC 6455, section 5.3), by the compiled routine of ``websockets``.

The routine's module is loaded without its package, which would import importlib.metadata, email and zipfile: 3 MiB,
and a third of this process's startup time.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.machinery import PathFinder
from typing import TypeAlias

_Masking: TypeAlias = Callable[[bytes | bytearray | memoryview, bytes], bytes]


def load() -> _Masking:
    """Return the compiled routine, or the one in Python if ``websockets`` ships none."""
    package = importlib.util.find_spec("websockets")
    places = package.submodule_search_locations if package else None
    spec = PathFinder.find_spec("websockets.speedups", places)
    if spec is None or spec.loader is None:
        from websockets.utils import apply_mask  # noqa: PLC0415 - only where it is needed

        return apply_mask
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    routine: _Masking = module.apply_mask
    return routine


apply_mask = load()
