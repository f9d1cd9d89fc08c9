"""Port-forwarding over WebSocket channels: the older protocol, with one connection per port and WebSocket.

The request for the WebSocket names the ports. Each port has two channels, for data and for errors; the server's
first message on each is the port number. There is no half-close. The WebSocket ends with its last connection.

Source: k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go, k8s.io/apimachinery/pkg/util/httpstream/wsstream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from aiohttp import WSMsgType, web

from sspcloud_magics.sandbox.node.relay import ClientGone, Forwarding, Sandbox, cut_into_copies


class ChannelSession:
    """A WebSocket with the channels of some ports."""

    def __init__(self, socket: web.WebSocketResponse, sandbox: Sandbox, ports: Sequence[int]) -> None:
        self._socket = socket
        self._ports = ports
        self._forwardings = [
            Forwarding(sandbox, port, partial(self._send_data, 2 * index)) for index, port in enumerate(ports)
        ]

    async def run(self) -> None:
        """Serve the WebSocket until the client closes it or all connections have ended."""
        for index, port in enumerate(self._ports):
            for channel in (2 * index, 2 * index + 1):
                await self._send(channel, port.to_bytes(2, "little"))
        reading: asyncio.Future[Any] = asyncio.ensure_future(self._read())
        forwarding: asyncio.Future[Any] = asyncio.gather(
            *(self._forward(index) for index in range(len(self._ports)))
        )
        try:
            await asyncio.wait({reading, forwarding}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            forwarding.cancel()
            await asyncio.gather(reading, forwarding, return_exceptions=True)
            await self._socket.close()

    async def _forward(self, index: int) -> None:
        error = await self._forwardings[index].run()
        if error is not None:
            with contextlib.suppress(ClientGone):
                await self._send(2 * index + 1, error.encode())

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                if not message.data:
                    return
                channel, data = message.data[0], memoryview(message.data)[1:]
                # Only the server sends on error channels.
                if channel % 2 == 0 and channel // 2 < len(self._forwardings):
                    await self._forwardings[channel // 2].feed(data)
            elif message.type is WSMsgType.TEXT:
                continue
            else:
                if message.type is WSMsgType.CLOSE:
                    # After a close frame the pod gets an end of file; a lost client becomes a reset.
                    for forwarding in self._forwardings:
                        forwarding.feed_eof()
                return

    async def _send_data(self, channel: int, data: bytes) -> None:
        for part in cut_into_copies(data):
            await self._send(channel, part)

    async def _send(self, channel: int, data: bytes | memoryview) -> None:
        try:
            await self._socket.send_bytes(bytes((channel,)) + data)
        except (ConnectionError, RuntimeError) as error:
            raise ClientGone from error
