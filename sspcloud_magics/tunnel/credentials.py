"""The access that the kernel lends to the helper, and how a fresh one is asked for when it has expired."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sspcloud_magics.access import Access
from sspcloud_magics.errors import SspcloudError, TokenExpired
from sspcloud_magics.tunnel.http import Client, StatusError
from sspcloud_magics.tunnel.negotiation import PROTOCOLS, TunnelProtocol

_T = TypeVar("_T")
_UNAUTHORIZED = 401
_RENEWAL_TIMEOUT = 60.0


class Credentials:
    """One identity on one API server, renewed by whoever lent it.

    Parameters
    ----------
    access
        The access to begin with.
    want
        Called when the server does not accept it any more: `set` or `refuse` is awaited then.
    """

    def __init__(self, access: Access, want: Callable[[], None]) -> None:
        self.client = Client(access)
        self.protocol = PROTOCOLS[0]
        """What this server is asked for first: the best that is not known to be in vain."""
        self.spoken: TunnelProtocol | None = None
        """What it has spoken, and the best of it; None before the first tunnel."""
        self._access = access
        self._want = want
        self._renewal: asyncio.Future[None] | None = None

    def set(self, access: Access) -> None:
        """Use this access from now on."""
        if access != self._access:
            if (access.server, access.proxy) != (self._access.server, self._access.proxy):
                self.protocol, self.spoken = PROTOCOLS[0], None
            self._access = access
            self.client = Client(access)
        if self._renewal is not None and not self._renewal.done():
            self._renewal.set_result(None)

    def refuse(self, error: SspcloudError) -> None:
        """Tell those who wait for a fresh access that there is none."""
        if self._renewal is not None and not self._renewal.done():
            self._renewal.set_exception(error)

    async def call(self, operation: Callable[[Client], Awaitable[_T]]) -> _T:
        """Do `operation`; where the server says 401, once more with fresh credentials.

        Raises
        ------
        TokenExpired
            If the server does not accept those either, or none come.
        """
        client = self.client
        try:
            return await operation(client)
        except StatusError as error:
            if error.status != _UNAUTHORIZED:
                raise
        await self._renew(client)
        try:
            return await operation(self.client)
        except StatusError as error:
            if error.status != _UNAUTHORIZED:
                raise
            raise TokenExpired(
                "The cluster does not accept your credentials any more.",
                why=f"The server says: {error.message or 'Unauthorized'}",
                mend="log in again",
            ) from None

    async def _renew(self, refused: Client) -> None:
        if self.client is not refused:
            return  # somebody else has asked meanwhile
        if self._renewal is None:
            self._renewal = asyncio.get_running_loop().create_future()
            self._want()
        renewal = self._renewal
        try:
            async with asyncio.timeout(_RENEWAL_TIMEOUT):
                await asyncio.shield(renewal)
        except TimeoutError:
            raise TokenExpired(
                "Your credentials have expired, and fresh ones did not come in time.", mend="log in again"
            ) from None
        finally:
            if self._renewal is renewal:
                self._renewal = None
