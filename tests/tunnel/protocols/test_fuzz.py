"""Millions of bytes of mutated traffic and noise: only protocol errors may result, and memory stays bounded."""

from __future__ import annotations

import contextlib
import random
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyOverWebSocket, SpdyTunnel
from sspcloud_magics.tunnel.protocols.websocket_channels import ChannelTunnel
from tests.tunnel.protocols.wire import SpdyPeer, control, data, frame

pytestmark = pytest.mark.slow


def spdy_said(source: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield a server's data on several pairs, in parts, with the kind of each part."""
    peer = SpdyPeer()
    for pair in range(3, 3 + 4 * source.randint(1, 8), 4):
        yield "replies", peer.reply(pair - 2) + peer.reply(pair)
        for _ in range(source.randint(0, 6)):
            yield "data", data(pair, source.randbytes(source.randint(0, 2000)))
        if source.random() < 0.5:
            yield "error", data(pair - 2, b"connection refused", fin=True)
        yield "ping", control(6, source.randbytes(4))
        yield "ends", data(pair - 2, fin=True) + data(pair, fin=True)


def bare_traffic(source: random.Random) -> bytes:
    return b"".join(said for _, said in spdy_said(source))


def spdy_traffic(source: random.Random) -> bytes:
    sent = b""
    for kind, said in spdy_said(source):
        if kind == "data":
            cut = source.randint(0, len(said))  # the API server ends a message of data with an empty frame
            sent += frame(2, said[:cut], fin=False) + frame(0) + frame(2, said[cut:])
        else:
            sent += (frame(9, b"ping") if kind == "ping" else b"") + frame(2, said)
    return sent


def channel_traffic(source: random.Random) -> bytes:
    sent = frame(2, b"\x00\x38\x15") + frame(2, b"\x01\x38\x15")
    for _ in range(source.randint(1, 20)):
        message = bytes([source.randint(0, 1)]) + source.randbytes(source.randint(0, 2000))
        cut = source.randint(0, len(message))
        sent += frame(2, message[:cut], fin=False) + frame(0, message[cut:])
    return sent + frame(8, b"\x03\xe8")


def noise(source: random.Random, tunnel_of: object) -> bytes:
    """Return random bytes, plain or as valid framing of the protocol (mostly WebSocket messages)."""
    if source.random() < 0.3:
        return source.randbytes(source.randint(1, 5000))
    kinds = (
        b"\x80\x00\x01\x02\x03\x06\x09"  # SPDY's control frames begin with the first, channels are 0 and 1
    )
    sent = b""
    for opcode in source.choices([0, 2, 8, 9, 10], [2, 8, 0.1, 1, 1], k=10):
        word = bytes([source.choice(kinds)]) + source.randbytes(source.choice([0, 1, 8, 30, 3000]))
        if tunnel_of is SpdyTunnel:
            sent += control(word[0], word[1:]) if opcode == 2 else data(opcode + 1, word)
        else:
            sent += frame(opcode, word if opcode in {0, 2} else word[:125])
    return sent


def mutate(source: random.Random, sent: bytes) -> bytes:
    mutated = bytearray(sent)
    for _ in range(source.choice([0, 1, 2, 5, 50])):
        position = source.randrange(len(mutated))
        kind = source.randrange(4)
        if kind == 0:
            mutated[position] = source.randrange(256)
        elif kind == 1:
            mutated[position] ^= 1 << source.randrange(8)
        elif kind == 2:
            del mutated[position : position + source.randint(1, 20)]
        else:
            mutated[position:position] = source.randbytes(source.randint(1, 20))
        if not mutated:
            break
    return bytes(mutated)


@pytest.mark.parametrize("total", [1_000_000, pytest.param(10_000_000, marks=pytest.mark.wide)])
@pytest.mark.parametrize(
    ("tunnel_of", "traffic"),
    [(SpdyTunnel, bare_traffic), (SpdyOverWebSocket, spdy_traffic), (ChannelTunnel, channel_traffic)],
)
def test_noise_gives_protocol_errors_in_bounded_memory(
    tunnel_of: Callable[[], SpdyTunnel | ChannelTunnel], traffic: Callable[[random.Random], bytes], total: int
):
    """The number of bytes that are fed to each protocol."""
    source = random.Random(31)
    fed = 0
    tracemalloc.start()
    try:
        while fed < total:
            sent = noise(source, tunnel_of) if source.random() < 0.5 else mutate(source, traffic(source))
            tunnel = tunnel_of()
            for _ in range(4):
                tunnel.open(5432)
            with contextlib.suppress(ProtocolError):
                position = 0
                while position < len(sent):
                    part = memoryview(sent)[position : position + source.choice([1, 7, 100, 1500, 65536])]
                    position += len(part)
                    fed += len(part)  # data after an error is not read
                    tunnel.receive(part)
                    tunnel.outgoing.clear()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024 * 1024
