"""The access that the kernel lends to the helper, and which refusals of the server are believed.

A 401 asks the kernel for fresh credentials, once. A 403 is doubted: an API server that starts refuses everything to
everybody until it has read the rights. It is believed where the server was ready when it was asked. A server that is
busy says when to ask again, and is asked then, as client-go does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sspcloud_magics.access import Access
from sspcloud_magics.errors import ServerError, SspcloudError, TokenExpired
from sspcloud_magics.tunnel.http import Client, StatusError
from sspcloud_magics.tunnel.negotiation import PROTOCOLS, TunnelProtocol
from sspcloud_magics.tunnel.timings import Timings

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_RENEWAL_TIMEOUT = 60.0
_BUSY, _SERVER_ERROR = 429, 500
_PATIENCE_WITH_BUSY = 10.0
_SHORTEST_PAUSE = 0.1


class AccessStore:
    """One identity on one API server, renewed by whoever lent it.

    Parameters
    ----------
    access
        The access to begin with.
    want
        Called when the server does not accept it any more: `set` or `refuse` is awaited then.
    timings
        How long a success is believed.
    first
        The protocol to begin with.
    """

    def __init__(
        self,
        access: Access,
        want: Callable[[], None],
        timings: Timings = Timings(),  # noqa: B008 - frozen
        first: TunnelProtocol = PROTOCOLS[0],
    ) -> None:
        self._timings = timings
        self.client = Client(access, timings)
        self._first = self.protocol = first
        """What this server is asked for first: the best that is not known to be in vain."""
        self.spoken: TunnelProtocol | None = None
        """What it has spoken, and the best of it; None before the first tunnel."""
        self.tells_readiness = True
        """Whether the server answers ``/readyz``, as far as is known: else no single 403 can be judged."""
        self._access = access
        self._want = want
        self._renewal: asyncio.Future[None] | None = None
        # Until when a 403 is believed without asking: a request has just succeeded.
        self._ready_until = 0.0
        self._asking = asyncio.Lock()

    def set(self, access: Access) -> None:
        """Use this access from now on."""
        if access != self._access:
            if (access.server, access.proxy) != (self._access.server, self._access.proxy):
                self.protocol, self.spoken = self._first, None
                self._ready_until = 0.0
            self._access = access
            self.client = Client(access, self._timings)
        if self._renewal is not None and not self._renewal.done():
            self._renewal.set_result(None)

    def refuse(self, error: SspcloudError) -> None:
        """Tell those who wait for a fresh access that there is none."""
        if self._renewal is not None and not self._renewal.done():
            self._renewal.set_exception(error)

    async def call(self, operation: Callable[[Client], Awaitable[_T]]) -> _T:
        """Do `operation`; after a 401 once more with fresh credentials, after a doubtful 403 once more as it is.

        Raises
        ------
        TokenExpired
            If the server does not accept the fresh credentials either, or none come.
        ServerError
            If the server refuses because it is starting.
        """
        asked_at = asyncio.get_running_loop().time()
        try:
            found = await self._call(operation)
        except StatusError as error:
            if error.status != _FORBIDDEN or not error.from_api or not await self._became_ready(asked_at):
                raise
            found = await self._call(operation)
        self._believe()
        return found

    async def _call(self, operation: Callable[[Client], Awaitable[_T]]) -> _T:
        client = self.client
        try:
            return await self._ask(operation)
        except StatusError as error:
            if error.status != _UNAUTHORIZED:
                raise
        await self._renew(client)
        try:
            return await self._ask(operation)
        except StatusError as error:
            if error.status != _UNAUTHORIZED:
                raise
            raise TokenExpired(
                "The cluster does not accept your credentials any more.",
                why=f"The server says: {error.message or 'Unauthorized'}",
                hint="log in again",
            ) from None

    async def _ask(self, operation: Callable[[Client], Awaitable[_T]]) -> _T:
        """Do `operation`; again when the server wants it, as long as that is soon."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE_WITH_BUSY
        while True:
            try:
                return await operation(self.client)
            except StatusError as error:
                busy = error.status == _BUSY or error.status >= _SERVER_ERROR
                if not busy or error.retry_after is None:
                    raise
                pause = max(error.retry_after, _SHORTEST_PAUSE)
                _log.info("the API server is busy (%d): asked again in %.1f s", error.status, pause)
                if loop.time() + pause > deadline:
                    raise
            await asyncio.sleep(pause)

    async def _became_ready(self, asked_at: float) -> bool:
        """Return whether the server may have become ready only after `asked_at`; raises where it is not ready yet."""
        async with self._asking:
            # A success that came after the question says nothing of the moment in which it was refused.
            if self._ready_until - self._timings.stays_ready <= asked_at < self._ready_until:
                return False
            ready = await self.client.is_ready()
            _log.info("a 403 is doubted; the API server is ready: %s", "unknown" if ready is None else ready)
            self.tells_readiness = ready is not None
            if ready is False:
                raise ServerError(
                    "The API server is starting.",
                    why="It refuses everything until it has read the rights.",
                    hint="try again in a moment",
                )
            if ready:
                self._believe()
            return bool(ready)

    def _believe(self) -> None:
        self._ready_until = asyncio.get_running_loop().time() + self._timings.stays_ready

    async def _renew(self, refused: Client) -> None:
        if self.client is not refused:
            return  # somebody else has asked meanwhile
        if self._renewal is None:
            _log.info("the API server answered 401: fresh credentials are asked for")
            self._renewal = asyncio.get_running_loop().create_future()
            self._want()
        renewal = self._renewal
        try:
            async with asyncio.timeout(_RENEWAL_TIMEOUT):
                await asyncio.shield(renewal)
        except TimeoutError:
            raise TokenExpired(
                "Your credentials have expired, and fresh ones did not come in time.", hint="log in again"
            ) from None
        finally:
            if self._renewal is renewal:
                self._renewal = None
