"""Resources of the node that all pods share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sspcloud_magics.sandbox.network.routing import Destination
from sspcloud_magics.sandbox.node.process import Process
from sspcloud_magics.sandbox.store import Store


@dataclass(frozen=True, slots=True)
class Machine:
    """The resources of the node that all pods share."""

    store: Store
    volumes: Path  # directory of claims
    logs: Path  # directory of log files
    run: Path  # directory of Unix sockets
    # From a pod (namespace, name), a host and a port to the destination and its loopback port.
    route: Callable[[str, str, str, int], tuple[Destination, int]]
    started: Callable[[Process], None]  # called with each new process
    back_off: float  # seconds before the second restart of a container
