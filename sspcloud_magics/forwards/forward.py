"""A forward in the notebook: a live view of the helper process.

The helper's reports are authoritative. `Forward.take` applies them on the manager's thread, under the manager's lock,
and only as `ipc.TRANSITIONS` allows; everything else here only reads. After the death of a helper, the counters continue
from their last values, because it is the same forward to the user.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol, Self

from sspcloud_magics.errors import ForwardStopped, SspcloudError, TunnelLost, from_wire
from sspcloud_magics.forwards.formatting import ForwardCard, format_endpoint, format_traffic
from sspcloud_magics.i18n import _, format_number
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import (
    TRANSITIONS,
    ForwardCounters,
    ForwardSpec,
    ForwardState,
    State,
)

LIVE = frozenset({State.STARTING, State.ACTIVE, State.RECONNECTING})
"""The states in which a forward has its local ports, or will have them."""


class Manager(Protocol):
    """The part of the manager that a forward uses."""

    @property
    def changed(self) -> threading.Condition:
        """Notified after every change of a forward; its lock guards them all."""

    def stop(self, forward: Forward) -> None:
        """End the forward."""


class Forward:
    """A local port that leads to a target in the cluster; made by `ForwardManager.forward`.

    It is a context manager: at the end of the block, the forward is stopped.

    Attributes
    ----------
    id
        Its number in this process.
    target
        Its target.
    since
        When it was first active, in UTC; None before that.
    notes
        Notes for the user, such as an unexpected local port, or an address that others can reach.
    destination
        The ``HOST:PORT`` to which its relay passes the bytes on; empty if it does not lead to a relay.

    Examples
    --------
    >>> target = Target("user-bob", "service", "mon-api")
    >>> with manager.forward(cluster, target, [PortText(8000)]) as forward:  # doctest: +SKIP
    ...     urllib.request.urlopen(f"http://localhost:{forward.local_port}")
    """

    def __init__(
        self,
        manager: Manager,
        *,
        forward_id: int,
        access_id: int,
        target: Target,
        wanted: tuple[PortText, ...],
        spec: ForwardSpec,
    ) -> None:
        self.id = forward_id
        self.access_id = access_id
        self.target = target
        self.wanted = wanted
        self.spec = spec
        # When it first became active; notes for the user; of a relay, the host and port that it leads to.
        self.since: datetime | None = None
        self.notes: tuple[str, ...] = ()
        self.destination = ""
        self._manager = manager
        # The last state from the helper.
        self._status = ForwardState(forward_id, State.STARTING)
        # The traffic through earlier helpers, and through the present one.
        self._carried = ForwardCounters(forward_id)
        self._counters = ForwardCounters(forward_id)
        # The bound ports, or the directory of the Unix sockets, as last reported.
        self._local_ports: tuple[int, ...] = ()
        self._folder = ""

    @property
    def state(self) -> State:
        """Its `State`: starting, active, reconnecting, stopped or failed."""
        return self._status.state

    @property
    def is_live(self) -> bool:
        """Whether it is starting, active or reconnecting."""
        return self.state in LIVE

    @property
    def reason(self) -> str:
        """The reason for its state, in a few words; may be empty."""
        return self._status.reason or (self.error.what if self.error else "")

    @property
    def error(self) -> SspcloudError | None:
        """The error of a failed forward; None in any other state."""
        return from_wire(self._status.error) if self._status.error else None

    @property
    def address(self) -> str:
        """The address that it listens on: ``localhost`` (both loopback families), an IP address, or its sockets' directory.

        For libpq it is the ``host`` in either case.
        """
        return self._folder or self.spec.address

    @property
    def sockets(self) -> tuple[str, ...]:
        """The paths of its Unix sockets, in the order of `ports`; empty if it listens on ports."""
        return tuple(f"{self._folder}/{port.socket}" for port in self.spec.ports if self._folder)

    @property
    def ports(self) -> tuple[tuple[int, int | str], ...]:
        """The pairs (local port, remote port), in the requested order; empty until they are bound."""
        return tuple(
            (local, port.remote) for local, port in zip(self._local_ports, self.wanted, strict=False)
        )

    @property
    def routes(self) -> list[tuple[str, str]]:
        """The local end and the remote end of each port."""
        if self.sockets:
            local = list(self.sockets)
        else:
            # Before it is bound, a port that may be any has no number.
            ports = self._local_ports or [port.local for port in self.wanted]
            local = [format_endpoint(self.address, port) if port else f"{self.address}:…" for port in ports]
        return [
            (where, f"{self.target}:{port.remote}") for where, port in zip(local, self.wanted, strict=False)
        ]

    @property
    def local_port(self) -> int:
        """The first local port; 0 until it is bound."""
        return self._local_ports[0] if self._local_ports else 0

    @property
    def pod(self) -> str:
        """The current pod; empty if there is none."""
        return self._status.pod

    @property
    def protocol(self) -> str:
        """The tunnel's protocol: ``spdy``, ``spdy_websocket`` or ``channels``."""
        return self._status.protocol

    @property
    def counters(self) -> ForwardCounters:
        """Its traffic so far; only the number of open connections may fall."""
        past, now = self._carried, self._counters
        return replace(
            now,
            sent=past.sent + now.sent,
            received=past.received + now.received,
            connections=past.connections + now.connections,
            failed_connections=past.failed_connections + now.failed_connections,
            reconnects=past.reconnects + now.reconnects,
            last_error=now.last_error or past.last_error,
        )

    @property
    def last_error(self) -> str:
        """The text of the last error of a connection; may be empty."""
        return self.counters.last_error

    def stop(self) -> None:
        """End the forward and its connections; its local ports are free afterwards. Idempotent."""
        self._manager.stop(self)

    def wait_until_active(self, timeout: float = 30.0) -> Self:
        """Wait until the forward is active.

        Parameters
        ----------
        timeout
            The longest time to wait, in seconds.

        Returns
        -------
        Forward
            The forward itself.

        Raises
        ------
        SspcloudError
            The error of a failed forward, `TunnelLost` after the timeout, `ForwardStopped` if it was stopped.
        """
        deadline = time.monotonic() + timeout
        with self._manager.changed:
            while self.state is not State.ACTIVE:
                if not self.is_live:
                    raise self.error or ForwardStopped(
                        _("The forward to {target} was stopped.", target=self.target)
                    )
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TunnelLost(
                        _(
                            "{target} could not be reached within {seconds} s.",
                            target=self.target,
                            seconds=format_number(timeout),
                        ),
                        why=self.reason or self.last_error,
                        hint=_("try again, or check the pod: %k8s_pods"),
                    )
                # In slices, because Windows handles Ctrl-C only between two waits.
                self._manager.changed.wait(min(left, 0.2))
        return self

    def serves(self, target: Target, wanted: tuple[PortText, ...], address: str) -> bool:
        """Return whether the forward meets a request, in which a port without a local number may have any."""
        if (self.target, self.spec.address) != (target, address):
            return False
        if [port.remote for port in self.wanted] != [port.remote for port in wanted]:
            return False
        bound = self._local_ports or (0,) * len(wanted)
        return all(
            not port.local or port.local in (own.local, local)
            for port, own, local in zip(wanted, self.wanted, bound, strict=True)
        )

    def take(self, event: ForwardState | ForwardCounters) -> bool:
        """Apply a report of the helper, unless its state may not follow; return whether anything changed.

        The caller holds the manager's lock.
        """
        if isinstance(event, ForwardCounters):
            self._counters = event
            return True
        before = self._status
        if event.state is not before.state and event.state not in TRANSITIONS[before.state]:
            return False
        if event.state is State.ACTIVE and self.since is None:
            self.since = datetime.now(UTC)
        if len(event.local_ports) == len(self.spec.ports):
            self._local_ports = event.local_ports
        self._folder = event.folder or self._folder
        self._status = event
        return event != before

    def resume_in_new_helper(self, reason: str) -> None:
        """Prepare the forward for a new helper after the death of one; under the manager's lock.

        A forward that was bound keeps its ports, and the new helper reconnects it as after a lost tunnel.
        """
        lost = self.counters
        self._carried = replace(
            lost,
            open_connections=0,
            failed_connections=lost.failed_connections + lost.open_connections,
            reconnects=lost.reconnects + (self.state is not State.STARTING),
            last_error=reason if lost.open_connections else lost.last_error,
        )
        self._counters = ForwardCounters(self.id)
        if self.state is State.STARTING:
            return
        self._status = ForwardState(self.id, State.RECONNECTING, reason)
        ports = tuple(
            replace(port, candidates=(local,))
            for port, local in zip(self.spec.ports, self._local_ports, strict=True)
        )
        folders = (self._folder,) if self._folder else ()
        self.spec = replace(self.spec, ports=ports, folders=folders, resume=True)

    def restart(self, wanted: tuple[PortText, ...], spec: ForwardSpec) -> None:
        """Prepare a failed forward for another start; under the manager's lock."""
        self.wanted = wanted
        self.spec = spec
        self.take(ForwardState(self.id, State.STARTING))
        self._local_ports = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _card(self) -> ForwardCard:
        since = _("since {time}", time=f"{self.since.astimezone():%H:%M:%S}") if self.since else ""
        counters = self.counters
        return ForwardCard(
            self.state,
            self.routes,
            self.reason,
            [part for part in (self.pod, since, format_traffic(counters)) if part],
            self.notes,
            counters.last_error,
        )

    def __repr__(self) -> str:
        return self._card().line()

    def _repr_mimebundle_(self, **_choice: object) -> dict[str, Any]:
        card = self._card()
        return {"text/plain": card.text(), "text/html": card.html()}
