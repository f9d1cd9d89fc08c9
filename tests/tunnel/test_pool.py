"""The pool: a tunnel for each connection, or a shared one in a burst."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import pytest

from sspcloud_magics.access import Access
from sspcloud_magics.tunnel import pool as engine
from sspcloud_magics.tunnel.credentials import AccessStore
from sspcloud_magics.tunnel.http import StatusError
from sspcloud_magics.tunnel.pod_selection import Candidate
from sspcloud_magics.tunnel.pool import Pool
from sspcloud_magics.tunnel.protocols.websocket_channels import ChannelTunnel
from sspcloud_magics.tunnel.timings import Timings
from sspcloud_magics.tunnel.tunnel import Pair, Tunnel


class Line:
    """A double of a tunnel's stream."""

    unsent = 0
    closed = False

    def write(self, *parts: bytes) -> None:
        """Drop the data."""

    def pause(self) -> None:
        """Do nothing: no data arrives."""

    resume = linger = reset = pause


class Opening:
    """Opens tunnels when the test allows it."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.many = asyncio.Event()
        self.opened: list[Tunnel] = []
        self.most = self._now = 0

    async def __call__(self, _client, protocol, _path, _port) -> Tunnel:
        self._now += 1
        self.most = max(self.most, self._now)
        if self.most == engine._MAX_HANDSHAKES:
            self.many.set()
        try:
            await self.go.wait()
        finally:
            self._now -= 1
        self.opened.append(Tunnel(Line(), protocol()))  # type: ignore[arg-type]
        return self.opened[-1]


@pytest.fixture
async def opening(monkeypatch):
    found = Opening()
    monkeypatch.setattr(engine.Tunnel, "open", found)
    return found


@pytest.fixture
async def credentials():
    found = AccessStore(Access(server="https://127.0.0.1:1"), lambda: None)
    found.confirmed = found.protocol
    return found


@pytest.fixture
def timings():
    return Timings()


@pytest.fixture
async def pool(opening, credentials, timings):
    pod = Candidate("web-0", "uid", (5432,), usable=True)
    found = Pool(credentials, "lab", pod, lambda _error: None, timings)
    first = await found.acquire(5432)
    found.release(first)
    yield found
    found.close("over")


async def settle() -> None:
    """Run all tasks until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


async def request_pairs(pool: Pool, opening: Opening, size: int) -> list[Pair]:
    """Start this many requests for a pair before any tunnel opens."""
    opening.go.clear()
    asking = [asyncio.create_task(pool.acquire(5432)) for _ in range(size)]
    await settle()
    opening.go.set()
    return await asyncio.wait_for(asyncio.gather(*asking), 30)


def together(pairs: list[Pair]) -> list[int]:
    """Return the number of pairs on each tunnel, the largest first."""
    return sorted(Counter(pair.tunnel for pair in pairs).values(), reverse=True)


async def test_below_the_burst_threshold_none_shares(pool, opening):
    # One finds the tunnel that waits; the others wait.
    pairs = await request_pairs(pool, opening, 1 + engine._BURST_THRESHOLD)
    assert together(pairs) == [1] * (1 + engine._BURST_THRESHOLD)
    assert opening.most <= engine._MAX_HANDSHAKES


async def test_burst_shares_a_few_tunnels(pool, opening):
    pairs = await request_pairs(pool, opening, 200)
    shares = together(pairs)
    assert sum(shares) == 200
    assert shares[0] == engine._MAX_SHARED
    assert len(shares) <= 1 + 7
    assert len(opening.opened) <= 1 + 7 + engine._MAX_HANDSHAKES


async def acquire_long_ago(pool: Pool) -> Pair:
    pair = await pool.acquire(5432)
    pair.tunnel.used_at -= Timings.burst_duration
    return pair


async def test_owner_of_a_whole_tunnel_keeps_it_alone(pool, opening):
    alone = await acquire_long_ago(pool)
    pairs = await request_pairs(pool, opening, 200)
    assert alone.tunnel not in {pair.tunnel for pair in pairs}


async def test_burst_shares_tunnels_acquired_just_before(pool, opening):
    first = await pool.acquire(5432)
    opening.go.clear()
    asking = [asyncio.create_task(pool.acquire(5432)) for _ in range(40)]
    await settle()
    joined = [task.result() for task in asking if task.done()]
    assert together([first, *joined]) == [engine._MAX_SHARED]
    opening.go.set()
    await asyncio.wait_for(asyncio.gather(*asking), 30)


# A refill that no busy machine is late for.
UNHURRIED = Timings(refill_delay=0.5)
unhurried = pytest.mark.parametrize("timings", [UNHURRIED], ids=["unhurried"])


@unhurried
async def test_tunnel_due_back_soon_is_not_replaced(pool, opening):
    pair = await pool.acquire(5432)
    pair.tunnel.used_at = asyncio.get_running_loop().time()
    pool._refill_now()
    await settle()
    assert len(opening.opened) == 1
    pair.tunnel.used_at -= UNHURRIED.refill_delay
    pool._refill_now()
    await settle()
    assert len(opening.opened) == 2


@unhurried
async def test_first_handshakes_are_not_disturbed(pool, opening):
    opening.go.clear()
    asking = [asyncio.create_task(pool.acquire(5432)) for _ in range(12)]
    await settle()
    assert opening.most == engine._FIRST_HANDSHAKES
    await asyncio.wait_for(opening.many.wait(), 30)
    opening.go.set()
    await asyncio.wait_for(asyncio.gather(*asking), 30)


@unhurried
async def test_after_a_failure_nothing_is_tried_again(pool, monkeypatch):
    tried = []

    async def refuse(*_arguments) -> Tunnel:
        tried.append(1)
        raise StatusError(404, 'pods "web-0" not found', from_api=True)

    monkeypatch.setattr(engine.Tunnel, "open", refuse)
    pool._ahead = 8
    pool.fill()
    await settle()
    assert pool._refill is None, "what waited for its time is not opened"
    assert len(tried) == engine._FIRST_HANDSHAKES


async def test_owner_from_an_old_burst_stays_alone(pool, opening):
    alone = await pool.acquire(5432)
    burst = await request_pairs(pool, opening, 20)
    for pair in burst:
        pool.release(pair)
    alone.tunnel.used_at -= 2 * Timings.burst_duration
    pool._burst_until = 0.0
    assert alone.tunnel not in {pair.tunnel for pair in await request_pairs(pool, opening, 200)}


async def test_channels_are_never_shared(pool, opening, monkeypatch):
    async def fall_back(_client, _port) -> Tunnel:
        return await opening(None, ChannelTunnel, "", 0)

    monkeypatch.setattr(pool, "_open_with", fall_back)
    first = await acquire_long_ago(pool)
    pairs = await request_pairs(pool, opening, 40)
    assert together([first, *pairs]) == [1] * 41


async def test_released_tunnel_serves_a_waiter(pool, opening):
    first = await acquire_long_ago(pool)
    opening.go.clear()
    asking = [asyncio.create_task(pool.acquire(5432)) for _ in range(40)]
    await settle()
    pool.release(first)
    await asyncio.sleep(0)
    done = [task.result() for task in asking if task.done()]
    assert together(done) == [engine._MAX_SHARED]
    pool.release(done[0])
    await asyncio.sleep(0)
    assert sum(task.done() for task in asking) == engine._MAX_SHARED + 1
    opening.go.set()
    await asyncio.wait_for(asyncio.gather(*asking), 30)


@pytest.mark.parametrize("timings", [Timings(burst_duration=0.0)], ids=["no burst"])
async def test_no_connection_joins_after_a_burst(pool, opening):
    pairs = await request_pairs(pool, opening, 100)
    for pair in [one for one in pairs if one.tunnel is pairs[-1].tunnel][1:]:
        pool.release(pair)  # there would be room
    late = await pool.acquire(5432)
    assert late.tunnel not in {pair.tunnel for pair in pairs}


@pytest.mark.parametrize("spoil", ["heavy", "stopped", "closed"])
@pytest.mark.parametrize("timings", [Timings(burst_duration=60.0)], ids=["long burst"])
async def test_no_connection_joins_a_busy_tunnel(pool, opening, spoil):
    pairs = await request_pairs(pool, opening, 30)
    shared = {pair.tunnel for pair in pairs if pair.tunnel.pairs > 1}
    while (late := pool.acquire_nowait()) and late.tunnel not in shared:
        pass  # tunnels that wait come first
    assert late is not None, "there is room"
    for tunnel in shared:
        if spoil == "heavy":
            tunnel.carried += engine._HEAVY
        elif spoil == "stopped":
            tunnel._pause_for(late, 1)
        else:
            tunnel.close()
    assert pool.acquire_nowait() is None


async def test_shared_tunnel_is_idle_after_its_last_pair(pool, opening):
    pairs = await request_pairs(pool, opening, 40)
    tunnels = len(pool._all)
    for pair in pairs:
        pool.release(pair)
    assert len(pool._all) == tunnels
    again = [pool.acquire_nowait() for _ in range(3)]
    assert together([pair for pair in again if pair]) == [1, 1, 1]


async def test_cancelled_waiter_takes_no_place(pool, opening):
    opening.go.clear()
    asking = [asyncio.create_task(pool.acquire(5432)) for _ in range(60)]
    await settle()
    for task in asking[::2]:
        task.cancel()
    opening.go.set()
    await asyncio.wait(asking, timeout=30)
    served = [task.result() for task in asking if not task.cancelled()]
    assert len(served) >= 30
    assert sum(tunnel.pairs for tunnel in opening.opened) == len(served)


async def test_cancelled_waiter_releases_its_pair(pool, opening):
    opening.go.clear()
    asking = [asyncio.create_task(pool.acquire(5432)) for _ in range(30)]
    await settle()
    tunnel = opening.opened[0]
    pool.release(asking[0].result())  # its future is set, and its task has not run yet
    asking[1].cancel()
    with suppress(asyncio.CancelledError):
        await asking[1]
    await asyncio.sleep(0)
    assert tunnel.pairs == sum(task.done() and not task.cancelled() for task in asking) - 1
    opening.go.set()
    await asyncio.wait(asking, timeout=30)


async def test_with_channels_none_shares(pool, opening):
    pool._protocol = ChannelTunnel
    pairs = await request_pairs(pool, opening, 60)
    assert set(together(pairs)) == {1}


async def test_retired_pool_lets_its_sharers_finish(pool, opening):
    pairs = await request_pairs(pool, opening, 40)
    pool.retire()
    tunnel = max((pair.tunnel for pair in pairs), key=lambda found: found.pairs)
    *most, last = [pair for pair in pairs if pair.tunnel is tunnel]
    for pair in most:
        pool.release(pair)
    assert not tunnel.closed
    pool.release(last)
    assert tunnel.closed
