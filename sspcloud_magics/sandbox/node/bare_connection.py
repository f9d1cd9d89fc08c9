"""An HTTP connection taken over from aiohttp after an upgrade."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_protocol import RequestHandler

from sspcloud_magics.sandbox.node.connection import Connection
from sspcloud_magics.sandbox.node.relay import ClientGone


class BareConnection(Connection):
    """The connection of a request, created with `take_over`.

    `handler`: aiohttp's protocol, which must be notified of the end.
    """

    def __init__(self, handler: RequestHandler) -> None:
        super().__init__()
        self._handler = handler

    @classmethod
    def take_over(cls, request: web.Request, headers: Mapping[str, str]) -> BareConnection:
        """Answer a request with ``101 Switching Protocols`` and `headers`, and return its connection.

        Raise `ClientGone` if the client has left.
        """
        transport = request.transport
        if transport is None:
            raise ClientGone
        connection = cls(request.protocol)
        connection.connection_made(transport)
        transport.set_protocol(connection)
        lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in headers.items())]
        transport.write("\r\n".join([*lines, "", ""]).encode("ascii"))
        return connection

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and notify aiohttp (asyncio calls this)."""
        super().connection_lost(exc)
        self._handler.connection_lost(exc)

    async def receive(self) -> bytes:
        """Return the next bytes, empty at the end, also after an error."""
        try:
            return await self.read()
        except OSError:
            return b""

    async def send(self, data: bytes) -> None:
        """Send bytes and wait for room; raise `ClientGone` if the client has left."""
        if self.closed:
            raise ClientGone
        try:
            await self.write(data)
        except OSError as error:
            raise ClientGone from error


class TakenOver(web.StreamResponse):
    """The response for a connection that was taken over: it sends nothing."""

    def __init__(self) -> None:
        super().__init__(status=HTTPStatus.SWITCHING_PROTOCOLS)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002 - aiohttp's
        """Send nothing."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing."""

    @property
    def keep_alive(self) -> bool | None:
        """Always false: aiohttp must not reuse the connection."""
        return False
