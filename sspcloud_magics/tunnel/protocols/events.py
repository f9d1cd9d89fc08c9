"""What a tunnel tells the engine, whichever protocol it speaks.

A *pair* is one connection to the pod: its data, and the channel on which the server says what went wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


class ProtocolError(Exception):
    """The server said something that the protocol does not allow; the tunnel cannot be used any more."""


@dataclass(slots=True)
class Accepted:
    """The server has taken the pair and is about to dial the pod; it may still fail."""

    pair: int


@dataclass(slots=True)
class Received:
    """Bytes from the pod, in the slices in which they came; these are valid until the next call."""

    pair: int
    parts: list[memoryview]


@dataclass(slots=True)
class Ended:
    """The pod closed its end, and the server reports no error."""

    pair: int


@dataclass(slots=True)
class Failed:
    """The pair is over because of an error; `text` is the server's."""

    pair: int
    text: str


@dataclass(slots=True)
class Ponged:
    """The server answered a ping: the tunnel lives."""


@dataclass(slots=True)
class TunnelClosed:
    """The server closes the tunnel as a whole, or takes no further pairs; `text` says why."""

    text: str


TunnelEvent: TypeAlias = Accepted | Received | Ended | Failed | Ponged | TunnelClosed
