"""A trial connection to a port of the pod, which shows whether anything listens there.

No protocol reports that the pod was dialled successfully, only that dialling failed. So a stream pair counts as a
success if the server accepts it and then sends data, or no error within a grace period. The grace period begins when
the server has accepted the pair, and covers the return of an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sspcloud_magics.errors import DialFailed, TunnelLost
from sspcloud_magics.i18n import _, quote_words
from sspcloud_magics.tunnel.pod_errors import quote_cause
from sspcloud_magics.tunnel.tunnel import Pair

# Seconds until the server must have accepted the pair.
_ACCEPT_TIMEOUT = 10.0
# Bytes of a server's greeting, such as a banner or a list of algorithms; more is a stream of data.
_MAX_GREETING = 4096


class _Trial:
    """The handler of the trial's pair."""

    untaken = 0

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.accepted: asyncio.Future[None] = loop.create_future()
        # The server's error text; None after data or a clean end.
        self.answer: asyncio.Future[str | None] = loop.create_future()
        # Whether the tunnel broke, rather than the pair.
        self.lost = False
        self.over = False
        # Bytes from the pod.
        self.received = 0

    def pair_accepted(self) -> None:
        if not self.accepted.done():
            self.accepted.set_result(None)

    def pair_received(self, parts: list[memoryview]) -> None:
        self.received += sum(map(len, parts))
        self._conclude(None)

    def pair_drained(self) -> None:
        """Nothing is sent."""

    def pair_ended(self) -> None:
        self.over = True
        self._conclude(None)

    def pair_failed(self, text: str) -> None:
        self.over = True
        self._conclude(text)

    def pair_lost(self, text: str) -> None:
        self.lost = not self.over
        self.over = True
        self._conclude(text)

    def _conclude(self, text: str | None) -> None:
        self.pair_accepted()
        if not self.answer.done():
            self.answer.set_result(text)


async def dial(pair: Pair, port: int, pod: str, grace: float, release: Callable[[Pair], None]) -> None:
    """Connect `pair` to `port` of the pod, wait `grace` seconds for a refusal, and release the pair.

    Raises
    ------
    DialFailed
        If the server reports that it could not connect.
    TunnelLost
        If the tunnel broke during the trial.
    """
    trial = _Trial()
    loop = asyncio.get_running_loop()
    asked_at = loop.time()
    pair.open(port, trial)
    text: str | None = None
    try:
        async with asyncio.timeout(_ACCEPT_TIMEOUT):
            await trial.accepted
        try:
            async with asyncio.timeout(grace + 2 * (loop.time() - asked_at)):
                text = await trial.answer
        except TimeoutError:
            text = None
    except TimeoutError:
        pair.tunnel.break_off(_("the server does not answer"))
    finally:
        if not trial.over:
            if trial.received > _MAX_GREETING and pair.tunnel.pairs == 1:
                # No protocol can stop the data: it would delay the forward's other connections for a second.
                trial.over = True
                pair.tunnel.break_off(_("the port sends at full speed"))
            else:
                pair.abandon()
        release(pair)
    if trial.lost:
        raise TunnelLost(
            _("The tunnel to the pod {pod} broke.", pod=pod),
            why=quote_words(text or ""),
            hint=_("%k8s_doctor TARGET   checks the route"),
        )
    if text is not None:
        raise DialFailed(
            _("Nothing accepts connections on port {port} of the pod {pod}.", port=port, pod=pod),
            why=quote_cause(text),
            hint=_("check the port number, and the pod's logs: its server may not have started"),
        )
