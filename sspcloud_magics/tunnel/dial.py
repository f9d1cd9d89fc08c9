"""One trial connection to a port of the pod, which tells whether anything listens there.

No protocol says that the pod was dialled with success, only that it was not. So a pair that is accepted
and then brings data, or no error within a grace, counts as a success. The grace begins when the server has
accepted the pair, and covers the way of an error back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sspcloud_magics.errors import DialFailed, TunnelLost
from sspcloud_magics.tunnel.pod_errors import in_brief
from sspcloud_magics.tunnel.tunnel import Pair

_ACCEPT_TIMEOUT = 10.0
# What a server says first where that is not a stream of data, in bytes: a banner, a list of algorithms.
_LONGEST_GREETING = 4096


class _Trial:
    """Holds the pair of a trial."""

    untaken = 0

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.accepted: asyncio.Future[None] = loop.create_future()
        self.answer: asyncio.Future[str | None] = loop.create_future()
        self.lost = False
        self.over = False
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
    """Connect `pair` to `port` of the pod for a moment, wait `grace` seconds for a refusal, and give it back.

    Raises
    ------
    DialFailed
        If the server reports that it could not connect.
    TunnelLost
        If the tunnel broke meanwhile.
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
        pair.tunnel.break_off("the server does not answer")
    finally:
        if not trial.over:
            if trial.received > _LONGEST_GREETING and pair.tunnel.pairs == 1:
                # No protocol can stop it: it would go on for a second, in the way of the forward's other connections.
                trial.over = True
                pair.tunnel.break_off("the port sends at full speed")
            else:
                pair.abandon()
        release(pair)
    if trial.lost:
        raise TunnelLost(f"The tunnel to the pod {pod} broke.", why=text or "")
    if text is not None:
        raise DialFailed(
            f"Nothing accepts connections on port {port} of the pod {pod}.",
            why=in_brief(text),
            hint="check the port's number, and whether the server in the pod has started (its logs say)",
        )
