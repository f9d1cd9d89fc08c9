"""All forwards of this process, and the one thread that looks after them.

    caller's thread                    the manager's thread                  helper process
      forward() ── StartForward ──────────────────────────────────────────────▶ bind, dial
          │ waits                       reads events ◀────────────────────────── ForwardState
          ◀──────── notified ────────── Forward.take, subscribers

The thread starts the helper, reads what it reports, and when it dies starts another, to which it gives
every live forward again, each on the ports that it had. It is not started for ever: when `ATTEMPTS` helpers in
a row have not lived for `STEADY` seconds, the forwards fail, and the next call of `forward` begins anew. Callers write commands into the helper's pipe themselves; the thread never waits
for them, nor for the cluster: credentials are renewed on a thread of their own.

After a fork, the child has no forwards: they are its parent's, which go on (see `helper`).
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial

from sspcloud_magics import log_file
from sspcloud_magics.errors import ForwardStopped, HelperFailed, PortTaken
from sspcloud_magics.forwards.credentials import AccessProvider, AccessRegistry
from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.forwards.helper import Helper
from sspcloud_magics.forwards.lease import Lease
from sspcloud_magics.forwards.port_notes import name_holder, remark, say_holder
from sspcloud_magics.forwards.ports import check_address, specify
from sspcloud_magics.forwards.sockets import UNIX, folders, specify_sockets
from sspcloud_magics.forwards.subscribers import Subscribers
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import (
    Command,
    CredentialsWanted,
    Event,
    ForwardCounters,
    ForwardSpec,
    ForwardState,
    Logged,
    SetLog,
    StartForward,
    State,
    StopForward,
)

_log = logging.getLogger(__name__)

ATTEMPTS = 5
STEADY = 10.0
_PAUSES = (0.0, 0.2, 0.5, 1.0)
_STOPPING = 2.0
_CLOSING = 1.5

_HELPER_ENDS = "The process that carries the bytes ends again and again."
_HELPER_MEND = "make the forward again; if that fails too, restart the kernel"


class ForwardManager:
    """The forwards of this process; one is enough for all clusters.

    Nothing runs until the first forward is made.

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
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Condition(threading.RLock())
        # The views and the file are the parent's: a child tells them nothing.
        self._subscribers = Subscribers()
        self._forwards: dict[int, Forward] = {}
        # How many leases each forward has that was opened by a lease.
        self._leases: weakref.WeakKeyDictionary[Forward, int] = weakref.WeakKeyDictionary()
        self._leasing = threading.Lock()
        self._credentials = AccessRegistry(self._send)
        self._helper: Helper | None = None
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def _here(self) -> None:
        """Begin with nothing in a child that was forked."""
        if self._process != os.getpid():
            self._begin()

    @property
    def changed(self) -> threading.Condition:
        """Notified after every change of a forward; its lock guards them all."""
        self._here()
        return self._lock

    @property
    def is_closed(self) -> bool:
        """Whether `close` has ended the forwards, or does at this moment, rather than the user."""
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
        """Open a forward, and return when the target has been reached through it.

        The same forward asked for twice is the same object; one that has failed is started again.

        Parameters
        ----------
        cluster
            Where, and as whom.
        target
            What it leads to.
        ports
            The ports of the target, and the local ports where they matter.
        address
            Where to listen: ``localhost`` (both loopback families), an IP address of this machine, or
            `sockets.UNIX` for Unix sockets in a directory that nobody else may enter.
        timeout
            How long to wait for it, in seconds.

        Returns
        -------
        Forward
            The forward, active.

        Raises
        ------
        UsageProblem
            If the ports or the address make no sense.
        PortTaken
            If something listens on a local port that was asked for; says what, where the system tells.
        TargetError
            If the target does not exist, has no such port, or no ready pod.
        DialFailed
            If nothing in the pod accepts connections on the port.
        ClusterError
            If the API server refuses, or cannot be reached.
        TunnelLost
            If the time has passed.
        ForwardStopped
            If somebody stops it meanwhile, or has closed the manager.
        HelperFailed
            If the process that carries the bytes cannot be started.
        """
        self._here()
        wanted = tuple(ports)
        spec = _spec(target, wanted, address)
        access = cluster.access()
        begun: Forward | None = None
        try:
            with self._lock:
                self._refuse_if_closed(target)
                set_access, is_new = self._credentials.enter(cluster, access)
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
            # Half-made, whether it failed or the user interrupts: nothing of it stays.
            if begun is not None:
                self._abandon(begun)
            if isinstance(error, PortTaken):
                raise name_holder(error, () if spec.folders else wanted, self._holder) from None
            raise
        if begun is not None:
            begun.notes = remark(begun, self._holder)
            self._subscribers.tell(begun)
        return forward

    def restart(self, forward: Forward, *, timeout: float = 30.0) -> Forward:
        """Stop a forward and open the same again on its local ports, as the identity that opened it.

        Parameters
        ----------
        forward
            One of this manager's, in any state.
        timeout
            How long to wait for it, in seconds.

        Returns
        -------
        Forward
            The new one, active. `forward` raises the same where it cannot be.
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
        """Open a forward, or take the one that is open, for as long as a caller needs it.

        Parameters
        ----------
        cluster, target, port, timeout
            As `forward` takes them, and it raises the same.

        Returns
        -------
        Lease
            The forward; the last of its leases stops it. One that was open before the first, such as the user's, stays.
        """
        self._here()
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
        self._here()
        with self._leasing:
            if forward not in self._leases:
                return
            self._leases[forward] -= 1
            if self._leases[forward]:
                return
            del self._leases[forward]
        forward.stop()

    def forwards(self) -> list[Forward]:
        """Return the forwards that are open, and those that have failed since they were active."""
        self._here()
        with self._lock:
            return [
                forward for forward in self._forwards.values() if forward.since is not None or forward.is_live
            ]

    def stop(self, forward: Forward) -> None:
        """End a forward and its connections, and return when its local ports are free; idempotent."""
        self._here()
        with self._lock:
            if self._forwards.get(forward.id) is not forward:
                return
            self._send(StopForward(forward.id))
            told = self._helper
            deadline = time.monotonic() + _STOPPING
            # The manager's own thread, in a subscriber, would wait for itself.
            while (
                forward.is_live
                and told is not None
                and told is self._helper
                and threading.current_thread() is not self._thread
            ):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._lock.wait(left)
            if told is not self._helper:
                self._send(StopForward(forward.id))
            self._drop(forward)
        self._subscribers.tell(forward)

    def stop_all(self) -> None:
        """End all forwards."""
        self._here()
        with self._lock:
            # All at once, then wait for each.
            for forward in self._forwards.values():
                self._send(StopForward(forward.id))
            everything = list(self._forwards.values())
        for forward in everything:
            self.stop(forward)

    def close(self) -> None:
        """End all forwards, the helper and the thread, for good; idempotent.

        For good, since whoever still holds the manager on another thread would else start a helper that nobody ends.
        """
        self._here()
        with self._lock:
            thread = self._thread
            self._closed.set()
            if self._helper is not None:
                self._helper.close_input()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSING)
            with self._lock:
                if self._helper is not None:
                    self._helper.kill()
            thread.join()
        with self._lock:
            everything = list(self._forwards.values())
            for forward in everything:
                self._drop(forward)
        for forward in everything:
            self._subscribers.tell(forward)

    def subscribe(self, callback: Callable[[Forward], None]) -> Callable[[], None]:
        """Call a function after every change of a forward, its counters included.

        Parameters
        ----------
        callback
            Gets the forward. It is called on the manager's thread and on those of callers, possibly on
            several at once: it must return soon, and must not print.

        Returns
        -------
        Callable
            Ends the subscription; idempotent.
        """
        self._here()
        return self._subscribers.add(callback)

    def _refuse_if_closed(self, target: Target) -> None:
        if self.is_closed:
            raise ForwardStopped(
                f"The forward to {target} was not opened.",
                why="all forwards have been closed meanwhile",
                hint="ask for it again",
            )

    def _find(
        self, access_id: int, target: Target, wanted: tuple[PortText, ...], address: str
    ) -> Forward | None:
        """Return the forward that is what the user asks for."""
        alike = (forward for forward in self._forwards.values() if forward.access_id == access_id)
        return next((forward for forward in alike if forward.serves(target, wanted, address)), None)

    def _abandon(self, forward: Forward) -> None:
        """Forget a forward that was not made, without waiting; one that has failed stays so."""
        with self._lock:
            self._send(StopForward(forward.id))
            if forward.is_live:
                self._drop(forward)
            self._forwards.pop(forward.id, None)
        self._subscribers.tell(forward)

    def _drop(self, forward: Forward) -> None:
        """Forget a forward, which is stopped now; under the lock."""
        self._forwards.pop(forward.id, None)
        forward.take(ForwardState(forward.id, State.STOPPED))
        self._lock.notify_all()

    def _holder(self, port: int) -> str:
        with self._lock:
            forwards, helper = list(self._forwards.values()), self._helper
        return say_holder(port, forwards, helper.pid if helper else None)

    def _ensure_thread(self) -> None:
        """Start the thread where it does not run; under the lock."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._look_after, name="sspcloud-forwards", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _look_after(self) -> None:
        failure = HelperFailed(_HELPER_ENDS, why="a fault of this package", hint=_HELPER_MEND)
        try:
            why = self._run_helpers()
            failure = HelperFailed(_HELPER_ENDS, why=why, hint=_HELPER_MEND)
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
                self._subscribers.tell(forward)

    def _run_helpers(self) -> str:
        """Run one helper after the other, until `close` or too many deaths; return how the last ended."""
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
                    forward.begin_again("the helper process ended; another takes over")
                self._lock.notify_all()
            for forward in live:
                self._subscribers.tell(forward)
            if self._closed.wait(_PAUSES[max(short_lived - 1, 0)]):
                return how

    def _run_helper(self) -> str:
        """Run a helper and take in what it reports, until it ends; return how it ended."""
        helper = self._start_helper()
        _log.info("helper %d runs", helper.pid)
        try:
            with self._lock:
                self._helper = helper
                helper.send(SetLog(log_file.level()))
                for set_access in self._credentials.list_known():
                    self._send(set_access)
                for forward in self._forwards.values():
                    if forward.is_live:
                        self._send(StartForward(forward.id, forward.access_id, forward.spec))
                if self._closed.is_set():
                    helper.close_input()
            for event in helper.events():
                self._take(event)
        finally:
            with self._lock:
                self._helper = None
                self._lock.notify_all()
            how = helper.end()
            _log.info("helper %d: %s", helper.pid, how)
        return how

    def _take(self, event: Event) -> None:
        if isinstance(event, Logged):
            _write_down(event)
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
            self._subscribers.tell(forward)

    def set_log(self) -> None:
        """Have the helper tell as much as the log of this process takes."""
        self._send(SetLog(log_file.level()))

    def _send(self, command: Command) -> None:
        with self._lock:
            helper = self._helper
        if helper is not None:
            helper.send(command)


def _write_down(event: Logged) -> None:
    """Write a record of the helper into the log of this process."""
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


def _spec(target: Target, wanted: tuple[PortText, ...], address: str) -> ForwardSpec:
    """Return what the helper shall do; raises `UsageProblem` where it makes no sense."""
    place = (target.namespace, target.kind, target.name)
    if address == UNIX and wanted:
        ports = specify_sockets(wanted)
        return ForwardSpec(*place, ports, UNIX, folders=folders(target, ports))
    return ForwardSpec(*place, specify(target, wanted), check_address(address))
