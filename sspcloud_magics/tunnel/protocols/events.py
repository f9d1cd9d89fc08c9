"""The events that a tunnel reports to the engine, the same for every protocol.

A stream *pair* is one connection to the pod: its data stream, and the stream or channel for the server's error text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


class ProtocolError(Exception):
    """The server violated the protocol; the tunnel cannot be used any more."""


@dataclass(slots=True)
class Accepted:
    """The server has accepted the pair, and is about to dial the pod; it may still fail."""

    pair: int


@dataclass(slots=True)
class Received:
    """Bytes from the pod, in the slices in which they arrived, valid until the next call."""

    pair: int
    parts: list[memoryview]


@dataclass(slots=True)
class Ended:
    """The pod closed the connection, and the server reports no error."""

    pair: int


@dataclass(slots=True)
class Failed:
    """The pair ended with an error; `text` is the server's."""

    pair: int
    text: str


@dataclass(slots=True)
class Ponged:
    """The server answered a ping."""


@dataclass(slots=True)
class TunnelClosed:
    """The server closes the whole tunnel, or accepts no further pairs; `text` says why."""

    text: str


TunnelEvent: TypeAlias = Accepted | Received | Ended | Failed | Ponged | TunnelClosed
