"""The connections of a forward, and the tunnels that carry them to the pod.

A client that arrives while no tunnel is available waits (`ForwardSpec.wait`) instead of being refused.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.i18n import _
from sspcloud_magics.tunnel.connection import Connection, Counters
from sspcloud_magics.tunnel.http import StatusError
from sspcloud_magics.tunnel.peer_probe import PeerProbe
from sspcloud_magics.tunnel.pod_selection import Candidate
from sspcloud_magics.tunnel.pool import Pool
from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.stream import Stream
from sspcloud_magics.tunnel.timings import Timings
from sspcloud_magics.tunnel.tunnel import Pair

_log = logging.getLogger(__name__)

# Seconds that a connection waits for a tunnel while others open.
_QUEUE_TIMEOUT = 60.0
# A check takes 40 us, which delays all connections.
_MAX_CHECKS = 4


class Lifecycle(Protocol):
    """The part of a forward's life cycle that its connections use."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> object:
        """Run `work` until the forward ends."""

    def want_login(self) -> None:
        """Retry with a new login, if there is one: a client waits."""

    def take_failure(self, error: Exception) -> None:
        """Handle the failure of the current pool to open a tunnel."""

    def lose(self, reason: str) -> None:
        """Reconnect, because the pod can no longer be reached."""

    def is_terminating(self, pod: Candidate) -> bool:
        """Return whether a pod is being deleted, or is gone."""

    async def is_leaving(self, pod: Candidate) -> bool:
        """Ask the server whether a pod is being deleted, or is gone; if so, reconnect."""


class Dispatcher:
    """The connections of a forward, and the pools from which they acquire their stream pairs.

    Parameters
    ----------
    forward_id
        The forward's number, given by the kernel.
    wait
        How long a client waits for a pod, in seconds.
    life
        The life cycle of the forward.
    peers
        Detects clients that have closed.
    on_traffic
        Called when the counters change after a pause.
    timings
        The timeouts.
    """

    def __init__(
        self,
        forward_id: int,
        wait: float,
        life: Lifecycle,
        *,
        peers: PeerProbe,
        on_traffic: Callable[[], None],
        timings: Timings,
    ) -> None:
        self._id, self._wait, self._life, self._on_traffic = forward_id, wait, life, on_traffic
        self._loop = asyncio.get_running_loop()
        # An ordered set of the open connections.
        self._connections: dict[Connection, None] = {}
        # The acquired pairs with their pools, which need not be the current one.
        self._acquired: dict[Pair, Pool] = {}
        self.ended: dict[Connection, None] = {}
        """Connections whose client has sent its FIN, before the first check whether it has closed."""
        self.pool: Pool | None = None
        """The tunnels to the current pod; None before the first pod was chosen."""
        self.serving = asyncio.Event()
        """Whether connections may use the pool; cleared while the forward reconnects."""
        self.counters = Counters()
        self.peers = peers
        self.timings = timings
        self.quiet = True
        """Whether the reported counters are current, so that the next change calls `note_traffic`."""

    def note_traffic(self) -> None:
        """Report the counters soon, after the present event."""
        if self.quiet:
            self.quiet = False
            self._loop.call_soon(self._on_traffic)

    def use(self, pool: Pool) -> None:
        """Serve new connections from another pool."""
        if self.pool is not None:
            self.pool.retire()
        self.pool = pool

    def _pools(self) -> set[Pool]:
        return {*self._acquired.values(), *([self.pool] if self.pool else ())}

    def check(self) -> None:
        """Ask every tunnel for a sign of life, because another connection has broken silently."""
        for pool in self._pools():
            pool.check()

    def stop(self, *, keep_running: bool) -> None:
        """End the connections; with `keep_running`, only those without a tunnel."""
        for connection in list(self._connections):
            if not (keep_running and connection.is_served):
                connection.stop()

    def close_pools(self, *, keep_running: bool) -> None:
        """Close the tunnels; with `keep_running`, each after its last connection."""
        for pool in self._pools():
            if keep_running:
                pool.retire()
            else:
                pool.close(_("the forward was stopped"))

    def accept(self, position: int, sock: socket.socket) -> None:
        """Serve a client on the forward's port number `position`, counted from 0."""
        self.counters.connections += 1
        self.counters.open_connections += 1
        self.note_traffic()
        connection = Connection(Stream(sock, self._loop), position, self)
        self._connections[connection] = None
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug(
                "forward %d: connection %x begins, %d open", self._id, id(connection), len(self._connections)
            )
        pool = self.pool
        pair = self._acquire_nowait(pool) if pool is not None and self.serving.is_set() else None
        if pair is not None and pool is not None:
            self._acquired[pair] = pool
            connection.begin(pair, pool.pod.ports[position])
        else:
            self._life.want_login()
            self._life.spawn(self._serve_later(connection))

    def _acquire_nowait(self, pool: Pool) -> Pair | None:
        """Return a pair that is free, or that a client has just left; None if there is none."""
        checks = _MAX_CHECKS if pool.reuses else 0
        while (pair := pool.acquire_nowait()) is None and self.ended and checks:
            next(iter(self.ended)).check_client_now()
            checks -= 1
        return pair

    async def _serve_later(self, connection: Connection) -> None:
        """Wait for a tunnel, with a timeout, and start the connection."""
        _log.debug("forward %d: connection %x waits for a tunnel", self._id, id(connection))
        while not connection.over:
            try:
                async with asyncio.timeout(self._wait):
                    await self.serving.wait()
                pool = self.pool
                assert pool is not None  # noqa: S101 - a dispatcher that serves has one
                port = pool.pod.ports[connection.position]
                async with asyncio.timeout(_QUEUE_TIMEOUT):
                    pair = await self.acquire(pool, port)
            except TimeoutError:
                connection.fail(_("no tunnel to the pod could be opened in time"))
                return
            except (StatusError, ProtocolError, SspcloudError) as error:
                if pool is self.pool:
                    self._life.take_failure(error)
            else:
                connection.begin(pair, port)
                return

    async def acquire(self, pool: Pool, port: int) -> Pair:
        """Acquire a pair of `pool`, waiting for it if necessary; `release` returns it."""
        pair = await pool.acquire(port)
        self._acquired[pair] = pool
        return pair

    def release(self, pair: Pair) -> None:
        """Return the pair of a connection that has ended to its pool."""
        pool = self._acquired.pop(pair, None)
        if pool is not None:
            pool.release(pair)

    def connection_over(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        self._connections.pop(connection, None)
        self.ended.pop(connection, None)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug(
                "forward %d: connection %x ended, %d open", self._id, id(connection), len(self._connections)
            )
        self.counters.open_connections -= 1
        self.note_traffic()

    def connection_failed(self, line: str) -> None:
        """Record the error that ended a connection, as one line for the user."""
        _log.info("forward %d: a connection failed", self._id)
        self.counters.failed_connections += 1
        self.counters.last_error = line
        self.note_traffic()

    def pod_is_gone(self) -> None:
        """Reconnect, because the server does not find the pod any more."""
        _log.info("forward %d: the server does not find the pod", self._id)
        self._life.lose(_("the pod is gone"))

    def is_pod_terminating(self, pair: Pair) -> bool:
        """Return whether the pod at the end of `pair` is being deleted, or is gone."""
        pool = self._acquired.get(pair)
        return pool is not None and self._life.is_terminating(pool.pod)

    def connection_refused(self, connection: Connection, pair: Pair, line: str) -> None:
        """Find the next pod for a connection that a pod has refused, if that is being deleted; otherwise fail it."""
        self._life.spawn(self._serve_refused(connection, self._acquired[pair].pod, line))

    async def _serve_refused(self, connection: Connection, pod: Candidate, line: str) -> None:
        if await self._life.is_leaving(pod):
            await self._serve_later(connection)
        else:
            connection.fail(line)

    def serve_again(self, connection: Connection) -> None:
        """Find another tunnel for a connection that has not reached any pod yet."""
        self._life.spawn(self._serve_later(connection))
