"""What the helper does with the kernel's commands: keeps credentials and forwards, and reports on them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict

from sspcloud_magics.errors import HelperFailed, from_wire
from sspcloud_magics.tunnel.connection import Counters
from sspcloud_magics.tunnel.credentials import AccessStore
from sspcloud_magics.tunnel.forward import ForwardWorker
from sspcloud_magics.tunnel.ipc import (
    Command,
    CredentialsWanted,
    Event,
    ForwardCounters,
    ForwardState,
    RefuseAccess,
    SetAccess,
    StartForward,
    State,
    StopForward,
)
from sspcloud_magics.tunnel.negotiation import PROTOCOLS, TunnelProtocol
from sspcloud_magics.tunnel.peer_probe import PeerWatch
from sspcloud_magics.tunnel.timings import Timings

_log = logging.getLogger(__name__)

COUNTERS_INTERVAL = 0.5


def _describe_command(command: Command | Event) -> str:
    """Return a command for the log, without credentials."""
    if isinstance(command, SetAccess):
        return f"SetAccess({command.access_id}, {command.access.server})"
    if isinstance(command, RefuseAccess):
        return f"RefuseAccess({command.access_id}, {command.error.get('code', '')})"
    return repr(command)


class Engine:
    """All the forwards of one kernel.

    Parameters
    ----------
    emit
        Called with each event for the kernel.
    timings
        How long to wait for servers, pods and clients.
    first
        The protocol to begin with.
    peers
        Knows whether clients have closed; the system's own knowledge where it is None.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        timings: Timings = Timings(),  # noqa: B008 - frozen
        first: TunnelProtocol = PROTOCOLS[0],
        peers: PeerWatch | None = None,
    ) -> None:
        self._emit = emit
        self._credentials: dict[int, AccessStore] = {}
        self._forwards: dict[int, ForwardWorker] = {}
        self._told: dict[int, Counters] = {}
        self._timings, self._first = timings, first
        self._peers = peers or PeerWatch()
        self._timer: asyncio.TimerHandle | None = None

    def handle(self, command: Command | Event) -> None:
        """Do what the kernel says."""
        _log.debug("the kernel says %s", _describe_command(command))
        if isinstance(command, SetAccess):
            known = self._credentials.get(command.access_id)
            if known is None:
                access_id = command.access_id
                self._credentials[access_id] = AccessStore(
                    command.access,
                    lambda: self._emit(CredentialsWanted(access_id)),
                    self._timings,
                    self._first,
                )
            else:
                known.set(command.access)
        elif isinstance(command, RefuseAccess):
            if (known := self._credentials.get(command.access_id)) is not None:
                known.refuse(from_wire(command.error))
        elif isinstance(command, StartForward):
            self._start(command)
        elif isinstance(command, StopForward):
            self._stop(command.forward_id)

    def _start(self, command: StartForward) -> None:
        old = self._forwards.pop(command.forward_id, None)
        if old is not None:
            old.discard()
        credentials = self._credentials.get(command.access_id)
        if credentials is None:
            error = HelperFailed("A forward was asked for before its credentials.").to_wire()
            self._emit(ForwardState(command.forward_id, State.FAILED, error=error))
            return
        number = command.forward_id
        forward = ForwardWorker(
            number,
            command.spec,
            credentials,
            self._peers,
            report=self._emit,
            on_traffic=lambda: self._tell_first(number),
            timings=self._timings,
        )
        self._forwards[number] = forward
        forward.start()

    def _stop(self, forward_id: int) -> None:
        forward = self._forwards.pop(forward_id, None)
        if forward is None:
            self._emit(ForwardState(forward_id, State.STOPPED))
            return
        self._tell(forward_id, forward)
        self._told.pop(forward_id, None)
        forward.stop()

    def _tell_first(self, forward_id: int) -> None:
        """Tell a change after a quiet time at once; what follows, at intervals until it is quiet again."""
        forward = self._forwards.get(forward_id)
        if forward is not None:
            self._tell(forward_id, forward)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(COUNTERS_INTERVAL, self._tell_busy)

    def _tell_busy(self) -> None:
        self._timer = None
        busy = False
        for forward_id, forward in self._forwards.items():
            dispatcher = forward.dispatcher
            if not dispatcher.quiet:
                dispatcher.quiet = not self._tell(forward_id, forward)
                busy |= not dispatcher.quiet
        if busy:
            self._timer = asyncio.get_running_loop().call_later(COUNTERS_INTERVAL, self._tell_busy)

    def _tell(self, forward_id: int, forward: ForwardWorker) -> bool:
        """Tell the counters if they have changed; return whether they have."""
        counters = forward.dispatcher.counters
        plain = asdict(counters)
        if self._told.get(forward_id) == counters:
            return False
        self._told[forward_id] = Counters(**plain)
        self._emit(ForwardCounters(forward_id, **plain))
        return True

    def woke(self) -> None:
        """Trust no connection any more until it has answered: the machine has slept."""
        for forward in self._forwards.values():
            forward.woke()

    def close(self) -> None:
        """End everything."""
        if self._timer is not None:
            self._timer.cancel()
        for forward in self._forwards.values():
            forward.stop()
        self._forwards.clear()
        self._peers.close()
