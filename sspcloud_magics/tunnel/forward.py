"""One forward: its local ports, its pod, and its life cycle.

    STARTING ── bound, pod chosen, dialled ──▶ ACTIVE ◀──────────────┐
        │                                       │ the pod is gone,   │ a ready pod,
        ▼                                       │ no tunnel opens    │ dialled
      FAILED ◀── a permission is missing ───────┤                    │
                                                ▼                    │
                                           RECONNECTING ─────────────┘

A missing permission fails the forward after the checks of `credentials`. If the server does not report its readiness,
it does so only after `Timings.forbidden_timeout`.
An expired login fails a forward that starts; one that was active waits for the next login. Open connections continue
in both cases, because the server checks permissions and tokens only when a tunnel opens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from sspcloud_magics.errors import (
    DialFailed,
    Forbidden,
    SspcloudError,
    TokenExpired,
    TunnelLost,
)
from sspcloud_magics.i18n import _, quote_words
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.target import Target
from sspcloud_magics.tunnel.credentials import AccessStore
from sspcloud_magics.tunnel.dial import dial
from sspcloud_magics.tunnel.dispatcher import Dispatcher
from sspcloud_magics.tunnel.http import StatusError
from sspcloud_magics.tunnel.ipc import TRANSITIONS, ForwardSpec, ForwardState, State
from sspcloud_magics.tunnel.listener import Listener, bind
from sspcloud_magics.tunnel.peer_probe import PeerProbe
from sspcloud_magics.tunnel.pod_selection import Candidate, choose
from sspcloud_magics.tunnel.pod_watcher import FORBIDDEN, NOT_FOUND, PodWatcher, explain
from sspcloud_magics.tunnel.pool import Pool
from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.timings import Timings
from sspcloud_magics.tunnel.unix_sockets import SocketFolder

_log = logging.getLogger(__name__)

# Seconds between two attempts to reconnect: at first, doubling, and at most; after a refusal of the pod, and after a 403.
_FIRST_PAUSE, _MAX_PAUSE = 0.1, 10.0
_PAUSE_AFTER_REFUSAL = 0.25
_PAUSE_AFTER_403 = 1.0
# Seconds for a port of the pod to accept connections: while reconnecting, and after a program has just started.
_REFUSAL_TIMEOUT = 10.0
_FRESH_POD_TIMEOUT = 5.0


class ForwardWorker:
    """A forward in the helper.

    Parameters
    ----------
    forward_id
        Its number, given by the kernel.
    spec
        Its target, ports and addresses.
    credentials
        The identity that opens tunnels.
    peers
        Detects clients that have closed.
    report
        Called with each state.
    on_traffic
        Called when the counters change after a pause.
    timings
        The timeouts.
    """

    def __init__(
        self,
        forward_id: int,
        spec: ForwardSpec,
        credentials: AccessStore,
        peers: PeerProbe,
        *,
        report: Callable[[ForwardState], None],
        on_traffic: Callable[[], None],
        timings: Timings = Timings(),  # noqa: B008 - frozen
    ) -> None:
        self._id = forward_id
        self._spec = spec
        self._credentials = credentials
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._target = Target(spec.namespace, spec.kind, spec.name)
        self.dispatcher = Dispatcher(
            forward_id, spec.wait, self, peers=peers, on_traffic=on_traffic, timings=timings
        )
        """The connections of the forward."""
        self._pods = PodWatcher(
            credentials,
            self._target,
            [port.remote for port in spec.ports],
            on_change=self._pods_changed,
            on_break=self.dispatcher.check,
            on_refusal=self.take_failure,
            watch_time=timings.watch_timeout,
        )
        # The bound local ports, or sockets.
        self._listeners: list[Listener] = []
        # The directory of the Unix sockets; None while the forward listens on ports.
        self._folder: SocketFolder | None = None
        # The work that ends with the forward.
        self._tasks: set[asyncio.Task[None]] = set()
        # Set when something changed that makes a new attempt worthwhile.
        self._changed = asyncio.Event()
        # Runs `_reconnect`.
        self._reconnecting: asyncio.Task[None] | None = None
        # Whether the last attempt failed because the login has expired.
        self._waits_for_login = False
        self.state = State.STARTING
        self._timings = timings

    # Life cycle.

    def start(self) -> None:
        """Bind the ports, choose a pod and dial it; the result is reported as a state."""
        self.spawn(self._start())

    async def _start(self) -> None:
        try:
            self._listen()
            self._report_state(State.STARTING, "")
            if self._spec.resume:
                self.state = State.RECONNECTING
                self._report_state(State.RECONNECTING, _("the helper process was restarted"))
                self._begin_reconnecting()
                return
            await self._pods.start()
            pod = choose(self._pods.candidates, None)
            if pod is None:
                raise await self._pods.explain_not_ready()
            await self._dial_first(self._use(pod))
            self._become_active()
        except SspcloudError as error:
            self._fail(error)

    def _listen(self) -> None:
        try:
            if self._spec.folders:
                self._folder = SocketFolder.claim(self._spec.folders)
            for position, port in enumerate(self._spec.ports):
                if self._folder is not None:
                    sockets, number = [self._folder.listen(port.socket)], port.candidates[0]
                else:
                    sockets = bind(self._spec.address, port.candidates)
                    number = sockets[0].getsockname()[1]
                self._listeners.append(Listener(sockets, number, partial(self.dispatcher.accept, position)))
        except OSError as error:
            raise SspcloudError(
                _("The forward cannot listen on {address}.", address=self._spec.address),
                why=system_reason(error),
                hint=_("leave out --unix")
                if self._spec.folders
                else _("leave out --address, or use 127.0.0.1"),
            ) from None

    def stop(self) -> None:
        """End the forward and its connections; its ports are free when it returns."""
        self._shut()
        self._set_state(State.STOPPED, "")

    def discard(self) -> None:
        """End the forward without a report, because another takes its number."""
        self._shut()
        self.state = State.STOPPED

    def resume_after_sleep(self) -> None:
        """Check which connections have survived a sleep of the machine."""
        if self.state in (State.STOPPED, State.FAILED):
            return
        self._pods.restart()
        self.dispatcher.check()
        self._changed.set()

    def _fail(self, error: SspcloudError) -> None:
        if self.state in (State.STOPPED, State.FAILED):
            return
        self._shut(keep_running=True)
        self._set_state(State.FAILED, error.what, error)

    def _shut(self, *, keep_running: bool = False) -> None:
        """Accept no more connections; with `keep_running`, those with a tunnel run to their end, as on the server."""
        for listener in self._listeners:
            listener.close()
        if self._folder is not None:
            self._folder.close()
        self._pods.close()
        self.dispatcher.stop(keep_running=keep_running)
        current = asyncio.current_task()
        for task in list(self._tasks):
            if task is not current:
                task.cancel()
        self.dispatcher.close_pools(keep_running=keep_running)

    def _become_active(self) -> None:
        self._waits_for_login = False
        self.dispatcher.serving.set()
        self._set_state(State.ACTIVE, "")
        if self.dispatcher.pool is not None:
            self.dispatcher.pool.fill()

    def _set_state(self, state: State, reason: str, error: SspcloudError | None = None) -> None:
        if state not in TRANSITIONS[self.state]:
            return
        self.state = state
        _log.info("forward %d: %s %s", self._id, state, type(error).__name__ if error else "")
        self._report_state(state, reason, error)

    def _report_state(self, state: State, reason: str, error: SspcloudError | None = None) -> None:
        pool = None if state in (State.STOPPED, State.FAILED) else self.dispatcher.pool
        self._report(
            ForwardState(
                self._id,
                state,
                reason=reason,
                pod=pool.pod.name if pool else "",
                protocol=pool.protocol_name if pool else "",
                local_ports=tuple(listener.port for listener in self._listeners),
                folder=str(self._folder.path) if self._folder else "",
                error=error.to_wire() if error else None,
            )
        )

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` until the forward ends."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # The pod.

    def _use(self, pod: Candidate) -> Pool:
        _log.info("forward %d: uses the pod %s, ports %s", self._id, pod.name, pod.ports)
        pool = Pool(self._credentials, self._spec.namespace, pod, self._on_pool_trouble, self._timings)
        self.dispatcher.use(pool)
        return pool

    @property
    def _pod(self) -> Candidate | None:
        return self.dispatcher.pool.pod if self.dispatcher.pool is not None else None

    def _pods_changed(self) -> None:
        self._changed.set()
        used = self._pod
        if self.state is not State.ACTIVE or used is None:
            return
        pod = choose(self._pods.candidates, used)
        if pod is None:
            _log.info("forward %d: the pod %s is gone or not ready", self._id, used.name)
            self.lose(_("the pod is gone or not ready"))
        elif not pod.is_same(used):
            _log.info("forward %d: the pod %s takes over", self._id, pod.name)
            self.lose(_("the pod {pod} takes over", pod=pod.name))
        elif pod.ports != used.ports:
            _log.info("forward %d: other ports of the pod: %s", self._id, pod.ports)
            self.lose(_("the service leads to another port of the pod"))

    def is_terminating(self, pod: Candidate) -> bool:
        """Return whether a pod is being deleted, or is gone."""
        if not pod.uid:
            return False  # a pod that may not be read
        for candidate in self._pods.candidates:
            if candidate.is_same(pod):
                return candidate.state == "Terminating"
        return True

    async def is_leaving(self, pod: Candidate) -> bool:
        """Ask the server whether a pod is being deleted, or is gone; if so, reconnect."""
        if self.is_terminating(pod):
            return True
        if not await self._pods.is_leaving(pod):
            return False
        if self._pod is not None and self._pod.is_same(pod):
            _log.info("forward %d: the pod %s is being deleted", self._id, pod.name)
            self.lose(_("the pod is being deleted"))
        self._pods.forget(pod)
        return True

    def _on_pool_trouble(self, error: Exception) -> None:
        if self.state is State.ACTIVE:
            self.take_failure(error)

    def lose(self, reason: str) -> None:
        """Reconnect, because the pod can no longer be reached."""
        if self.state is not State.ACTIVE:
            return
        self.dispatcher.serving.clear()
        self.dispatcher.counters.reconnects += 1
        self.dispatcher.note_traffic()
        self._set_state(State.RECONNECTING, reason)
        self._begin_reconnecting()

    def _note_failure(self, error: SspcloudError) -> None:
        """Record a failure; if the login has expired, reconnect until the next one, while open connections continue."""
        self.dispatcher.counters.last_error = error.what
        if not isinstance(error, TokenExpired):
            return
        if self.state is State.ACTIVE:
            self.lose(str(error))
        elif self.state is State.RECONNECTING and not self._waits_for_login:
            self._report_state(State.RECONNECTING, str(error))
        self._waits_for_login = True

    def _begin_reconnecting(self) -> None:
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = self.spawn(self._reconnect())

    async def _reconnect(self) -> None:
        """Retry until a pod accepts connections, sooner after a change; stop if no attempt can succeed."""
        pause = _FIRST_PAUSE
        first: dict[type[SspcloudError], float] = {}
        while self.state is State.RECONNECTING:
            self._changed.clear()
            try:
                if not self._pods.started:
                    await self._pods.start()
                pod = choose(self._pods.candidates, self._pod)
                if pod is None:
                    await self._changed.wait()
                    continue
                await self._dial_all(self._use(pod))
            except SspcloudError as error:
                pause = min(pause, self._note_attempt(error, first))
            else:
                self._become_active()
            if self.state is State.RECONNECTING:
                await self._pause(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not for a secret
                pause = min(_MAX_PAUSE, 2 * pause)

    def _note_attempt(self, error: SspcloudError, first: dict[type[SspcloudError], float]) -> float:
        """Handle a failed attempt; return the longest pause before the next.

        `first` has, per type of error, the time of the first attempt that failed with it.
        """
        _log.debug("forward %d: an attempt failed: %s", self._id, type(error).__name__)
        now = self._loop.time()
        since = now - first.setdefault(type(error), now)
        if isinstance(error, DialFailed):
            self.dispatcher.counters.last_error = error.what
            # A program that has just started may not listen yet. One that never does must not block the
            # forward's other ports for ever.
            if since >= _REFUSAL_TIMEOUT:
                self._become_active()
            return _PAUSE_AFTER_REFUSAL
        if isinstance(error, Forbidden):
            if self._credentials.tells_readiness or since >= self._timings.forbidden_timeout:
                self._fail(error)
            return _PAUSE_AFTER_403
        first.pop(Forbidden, None)
        self._note_failure(error)
        return _MAX_PAUSE

    async def _pause(self, seconds: float) -> None:
        """Wait for some seconds, or until something changes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _dial_first(self, pool: Pool) -> None:
        """Dial each port of the pod; wait some seconds for programs that have just started.

        Without a readiness probe, a pod is ready once its processes run, and they listen only a moment later.
        """
        began = self._loop.time()
        fresh: bool | None = None
        while True:
            try:
                await self._dial_all(pool)
            except DialFailed:
                if fresh is None:
                    fresh = await self._pods.is_fresh(pool.pod.name)
                if not fresh or self._loop.time() - began >= _FRESH_POD_TIMEOUT:
                    raise
            else:
                return
            await asyncio.sleep(_PAUSE_AFTER_REFUSAL)

    async def _dial_all(self, pool: Pool) -> None:
        """Dial each port of the pod once; raise if one is refused."""
        for port in dict.fromkeys(pool.pod.ports):
            try:
                pair = await self.dispatcher.acquire(pool, port)
            except (StatusError, ProtocolError) as error:
                raise self._explain(error) from None
            await dial(pair, port, pool.pod.name, self._timings.dial_grace, self.dispatcher.release)

    def _explain(self, error: StatusError | ProtocolError) -> SspcloudError:
        pod = self._pod.name if self._pod else ""
        if isinstance(error, ProtocolError):
            return TunnelLost(
                _("No tunnel to the pod {pod} can be opened.", pod=pod),
                why=_("{reason}.", reason=error),
                hint=_("%k8s_doctor TARGET   checks the route"),
            )
        if error.status == FORBIDDEN:
            return Forbidden(
                _(
                    "You may not forward to the pod {pod} in {namespace}.",
                    pod=pod,
                    namespace=self._spec.namespace,
                ),
                why=quote_words(error.message),
                hint=_(
                    "ask the owner of {namespace} for the permissions to get and create pods/portforward",
                    namespace=self._spec.namespace,
                ),
            )
        if error.status == NOT_FOUND:
            return TunnelLost(
                _("The pod {pod} is gone.", pod=pod),
                why=quote_words(error.message),
                hint=_("%k8s_pods   lists the pods"),
            )
        return explain(error, "tunnel", "pods", self._spec.namespace, pod)

    def want_login(self) -> None:
        """Retry with a new login, if there is one: a client waits."""
        if self._waits_for_login:
            self._changed.set()

    def take_failure(self, error: Exception) -> None:
        """Handle a failure to open a tunnel: fail, wait for a login, or look for another pod."""
        explained = self._explain(error) if isinstance(error, StatusError | ProtocolError) else error
        if isinstance(explained, Forbidden) and self._credentials.tells_readiness:
            self._fail(explained)
        elif isinstance(explained, TokenExpired):
            self._note_failure(explained)
        elif self.state is State.ACTIVE:
            # The same cause may have cut the watch silently.
            self._pods.restart()
            _log.info("forward %d: no tunnel: %s", self._id, type(explained).__name__)
            self.lose(str(explained))
