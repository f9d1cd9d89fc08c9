"""Protocol negotiation: which refusals cause a fallback, which are final, and which are remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sspcloud_magics.access import Access
from sspcloud_magics.errors import ServerUnreachable
from sspcloud_magics.secret import Secret
from sspcloud_magics.tunnel import pool as engine
from sspcloud_magics.tunnel.credentials import AccessStore
from sspcloud_magics.tunnel.http import NoAnswer, StatusError
from sspcloud_magics.tunnel.negotiation import get_next_protocol
from sspcloud_magics.tunnel.pod_selection import Candidate
from sspcloud_magics.tunnel.pool import Pool
from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyOverWebSocket, SpdyTunnel
from sspcloud_magics.tunnel.protocols.websocket_channels import ChannelTunnel
from sspcloud_magics.tunnel.tunnel import Tunnel
from tests.tunnel.test_pool import Line

A_RIGHT = StatusError(403, 'pods "web-0" is forbidden: ', from_api=True)
NO_POD = StatusError(404, 'pods "web-0" not found', from_api=True)
A_KUBELETS_WORDS = StatusError(404, "pod does not exist")
A_PROXYS_WORDS = StatusError(404, "404 page not found")
NOT_TODAY = StatusError(503, "etcdserver: leader changed", from_api=True)
NO_SUCH_PROTOCOL = StatusError(400, "Upgrade request required", from_api=True)
SILENT = NoAnswer(ServerUnreachable("The API server cannot be reached."))
STRANGE = ProtocolError("the server switched to another protocol")


@pytest.mark.parametrize(
    ("refusal", "of_a_stranger", "of_a_speaker"),
    [
        (NO_SUCH_PROTOCOL, True, True),
        (StatusError(403, "<html>Blocked</html>"), True, True),
        (StatusError(403, ""), True, True),
        (A_RIGHT, True, True),  # it may be there for the other
        (A_PROXYS_WORDS, True, True),
        (NO_POD, False, False),
        (A_KUBELETS_WORDS, False, False),
        (StatusError(401, "Unauthorized", from_api=True), False, False),
        (StatusError(502, "Bad Gateway"), True, False),
        (NOT_TODAY, True, False),
        (STRANGE, True, True),
        (SILENT, True, False),
    ],
)
def test_after_spdy(refusal, of_a_stranger, of_a_speaker):
    leads_on = [
        get_next_protocol(SpdyTunnel, refusal, confirmed=yes) is SpdyOverWebSocket for yes in (False, True)
    ]
    assert leads_on == [of_a_stranger, of_a_speaker]


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize(
    ("refusal", "leads_on"),
    [
        (NO_SUCH_PROTOCOL, True),
        (StatusError(403, ""), True),
        (StatusError(403, "<html>Blocked</html>"), True),
        (A_RIGHT, False),
        (A_PROXYS_WORDS, True),
        (NO_POD, False),
        (A_KUBELETS_WORDS, False),
        (StatusError(405, ""), True),
        (NOT_TODAY, False),
        (StatusError(401, "Unauthorized", from_api=True), False),
        (STRANGE, True),
        (SILENT, False),
    ],
)
def test_after_spdy_over_websocket(refusal, leads_on, confirmed):
    found = get_next_protocol(SpdyOverWebSocket, refusal, confirmed=confirmed)
    assert found is (ChannelTunnel if leads_on else None)


@pytest.mark.parametrize("refusal", [NO_SUCH_PROTOCOL, A_RIGHT, STRANGE, SILENT])
def test_nothing_follows_the_channels(refusal):
    assert get_next_protocol(ChannelTunnel, refusal, confirmed=False) is None


class Server:
    """Opens or refuses tunnels as `says` has it for each protocol; `asked` records the requests."""

    def __init__(self) -> None:
        self.says: dict[type, Exception | Callable[[], Exception | None] | None] = {}
        self.asked: list[type] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.credentials = AccessStore(Access(server="https://127.0.0.1:1"), lambda: None)
        self.credentials._became_ready = self._was_ready  # type: ignore[method-assign]
        self.pools: list[Pool] = []

    @staticmethod
    async def _was_ready(_asked_at: float) -> bool:
        return False

    async def open(self, _client, protocol, _path, _port, _within=0) -> Tunnel:
        self.asked.append(protocol)
        says = self.says.get(protocol)
        await (self.goes_on.wait() if protocol is SpdyOverWebSocket else asyncio.sleep(0))
        if (refusal := says() if callable(says) else says) is not None:
            raise refusal
        tunnel = Tunnel(Line(), protocol())  # type: ignore[arg-type]
        tunnel.prove = self._prove  # type: ignore[method-assign]
        return tunnel

    async def _prove(self, _within: float) -> None:
        """Do nothing: the server speaks the negotiated protocol."""

    def pool(self) -> Pool:
        pod = Candidate("web-0", "uid", (5432,), usable=True)
        self.pools.append(Pool(self.credentials, "lab", pod, lambda _error: None))
        return self.pools[-1]

    async def speaks_to(self, pool: Pool) -> type:
        """Return the protocol of a new connection of the pool."""
        pair = await pool.acquire(5432)
        return type(pair.tunnel._protocol)


async def settle() -> None:
    """Run all tasks until they wait."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def server(monkeypatch):
    found = Server()
    monkeypatch.setattr(engine.Tunnel, "open", found.open)
    yield found
    for pool in found.pools:
        pool.close("over")


async def test_unknown_protocol_is_tried_once(server):
    server.says[SpdyTunnel] = server.says[SpdyOverWebSocket] = NO_SUCH_PROTOCOL
    for _ in range(3):
        assert await server.speaks_to(server.pool()) is ChannelTunnel
    assert server.asked == [SpdyTunnel, SpdyOverWebSocket, *[ChannelTunnel] * 3]


@pytest.mark.parametrize("refusal", [A_RIGHT, NOT_TODAY])
async def test_trouble_of_a_pod_affects_only_its_pool(server, refusal):
    server.says[SpdyTunnel] = refusal
    first = server.pool()
    assert await server.speaks_to(first) is SpdyOverWebSocket
    server.says.clear()
    assert await server.speaks_to(first) is SpdyOverWebSocket
    assert await server.speaks_to(server.pool()) is SpdyTunnel


async def test_spoken_protocol_asked_again_after_a_403(server):
    """The server has spoken SPDY, restarts, refuses it for a moment, and lets the next protocol through."""
    assert await server.speaks_to(server.pool()) is SpdyTunnel
    server.says = {SpdyTunnel: A_RIGHT, SpdyOverWebSocket: NO_SUCH_PROTOCOL}
    pool = server.pool()
    assert await server.speaks_to(pool) is ChannelTunnel
    server.says.clear()
    assert await server.speaks_to(pool) is SpdyTunnel


async def test_slowest_of_several_does_not_undo_the_others(server):
    answers = iter([NO_SUCH_PROTOCOL])
    server.says[SpdyTunnel] = lambda: next(answers, None)
    server.goes_on.clear()
    pool = server.pool()
    asking = [asyncio.ensure_future(server.speaks_to(pool)) for _ in range(4)]
    await settle()
    server.goes_on.set()
    assert {SpdyTunnel} <= set(await asyncio.gather(*asking)) <= {SpdyTunnel, SpdyOverWebSocket}
    assert server.asked.count(SpdyOverWebSocket) == 1
    await settle()
    assert pool.protocol_name == "spdy"
    assert await server.speaks_to(server.pool()) is SpdyTunnel


async def test_confirmed_protocol_is_kept_after_a_failure(server):
    assert await server.speaks_to(server.pool()) is SpdyTunnel
    server.says[SpdyTunnel] = NOT_TODAY
    with pytest.raises(StatusError, match="leader changed"):
        await server.speaks_to(server.pool())
    server.says[SpdyTunnel] = SILENT
    with pytest.raises(ServerUnreachable):
        await server.speaks_to(server.pool())
    assert SpdyOverWebSocket not in server.asked


async def test_lost_protocol_is_not_tried_again(server):
    assert await server.speaks_to(server.pool()) is SpdyTunnel
    server.says[SpdyTunnel] = NO_SUCH_PROTOCOL
    for _ in range(2):
        assert await server.speaks_to(server.pool()) is SpdyOverWebSocket
    assert server.asked.count(SpdyTunnel) >= 2
    before = server.asked.count(SpdyTunnel)
    await server.speaks_to(server.pool())
    assert server.asked.count(SpdyTunnel) == before


async def test_another_server_or_proxy_is_asked_again(server):
    server.says[SpdyTunnel] = NO_SUCH_PROTOCOL
    assert await server.speaks_to(server.pool()) is SpdyOverWebSocket
    server.says.clear()
    server.credentials.set(Access(server="https://127.0.0.1:1", insecure_skip_tls_verify=True))
    assert await server.speaks_to(server.pool()) is SpdyOverWebSocket
    server.credentials.set(Access(server="https://127.0.0.1:1", proxy=Secret("http://127.0.0.1:2")))
    assert await server.speaks_to(server.pool()) is SpdyTunnel


async def test_missing_permission_is_reported_first(server):
    server.says = {SpdyTunnel: A_RIGHT, SpdyOverWebSocket: StatusError(502, "Bad Gateway")}
    with pytest.raises(StatusError) as caught:
        await server.speaks_to(server.pool())
    assert caught.value is A_RIGHT


async def test_missing_permission_does_not_rule_out_protocol(server):
    server.says[SpdyTunnel] = A_RIGHT
    pool = server.pool()
    assert await server.speaks_to(pool) is SpdyOverWebSocket
    server.says[SpdyOverWebSocket] = NO_SUCH_PROTOCOL
    assert await server.speaks_to(pool) is ChannelTunnel
    server.says.clear()
    assert await server.speaks_to(server.pool()) is SpdyTunnel


async def test_a_pool_learns_what_another_has_found_out(server):
    server.says[SpdyTunnel] = NO_SUCH_PROTOCOL
    first, second = server.pool(), server.pool()
    for pool in (first, second, second):
        assert await server.speaks_to(pool) is SpdyOverWebSocket
    assert server.asked.count(SpdyTunnel) == 2, "each had begun with it"


async def test_no_channel_is_opened_ahead(server):
    server.says[SpdyTunnel] = NO_SUCH_PROTOCOL
    pool = server.pool()
    assert await server.speaks_to(pool) is SpdyOverWebSocket
    server.says[SpdyOverWebSocket] = NO_SUCH_PROTOCOL
    pool.fill()
    await settle()
    assert ChannelTunnel not in server.asked
    assert await server.speaks_to(pool) is ChannelTunnel
