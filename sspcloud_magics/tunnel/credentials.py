"""Credentials from the kernel, and the retries after a 401, a 403 or a busy server.

After a 401, the kernel is asked for fresh credentials, once. A 403 is not trusted at first: an API server that starts
refuses every request until it has read the RBAC rules. It counts only if the server was ready when it answered.
A busy server says when to retry; then the request is repeated, as in client-go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sspcloud_magics.access import Access
from sspcloud_magics.errors import ServerError, SspcloudError, TokenExpired
from sspcloud_magics.i18n import _
from sspcloud_magics.tunnel.http import Client, StatusError
from sspcloud_magics.tunnel.negotiation import PROTOCOLS, TunnelProtocol
from sspcloud_magics.tunnel.timings import Timings

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_UNAUTHORIZED, _FORBIDDEN = 401, 403
# Seconds for the kernel to renew the credentials, which may run a plugin or ask the user's provider.
_RENEWAL_TIMEOUT = 60.0
_BUSY, _SERVER_ERROR = 429, 500
# Seconds of retries with a busy server; `Retry-After: 0` waits the minimum.
_BUSY_TIMEOUT = 10.0
_MIN_PAUSE = 0.1


class AccessStore:
    """One identity on one API server, which the kernel renews.

    Parameters
    ----------
    access
        The first credentials.
    want
        Called when the server rejects the credentials; `set` or `refuse` must follow.
    timings
        `Timings.ready_ttl` says how long a success is trusted.
    first
        The preferred protocol.
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
        """The best protocol that this server has not ruled out."""
        self.confirmed: TunnelProtocol | None = None
        """The best protocol that this server has spoken; None before the first tunnel."""
        self.tells_readiness = True
        """Whether the server answers ``/readyz``, as far as is known; without it, a single 403 proves nothing."""
        self._access = access
        self._want = want
        # Pending from a 401 until the kernel answers with `set` or `refuse`.
        self._renewal: asyncio.Future[None] | None = None
        # Until this time, a 403 counts without a question to the server: a request has just succeeded.
        self._ready_until = 0.0
        self._readiness_lock = asyncio.Lock()

    def set(self, access: Access) -> None:
        """Replace the credentials."""
        if access != self._access:
            if (access.server, access.proxy) != (self._access.server, self._access.proxy):
                self.protocol, self.confirmed = self._first, None
                self._ready_until = 0.0
            self._access = access
            self.client = Client(access, self._timings)
        if self._renewal is not None and not self._renewal.done():
            self._renewal.set_result(None)

    def refuse(self, error: SspcloudError) -> None:
        """Fail the requests that wait for fresh credentials."""
        if self._renewal is not None and not self._renewal.done():
            self._renewal.set_exception(error)

    async def call(self, operation: Callable[[Client], Awaitable[_T]]) -> _T:
        """Run `operation`, and retry once: after a 401 with fresh credentials, or after a doubtful 403.

        Raises
        ------
        TokenExpired
            If the server rejects the fresh credentials too, or none come.
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
        self._mark_ready()
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
                _("The cluster does not accept your credentials any more."),
                why=_("The server says: {text}", text=error.message or "Unauthorized"),
                hint=_("log in again"),
            ) from None

    async def _ask(self, operation: Callable[[Client], Awaitable[_T]]) -> _T:
        """Run `operation`; retry when a busy server says so, for a limited time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _BUSY_TIMEOUT
        while True:
            try:
                return await operation(self.client)
            except StatusError as error:
                is_busy = error.status == _BUSY or error.status >= _SERVER_ERROR
                if not is_busy or error.retry_after is None:
                    raise
                pause = max(error.retry_after, _MIN_PAUSE)
                _log.info("the API server is busy (%d); retrying in %.1f s", error.status, pause)
                if loop.time() + pause > deadline:
                    raise
            await asyncio.sleep(pause)

    async def _became_ready(self, asked_at: float) -> bool:
        """Return whether the server may have become ready only after `asked_at`; raise if it is not ready yet."""
        async with self._readiness_lock:
            # A success after the request says nothing about the moment of the refusal.
            if self._ready_until - self._timings.ready_ttl <= asked_at < self._ready_until:
                return False
            ready = await self.client.is_ready()
            _log.info("checked a 403: the API server is ready: %s", "unknown" if ready is None else ready)
            self.tells_readiness = ready is not None
            if ready is False:
                raise ServerError(
                    _("The API server is starting."),
                    why=_("It refuses every request until it has read the RBAC rules."),
                    hint=_("try again in a few seconds"),
                )
            if ready:
                self._mark_ready()
            return bool(ready)

    def _mark_ready(self) -> None:
        self._ready_until = asyncio.get_running_loop().time() + self._timings.ready_ttl

    async def _renew(self, refused: Client) -> None:
        if self.client is not refused:
            return  # another request has already renewed the credentials
        if self._renewal is None:
            _log.info("the API server answered 401; asking the kernel for fresh credentials")
            self._renewal = asyncio.get_running_loop().create_future()
            self._want()
        renewal = self._renewal
        try:
            async with asyncio.timeout(_RENEWAL_TIMEOUT):
                await asyncio.shield(renewal)
        except TimeoutError:
            raise TokenExpired(
                _("Your credentials have expired, and fresh ones did not come in time."),
                hint=_("log in again"),
            ) from None
        finally:
            if self._renewal is renewal:
                self._renewal = None
