"""One connection to the pod through a tunnel: promised by the pool, opened once, over when its holder is told so or lets go.

A tunnel tells the holder (`PairHandler`) what becomes of its pair. After `pair_ended`, `pair_failed` or `pair_lost`
nothing more comes, and neither does anything after the holder has abandoned or reset it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sspcloud_magics.tunnel.tunnel import Tunnel


class PairHandler(Protocol):
    """Who holds an open pair."""

    @property
    def untaken(self) -> int:
        """How many bytes from the pod it keeps, because they cannot be passed on yet; see `Pair.resume`."""

    def pair_accepted(self) -> None:
        """Take note that the server dials the pod."""

    def pair_received(self, parts: list[memoryview]) -> None:
        """Use up `parts`, which are valid during the call only."""

    def pair_drained(self) -> None:
        """Take note that everything sent has left."""

    def pair_ended(self) -> None:
        """Take note that the pod has closed, without an error."""

    def pair_failed(self, text: str) -> None:
        """Take note that the pair was ended with an error; `text` says which."""

    def pair_lost(self, text: str) -> None:
        """Take note that the tunnel broke with the pair on it."""


class Pair:
    """A pair on `tunnel`; made by `Tunnel.promise`."""

    __slots__ = ("handler", "number", "over", "tunnel")

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel
        self.number = 0
        self.handler: PairHandler  # from `open` on
        self.over = False

    def open(self, port: int, handler: PairHandler, first: memoryview | None = None) -> None:
        """Connect to `port` of the pod, for `handler`; `first` is sent along."""
        self.handler = handler
        self.tunnel.open_pair(self, port, first)

    def send(self, data: memoryview) -> None:
        """Send `data` to the pod."""
        self.tunnel.send(self, data)

    def resume(self) -> None:
        """Take note that the handler keeps nothing any more."""
        self.tunnel.let_flow(self)

    def finish(self) -> None:
        """Tell the server that the client sends nothing more."""
        self.tunnel.finish_pair(self)

    def abandon(self) -> None:
        """Let go of the pair after everything sent has reached the pod; drop what the pod still says."""
        self.tunnel.abandon_pair(self)

    def reset(self) -> None:
        """Let go of the pair at once."""
        self.tunnel.reset_pair(self)
