"""Two hundred streams on one tunnel, whose headers share one zlib stream."""

from __future__ import annotations

import asyncio

import pytest

from sspcloud_magics.tunnel.http import Client
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyTunnel
from sspcloud_magics.tunnel.protocols.websocket_channels import ChannelTunnel
from sspcloud_magics.tunnel.tunnel import Tunnel
from tests.tunnel.apiserver import NAMESPACE, ApiServer
from tests.tunnel.conftest import echo

PATIENCE = 60.0
PATH = f"/api/v1/namespaces/{NAMESPACE}/pods/web-0/portforward"


class Word:
    """Keeps a pair until the echo of its word has arrived."""

    untaken = 0

    def __init__(self, tunnel: Tunnel, port: int, word: bytes) -> None:
        self._word = word
        self._heard = b""
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._pair = tunnel.acquire()
        self._pair.open(port, self, memoryview(word))

    def pair_accepted(self) -> None:
        """Do nothing: the word was sent with the request."""

    def pair_received(self, parts: list[memoryview]) -> None:
        self._heard += b"".join(parts)
        if len(self._heard) >= len(self._word):
            self.answer.set_result(self._heard)

    def pair_drained(self) -> None:
        """Do nothing: everything was sent."""

    def pair_ended(self) -> None:
        self.answer.set_exception(ConnectionError("the pair ended early"))

    def pair_failed(self, text: str) -> None:
        self.answer.set_exception(ConnectionError(text))

    pair_lost = pair_failed

    async def come_back(self) -> bool:
        heard = await asyncio.wait_for(self.answer, PATIENCE)
        self._pair.abandon()
        self._pair.tunnel.release(self._pair)
        return heard == self._word


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "in turn"])
async def test_two_hundred_streams_on_one_tunnel(api: ApiServer, programs, at_once: bool) -> None:
    api.put_pod("web-0", {8000: programs(echo), 9000: programs(echo)})
    tunnel = await Tunnel.open(Client(api.access()), SpdyTunnel, PATH, 8000)
    words = [f"word {number} ".encode() * number for number in range(1, 201)]
    ports = [8000 if number % 3 else 9000 for number in range(200)]  # so that the headers differ
    if at_once:
        asked = [Word(tunnel, port, word) for port, word in zip(ports, words, strict=True)]
        assert tunnel.pairs == 200
        assert all([await each.come_back() for each in asked])
    else:
        for port, word in zip(ports, words, strict=True):
            assert await Word(tunnel, port, word).come_back()
            assert tunnel.usable
    assert tunnel.pairs == 0
    assert api.upgrades == 1
    tunnel.break_off("the test is over")


async def test_with_channels_each_has_its_own_tunnel(api: ApiServer, programs) -> None:
    api.put_pod("web-0", {8000: programs(echo)})
    client = Client(api.access())
    for number in range(20):
        tunnel = await Tunnel.open(client, ChannelTunnel, PATH, 8000)
        assert await Word(tunnel, 8000, b"word %d" % number).come_back()
        assert not tunnel.usable
        tunnel.break_off("the test is over")
    assert api.upgrades == 20
