"""The connections of a forward, each of which gets a tunnel to the pod.

A client that comes while no tunnel can be had is kept waiting (`ForwardSpec.wait`) instead of being refused.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.tunnel.connection import Connection, Counters
from sspcloud_magics.tunnel.http import StatusError
from sspcloud_magics.tunnel.peer_probe import PeerWatch
from sspcloud_magics.tunnel.pod_selection import Candidate
from sspcloud_magics.tunnel.pool import Pool
from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.stream import Stream
from sspcloud_magics.tunnel.timings import Timings
from sspcloud_magics.tunnel.tunnel import Pair

_log = logging.getLogger(__name__)

# How long a connection stands in the queue for a tunnel while others open.
_LONGEST_QUEUE = 60.0
# A look takes 40 us, in which everybody waits.
_MOST_LOOKS = 4


class Lifecycle(Protocol):
    """The life of the forward, as far as its connections touch it."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> object:
        """Run `work` until the forward ends."""

    def want_login(self) -> None:
        """Take note that a client waits: perhaps there is a new login by now."""

    def take_failure(self, error: Exception) -> None:
        """Take note that the pool that serves could open no tunnel."""

    def lose(self, reason: str) -> None:
        """Take note that the pod cannot be reached any more."""

    def is_going(self, pod: Candidate) -> bool:
        """Return whether a pod is being deleted, or is gone."""


class Dispatcher:
    """The connections of a forward, and the pools that lend them their pairs.

    Parameters
    ----------
    forward_id
        The number that the kernel gave the forward.
    wait
        How long a client is kept waiting for a pod, in seconds.
    life
        The life of the forward.
    peers
        Knows whether clients have closed.
    on_traffic
        Called when the counters change after a quiet time.
    timings
        How long to wait for servers, pods and clients.
    """

    def __init__(
        self,
        forward_id: int,
        wait: float,
        life: Lifecycle,
        *,
        peers: PeerWatch,
        on_traffic: Callable[[], None],
        timings: Timings,
    ) -> None:
        self._id, self._wait, self._life, self._on_traffic = forward_id, wait, life, on_traffic
        self._loop = asyncio.get_running_loop()
        self._connections: dict[Connection, None] = {}
        # Pairs in use, each with its pool, which need not be the one of now.
        self._lent: dict[Pair, Pool] = {}
        self.leaving: dict[Connection, None] = {}
        self.pool: Pool | None = None
        """The tunnels to the pod that the forward leads to; None before the first pod was chosen."""
        self.serving = asyncio.Event()
        """Whether connections are given to the pool."""
        self.counters = Counters()
        self.peers = peers
        self.timings = timings
        self.quiet = True
        """Whether the counters were told as they are, and a change of them calls for `note_traffic`."""

    def note_traffic(self) -> None:
        """Have the counters told, as they are after what is being done now."""
        if self.quiet:
            self.quiet = False
            self._loop.call_soon(self._on_traffic)

    def use(self, pool: Pool) -> None:
        """Serve the connections that come from now on by another pool."""
        if self.pool is not None:
            self.pool.retire()
        self.pool = pool

    def _pools(self) -> set[Pool]:
        return {*self._lent.values(), *([self.pool] if self.pool else ())}

    def check(self) -> None:
        """Ask every tunnel for a sign of life, because something else has broken without a word."""
        for pool in self._pools():
            pool.check()

    def stop(self, *, keep_running: bool) -> None:
        """End the connections; with `keep_running` only those that have no tunnel."""
        for connection in list(self._connections):
            if not (keep_running and connection.is_served):
                connection.stop()

    def close_pools(self, *, keep_running: bool) -> None:
        """Close the tunnels; with `keep_running` those that carry connections close after them."""
        for pool in self._pools():
            if keep_running:
                pool.retire()
            else:
                pool.close("the forward was stopped")

    def accept(self, position: int, sock: socket.socket) -> None:
        """Serve a client that came to the port at `position`."""
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
        pair = self._take(pool) if pool is not None and self.serving.is_set() else None
        if pair is not None and pool is not None:
            self._lent[pair] = pool
            connection.begin(pair, pool.pod.ports[position])
        else:
            self._life.want_login()
            self._life.spawn(self._serve_later(connection))

    def _take(self, pool: Pool) -> Pair | None:
        """Return a pair that is free, or that a client has left just now; None if there is none."""
        looks = _MOST_LOOKS if pool.reuses else 0
        while (pair := pool.take()) is None and self.leaving and looks:
            next(iter(self.leaving)).look_now()
            looks -= 1
        return pair

    async def _serve_later(self, connection: Connection) -> None:
        """Wait until there is a tunnel for a connection, but not for ever."""
        _log.debug("forward %d: connection %x waits for a tunnel", self._id, id(connection))
        while not connection.over:
            try:
                async with asyncio.timeout(self._wait):
                    await self.serving.wait()
                pool = self.pool
                assert pool is not None  # noqa: S101 - a dispatcher that serves has one
                port = pool.pod.ports[connection.position]
                async with asyncio.timeout(_LONGEST_QUEUE):
                    pair = await self.acquire(pool, port)
            except TimeoutError:
                connection.fail("no tunnel could be opened in time")
                return
            except (StatusError, ProtocolError, SspcloudError) as error:
                if pool is self.pool:
                    self._life.take_failure(error)
            else:
                connection.begin(pair, port)
                return

    async def acquire(self, pool: Pool, port: int) -> Pair:
        """Wait for a pair of `pool`, and lend it until `release`."""
        pair = await pool.acquire(port)
        self._lent[pair] = pool
        return pair

    def release(self, pair: Pair) -> None:
        """Take a pair back from a connection that is over."""
        pool = self._lent.pop(pair, None)
        if pool is not None:
            pool.give_back(pair)

    def connection_over(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.pop(connection, None)
        self.leaving.pop(connection, None)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug(
                "forward %d: connection %x is over, %d open", self._id, id(connection), len(self._connections)
            )
        self.counters.open_connections -= 1
        self.note_traffic()

    def connection_failed(self, line: str) -> None:
        """Take note of an error that ended a connection, in one line for the user."""
        _log.info("forward %d: a connection failed: %s", self._id, line)
        self.counters.failed_connections += 1
        self.counters.last_error = line
        self.note_traffic()

    def pod_is_gone(self) -> None:
        """Take note that the server does not find the pod any more."""
        self._life.lose("the pod is gone")

    def pod_is_going(self, pair: Pair) -> bool:
        """Return whether the pod at the end of `pair` is being deleted, or is gone."""
        pool = self._lent.get(pair)
        return pool is not None and self._life.is_going(pool.pod)

    def serve_again(self, connection: Connection) -> None:
        """Find another tunnel for a connection of which nothing has reached a pod."""
        self._life.spawn(self._serve_later(connection))
