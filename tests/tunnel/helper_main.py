"""The helper process with other timings, or on a system that is not this one's: as its argument says."""

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
    """What is not as usual."""

    timings: Timings = field(default_factory=Timings)
    first: int = 0
    """The first protocol that it speaks, by its place in `PROTOCOLS`: as on a server that refuses those before."""
    blind: bool = False
    """Whether the system does not tell what has become of a peer."""
    small_buffers: bool = False
    """Whether what a client does not read stays with the helper."""
    collects: bool = True
    """Whether garbage is collected."""
    lid: str = ""
    """The clock jumps by an hour when this file is made."""
    frozen: str = ""
    """The file that is told how many objects the garbage collector passes over, and through how many it walks."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Circumstances:
        told = json.loads(text)
        timings = told.pop("timings")
        return cls(Timings(**timings | {"first_close_checks": tuple(timings["first_close_checks"])}), **told)


class BlindPeers(PeerProbe):
    """Knows nothing of any peer."""

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
