"""A line whose bytes carry their meaning, so that a model knows exactly what has arrived."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from sspcloud_magics.tunnel.protocols.events import Received
from tests.tunnel.protocols.wire import everything, frame, slices

Effect: TypeAlias = Callable[[], None] | None
Bytes: TypeAlias = list[tuple[int, Effect]]


def mark_last(raw: bytes, effect: Effect = None) -> Bytes:
    """Bytes with a meaning once the last of them has arrived."""
    return [*((byte, None) for byte in raw[:-1]), (raw[-1], effect)]


def payload(raw: bytes, take: Callable[[int], None]) -> Bytes:
    """Bytes that each have a meaning."""
    return [(byte, lambda byte=byte: take(byte)) for byte in raw]


def frame_content(opcode: int, content: Bytes, *, fin: bool = True) -> Bytes:
    """A WebSocket frame around `content`."""
    raw = frame(opcode, bytes(byte for byte, _ in content), fin=fin)
    return [*((byte, None) for byte in raw[: len(raw) - len(content)]), *content]


def spoilt(how: str, noise: bytes, waiting: bytes) -> bytes:
    """Bytes that no server should send: ``raw`` noise, ``frame_content`` noise, or ``altered``, a flipped bit of sent data."""
    if how == "raw":
        return noise
    if how == "framed":
        return bytes(byte for byte, _ in frame_content(2, mark_last(noise)))
    altered = bytearray(waiting or noise)
    altered[noise[0] % len(altered)] ^= noise[-1] or 1
    return bytes(altered)


def fragment(content: Bytes, cuts: Iterable[int]) -> Bytes:
    """A binary message, cut into frames."""
    places = sorted({cut % (len(content) + 1) for cut in cuts} | {0, len(content)})
    parts = [content[a:b] for a, b in itertools.pairwise(places)]
    found: Bytes = []
    for number, part in enumerate(parts):
        found += frame_content(0 if number else 2, part, fin=number == len(parts) - 1)
    return found


class Line:
    """The server's data that has not arrived yet."""

    def __init__(self) -> None:
        self._waiting: Bytes = []

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, said: Bytes) -> None:
        self._waiting += said

    def raw(self) -> bytes:
        return bytes(byte for byte, _ in self._waiting)

    def arrive(self, receive: Callable[[memoryview], list[Any]], size: int, cuts: Iterable[int]) -> list[Any]:
        """Feed the next bytes to the implementation, then to the model; return the implementation's events."""
        now, self._waiting = self._waiting[:size], self._waiting[size:]
        events = everything(receive, slices(bytes(byte for byte, _ in now), cuts))
        for _, effect in now:
            if effect is not None:
                effect()
        return join_events(events)


def join_events(events: Iterable[Any]) -> list[Any]:
    """Join successive data events, because their boundaries mean nothing."""
    found: list[Any] = []
    for event in events:
        last = found[-1] if found else None
        if isinstance(event, Received) and isinstance(last, Received) and last.pair == event.pair:
            found[-1] = Received(event.pair, [b"".join([*last.parts, *event.parts])])  # type: ignore[list-item]
        else:
            found.append(event)
    return found
