"""One local connection, joined to a pair on a tunnel.

The ends of TCP do not pass a port-forward by themselves (see "The far end" below), so each is decided here:

    what happens                                  what follows
    ────────────────────────────────────────────  ────────────────────────────────────────────────────────
    the pod closes, and no error is reported      the client reads to the end, then sees the end
    the server reports an error; the tunnel       the client reads what has come, then sees a reset: a
    breaks; the pod is being deleted              transfer that was cut never looks whole
    the client closes, and no program holds       the pod is told at once; the tunnel is free again
    its socket any more
    the client shuts down its writing side, or    the pod is told after `Timings.quiet` without a byte
    that cannot be told from closing              from it, so that a reply flows to its end
    the client shuts down its writing side, is    the pod is told after `Timings.thinking`: it may be
    known to wait, and has had no answer yet      at work on one
    the client speaks on after the pod's end      it is reset when it has what the pod said last, or does
                                                  not take it: it would take for delivered what it says
    the client resets                             the pair is reset; the tunnel is free again
    the pod resets, and the client closes         that is no failure: PostgreSQL ends many sessions in TLS so
    the tunnel or the pod turns out to be gone,   another tunnel is taken, and what the client said is
    and nothing has reached the pod               said again

The far end: containerd gives the other direction one second after the first has ended, then closes both. So
passing on the client's end cuts the reply that it waits for; not passing it on ever would leave a server
process behind a client that vanished, and a server that reads to the end waiting.

Once it was passed on, a reply may have been cut, and no protocol says so. With SPDY the server goes on for
that second: bytes that come then tell, and the client is reset. Protocol B can only close at once, so a
client that has had a part of a reply is reset, whole or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sspcloud_magics.tunnel.peer_probe import PeerWatch
from sspcloud_magics.tunnel.pod_errors import in_words, says_that_the_pod_is_gone, says_that_the_pod_reset
from sspcloud_magics.tunnel.stream import Stream
from sspcloud_magics.tunnel.timings import Timings
from sspcloud_magics.tunnel.tunnel import Pair

_MOST_TRIES = 3
_MAY_BE_CUT = "the reply may have been cut: it paused after the client had shut down its writing side"
# What a client may say before its pod has answered and still be served by another.
_MOST_EARLY = 64 * 1024


@dataclass(slots=True)
class Counters:
    """What the connections of a forward have carried."""

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
    peers: PeerWatch
    timings: Timings
    quiet: bool
    leaving: dict[Connection, None]
    """Those whose client has ended, and was not looked at yet."""

    def note_traffic(self) -> None:
        """Take note that the counters change after a quiet time."""

    def release(self, pair: Pair) -> None:
        """Take the pair back."""

    def connection_over(self, connection: Connection) -> None:
        """Forget the connection."""

    def connection_failed(self, line: str) -> None:
        """Take note of an error that ended a connection, in one line for the user."""

    def pod_is_gone(self) -> None:
        """Take note that the server does not find the pod any more."""

    def serve_again(self, connection: Connection) -> None:
        """Find another tunnel for a connection of which nothing has reached a pod."""

    def pod_is_going(self, pair: Pair) -> bool:
        """Return whether the pod at the end of `pair` is being deleted, or is gone."""


class Connection:
    """A client that was accepted on a local port.

    Parameters
    ----------
    local
        The client's stream, not started yet.
    position
        Which of the forward's ports it came to.
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
        self._pair: Pair | None = None
        self._client_ended = False
        self._pod_ended = False
        self._finished = False
        self._accepted = self._held = False
        self._early: bytearray | None = bytearray()
        self._tries = 0
        self._received = self._answered = False
        self._received_after_finish = False
        self._to_be_reset = self._speaks_in_vain = False
        # What to note when the client is reset, unless it has left by then.
        self._doubtful = ""
        self._left, self._taken_at = 0, 0.0
        self._heard_at = 0.0
        self._look: asyncio.TimerHandle | None = None
        self._looks = iter(owner.timings.first_looks)
        self.over = False

    def begin(self, pair: Pair, port: int) -> None:
        """Open `pair` to `port` of the pod, and carry bytes."""
        self._pair, tunnel = pair, pair.tunnel
        self._accepted = False
        self._tries += 1
        self._heard_at = self._loop.time()
        # On a tunnel that may be gone, nothing is said before the server has answered: then another can
        # take over. On any other, what the client has said already leaves with the request.
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
        """Let the client speak; first what it has said to a tunnel or a pod that was gone."""
        pair = self._pair
        if pair is None:
            return  # gone already, before anything could be said
        if self._early:
            pair.send(memoryview(bytes(self._early)))
        if self._client_ended:
            if self._look is None:
                self._look_at_client()
        elif not pair.tunnel.unsent:
            self._local.resume()

    @property
    def is_served(self) -> bool:
        """Whether a tunnel carries it, or has carried it to the pod's end."""
        return self._pair is not None or self._pod_ended

    def fail(self, text: str) -> None:
        """End the connection with an error, which the client sees as a reset."""
        if not self.over:
            self._owner.connection_failed(text)
            self._end(reset=True)

    def stop(self) -> None:
        """End the connection because its forward ends."""
        if not self.over:
            if self._pair is not None:
                self._pair.reset()
            self._end(reset=True)

    # What the client does.

    def on_data(self, data: memoryview) -> None:
        """Carry bytes to the pod."""
        pair = self._pair
        if pair is None:
            if not self._speaks_in_vain:
                self._speaks_in_vain = True
                self._reset_in_the_end()
            return
        self._take_note(data)
        pair.send(data)
        if pair.tunnel.unsent:
            self._local.pause()

    def _take_note(self, data: memoryview) -> None:
        """Count what the client says, and keep it as long as another pod may have to hear it."""
        self._answered = False
        self._counters.sent += len(data)
        if self._owner.quiet:
            self._owner.note_traffic()
        if self._early is not None:
            if len(self._early) + len(data) > _MOST_EARLY:
                self._early = None
            else:
                self._early += data

    def on_end(self) -> None:
        """Begin to find out whether the client has closed, or waits for a reply."""
        self._client_ended = True
        self._heard_at = self._loop.time()
        if self._pair is None:
            self._end_if_all_is_said()
        else:
            self._owner.leaving[self] = None
            self._look = self._loop.call_later(next(self._looks), self._look_at_client)

    def look_now(self) -> None:
        """Find out now whether the client has closed, for somebody waits for its tunnel."""
        if self._look is not None:
            self._look.cancel()
        self._look_at_client()

    def on_loss(self, error: OSError) -> None:  # noqa: ARG002 - a client may go as it likes
        """Reset the pair: the client has."""
        if self._pair is not None:
            self._pair.reset()
        self._end()

    def on_drain(self) -> None:
        """Let the pod go on."""
        if self._pair is not None:
            self._pair.resume()
        elif self._client_ended:
            self._end_if_all_is_said()

    def _look_at_client(self) -> None:
        self._look = None
        self._owner.leaving.pop(self, None)
        if self.over or self._pair is None:
            return
        now = self._loop.time()
        if self._local.unsent or self._pair.tunnel.stopped:
            self._heard_at = now  # the client, or one beside it, has not taken what came: that is no silence
        closed = self._owner.peers.has_closed(self._local.socket)
        if closed:
            self._pair.abandon()
            self._end()
            return
        awaits_answer = closed is False and not self._answered
        longest = self._timings.thinking if awaits_answer else self._timings.quiet
        if not self._finished and now - self._heard_at >= longest:
            self._pass_end_on()
        if not self.over:
            pause = next(self._looks, self._timings.look_interval)
            self._look = self._loop.call_later(pause, self._look_at_client)

    def _pass_end_on(self) -> None:
        assert self._pair is not None  # noqa: S101 - asked by the only caller
        self._finished = True
        if self._pair.tunnel.half_close:
            self._pair.finish()
        else:
            self._pair.abandon()  # protocol B can only close
            if self._received:
                self._doubt()
            else:
                self._end()

    # What the pod and the server do.

    @property
    def untaken(self) -> int:
        """How many bytes from the pod wait for the client to take them."""
        return self._local.unsent

    def pair_accepted(self) -> None:
        """Let the client speak, if it was held back."""
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
        """Let the client go on, if it may speak at all."""
        if not (self._client_ended or self._held):
            self._local.resume()

    def pair_ended(self) -> None:
        """Pass the pod's end on, unless the reply may have been cut."""
        pair = self._let_go()
        if self._received_after_finish:
            self._doubt()
        elif self._owner.pod_is_going(pair):
            self._break("the pod is being deleted")
        else:
            self._pod_ended = True
            self._local.shutdown()
            if self._client_ended:
                self._end_if_all_is_said()
            else:
                self._local.resume()
        self._owner.release(pair)

    def pair_failed(self, text: str) -> None:
        """End the connection, for the server says why; unless the pod was never dialled."""
        pair = self._let_go()
        gone = says_that_the_pod_is_gone(text)
        if gone:
            self._owner.pod_is_gone()
        if self._early is not None and gone and self._tries < _MOST_TRIES:
            self._try_again()
        elif says_that_the_pod_reset(text) and not self._client_has_left():
            # The client may be about to close, as after PostgreSQL's last message.
            self._doubtful = in_words(text)
            self._to_be_reset = True
            self._look_later(self._timings.time_to_leave, self._reset_in_the_end)
        elif says_that_the_pod_reset(text):
            self._reset_in_the_end()
        else:
            self._break(in_words(text))
        self._owner.release(pair)

    def _client_has_left(self) -> bool:
        """Return whether the client has closed, or at least ended where that cannot be told apart."""
        closed = self._owner.peers.has_closed(self._local.socket)
        return self._client_ended if closed is None else closed

    def pair_lost(self, text: str) -> None:
        """End the connection, for its tunnel broke: an error, unless the server has heard nothing of it or the client has left."""
        pair = self._let_go()
        nothing_said = self._early is not None and not self._early
        if not self._accepted and nothing_said and self._tries < _MOST_TRIES:
            self._try_again()
        elif self._owner.peers.has_closed(self._local.socket):
            self._end()
        else:
            self._break(text)
        self._owner.release(pair)

    def _try_again(self) -> None:
        self._local.pause()
        self._owner.serve_again(self)

    def _let_go(self) -> Pair:
        assert self._pair is not None  # noqa: S101 - only a tunnel says that a pair is over
        pair, self._pair = self._pair, None
        self._owner.leaving.pop(self, None)
        return pair

    def _break(self, text: str) -> None:
        """Reset the client, after it has had what came."""
        self._owner.connection_failed(text)
        self._reset_in_the_end()

    def _doubt(self) -> None:
        """Reset a client that may still be there; it is an error only if it is known to be."""
        if self._owner.peers.has_closed(self._local.socket) is False:
            self._owner.connection_failed(_MAY_BE_CUT)
        self._reset_in_the_end()

    def _reset_in_the_end(self) -> None:
        """Reset the client when it has all that came; one that speaks in vain, also when it takes nothing for long."""
        self._to_be_reset = True
        if self._doubtful and not self._client_has_left():
            self._owner.connection_failed(self._doubtful)
        self._doubtful = ""
        left, now = self._local.undelivered, self._loop.time()
        if left != self._left:
            self._left, self._taken_at = left, now
        if not left or (self._speaks_in_vain and now - self._taken_at >= self._timings.quiet):
            self._end(reset=True)
            return
        self._look_later(next(self._looks, self._timings.look_interval), self._reset_in_the_end)

    def _look_later(self, seconds: float, what: Callable[[], None]) -> None:
        if self._look is not None:
            self._look.cancel()
        self._look = self._loop.call_later(seconds, what)

    def _end_if_all_is_said(self) -> None:
        """End the connection after the pod's end and the client's, unless something is left for the client."""
        if not (self._local.unsent or self._to_be_reset):
            self._end()

    def _end(self, *, reset: bool = False) -> None:
        if self.over:
            return
        self.over = True
        if self._look is not None:
            self._look.cancel()
        if reset:
            self._local.reset()
        else:
            self._local.close()
        pair, self._pair = self._pair, None
        if pair is not None:
            self._owner.release(pair)
        self._owner.connection_over(self)
