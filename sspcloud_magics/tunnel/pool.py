"""The tunnels to one pod: opened ahead, lent to connections, taken back when they are over.

A connection takes a tunnel that waits, or else the first that is opened or given back, and has it for itself. How many wait
ahead follows the use: each connection that finds none raises the number, quiet lowers it again. With
protocol B nothing can wait, because the server dials the pod with the upgrade.

A burst is more than `_CROWD` connections that wait at the same time. To open a tunnel for each would take longer than what
they want of it, so they share: a tunnel that is opened or given back meanwhile, or that was lent just before, goes to up to
`_MOST_GUESTS` of them. Nobody joins it when the burst is over, nor when one of its guests moves much or does not read;
when the last of them has gone, it is a tunnel like any other. A connection that has had a tunnel for itself for
`Timings.burst` keeps it to itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence

from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.tunnel import negotiation
from sspcloud_magics.tunnel.credentials import AccessStore
from sspcloud_magics.tunnel.http import Client, NoAnswer, StatusError
from sspcloud_magics.tunnel.negotiation import TunnelProtocol
from sspcloud_magics.tunnel.pod_selection import Candidate
from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyTunnel
from sspcloud_magics.tunnel.protocols.websocket_channels import ChannelTunnel
from sspcloud_magics.tunnel.timings import Timings
from sspcloud_magics.tunnel.tunnel import Pair, Pulse, Tunnel

_log = logging.getLogger(__name__)

_MOST_AHEAD = 16
_MOST_OPENING = 32
_FIRST_HANDSHAKES, _MOST_HANDSHAKES = 2, 8
_CROWD = 16
_MOST_GUESTS = 32
_HEAVY = 8 * 1024 * 1024
_QUIET = 30.0
_OLDEST = 3600.0
_SILENT = "the server does not answer any more"


class Pool:
    """The tunnels to one pod.

    Parameters
    ----------
    credentials
        The identity that opens them.
    namespace, pod
        The pod.
    on_trouble
        Called with a reason when no tunnel can be had any more, or one that waited broke.
    timings
        When tunnels are opened ahead, and how long they are trusted.
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
        self._protocol = credentials.protocol
        self.pod = pod
        self._waiting: deque[Tunnel] = deque()
        self._all: set[Tunnel] = set()
        self._shared: dict[Tunnel, None] = {}
        self._wanted: deque[tuple[int, asyncio.Future[Pair]]] = deque()
        self._opening: set[asyncio.Task[bool]] = set()
        self._asking: asyncio.Task[None] | None = None
        self._ahead = 1
        self._last_miss = 0.0
        self._burst_until = 0.0
        self._more_from = 0.0
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
        """Whether a tunnel serves another connection when one is over."""
        return self._protocol is not ChannelTunnel

    @property
    def tunnels(self) -> int:
        """How many tunnels are open."""
        return len(self._all)

    def take(self) -> Pair | None:
        """Return a pair on a tunnel that waits or, in a burst, on one that is shared; None if there is none."""
        while self._waiting:
            tunnel = self._waiting.pop()
            if tunnel.usable:
                pair = tunnel.promise()
                self._refill_soon()
                return pair
        if self._in_burst():
            for tunnel in reversed(self._shared):
                if self._has_room(tunnel):
                    return tunnel.promise()
        return None

    def _refill_soon(self) -> None:
        if self._refill is None:
            self._refill = self._loop.call_later(self._timings.refill, self._refill_now)

    def _refill_now(self) -> None:
        """Open the tunnels that are to wait, unless all that are lent may be back in a moment."""
        self._refill = None
        since = min((tunnel.used_at for tunnel in self._all if tunnel.pairs), default=-math.inf)
        due = since + self._timings.refill
        if not self._wanted and due > self._loop.time():
            self._refill = self._loop.call_at(due, self._refill_now)
        else:
            self._fill()

    def _cancel_refill(self) -> None:
        if self._refill is not None:
            self._refill.cancel()
            self._refill = None

    async def acquire(self, port: int) -> Pair:
        """Return a pair, as soon as there is one.

        Raises
        ------
        StatusError, SspcloudError, ProtocolError
            If no tunnel can be opened.
        """
        pair = self.take()
        if pair is not None:
            return pair
        if self._proven:
            self._ahead = min(self._ahead + 1, _MOST_AHEAD)
            self._last_miss = self._loop.time()
        future: asyncio.Future[Pair] = self._loop.create_future()
        self._wanted.append((port, future))
        self._fill()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.give_back(future.result())
            raise

    def give_back(self, pair: Pair) -> None:
        """Take a pair back from a connection that is over."""
        tunnel = pair.tunnel
        tunnel.let_go(pair)
        if tunnel.pairs:
            if tunnel in self._shared and not self._closed:
                self._share(tunnel)
            return
        self._shared.pop(tunnel, None)
        if tunnel.usable and not self._closed:
            self._hand_out(tunnel, 0)
        else:
            self._drop(tunnel)
            self._fill()

    def _hand_out(self, tunnel: Tunnel, port: int) -> None:
        """Give a tunnel that nobody has to those it can serve: with protocol B, to one who wants `port`."""
        for entry in self._wanted:
            wanted, future = entry
            if not future.done() and (tunnel.half_close or wanted == port):
                self._wanted.remove(entry)
                future.set_result(tunnel.promise())
                self._share(tunnel)
                return
        if tunnel.half_close:
            self._waiting.append(tunnel)
        else:
            self._drop(tunnel)

    def _in_burst(self) -> bool:
        """Return whether connections come faster than tunnels can be opened, or did so until a moment ago."""
        if not self.reuses:
            return False
        now = self._loop.time()
        if len(self._wanted) > _CROWD:
            began = now >= self._burst_until
            self._burst_until = now + self._timings.burst
            if began:
                self._shared.clear()
                self._share_what_was_lent_since(now - self._timings.burst)
        return now < self._burst_until

    def _share_what_was_lent_since(self, when: float) -> None:
        """Let those who wait join the first who came: nobody knew then that a crowd was coming."""
        for tunnel in self._all:
            if tunnel.pairs and tunnel.used_at >= when:
                self._let_in(tunnel)

    def _share(self, tunnel: Tunnel) -> None:
        """In a burst, let those who wait join a tunnel that others have."""
        if self._in_burst():
            self._let_in(tunnel)

    def _let_in(self, tunnel: Tunnel) -> None:
        """Give as many of those who wait a place on a tunnel as it takes."""
        self._shared[tunnel] = None
        while self._wanted and self._has_room(tunnel):
            _, future = self._wanted.popleft()
            if not future.done():
                future.set_result(tunnel.promise())

    @staticmethod
    def _has_room(tunnel: Tunnel) -> bool:
        # Channels are one client's, whatever the pool asks for by now.
        if not tunnel.half_close or not tunnel.usable:
            return False
        return tunnel.pairs < _MOST_GUESTS and tunnel.carried < _HEAVY and not tunnel.stopped

    def _drop(self, tunnel: Tunnel) -> None:
        _log.debug("%s: tunnel %x is closed", self.pod.name, id(tunnel))
        self._all.discard(tunnel)
        tunnel.on_lost = None
        tunnel.close()

    def warm(self) -> None:
        """Open the tunnels that are to wait."""
        self._fill()

    def close(self, reason: str) -> None:
        """Close all tunnels; connections on them are lost, and those that wait for one fail."""
        self._closed = True
        self._ticker.cancel()
        self._cancel_refill()
        if self._asking is not None:
            self._asking.cancel()
        for task in self._opening:
            task.cancel()
        for tunnel in list(self._all):
            tunnel.on_lost = None
            tunnel.break_off(reason)
        self._all.clear()
        self._waiting.clear()
        self._shared.clear()
        self._fail_wanted(ProtocolError(reason))

    def retire(self) -> None:
        """Close what waits, and let the connections that are open run to their end."""
        self._closed = True
        self._cancel_refill()
        for task in self._opening:
            task.cancel()
        while self._waiting:
            tunnel = self._waiting.pop()
            self._drop(tunnel)
        self._fail_wanted(ProtocolError("the pod is no longer used"))

    def _fail_wanted(self, error: Exception) -> None:
        while self._wanted:
            _, future = self._wanted.popleft()
            if not future.done():
                future.set_exception(error)

    def _fill(self) -> None:
        """Start as many openings as are needed and allowed."""
        if self._closed:
            return
        while self._wanted and self._wanted[0][1].done():
            self._wanted.popleft()
        burst = self._in_burst()
        waiting = len(self._wanted)
        if not self.reuses:
            needed = waiting
        elif burst:
            needed = math.ceil(waiting / _MOST_GUESTS)
        else:
            # Handshakes are work for both ends: of many at once, all would come late. And nothing is opened ahead
            # before one tunnel was: a right that is missing is asked for once.
            ahead = self._ahead - len(self._waiting) if self._proven else 0
            needed = self._begin_with_few(min(waiting, _MOST_HANDSHAKES) or ahead)
        while len(self._opening) < min(needed, _MOST_OPENING):
            task = self._loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._on_open)

    def _begin_with_few(self, needed: int) -> int:
        """Return how many of the tunnels that are needed may be on their way by now."""
        now = self._loop.time()
        if not self._opening:
            self._more_from = now + self._timings.refill
        if needed <= _FIRST_HANDSHAKES or now >= self._more_from:
            return needed
        self._refill_soon()
        return _FIRST_HANDSHAKES

    def _on_open(self, task: asyncio.Task[bool]) -> None:
        self._opening.discard(task)
        # After a failure it is the owner who says when to try again.
        if not task.cancelled() and task.result():
            self._fill()

    async def _open(self) -> bool:
        """Open one tunnel and hand it out; return whether there is one."""
        port = self._wanted[0][0] if self._wanted else 0
        try:
            tunnel = await self._credentials.call(lambda client: self._open_with(client, port))
        except (StatusError, SspcloudError, ProtocolError) as error:
            _log.info("%s: no tunnel: %s", self.pod.name, error)
            if not self._closed:
                self._cancel_refill()  # it is the owner who says when to try again
                self._fail_wanted(error)
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
        """Open a tunnel in the best protocol that is let through and allowed, and remember which that is."""
        credentials, asked = self._credentials, self._protocol
        before, protocol = credentials.spoken, asked
        missing: negotiation.Refusal | None = None
        for_good = True
        while True:
            try:
                tunnel = await self._open_in(protocol, client, port)
                break
            except (StatusError, ProtocolError, NoAnswer) as refusal:
                _log.info("%s: %s was refused: %s", self.pod.name, protocol.name, refusal)
                following = negotiation.get_next_protocol(
                    protocol, refusal, spoken=protocol is credentials.spoken
                )
                for_good &= negotiation.is_of_the_protocol(refusal)
                if missing is None and negotiation.lacks_a_right(refusal):
                    missing = refusal
                if following is None or (following is ChannelTunnel and not port):
                    told = missing or refusal
                    raise (told.error if isinstance(told, NoAnswer) else told) from None
                protocol = following
        if protocol is credentials.protocol:
            self._protocol = credentials.spoken = protocol
        elif missing is not None and before is asked:
            # What the server has spoken is refused for want of a right while it starts: ask for it again.
            pass
        elif protocol is not asked and credentials.spoken is before:
            # Nobody has found out more about the server meanwhile.
            self._protocol = protocol
            if for_good and asked is credentials.protocol:
                credentials.protocol = credentials.spoken = protocol
        return tunnel

    async def _open_in(self, protocol: TunnelProtocol, client: Client, port: int) -> Tunnel:
        """Open a tunnel in one protocol; once more where the server hangs up, as `Client.get` asks once more."""
        try:
            return await self._open_once(protocol, client, port)
        except NoAnswer as error:
            if not error.hung_up:
                raise
            return await self._open_once(protocol, client, port)

    async def _open_once(self, protocol: TunnelProtocol, client: Client, port: int) -> Tunnel:
        """Open a tunnel in one protocol; SPDY has to be spoken before it is believed for the first time."""
        if protocol is not SpdyTunnel or self._credentials.spoken is SpdyTunnel:
            return await Tunnel.open(client, protocol, self._path, port)
        within = self._timings.first_answer
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
            self._waiting.remove(tunnel)
            self._on_trouble(ProtocolError(text))

    def check(self) -> None:
        """Find out within seconds which tunnels are gone."""
        for tunnel in self._all:
            tunnel.ask()
        soon = self._loop.time() + self._timings.longest_doubt
        if self._ticker.when() > soon:
            self._ticker.cancel()
            self._ticker = self._loop.call_at(soon, self._tick)

    def _tick(self) -> None:
        """Ping every tunnel, and let go of those that are not needed."""
        if self._closed and not self._all:
            return
        self._ticker = self._loop.call_later(self._timings.ping_interval, self._tick)
        now = self._loop.time()
        if self._ahead > 1 and now - self._last_miss > _QUIET:
            self._ahead = max(1, self._ahead // 2)
        for tunnel in list(self._waiting):
            surplus = len(self._waiting) > self._ahead and now - tunnel.used_at > _QUIET
            if surplus or now - tunnel.opened_at > _OLDEST:
                self._waiting.remove(tunnel)
                self._drop(tunnel)
        doubtful: list[Tunnel] = []
        for tunnel in list(self._all):
            pulse = tunnel.ping(self._timings.patience_with_readers)
            if pulse is Pulse.GONE:
                _log.info("%s: tunnel %x is silent", self.pod.name, id(tunnel))
                tunnel.break_off(_SILENT)
            elif pulse is Pulse.DOUBTFUL:
                _log.debug("%s: tunnel %x is in doubt", self.pod.name, id(tunnel))
                doubtful.append(tunnel)
        if doubtful and (self._asking is None or self._asking.done()):
            self._asking = self._loop.create_task(self._ask_about(doubtful))
        self._fill()

    async def _ask_about(self, doubtful: Sequence[Tunnel]) -> None:
        """Find out whether the server still answers somebody; if it does not, those tunnels are gone."""
        try:
            async with asyncio.timeout(self._timings.longest_doubt):
                await self._credentials.client.get("/version")
        except StatusError:
            pass  # that is an answer
        except (SspcloudError, TimeoutError):
            for tunnel in doubtful:
                if not tunnel.closed:
                    tunnel.break_off(_SILENT)
