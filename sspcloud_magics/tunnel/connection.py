"""One local connection, joined to a stream pair of a tunnel.

A port-forward does not pass the ends of TCP on correctly (see "The far end" below), so each case is decided here:

    event                                         effect
    ────────────────────────────────────────────  ────────────────────────────────────────────────────────
    the pod closes, and no error is reported      the client reads all data, then the end
    the server reports an error; the tunnel       the client reads what has arrived, then sees a reset: a
    breaks; the pod is being deleted              transfer that was cut never looks complete
    the client closes: no program holds its       the pod is told at once; the tunnel is free again
    socket any more
    the client shuts down its writing side, or    the pod is told after `Timings.reply_timeout` without a
    perhaps closes                                byte from it, so that a reply can end
    the client shuts down its writing side, is    the pod is told after `Timings.first_reply_timeout`: it
    known to wait, and has had no reply yet       may still be computing one
    the client sends data after the pod's end     it is reset once it has read the pod's last data, or
                                                  stops reading: it must not take its data for delivered
    the client resets                             the pair is reset; the tunnel is free again
    the pod resets, and the client closes         no failure: PostgreSQL ends many TLS sessions like this
    the tunnel or the pod turns out to be gone,   the connection gets another tunnel, and the client's data
    and no data has reached the pod               is sent again
    nothing listens in the pod                    the same if the pod is being deleted, otherwise a reset

The far end: containerd waits one second after the first direction has ended, then closes both. So passing the
client's end on cuts the reply that it waits for. Never passing it on would leave a server process behind a client
that vanished, and block a server that reads to the end.

After the end was passed on, a reply may have been cut, and no protocol reports it. With SPDY the server goes on for
that second; bytes that arrive then show that the reply was cut, and the client is reset. `channels` can only close at
once, so a client that has received part of a reply is reset, whether the reply was complete or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sspcloud_magics.i18n import _
from sspcloud_magics.tunnel.peer_probe import PeerProbe
from sspcloud_magics.tunnel.pod_errors import is_pod_gone, is_refused, is_reset, summarize
from sspcloud_magics.tunnel.stream import Stream
from sspcloud_magics.tunnel.timings import Timings
from sspcloud_magics.tunnel.tunnel import Pair

# Tunnels that a connection tries before it fails.
_MAX_ATTEMPTS = 3
# Bytes that are kept to send them again, until the pod has answered. After more, no other pod can take over.
_MAX_EARLY = 64 * 1024


@dataclass(slots=True)
class Counters:
    """The traffic of a forward, as in `ipc.ForwardCounters`."""

    sent: int = 0
    received: int = 0
    open_connections: int = 0
    connections: int = 0
    failed_connections: int = 0
    reconnects: int = 0
    last_error: str = ""


class Owner(Protocol):
    """The dispatcher of the forward to which a connection belongs."""

    counters: Counters
    peers: PeerProbe
    timings: Timings
    quiet: bool
    ended: dict[Connection, None]
    """Connections whose client has sent its FIN, before the first check whether it has closed."""

    def note_traffic(self) -> None:
        """Report the counters soon."""

    def release(self, pair: Pair) -> None:
        """Return the pair to its pool."""

    def connection_over(self, connection: Connection) -> None:
        """Remove a connection that has ended."""

    def connection_failed(self, line: str) -> None:
        """Record the error that ended a connection, as one line for the user."""

    def pod_is_gone(self) -> None:
        """Reconnect, because the server does not find the pod any more."""

    def connection_refused(self, connection: Connection, pair: Pair, line: str) -> None:
        """Find the next pod for a connection that a pod has refused, if that is being deleted; otherwise fail it."""

    def serve_again(self, connection: Connection) -> None:
        """Find another tunnel for a connection that has not reached any pod yet."""

    def is_pod_terminating(self, pair: Pair) -> bool:
        """Return whether the pod at the end of `pair` is being deleted, or is gone."""


class Connection:
    """A client that was accepted on a local port.

    Parameters
    ----------
    local
        The client's stream, not started yet.
    position
        The index of the forward's port that it connected to.
    owner
        The dispatcher of the forward.
    """

    def __init__(self, local: Stream, position: int, owner: Owner) -> None:
        self.position = position
        self._local = local
        local.hand_over(self)
        self._owner, self._timings = owner, owner.timings
        self._counters = owner.counters
        self._loop = asyncio.get_running_loop()
        # The acquired pair; None before `begin`, and after the pair has ended.
        self._pair: Pair | None = None
        # Whether the client has sent its FIN, and whether the pod's end was passed on to it.
        self._client_ended = False
        self._pod_ended = False
        # Whether the client's end was passed on to the pod.
        self._finished = False
        # Whether the server has accepted the pair; the client is not read before that while it is held.
        self._accepted = self._held = False
        # The client's data, until the pod has answered; None once no other pod can take over.
        self._early: bytearray | None = bytearray()
        self._attempts = 0
        # Whether the pod has sent anything at all, and since the client's last data.
        self._received = self._answered = False
        self._received_after_finish = False
        # Whether the client is reset once it has read everything, and whether it sends data after the pod's end.
        self._to_be_reset = self._sends_after_end = False
        # The error to record when the client is reset, unless it has closed by then.
        self._doubtful = ""
        # The bytes that the client has not received yet, and when their number last changed.
        self._undelivered, self._delivered_at = 0, 0.0
        # When the last byte came from the pod.
        self._heard_at = 0.0
        # The next check of the client.
        self._check: asyncio.TimerHandle | None = None
        self._check_delays = iter(owner.timings.first_close_checks)
        self.over = False

    def begin(self, pair: Pair, port: int) -> None:
        """Open `pair` to `port` of the pod, and carry bytes."""
        self._pair, tunnel = pair, pair.tunnel
        self._accepted = False
        self._attempts += 1
        self._heard_at = self._loop.time()
        # On a tunnel that may be gone, nothing is sent before the server has answered, so that another tunnel can
        # take over. On any other, the client's first data is sent with the request.
        self._held = tunnel.stale and tunnel.half_close
        may_speak = not (self._held or tunnel.closed or self._early or self._client_ended)
        first = self._local.take() if may_speak else None
        if first is not None:
            self._take_note(first)
        pair.open(port, self, first)
        if first is not None:
            if not tunnel.unsent:
                self._local.resume()
        elif not self._held:
            self._speak()

    def _speak(self) -> None:
        """Read from the client; first repeat its data that went to a tunnel or a pod that was gone."""
        pair = self._pair
        if pair is None:
            return  # the pair ended before anything could be sent
        if self._early:
            pair.send(memoryview(bytes(self._early)))
        if self._client_ended:
            if self._check is None:
                self._check_client()
        elif not pair.tunnel.unsent:
            self._local.resume()

    @property
    def is_served(self) -> bool:
        """Whether a tunnel carries the connection, or has carried it to the pod's end."""
        return self._pair is not None or self._pod_ended

    def fail(self, text: str) -> None:
        """End the connection with an error, which the client sees as a reset."""
        if not self.over:
            self._owner.connection_failed(text)
            self._end(reset=True)

    def stop(self) -> None:
        """Reset the connection, because its forward ends."""
        if not self.over:
            if self._pair is not None:
                self._pair.reset()
            self._end(reset=True)

    # Events of the client.

    def on_data(self, data: memoryview) -> None:
        """Carry bytes to the pod."""
        pair = self._pair
        if pair is None:
            if not self._sends_after_end:
                self._sends_after_end = True
                self._reset_in_the_end()
            return
        self._take_note(data)
        pair.send(data)
        if pair.tunnel.unsent:
            self._local.pause()

    def _take_note(self, data: memoryview) -> None:
        """Count the client's data, and keep it as long as another pod may take over."""
        self._answered = False
        self._counters.sent += len(data)
        if self._owner.quiet:
            self._owner.note_traffic()
        if self._early is not None:
            if len(self._early) + len(data) > _MAX_EARLY:
                self._early = None
            else:
                self._early += data

    def on_end(self) -> None:
        """Begin to check whether the client has closed, or waits for a reply."""
        self._client_ended = True
        self._heard_at = self._loop.time()
        if self._pair is None:
            self._end_if_delivered()
        else:
            self._owner.ended[self] = None
            self._check = self._loop.call_later(next(self._check_delays), self._check_client)

    def check_client_now(self) -> None:
        """Check whether the client has closed without a delay, because another connection waits for its tunnel."""
        if self._check is not None:
            self._check.cancel()
        self._check_client()

    def on_loss(self, error: OSError) -> None:  # noqa: ARG002 - a reset by the client is no error
        """Reset the pair, as the client has reset its connection."""
        if self._pair is not None:
            self._pair.reset()
        self._end()

    def on_drain(self) -> None:
        """Resume the pod's data."""
        if self._pair is not None:
            self._pair.resume()
        elif self._client_ended:
            self._end_if_delivered()

    def _check_client(self) -> None:
        self._check = None
        self._owner.ended.pop(self, None)
        if self.over or self._pair is None:
            return
        now = self._loop.time()
        if self._local.unsent or self._pair.tunnel.stopped:
            self._heard_at = now  # the pod is not silent: a client of this tunnel does not read
        closed = self._owner.peers.has_closed(self._local.socket)
        if closed:
            self._pair.abandon()
            self._end()
            return
        awaits_answer = closed is False and not self._answered
        timeout = self._timings.first_reply_timeout if awaits_answer else self._timings.reply_timeout
        if not self._finished and now - self._heard_at >= timeout:
            self._pass_end_on()
        if not self.over:
            delay = next(self._check_delays, self._timings.close_check_interval)
            self._check = self._loop.call_later(delay, self._check_client)

    def _pass_end_on(self) -> None:
        assert self._pair is not None  # noqa: S101 - checked by the only caller
        self._finished = True
        if self._pair.tunnel.half_close:
            self._pair.finish()
        else:
            self._pair.abandon()  # `channels` can only close
            if self._received:
                self._doubt()
            else:
                self._end()

    # Events of the pod and the server.

    @property
    def untaken(self) -> int:
        """The number of bytes from the pod that the client has not read yet."""
        return self._local.unsent

    def pair_accepted(self) -> None:
        """Read from the client, if it was held back."""
        self._accepted = True
        if self._held:
            self._held = False
            self._speak()

    def pair_received(self, parts: list[memoryview]) -> None:
        """Carry bytes to the client."""
        self._early = None
        self._received = self._answered = True
        self._counters.received += sum(map(len, parts))
        if self._owner.quiet:
            self._owner.note_traffic()
        if self._client_ended:
            self._heard_at = self._loop.time()
            self._received_after_finish |= self._finished
        self._local.write(*parts)

    def pair_drained(self) -> None:
        """Resume reading from the client, unless it has ended or is held back."""
        if not (self._client_ended or self._held):
            self._local.resume()

    def pair_ended(self) -> None:
        """Pass the pod's end on, unless the reply may have been cut."""
        pair = self._detach_pair()
        if self._received_after_finish:
            self._doubt()
        elif self._owner.is_pod_terminating(pair):
            self._break(_("the pod is being deleted"))
        else:
            self._pod_ended = True
            self._local.shutdown()
            if self._client_ended:
                self._end_if_delivered()
            else:
                self._local.resume()
        self._owner.release(pair)

    def pair_failed(self, text: str) -> None:
        """End the connection with the server's error, unless another pod can take over because this one was never dialled."""
        pair = self._detach_pair()
        gone = is_pod_gone(text)
        if gone:
            self._owner.pod_is_gone()
        if self._early is not None and gone and self._attempts < _MAX_ATTEMPTS:
            self._try_again()
        elif self._early is not None and is_refused(text) and self._attempts < _MAX_ATTEMPTS:
            # A pod that is being deleted refuses connections before the watch has reported its deletion.
            self._local.pause()
            self._owner.connection_refused(self, pair, summarize(text))
        elif is_reset(text) and not self._client_has_left():
            # The client may be about to close, as after PostgreSQL's last message.
            self._doubtful = summarize(text)
            self._to_be_reset = True
            self._check_later(self._timings.close_grace, self._reset_in_the_end)
        elif is_reset(text):
            self._reset_in_the_end()
        else:
            self._break(summarize(text))
        self._owner.release(pair)

    def _client_has_left(self) -> bool:
        """Return whether the client has closed; where that is unknown, whether it has sent its FIN."""
        closed = self._owner.peers.has_closed(self._local.socket)
        return self._client_ended if closed is None else closed

    def pair_lost(self, text: str) -> None:
        """Handle the loss of the tunnel: an error, unless nothing was sent yet or the client has closed."""
        pair = self._detach_pair()
        nothing_sent = self._early is not None and not self._early
        if not self._accepted and nothing_sent and self._attempts < _MAX_ATTEMPTS:
            self._try_again()
        elif self._owner.peers.has_closed(self._local.socket):
            self._end()
        else:
            self._break(text)
        self._owner.release(pair)

    def _try_again(self) -> None:
        self._local.pause()
        self._owner.serve_again(self)

    def _detach_pair(self) -> Pair:
        assert self._pair is not None  # noqa: S101 - only the tunnel of an open pair calls
        pair, self._pair = self._pair, None
        self._owner.ended.pop(self, None)
        return pair

    def _break(self, text: str) -> None:
        """Record an error, and reset the client after it has read what has arrived."""
        self._owner.connection_failed(text)
        self._reset_in_the_end()

    def _doubt(self) -> None:
        """Reset a client whose reply may have been cut; record an error only if it is known to be still open."""
        if self._owner.peers.has_closed(self._local.socket) is False:
            self._owner.connection_failed(
                _("the reply may have been cut: it paused after the client had shut down its writing side")
            )
        self._reset_in_the_end()

    def _reset_in_the_end(self) -> None:
        """Reset the client once it has read everything, or if it sends data after the pod's end and does not read."""
        self._to_be_reset = True
        if self._doubtful and not self._client_has_left():
            self._owner.connection_failed(self._doubtful)
        self._doubtful = ""
        left, now = self._local.undelivered, self._loop.time()
        if left != self._undelivered:
            self._undelivered, self._delivered_at = left, now
        timeout = self._timings.reply_timeout
        if not left or (self._sends_after_end and now - self._delivered_at >= timeout):
            self._end(reset=True)
            return
        self._check_later(
            next(self._check_delays, self._timings.close_check_interval), self._reset_in_the_end
        )

    def _check_later(self, seconds: float, check: Callable[[], None]) -> None:
        if self._check is not None:
            self._check.cancel()
        self._check = self._loop.call_later(seconds, check)

    def _end_if_delivered(self) -> None:
        """End the connection after both ends, unless the client has data left to read."""
        if not (self._local.unsent or self._to_be_reset):
            self._end()

    def _end(self, *, reset: bool = False) -> None:
        if self.over:
            return
        self.over = True
        if self._check is not None:
            self._check.cancel()
        if reset:
            self._local.reset()
        else:
            self._local.close()
        pair, self._pair = self._pair, None
        if pair is not None:
            self._owner.release(pair)
        self._owner.connection_over(self)
