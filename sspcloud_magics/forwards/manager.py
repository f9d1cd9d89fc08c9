"""All forwards of this process, and the thread that supervises them.

    caller's thread                    the manager's thread                  helper process
      forward() ── StartForward ──────────────────────────────────────────────▶ bind, dial
          │ waits                       reads events ◀────────────────────────── ForwardState
          ◀──────── notified ────────── Forward.take, subscribers

The thread starts the helper and reads its events. If the helper dies, the thread starts another, and restarts every live
forward in it on the same local ports. If `ATTEMPTS` helpers in a row die within `STEADY` seconds, the forwards fail; the
next call of `forward` starts a helper again. Callers write commands to the helper's pipe themselves. The thread waits
neither for them nor for the cluster: credentials are renewed on their own threads.

After a fork, the child has no forwards: they stay with the parent (see `helper`).
"""

from __future__ import annotations

import atexit
import itertools
import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial

from sspcloud_magics import fork_hooks, log_file
from sspcloud_magics.errors import ForwardStopped, HelperFailed, PortTaken
from sspcloud_magics.forwards.credentials import AccessProvider, AccessRegistry
from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.forwards.helper import Helper
from sspcloud_magics.forwards.lease import Lease
from sspcloud_magics.forwards.port_notes import describe_owner, explain_port_taken, list_notes
from sspcloud_magics.forwards.ports import check_address, specify
from sspcloud_magics.forwards.sockets import UNIX, folders, specify_sockets
from sspcloud_magics.forwards.subscribers import Subscribers
from sspcloud_magics.i18n import _, current
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import (
    Command,
    CredentialsWanted,
    Event,
    ForwardCounters,
    ForwardSpec,
    ForwardState,
    Logged,
    SetLanguage,
    SetLog,
    StartForward,
    State,
    StopForward,
)

_log = logging.getLogger(__name__)

# Helpers in a row that may die early, and the seconds after which a death is not early.
ATTEMPTS = 5
STEADY = 10.0
# Seconds before each of these attempts.
_PAUSES = (0.0, 0.2, 0.5, 1.0)
# Seconds to wait for the helper: in `stop` for the end of a forward, in `close` for its own end.
_STOP_TIMEOUT = 2.0
_CLOSE_TIMEOUT = 1.5


class ForwardManager:
    """The forwards of this process, in all clusters.

    The helper starts with the first forward.

    Parameters
    ----------
    start_helper
        Starts a helper process.

    Examples
    --------
    >>> manager = ForwardManager()
    >>> target = Target("user-bob", "service", "mon-api")
    >>> manager.forward(cluster, target, [PortText(8000)])  # doctest: +SKIP
    ● active localhost:8000 → user-bob/svc/mon-api:8000
    >>> manager.close()
    """

    def __init__(self, start_helper: Callable[[], Helper] = Helper) -> None:
        self._start_helper = start_helper
        self._ids = itertools.count(1)
        self.reset_in_child()
        fork_hooks.register(self)

    def reset_in_child(self) -> None:
        """Begin without forwards: a forked child forgets those of its parent."""
        self._lock = threading.Condition(threading.RLock())
        # In a forked child, the subscribers are the parent's, and are not notified.
        self._subscribers = Subscribers()
        # The forwards that are live, or have failed after they were active.
        self._forwards: dict[int, Forward] = {}
        # The number of leases of each forward that a lease has opened.
        self._leases: weakref.WeakKeyDictionary[Forward, int] = weakref.WeakKeyDictionary()
        self._leasing = threading.Lock()
        self._credentials = AccessRegistry(self._send)
        # The helper that runs, and the thread that supervises it; both under the lock.
        self._helper: Helper | None = None
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @property
    def changed(self) -> threading.Condition:
        """Notified after every change of a forward; its lock guards them all."""
        return self._lock

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called, so that forwards end without the user stopping them."""
        return self._closed.is_set()

    def server_of(self, forward: Forward) -> str:
        """Return the API server that a forward goes through."""
        return self._credentials.server(forward.access_id)

    def forward(
        self,
        cluster: AccessProvider,
        target: Target,
        ports: Sequence[PortText],
        *,
        address: str = "localhost",
        timeout: float = 30.0,
    ) -> Forward:
        """Open a forward, and return once it has reached the target.

        A second call for the same forward returns the same object; a failed forward is restarted.

        Parameters
        ----------
        cluster
            The cluster and the identity.
        ports
            The ports of the target, with local ports if these matter.
        address
            The address to listen on: ``localhost`` (both loopback families), an IP address of this machine, or
            `sockets.UNIX` for Unix sockets in a private directory.
        timeout
            The longest time to wait, in seconds.

        Returns
        -------
        Forward
            The active forward.

        Raises
        ------
        UsageProblem
            If the ports or the address are invalid.
        PortTaken
            If a requested local port is taken; names the owner, if the system reports it.
        TargetError
            If the target does not exist, has no such port, or no ready pod.
        DialFailed
            If nothing in the pod accepts connections on the port.
        ClusterError
            If the API server refuses, or cannot be reached.
        TunnelLost
            After the timeout.
        ForwardStopped
            If another thread stops the forward or has closed the manager.
        HelperFailed
            If the helper process cannot be started.
        """
        wanted = tuple(ports)
        spec = _make_spec(target, wanted, address)
        access = cluster.access()
        begun: Forward | None = None
        try:
            with self._lock:
                self._check_open(target)
                set_access, is_new = self._credentials.register(cluster, access)
                if is_new:
                    self._send(set_access)
                forward = self._find(set_access.access_id, target, wanted, spec.address)
                if forward is None:
                    forward = Forward(
                        self,
                        forward_id=next(self._ids),
                        access_id=set_access.access_id,
                        target=target,
                        wanted=wanted,
                        spec=spec,
                    )
                    begun = forward
                elif not forward.is_live:
                    forward.restart(wanted, spec)
                    begun = forward
                if begun is not None:
                    self._forwards[begun.id] = begun
                    self._send(StartForward(begun.id, begun.access_id, begun.spec))
                    self._ensure_thread()
            forward.wait_until_active(timeout)
        except BaseException as error:
            # After a failure or an interrupt, nothing of an unfinished forward stays.
            if begun is not None:
                self._abandon(begun)
            if isinstance(error, PortTaken):
                named = () if spec.folders else wanted
                raise explain_port_taken(error, named, self._describe_owner) from None
            raise
        if begun is not None:
            begun.notes = list_notes(begun, self._describe_owner)
            self._subscribers.notify(begun)
        return forward

    def restart(self, forward: Forward, *, timeout: float = 30.0) -> Forward:
        """Stop a forward, and open it again on the same local ports with the same identity.

        Parameters
        ----------
        forward
            A forward of this manager, in any state.
        timeout
            The longest time to wait, in seconds.

        Returns
        -------
        Forward
            The new forward, active. Raises as `forward` does.
        """
        ports = [PortText(remote, local) for local, remote in forward.ports] or list(forward.wanted)
        self.stop(forward)
        return self.forward(
            self._credentials.identity(forward.access_id),
            forward.target,
            ports,
            address=forward.spec.address,
            timeout=timeout,
        )

    def lease(
        self, cluster: AccessProvider, target: Target, port: PortText, *, timeout: float = 30.0
    ) -> Lease:
        """Acquire a lease of a forward, which is opened if necessary.

        Parameters
        ----------
        cluster, target, port, timeout
            As in `forward`, which raises the same errors.

        Returns
        -------
        Lease
            The lease. The release of the last one stops the forward, unless it was open before, such as the user's.
        """
        with self._leasing:
            before = self.forwards()
            forward = self.forward(cluster, target, [port], timeout=timeout)
            is_new = forward not in before
            if forward in self._leases:
                self._leases[forward] += 1
            elif is_new:
                self._leases[forward] = 1
        return Lease(forward, is_new, partial(self._release, forward))

    def _release(self, forward: Forward) -> None:
        with self._leasing:
            if forward not in self._leases:
                return
            self._leases[forward] -= 1
            if self._leases[forward]:
                return
            del self._leases[forward]
        forward.stop()

    def forwards(self) -> list[Forward]:
        """Return the live forwards, and those that have failed after they were active."""
        with self._lock:
            return [
                forward for forward in self._forwards.values() if forward.since is not None or forward.is_live
            ]

    def stop(self, forward: Forward) -> None:
        """End a forward and its connections, and return once its local ports are free; idempotent."""
        with self._lock:
            if self._forwards.get(forward.id) is not forward:
                return
            self._send(StopForward(forward.id))
            helper = self._helper
            deadline = time.monotonic() + _STOP_TIMEOUT
            # The manager's own thread, in a subscriber, would wait for itself.
            while (
                forward.is_live
                and helper is not None
                and helper is self._helper
                and threading.current_thread() is not self._thread
            ):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._lock.wait(left)
            if helper is not self._helper:
                self._send(StopForward(forward.id))
            self._forget(forward)
        self._subscribers.notify(forward)

    def stop_all(self) -> None:
        """End all forwards."""
        with self._lock:
            forwards = list(self._forwards.values())
            # The helper ends them all while `stop` waits for the first.
            for forward in forwards:
                self._send(StopForward(forward.id))
        for forward in forwards:
            self.stop(forward)

    def close(self) -> None:
        """End all forwards, the helper and the thread, permanently; idempotent.

        A closed manager cannot open forwards again: another thread that still has it would start a helper that is never
        ended.
        """
        with self._lock:
            thread = self._thread
            self._closed.set()
            if self._helper is not None:
                self._helper.close_input()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_TIMEOUT)
            with self._lock:
                if self._helper is not None:
                    self._helper.kill()
            thread.join()
        with self._lock:
            forwards = list(self._forwards.values())
            for forward in forwards:
                self._forget(forward)
        for forward in forwards:
            self._subscribers.notify(forward)

    def subscribe(self, callback: Callable[[Forward], None]) -> Callable[[], None]:
        """Call a function after every change of a forward, its counters included.

        Parameters
        ----------
        callback
            Receives the forward. It is called on the manager's thread and on callers' threads, possibly several at
            once: it must return soon, and must not print.

        Returns
        -------
        Callable
            Ends the subscription; idempotent.
        """
        return self._subscribers.add(callback)

    def _check_open(self, target: Target) -> None:
        if self.is_closed:
            raise ForwardStopped(
                _("The forward to {target} was not opened.", target=target),
                why=_("All forwards were closed at the same time."),
                hint=_("open it again"),
            )

    def _find(
        self, access_id: int, target: Target, wanted: tuple[PortText, ...], address: str
    ) -> Forward | None:
        """Return the forward that meets the user's request."""
        alike = (forward for forward in self._forwards.values() if forward.access_id == access_id)
        return next((forward for forward in alike if forward.serves(target, wanted, address)), None)

    def _abandon(self, forward: Forward) -> None:
        """Remove an unfinished forward without waiting; a failed one keeps its state."""
        with self._lock:
            self._send(StopForward(forward.id))
            if forward.is_live:
                self._forget(forward)
            self._forwards.pop(forward.id, None)
        self._subscribers.notify(forward)

    def _forget(self, forward: Forward) -> None:
        """Mark a forward as stopped, and remove it; under the lock."""
        self._forwards.pop(forward.id, None)
        forward.take(ForwardState(forward.id, State.STOPPED))
        self._lock.notify_all()

    def _describe_owner(self, port: int) -> str:
        with self._lock:
            forwards, helper = list(self._forwards.values()), self._helper
        return describe_owner(port, forwards, helper.pid if helper else None)

    def _ensure_thread(self) -> None:
        """Start the thread unless it runs; under the lock."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._supervise, name="sspcloud-forwards", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _supervise(self) -> None:
        """Run helpers on the manager's thread, and fail the forwards in the end."""
        failure = _make_failure(_("This is a bug in sspcloud_magics."))
        try:
            failure = _make_failure(self._run_helpers())
        except HelperFailed as error:
            failure = error
        finally:
            with self._lock:
                self._thread = None
                live = [forward for forward in self._forwards.values() if forward.is_live]
                for forward in live:
                    if not self._closed.is_set():
                        forward.take(ForwardState(forward.id, State.FAILED, error=failure.to_wire()))
                self._lock.notify_all()
                atexit.unregister(self.close)
            for forward in live:
                self._subscribers.notify(forward)

    def _run_helpers(self) -> str:
        """Run one helper after the other, until `close` or too many early deaths; return how the last ended."""
        short_lived = 0
        while True:
            born = time.monotonic()
            how = self._run_helper()
            short_lived = short_lived + 1 if time.monotonic() - born < STEADY else 0
            if self._closed.is_set() or short_lived == ATTEMPTS:
                return how
            with self._lock:
                live = [forward for forward in self._forwards.values() if forward.is_live]
                for forward in live:
                    forward.resume_in_new_helper(_("the helper process ended; a new one takes over"))
                self._lock.notify_all()
            for forward in live:
                self._subscribers.notify(forward)
            if self._closed.wait(_PAUSES[max(short_lived - 1, 0)]):
                return how

    def _run_helper(self) -> str:
        """Run a helper and apply its events until it ends; return how it ended."""
        helper = self._start_helper()
        _log.info("helper %d runs", helper.pid)
        try:
            with self._lock:
                self._helper = helper
                helper.send(SetLog(log_file.level()))
                helper.send(SetLanguage(current()))
                for set_access in self._credentials.list_known():
                    self._send(set_access)
                for forward in self._forwards.values():
                    if forward.is_live:
                        self._send(StartForward(forward.id, forward.access_id, forward.spec))
                if self._closed.is_set():
                    helper.close_input()
            for event in helper.events():
                self._apply(event)
        finally:
            with self._lock:
                self._helper = None
                self._lock.notify_all()
            how = helper.end()
        return how

    def _apply(self, event: Event) -> None:
        if isinstance(event, Logged):
            _log_record(event)
        elif isinstance(event, CredentialsWanted):
            self._credentials.renew(event.access_id)
        elif isinstance(event, ForwardState | ForwardCounters):
            with self._lock:
                forward = self._forwards.get(event.forward_id)
                if forward is None or not forward.take(event):
                    return
                if forward.state is State.STOPPED:
                    self._forwards.pop(forward.id)
                self._lock.notify_all()
            self._subscribers.notify(forward)

    def set_log(self) -> None:
        """Set the helper's log level to that of this process."""
        self._send(SetLog(log_file.level()))

    def set_language(self) -> None:
        """Set the helper's language to that of this process."""
        self._send(SetLanguage(current()))

    def _send(self, command: Command) -> None:
        with self._lock:
            helper = self._helper
        if helper is not None:
            helper.send(command)


def _make_failure(why: str) -> HelperFailed:
    return HelperFailed(
        _("The helper process of the forwards keeps failing."),
        why=why,
        hint=_("open the forward again; if that fails too, restart the kernel"),
    )


def _log_record(event: Logged) -> None:
    """Write a record of the helper to the log of this process."""
    logger = logging.getLogger(event.name)
    if logger.isEnabledFor(event.level):
        logger.handle(
            logging.makeLogRecord(
                {
                    "name": event.name,
                    "levelno": event.level,
                    "levelname": logging.getLevelName(event.level),
                    "msg": event.text,
                    "created": event.at,
                    "origin": "helper",
                }
            )
        )


def _make_spec(target: Target, wanted: tuple[PortText, ...], address: str) -> ForwardSpec:
    """Return the specification of a forward for the helper; raise `UsageProblem` if it is invalid."""
    names = (target.namespace, target.kind, target.name)
    if address == UNIX and wanted:
        ports = specify_sockets(wanted)
        return ForwardSpec(*names, ports, UNIX, folders=folders(target, ports))
    return ForwardSpec(*names, specify(target, wanted), check_address(address))
