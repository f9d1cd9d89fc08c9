"""The pauses between a forward's attempts to reconnect."""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing

from sspcloud_magics.tunnel.credentials import AccessStore
from sspcloud_magics.tunnel.forward import ForwardWorker
from sspcloud_magics.tunnel.ipc import ForwardSpec, ForwardState, PortSpec, State
from sspcloud_magics.tunnel.peer_probe import PeerProbe
from tests.faults import FaultProxy, Faults
from tests.tunnel.apiserver import ApiServer
from tests.tunnel.conftest import echo

PATIENCE = 60.0
LONGEST = 10.0


class Hasty(ForwardWorker):
    """A forward that records its pauses instead of waiting."""

    pauses: asyncio.Queue[float]

    async def _pause(self, seconds: float) -> None:
        await self.pauses.put(seconds)


async def take_pauses(forward: Hasty, count: int) -> list[float]:
    async with asyncio.timeout(PATIENCE):
        return [await forward.pauses.get() for _ in range(count)]


async def test_pauses_double_to_ten_seconds_until_a_success(api: ApiServer, programs) -> None:
    api.put_pod("web-0", {8000: programs(echo)})
    states: asyncio.Queue[State] = asyncio.Queue()

    def report(state: ForwardState) -> None:
        states.put_nowait(state.state)

    async def wait_for_state(wanted: State) -> None:
        async with asyncio.timeout(PATIENCE):
            while await states.get() is not wanted:
                pass

    with FaultProxy("127.0.0.1", api.port) as network, closing(PeerProbe()) as peers:
        credentials = AccessStore(api.access(port=network.port), lambda: None)
        spec = ForwardSpec("lab", "pod", "web-0", (PortSpec(8000, (0,)),))
        forward = Hasty(1, spec, credentials, peers, report=report, on_traffic=lambda: None)
        forward.pauses = asyncio.Queue(maxsize=1)  # so that it does not run ahead of the test
        forward.start()
        try:
            await wait_for_state(State.ACTIVE)
            for _ in range(2):
                network.faults = Faults(refuse=True)
                await asyncio.to_thread(network.reset_all)
                await wait_for_state(State.RECONNECTING)
                pauses = await take_pauses(forward, 20)
                bounds = [min(LONGEST, 0.1 * 2**attempt) for attempt in range(20)]
                shares = [pause / bound for pause, bound in zip(pauses, bounds, strict=True)]
                assert all(0.5 <= share <= 1.0 for share in shares), pauses
                assert max(shares) - min(shares) > 0.05, (
                    "without jitter, all clients of a server come at once"
                )
                assert bounds[-1] == LONGEST

                network.faults = Faults()
                going_on = asyncio.create_task(take_pauses(forward, sys.maxsize))
                await wait_for_state(State.ACTIVE)
                going_on.cancel()
        finally:
            forward.stop()
