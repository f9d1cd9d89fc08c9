"""The helper process with the timings and the system of its argument."""

from __future__ import annotations

import gc
import json
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from sspcloud_magics.tunnel import connection
from sspcloud_magics.tunnel.__main__ import main
from sspcloud_magics.tunnel.engine import Engine
from sspcloud_magics.tunnel.negotiation import PROTOCOLS
from sspcloud_magics.tunnel.peer_probe import PeerProbe
from sspcloud_magics.tunnel.stream import Stream
from sspcloud_magics.tunnel.suspend_detector import clock
from sspcloud_magics.tunnel.timings import Timings


@dataclass(frozen=True)
class Circumstances:
    """The deviations from a usual helper."""

    timings: Timings = field(default_factory=Timings)
    first: int = 0
    """The index in `PROTOCOLS` of the preferred protocol, as after refusals of those before."""
    blind: bool = False
    """Whether the system does not report closed peers."""
    small_buffers: bool = False
    """Whether the sockets have small buffers, so that unread data stays in the helper."""
    collects: bool = True
    """Whether the garbage collector runs."""
    lid: str = ""
    """The file whose creation makes the clock jump by an hour."""
    frozen: str = ""
    """The file for the numbers of objects that the garbage collector skips and visits."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Circumstances:
        told = json.loads(text)
        timings = told.pop("timings")
        return cls(Timings(**timings | {"first_close_checks": tuple(timings["first_close_checks"])}), **told)


class BlindPeers(PeerProbe):
    """A probe that never knows whether a peer has closed."""

    def has_closed(self, _sock: socket.socket) -> None:
        return None


def shrink_buffers() -> None:
    begin = connection.Connection.__init__

    def begin_small(self: connection.Connection, local: Stream, *rest) -> None:
        local.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        begin(self, local, *rest)

    connection.Connection.__init__ = begin_small  # type: ignore[method-assign]


def run(given: Circumstances) -> None:
    if given.small_buffers:
        shrink_buffers()
    if not given.collects:
        gc.disable()

    def make(emit) -> Engine:
        if given.frozen:
            Path(given.frozen).write_text(f"{gc.get_freeze_count()} {len(gc.get_objects())}")
        peers = BlindPeers() if given.blind else None
        return Engine(emit, given.timings, PROTOCOLS[given.first], peers)

    main(make, partial(jump_clock, Path(given.lid)) if given.lid else clock)


def jump_clock(lid: Path) -> float:
    return time.monotonic() + 3600.0 * lid.exists()


if __name__ == "__main__":
    run(Circumstances.from_json(sys.argv[1]))
