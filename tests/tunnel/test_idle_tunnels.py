"""The number of idle tunnels: more with demand, within a limit, fewer after a quiet time, and none beyond its age.

The loop's clock is moved on by hand, so that minutes and hours pass at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sspcloud_magics.access import Access
from sspcloud_magics.tunnel import pool as engine
from sspcloud_magics.tunnel.credentials import AccessStore
from sspcloud_magics.tunnel.pod_selection import Candidate
from sspcloud_magics.tunnel.pool import Pool
from sspcloud_magics.tunnel.protocols.websocket_channels import ChannelTunnel
from sspcloud_magics.tunnel.timings import Timings
from sspcloud_magics.tunnel.tunnel import Tunnel
from tests.tunnel.protocols.wire import control, frame
from tests.tunnel.test_pool import Opening, settle

PONG, CHANNELS_PONG = memoryview(control(6, b"\x00\x00\x00\x01")), memoryview(frame(10))


class Clockwork(asyncio.SelectorEventLoop):
    """An event loop whose clock a test can advance."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class Stage:
    """A pool whose server answers pings until the test stops it."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self.credentials = AccessStore(Access(server="https://127.0.0.1:1"), lambda: None)
        self.credentials.confirmed = self.credentials.protocol
        self.troubles: list[Exception] = []
        pod = Candidate("web-0", "uid", (5432,), usable=True)
        self.pool = Pool(self.credentials, "lab", pod, self.troubles.append)
        self.answers = True
        self.held: list[Any] = []

    @property
    def open(self) -> list[Tunnel]:
        return [tunnel for tunnel in self._opening.opened if not tunnel.closed]

    @property
    def waiting(self) -> int:
        return len(self.pool._all) - len(self.held)

    async def take(self, number: int) -> None:
        """Open this many connections at once, and let the pool refill."""
        self.held += await asyncio.gather(*(self.pool.acquire(5432) for _ in range(number)))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Clockwork)
        loop.ahead += Timings.refill_delay
        await settle()

    async def give_all_back(self) -> None:
        while self.held:
            self.pool.release(self.held.pop())
        await settle()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, from one ping to the next."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Clockwork)
        for _ in range(round(seconds / Timings.ping_interval)):
            loop.ahead += Timings.ping_interval
            await settle()
            if self.answers:
                for tunnel in self.open:
                    tunnel.on_data(PONG if tunnel.half_close else CHANNELS_PONG)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Stage], Coroutine[Any, Any, None]]], None]:
    """Run a scenario on its own stage and event loop."""

    def play(story: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            opening = Opening()
            monkeypatch.setattr(engine.Tunnel, "open", opening)
            stage = Stage(opening)
            try:
                await stage.take(1)
                await stage.give_all_back()
                await stage.pass_time(60)
                await story(stage)
            finally:
                stage.pool.close("over")

        with asyncio.Runner(loop_factory=Clockwork) as runner:
            runner.run(whole())

    return play


def test_one_tunnel_waits_after_each_connection(run):
    async def story(stage: Stage) -> None:
        assert stage.waiting == 1
        for number in range(1, 5):
            await stage.take(1)
            assert (len(stage.held), stage.waiting) == (number, 1)

    run(story)


def test_next_tunnel_opens_after_a_connection_began(run):
    async def story(stage: Stage) -> None:
        stage.held.append(await stage.pool.acquire(5432))
        await settle()
        assert stage.waiting == 0
        asyncio.get_running_loop().ahead += Timings.refill_delay  # type: ignore[attr-defined]
        await settle()
        assert stage.waiting == 1

    run(story)


def test_connection_that_finds_none_adds_a_tunnel(run):
    async def story(stage: Stage) -> None:
        await stage.take(6)
        assert stage.waiting == 6, "one found the first; the other five did not"

    run(story)


def test_no_more_than_sixteen_wait_however_many_come(run):
    async def story(stage: Stage) -> None:
        most = engine._MAX_IDLE
        for _ in range(5):
            await stage.take(stage.waiting + 10)
            assert stage.waiting <= most
        assert stage.waiting == most
        await stage.give_all_back()
        await stage.pass_time(60)
        assert stage.waiting <= most, "what was given back and is not needed goes"

    run(story)


def test_quiet_lowers_the_number_again_to_one(run):
    async def story(stage: Stage) -> None:
        await stage.take(9)
        await stage.give_all_back()
        many = stage.waiting
        assert many >= 9
        await stage.pass_time(20)
        assert stage.waiting == many, "too early"
        await stage.pass_time(100)
        assert stage.waiting == 1
        assert not stage.troubles

    run(story)


def test_a_tunnel_that_has_grown_old_is_replaced(run):
    async def story(stage: Stage) -> None:
        (first,) = stage.open
        await stage.pass_time(engine._MAX_AGE - 60 - 2 * Timings.ping_interval)
        assert stage.open == [first]
        await stage.pass_time(4 * Timings.ping_interval)
        (second,) = stage.open
        assert second is not first
        assert not stage.troubles, "that was no loss"

    run(story)


def test_silence_is_noticed_within_thirty_seconds(run):
    async def story(stage: Stage) -> None:
        await stage.pass_time(60)
        stage.answers = False
        await stage.pass_time(30)
        assert str(stage.troubles[0]) == "the server no longer answers"

    run(story)


def test_with_channels_none_is_idle(run):
    async def story(stage: Stage) -> None:
        await stage.take(1)
        stage.pool._protocol = ChannelTunnel
        stage.held += [await stage.pool.acquire(5432) for _ in range(3)]
        before = len(stage.pool._all)
        await stage.pass_time(60)
        assert len(stage.pool._all) == before

    run(story)
