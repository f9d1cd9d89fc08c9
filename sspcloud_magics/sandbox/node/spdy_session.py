"""Port-forwarding over SPDY: the kubelet's part in a tunnel.

Each connection of the client is a pair of streams with the same ``requestid``: an error stream and a data stream.
The pod is dialled when the pair is complete; an incomplete pair is dropped after 30 s. There is no flow control
within a tunnel: a program that does not read stalls all its streams, and the bytes wait in the client's socket.

Source: k8s.io/kubelet/pkg/cri/streaming/portforward/httpstream.go, moby/spdystream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sspcloud_magics.sandbox.node import spdy
from sspcloud_magics.sandbox.node.relay import ClientGone, Forwarding, Sandbox, cut_into_copies

PAIR_TIMEOUT: Final = 30.0
"""Seconds until an incomplete pair is dropped."""


class Carrier(Protocol):
    """The connection under a tunnel: a WebSocket or the upgraded connection."""

    async def receive(self) -> bytes:
        """Return the next bytes, empty at the end."""
        ...

    async def send(self, data: bytes) -> None:
        """Send bytes and wait for room; raise `ClientGone` if the client has left."""
        ...


@dataclass(slots=True)
class _Pair:
    request: str
    error_stream: int | None = None
    data_stream: int | None = None
    port: int = 0
    forwarding: Forwarding | None = None
    timeout: asyncio.TimerHandle | None = None


class _Rejected(Exception):
    """A stream that is reset at once."""


class SpdySession:
    """One tunnel.

    `pair_timeout`: seconds until an incomplete pair is dropped.
    """

    def __init__(self, carrier: Carrier, sandbox: Sandbox, pair_timeout: float = PAIR_TIMEOUT) -> None:
        self._carrier = carrier
        self._sandbox = sandbox
        self._pair_timeout = pair_timeout
        self._spdy = spdy.Connection()
        # All pairs, by their requestid, and the complete ones by their data stream.
        self._pairs: dict[str, _Pair] = {}
        self._data_streams: dict[int, _Pair] = {}
        # Streams of complete pairs.
        self._open_streams: set[int] = set()
        # Open streams that the client has reset, for which no end is sent.
        self._finished: set[int] = set()
        # Frames in response to one message, which are sent together.
        self._answers: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve the tunnel until the client ends it or breaks the protocol."""
        try:
            with contextlib.suppress(ClientGone, spdy.ProtocolError):
                while data := await self._carrier.receive():
                    for event in self._spdy.receive(data):
                        await self._handle(event)
                    await self._answer()
        finally:
            for pair in self._pairs.values():
                if pair.timeout is not None:
                    pair.timeout.cancel()
                if pair.forwarding is not None:
                    pair.forwarding.feed_eof()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _handle(self, event: spdy.Event) -> None:
        match event:
            case spdy.DataReceived(stream, data, fin):
                forwarding = self._get_forwarding(stream)
                if forwarding is not None and data:
                    await self._answer()  # `feed` may wait long for the program
                    await forwarding.feed(data)
                if forwarding is not None and fin:
                    forwarding.feed_eof()
            case spdy.StreamOpened(stream, headers, fin):
                if self._open(stream, headers, fin=fin):
                    await asyncio.sleep(0)  # dials the pod while the response is written, not after
            case spdy.StreamReset(stream):
                if stream in self._open_streams:
                    self._finished.add(stream)
                forwarding = self._get_forwarding(stream)
                if forwarding is not None:
                    forwarding.feed_eof()
            case spdy.Ping(number):
                self._answers.append(self._spdy.pong(number))

    async def _answer(self, *frames: bytes | memoryview) -> None:
        """Send the collected answers, followed by `frames`."""
        if self._answers or frames:
            data = b"".join((*self._answers, *frames))
            self._answers.clear()
            await self._carrier.send(data)

    def _get_forwarding(self, stream: int) -> Forwarding | None:
        pair = self._data_streams.get(stream)
        return pair.forwarding if pair is not None else None

    def _open(self, stream: int, headers: Mapping[str, str], *, fin: bool) -> bool:
        """Answer a new stream; return whether its pair is complete."""
        try:
            pair = self._join(stream, headers)
        except _Rejected:
            self._answers.append(self._spdy.reset(stream))
            return False
        self._answers.append(self._spdy.reply(stream))
        if pair is None:
            return False
        forwarding = self._start(pair)
        if fin and stream == pair.data_stream:
            forwarding.feed_eof()
        return True

    def _join(self, stream: int, headers: Mapping[str, str]) -> _Pair | None:
        """Add a stream to its pair; return the pair if it is complete."""
        kind = headers.get("streamtype")
        port = headers.get("port", "")
        if (
            kind not in {"error", "data"}
            or not port.isascii()
            or not port.isdigit()
            or not 0 < int(port) < 65536
        ):
            raise _Rejected
        # Clients without a requestid open the error stream first, then the data stream.
        request = headers.get("requestid") or str(stream if kind == "error" else stream - 2)
        pair = self._pairs.get(request)
        if pair is None:
            pair = self._pairs[request] = _Pair(request)
            pair.timeout = asyncio.get_running_loop().call_later(self._pair_timeout, self._give_up, pair)
        if (pair.error_stream if kind == "error" else pair.data_stream) is not None:
            self._print_error(
                pair, f"error processing stream for request {request}: {kind} stream already assigned"
            )
            return None
        if kind == "error":
            pair.error_stream = stream
        else:
            pair.data_stream = stream
            pair.port = int(port)
        if pair.error_stream is None or pair.data_stream is None:
            return None
        return pair

    def _start(self, pair: _Pair) -> Forwarding:
        if pair.timeout is not None:
            pair.timeout.cancel()
        stream = pair.data_stream or 0

        async def send(data: bytes) -> None:
            frames: list[bytes | memoryview] = []
            for part in cut_into_copies(data):
                frames += (self._spdy.data_head(stream, len(part)), part)
            await self._answer(*frames)

        pair.forwarding = Forwarding(self._sandbox, pair.port, send)
        self._data_streams[stream] = pair
        self._open_streams |= {stream, pair.error_stream or 0}
        self._spawn(self._forward(pair.forwarding, pair, stream))
        return pair.forwarding

    async def _forward(self, forwarding: Forwarding, pair: _Pair, data_stream: int) -> None:
        error_stream = pair.error_stream or 0
        error = await forwarding.run()
        self._pairs.pop(pair.request, None)
        self._data_streams.pop(data_stream, None)
        frames = b""
        if error is not None:
            # Since Kubernetes 1.32, a reset of both streams follows the text, so that clients notice the error.
            text = error.encode()
            frames += self._spdy.data_head(error_stream, len(text)) + text
            frames += self._spdy.reset(data_stream) + self._spdy.reset(error_stream)
        else:
            for stream in (error_stream, data_stream):
                if stream not in self._finished:
                    frames += self._spdy.data_head(stream, 0, fin=True)
        self._finished -= {data_stream, error_stream}
        self._open_streams -= {data_stream, error_stream}
        if frames:
            await self._send(frames)

    def _give_up(self, pair: _Pair) -> None:
        self._pairs.pop(pair.request, None)
        self._print_error(pair, f"(conn={id(self):#x}, request={pair.request}) timed out waiting for streams")

    def _print_error(self, pair: _Pair, text: str) -> None:
        stream = pair.error_stream
        if stream is not None:
            data = text.encode()
            self._spawn(self._send(self._spdy.data_head(stream, len(data)) + data))

    async def _send(self, data: bytes) -> None:
        with contextlib.suppress(ClientGone):
            await self._answer(data)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
