"""The helper's engine: it executes the kernel's commands, and reports states and counters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict, replace

from sspcloud_magics.errors import HelperFailed, from_wire
from sspcloud_magics.i18n import _
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
from sspcloud_magics.tunnel.peer_probe import PeerProbe
from sspcloud_magics.tunnel.timings import Timings

_log = logging.getLogger(__name__)

# Seconds between two reports of the same counters.
COUNTERS_INTERVAL = 0.5


def _describe_command(command: Command | Event) -> str:
    """Describe a command for the log, without credentials."""
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
        The timeouts.
    first
        The preferred protocol.
    peers
        Detects clients that have closed; by default, through the system.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        timings: Timings = Timings(),  # noqa: B008 - frozen
        first: TunnelProtocol = PROTOCOLS[0],
        peers: PeerProbe | None = None,
    ) -> None:
        self._emit = emit
        # By the kernel's numbers: identities, forwards, and the counters that were last reported.
        self._credentials: dict[int, AccessStore] = {}
        self._forwards: dict[int, ForwardWorker] = {}
        self._reported: dict[int, Counters] = {}
        self._timings, self._first = timings, first
        self._peers = peers or PeerProbe()
        # Reports the counters, as long as any of them changes.
        self._timer: asyncio.TimerHandle | None = None

    def handle(self, command: Command | Event) -> None:
        """Execute a command of the kernel."""
        _log.debug("received %s", _describe_command(command))
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
            error = HelperFailed(_("The helper process has no credentials for this forward.")).to_wire()
            self._emit(ForwardState(command.forward_id, State.FAILED, error=error))
            return
        number = command.forward_id
        forward = ForwardWorker(
            number,
            command.spec,
            credentials,
            self._peers,
            report=self._emit,
            on_traffic=lambda: self._report_first(number),
            timings=self._timings,
        )
        self._forwards[number] = forward
        forward.start()

    def _stop(self, forward_id: int) -> None:
        forward = self._forwards.pop(forward_id, None)
        if forward is None:
            self._emit(ForwardState(forward_id, State.STOPPED))
            return
        self._report_counters(forward_id, forward)
        self._reported.pop(forward_id, None)
        forward.stop()

    def _report_first(self, forward_id: int) -> None:
        """Report the first change after a pause at once, and later changes at intervals until the next pause."""
        forward = self._forwards.get(forward_id)
        if forward is not None:
            self._report_counters(forward_id, forward)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(COUNTERS_INTERVAL, self._report_busy)

    def _report_busy(self) -> None:
        self._timer = None
        is_busy = False
        for forward_id, forward in self._forwards.items():
            dispatcher = forward.dispatcher
            if not dispatcher.quiet:
                dispatcher.quiet = not self._report_counters(forward_id, forward)
                is_busy |= not dispatcher.quiet
        if is_busy:
            self._timer = asyncio.get_running_loop().call_later(COUNTERS_INTERVAL, self._report_busy)

    def _report_counters(self, forward_id: int, forward: ForwardWorker) -> bool:
        """Report the counters if they have changed; return whether they have."""
        counters = forward.dispatcher.counters
        if self._reported.get(forward_id) == counters:
            return False
        self._reported[forward_id] = replace(counters)
        self._emit(ForwardCounters(forward_id, **asdict(counters)))
        return True

    def resume_after_sleep(self) -> None:
        """Check all connections, because the machine has slept."""
        for forward in self._forwards.values():
            forward.resume_after_sleep()

    def close(self) -> None:
        """Stop all forwards."""
        if self._timer is not None:
            self._timer.cancel()
        for forward in self._forwards.values():
            forward.stop()
        self._forwards.clear()
        self._peers.close()
