"""The pool of tunnels to one pod: opened ahead, acquired by connections, and released when these end.

A connection acquires an idle tunnel, or the next one that is opened or released, and has it for itself. The number of
idle tunnels follows the demand: each connection that finds none raises it, and a quiet time lowers it again. With
`channels` no tunnel can be opened ahead, because the server dials the pod with the upgrade.

In a burst, more than `_BURST_THRESHOLD` connections wait at the same time. A tunnel for each would take longer to open
than the connections need it, so they share tunnels. During the burst, a tunnel that is opened or released, or that was
acquired just before, carries up to `_MAX_SHARED` of them. No connection joins a tunnel after the burst, nor one with a
connection that moves much or does not read. After its last connection, a shared tunnel is like any other. A connection
that has had a tunnel for itself for `Timings.burst_duration` keeps it to itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence

from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.i18n import _
from sspcloud_magics.tunnel import negotiation
from sspcloud_magics.tunnel.credentials import AccessStore
from sspcloud_magics.tunnel.http import Client, NoAnswer, StatusError, describe_for_log
from sspcloud_magics.tunnel.negotiation import TunnelProtocol
from sspcloud_magics.tunnel.pod_selection import Candidate
from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyTunnel
from sspcloud_magics.tunnel.protocols.websocket_channels import ChannelTunnel
from sspcloud_magics.tunnel.timings import Timings
from sspcloud_magics.tunnel.tunnel import Pair, Pulse, Tunnel

_log = logging.getLogger(__name__)

# Idle tunnels that are kept open, and tunnels that are opened at the same time.
_MAX_IDLE = 16
_MAX_OPENING = 32
# Outside of a burst, handshakes at the same time: at first, and after `Timings.refill_delay`.
_FIRST_HANDSHAKES, _MAX_HANDSHAKES = 2, 8
# More waiting connections than the threshold are a burst, in which a tunnel carries up to `_MAX_SHARED` connections.
_BURST_THRESHOLD = 16
_MAX_SHARED = 32
# Bytes; a tunnel that has carried more takes no further connections.
_HEAVY = 8 * 1024 * 1024
# Seconds without demand, after which idle tunnels are closed; and of any idle tunnel's life.
_QUIET = 30.0
_MAX_AGE = 3600.0


class Pool:
    """The tunnels to one pod.

    Parameters
    ----------
    credentials
        The identity that opens them.
    on_trouble
        Called with the error when no tunnel can be opened, or an idle one broke.
    timings
        The timeouts.
    """

    def __init__(
        self,
        credentials: AccessStore,
        namespace: str,
        pod: Candidate,
        on_trouble: Callable[[Exception], None],
        timings: Timings = Timings(),  # noqa: B008 - frozen
    ) -> None:
        self._credentials = credentials
        self._path = f"/api/v1/namespaces/{namespace}/pods/{pod.name}/portforward"
        self._on_trouble = on_trouble
        self._timings = timings
        # The protocol of the next tunnel.
        self._protocol = credentials.protocol
        self.pod = pod
        # Open tunnels: those without a connection, all of them, and those that a burst shares (in order).
        self._idle: deque[Tunnel] = deque()
        self._all: set[Tunnel] = set()
        self._shared: dict[Tunnel, None] = {}
        # The ports and futures of the connections that wait, in order.
        self._waiters: deque[tuple[int, asyncio.Future[Pair]]] = deque()
        self._opening: set[asyncio.Task[bool]] = set()
        # Asks the server for a sign of life, for tunnels that do not answer a ping.
        self._probe: asyncio.Task[None] | None = None
        # How many idle tunnels to keep, and when a connection last found none.
        self._ahead = 1
        self._last_miss = 0.0
        # When the burst ends, and from when on more than the first handshakes may run.
        self._burst_until = 0.0
        self._more_from = 0.0
        # Whether a tunnel was opened: before that, none is opened ahead.
        self._proven = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._ticker = self._loop.call_later(self._timings.ping_interval, self._tick)
        self._refill: asyncio.TimerHandle | None = None

    @property
    def protocol_name(self) -> str:
        """The protocol in use."""
        return self._protocol.name

    @property
    def reuses(self) -> bool:
        """Whether a tunnel can serve another connection after the first."""
        return self._protocol is not ChannelTunnel

    def acquire_nowait(self) -> Pair | None:
        """Return a pair on an idle tunnel or, in a burst, on a shared one; None if there is none."""
        while self._idle:
            tunnel = self._idle.pop()
            if tunnel.usable:
                pair = tunnel.acquire()
                self._refill_soon()
                return pair
        if self._is_burst():
            for tunnel in reversed(self._shared):
                if self._has_room(tunnel):
                    return tunnel.acquire()
        return None

    def _refill_soon(self) -> None:
        if self._refill is None:
            self._refill = self._loop.call_later(self._timings.refill_delay, self._refill_now)

    def _refill_now(self) -> None:
        """Open idle tunnels, unless the acquired ones may be released in a moment."""
        self._refill = None
        since = min((tunnel.used_at for tunnel in self._all if tunnel.pairs), default=-math.inf)
        due = since + self._timings.refill_delay
        if not self._waiters and due > self._loop.time():
            self._refill = self._loop.call_at(due, self._refill_now)
        else:
            self.fill()

    def _cancel_refill(self) -> None:
        if self._refill is not None:
            self._refill.cancel()
            self._refill = None

    async def acquire(self, port: int) -> Pair:
        """Acquire a pair, waiting until there is one; raise the error if no tunnel can be opened."""
        pair = self.acquire_nowait()
        if pair is not None:
            return pair
        if self._proven:
            self._ahead = min(self._ahead + 1, _MAX_IDLE)
            self._last_miss = self._loop.time()
        future: asyncio.Future[Pair] = self._loop.create_future()
        self._waiters.append((port, future))
        self.fill()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release(future.result())
            raise

    def release(self, pair: Pair) -> None:
        """Release the pair of a connection that has ended."""
        tunnel = pair.tunnel
        tunnel.release(pair)
        if tunnel.pairs:
            if tunnel in self._shared and not self._closed:
                self._share(tunnel)
            return
        self._shared.pop(tunnel, None)
        if tunnel.usable and not self._closed:
            self._hand_out(tunnel, 0)
        else:
            self._drop(tunnel)
            self.fill()

    def _hand_out(self, tunnel: Tunnel, port: int) -> None:
        """Give an unused tunnel to connections that wait: with `channels`, only to one for `port`."""
        for entry in self._waiters:
            wanted, future = entry
            if not future.done() and (tunnel.half_close or wanted == port):
                self._waiters.remove(entry)
                future.set_result(tunnel.acquire())
                self._share(tunnel)
                return
        if tunnel.half_close:
            self._idle.append(tunnel)
        else:
            self._drop(tunnel)

    def _is_burst(self) -> bool:
        """Return whether connections come faster than tunnels open, or did so until a moment ago."""
        if not self.reuses:
            return False
        now = self._loop.time()
        if len(self._waiters) > _BURST_THRESHOLD:
            began = now >= self._burst_until
            self._burst_until = now + self._timings.burst_duration
            if began:
                self._shared.clear()
                # Connections that came just before the burst was detected share their tunnels too.
                for tunnel in self._all:
                    if tunnel.pairs and tunnel.used_at >= now - self._timings.burst_duration:
                        self._admit(tunnel)
        return now < self._burst_until

    def _share(self, tunnel: Tunnel) -> None:
        """In a burst, share a tunnel with connections that wait."""
        if self._is_burst():
            self._admit(tunnel)

    def _admit(self, tunnel: Tunnel) -> None:
        """Serve as many waiting connections on a tunnel as it has room for."""
        self._shared[tunnel] = None
        while self._waiters and self._has_room(tunnel):
            _, future = self._waiters.popleft()
            if not future.done():
                future.set_result(tunnel.acquire())

    @staticmethod
    def _has_room(tunnel: Tunnel) -> bool:
        # A tunnel of `channels` serves one client, even if the pool has changed its protocol since.
        if not tunnel.half_close or not tunnel.usable:
            return False
        return tunnel.pairs < _MAX_SHARED and tunnel.carried < _HEAVY and not tunnel.stopped

    def _drop(self, tunnel: Tunnel) -> None:
        _log.debug("%s: tunnel %x is closed", self.pod.name, id(tunnel))
        self._all.discard(tunnel)
        tunnel.on_lost = None
        tunnel.close()

    def close(self, reason: str) -> None:
        """Close all tunnels; connections on them are lost, and those that wait for one fail."""
        self._closed = True
        self._ticker.cancel()
        self._cancel_refill()
        if self._probe is not None:
            self._probe.cancel()
        for task in self._opening:
            task.cancel()
        for tunnel in list(self._all):
            tunnel.on_lost = None
            tunnel.break_off(reason)
        self._all.clear()
        self._idle.clear()
        self._shared.clear()
        self._fail_waiters(ProtocolError(reason))

    def retire(self) -> None:
        """Close idle tunnels; open connections run to their end."""
        self._closed = True
        self._cancel_refill()
        for task in self._opening:
            task.cancel()
        while self._idle:
            self._drop(self._idle.pop())
        self._fail_waiters(ProtocolError(_("the pod is no longer used")))

    def _fail_waiters(self, error: Exception) -> None:
        while self._waiters:
            _, future = self._waiters.popleft()
            if not future.done():
                future.set_exception(error)

    def fill(self) -> None:
        """Open as many tunnels, idle ones included, as are needed and allowed."""
        if self._closed:
            return
        while self._waiters and self._waiters[0][1].done():
            self._waiters.popleft()
        is_burst = self._is_burst()
        waiting = len(self._waiters)
        if not self.reuses:
            needed = waiting
        elif is_burst:
            needed = math.ceil(waiting / _MAX_SHARED)
        else:
            # Handshakes cost both ends: with many at once, all would be late. And before the first tunnel, none is
            # opened ahead, so that a missing permission causes a single request.
            ahead = self._ahead - len(self._idle) if self._proven else 0
            needed = self._limit_handshakes(min(waiting, _MAX_HANDSHAKES) or ahead)
        while len(self._opening) < min(needed, _MAX_OPENING):
            task = self._loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._on_open)

    def _limit_handshakes(self, needed: int) -> int:
        """Return how many of the needed tunnels may be opening by now: only a few at first."""
        now = self._loop.time()
        if not self._opening:
            self._more_from = now + self._timings.refill_delay
        if needed <= _FIRST_HANDSHAKES or now >= self._more_from:
            return needed
        self._refill_soon()
        return _FIRST_HANDSHAKES

    def _on_open(self, task: asyncio.Task[bool]) -> None:
        self._opening.discard(task)
        # After a failure, the owner decides when to retry.
        if not task.cancelled() and task.result():
            self.fill()

    async def _open(self) -> bool:
        """Open one tunnel and hand it out; return whether that succeeded."""
        port = self._waiters[0][0] if self._waiters else 0
        try:
            tunnel = await self._credentials.call(lambda client: self._open_with(client, port))
        except (StatusError, SspcloudError, ProtocolError) as error:
            _log.info("%s: no tunnel: %s", self.pod.name, describe_for_log(error))
            if not self._closed:
                self._cancel_refill()  # the owner decides when to retry
                self._fail_waiters(error)
                self._on_trouble(error)
            return False
        self._proven = True
        self._all.add(tunnel)
        _log.debug(
            "%s: tunnel %x opened in %s, %d open",
            self.pod.name,
            id(tunnel),
            self._protocol.name,
            len(self._all),
        )
        tunnel.on_lost = self._on_loss
        if self._closed:
            self._drop(tunnel)
            return False
        self._hand_out(tunnel, port)
        return True

    async def _open_with(self, client: Client, port: int) -> Tunnel:
        """Open a tunnel in the best protocol that works, and remember this protocol."""
        credentials, preferred = self._credentials, self._protocol
        before, protocol = credentials.confirmed, preferred
        # The first refusal for lack of a permission: the user can act on it.
        missing: negotiation.Refusal | None = None
        # Whether every refusal ruled its protocol out.
        permanent = True
        while True:
            try:
                tunnel = await self._open_in(protocol, client, port)
                break
            except (StatusError, ProtocolError, NoAnswer) as refusal:
                _log.info("%s: %s was refused: %s", self.pod.name, protocol.name, describe_for_log(refusal))
                following = negotiation.get_next_protocol(
                    protocol, refusal, confirmed=protocol is credentials.confirmed
                )
                permanent &= negotiation.is_protocol_unknown(refusal)
                if missing is None and negotiation.is_permission_missing(refusal):
                    missing = refusal
                if following is None or (following is ChannelTunnel and not port):
                    cause = missing or refusal
                    raise (cause.error if isinstance(cause, NoAnswer) else cause) from None
                protocol = following
        if protocol is credentials.protocol:
            self._protocol = credentials.confirmed = protocol
        elif missing is not None and before is preferred:
            # A confirmed protocol is forbidden while the server starts: prefer it the next time too.
            pass
        elif protocol is not preferred and credentials.confirmed is before:
            # No other pool has learned more about the server since.
            self._protocol = protocol
            if permanent and preferred is credentials.protocol:
                credentials.protocol = credentials.confirmed = protocol
        return tunnel

    async def _open_in(self, protocol: TunnelProtocol, client: Client, port: int) -> Tunnel:
        """Open a tunnel in one protocol; retry once if the server hangs up, as `Client.get` does."""
        try:
            return await self._open_once(protocol, client, port)
        except NoAnswer as error:
            if not error.hung_up:
                raise
            return await self._open_once(protocol, client, port)

    async def _open_once(self, protocol: TunnelProtocol, client: Client, port: int) -> Tunnel:
        """Open a tunnel in one protocol; the first time with SPDY, the server must also answer a ping."""
        if protocol is not SpdyTunnel or self._credentials.confirmed is SpdyTunnel:
            return await Tunnel.open(client, protocol, self._path, port)
        within = self._timings.first_answer_timeout
        tunnel = await Tunnel.open(client, protocol, self._path, port, within)
        await tunnel.prove(within)
        return tunnel

    def _on_loss(self, tunnel: Tunnel, text: str) -> None:
        _log.info(
            "%s: tunnel %x broke with %d connections: %s", self.pod.name, id(tunnel), tunnel.pairs, text
        )
        self._all.discard(tunnel)
        self._shared.pop(tunnel, None)
        with contextlib.suppress(ValueError):
            self._idle.remove(tunnel)
            self._on_trouble(ProtocolError(text))

    def check(self) -> None:
        """Find out within `Timings.probe_timeout` which tunnels are gone."""
        for tunnel in self._all:
            tunnel.ask()
        soon = self._loop.time() + self._timings.probe_timeout
        if self._ticker.when() > soon:
            self._ticker.cancel()
            self._ticker = self._loop.call_at(soon, self._tick)

    def _tick(self) -> None:
        """Ping every tunnel, and close those that are not needed."""
        if self._closed and not self._all:
            return
        self._ticker = self._loop.call_later(self._timings.ping_interval, self._tick)
        now = self._loop.time()
        if self._ahead > 1 and now - self._last_miss > _QUIET:
            self._ahead = max(1, self._ahead // 2)
        for tunnel in list(self._idle):
            is_surplus = len(self._idle) > self._ahead and now - tunnel.used_at > _QUIET
            if is_surplus or now - tunnel.opened_at > _MAX_AGE:
                self._idle.remove(tunnel)
                self._drop(tunnel)
        doubtful: list[Tunnel] = []
        for tunnel in list(self._all):
            pulse = tunnel.ping(self._timings.reader_timeout)
            if pulse is Pulse.GONE:
                _log.info("%s: tunnel %x is silent", self.pod.name, id(tunnel))
                tunnel.break_off(_("the server no longer answers"))
            elif pulse is Pulse.DOUBTFUL:
                _log.debug("%s: tunnel %x is in doubt", self.pod.name, id(tunnel))
                doubtful.append(tunnel)
        if doubtful and (self._probe is None or self._probe.done()):
            self._probe = self._loop.create_task(self._probe_server(doubtful))
        self.fill()

    async def _probe_server(self, doubtful: Sequence[Tunnel]) -> None:
        """Break the doubtful tunnels off if the server does not answer a request either."""
        try:
            async with asyncio.timeout(self._timings.probe_timeout):
                await self._credentials.client.get("/version")
        except StatusError:
            pass  # an error is an answer too
        except (SspcloudError, TimeoutError):
            for tunnel in doubtful:
                if not tunnel.closed:
                    tunnel.break_off(_("the server no longer answers"))
