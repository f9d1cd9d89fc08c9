"""Port-forwarding as a client meets it: over real WebSockets, to real servers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from sspcloud_magics.sandbox.node import connection, relay
from sspcloud_magics.sandbox.node.relay import GRACE, Sandbox
from sspcloud_magics.sandbox.node.spdy_session import SpdySession
from tests.sandbox.node.conftest import Cluster, delete
from tests.sandbox.node.spdy_client import Frame, SpdyClient

TUNNEL = "SPDY/3.1+portforward.k8s.io"


class Tunnel:
    """A tunnel by protocol A, with the frames that came through it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.send = socket.send_bytes
        self.client = SpdyClient()
        self.frames: list[Frame] = []

    async def wait_until(self, condition: Callable[[list[Frame]], bool]) -> list[Frame]:
        while not condition(self.frames):
            self.frames += self.client.frames(await self.socket.receive_bytes())
        return self.frames

    async def data(self, stream: int, size: int) -> bytes:
        """Return what came on a stream when it is at least so many bytes."""
        await self.wait_until(lambda frames: len(join_data(frames, stream)) >= size)
        return join_data(self.frames, stream)

    async def wait_for_end(self, stream: int) -> bytes:
        await self.wait_until(
            lambda frames: any(f[1] == stream and (f[3] or f[0] == "reset") for f in frames)
        )
        return join_data(self.frames, stream)


def join_data(frames: list[Frame], stream: int) -> bytes:
    return b"".join(frame[2] for frame in frames if frame[0] == "data" and frame[1] == stream)


@asynccontextmanager
async def tunnel(cluster: Cluster, pod: str) -> AsyncIterator[Tunnel]:
    url = f"{cluster.url.replace('http', 'ws')}/{pod}/portforward"
    # The websockets library refuses this name of a protocol for its slash.
    async with aiohttp.ClientSession() as http, http.ws_connect(url, protocols=[TUNNEL]) as ws:
        assert ws.protocol == TUNNEL
        yield Tunnel(ws)


@pytest.fixture
async def echo(cluster: Cluster) -> Cluster:
    cluster.create("echo", args=["echo", "9000"])
    await cluster.ready("echo")
    return cluster


async def test_each_stream_is_accepted_and_carries_both_ways(echo):
    async with tunnel(echo, "echo") as a:
        await a.send(a.client.pair("1", 9000, 1) + a.client.data(3, b"hello"))
        assert await a.data(3, 5) == b"hello"
        assert [frame[:2] for frame in a.frames if frame[0] == "reply"] == [("reply", 1), ("reply", 3)]


async def test_two_hundred_connections_share_one_tunnel(echo):
    async with tunnel(echo, "echo") as a:
        for n in range(200):
            await a.send(a.client.pair(str(n), 9000, 4 * n + 1) + a.client.data(4 * n + 3, b"%d" % n))
        for n in range(200):
            assert await a.data(4 * n + 3, len(str(n))) == b"%d" % n


async def test_bulk_data_comes_in_the_servers_frame_sizes(echo):
    async with tunnel(echo, "echo") as a:
        said = bytes(range(256)) * 400
        await a.send(a.client.pair("1", 9000, 1) + a.client.data(3, said))
        sizes = []
        while len(join_data(a.frames, 3)) < len(said):
            message = await a.socket.receive_bytes()
            sizes.append(len(message))
            a.frames += a.client.frames(message)
        assert join_data(a.frames, 3) == said
        assert max(len(frame[2]) for frame in a.frames) == 32 * 1024
        assert max(sizes) == 16 * 1024


async def test_ping_is_echoed(echo):
    async with tunnel(echo, "echo") as a:
        await a.send(a.client.ping(5))
        assert await a.wait_until(bool) == [("ping", 5, b"", False)]


async def test_refused_dial_is_an_error_then_a_reset(echo):
    async with tunnel(echo, "echo") as a:
        await a.send(a.client.pair("1", 9999, 1))
        frames = await a.wait_until(lambda frames: sum(f[0] == "reset" for f in frames) == 2)
        text = join_data(frames, 1).decode()
        assert text.startswith("error forwarding port 9999 to pod ")
        assert "IPv4: dial tcp4 127.0.0.1:9999: connect: connection refused" in text
        assert [frame[:2] for frame in frames[-2:]] == [("reset", 3), ("reset", 1)]
        # The error was of one connection only: the tunnel goes on.
        await a.send(a.client.pair("2", 9000, 5) + a.client.data(7, b"x"))
        assert await a.data(7, 1) == b"x"


async def test_stream_of_another_kind_is_reset(echo):
    async with tunnel(echo, "echo") as a:
        await a.send(a.client.open(1, {"streamtype": "other", "port": "9000", "requestid": "1"}))
        assert await a.wait_until(bool) == [("reset", 1, struct.pack(">I", 5), False)]


async def test_streams_without_request_id_pair_by_number(echo):
    async with tunnel(echo, "echo") as a:
        await a.send(a.client.open(1, {"streamtype": "error", "port": "9000"}))
        await a.send(a.client.open(3, {"streamtype": "data", "port": "9000"}) + a.client.data(3, b"x"))
        assert await a.data(3, 1) == b"x"


async def test_second_stream_of_a_kind_is_its_pairs_error(echo):
    async with tunnel(echo, "echo") as a:
        headers = {"streamtype": "error", "port": "9000", "requestid": "1"}
        await a.send(a.client.open(1, headers) + a.client.open(3, headers))
        assert b"error processing stream for request 1: error stream already assigned" in await a.data(1, 50)
        headers["requestid"] = "é"  # however long it is in bytes, what follows is understood
        await a.send(a.client.open(5, headers) + a.client.open(7, headers) + a.client.ping(9))
        await a.wait_until(
            lambda frames: ("ping", 9, b"", False) in frames and len(join_data(frames, 5)) > 50
        )
        assert join_data(a.frames, 5).endswith(b"error stream already assigned")


async def test_a_text_message_ends_the_tunnel(echo):
    async with tunnel(echo, "echo") as a:
        await a.socket.send_str("no")
        while not a.socket.closed:
            await a.socket.receive()


async def test_tunnel_outlives_its_pod_and_says_it_is_gone(echo):
    async with tunnel(echo, "echo") as a:
        await a.send(a.client.pair("1", 9000, 1) + a.client.data(3, b"x"))
        await a.data(3, 1)
        delete(echo, "echo")
        await echo.wait_until(lambda: echo.pod("echo") is None)
        await a.wait_for_end(3)
        await a.send(a.client.pair("2", 9000, 5))
        await a.wait_for_end(7)
        assert join_data(a.frames, 5).startswith(b"error forwarding port 9000 to pod ")
        assert join_data(a.frames, 5).endswith(b" in store: not found")


@pytest.mark.parametrize("protocols", [["v4.channel.k8s.io"], []])
async def test_channels_begin_with_the_port_and_carry_bytes(echo, protocols):
    url = f"{echo.url.replace('http', 'ws')}/echo/portforward?ports=9000"
    async with connect(url, subprotocols=protocols or None, compression=None, proxy=None) as ws:
        assert [await ws.recv(), await ws.recv()] == [b"\x00\x28\x23", b"\x01\x28\x23"]
        await ws.send(b"\x00hello")
        assert await ws.recv() == b"\x00hello"


async def test_channels_of_a_refused_port_tell_it_and_close(echo):
    url = f"{echo.url.replace('http', 'ws')}/echo/portforward?ports=9999"
    async with connect(
        url, subprotocols=[Subprotocol("v4.channel.k8s.io")], compression=None, proxy=None
    ) as ws:
        messages = [message async for message in ws]
        assert messages[2].startswith(b"\x01error forwarding port 9999 to pod ")
        assert ws.close_code == 1000


async def test_two_ports_have_two_pairs_of_channels(echo):
    echo.create("api", "mon-api")
    await echo.ready("api")
    url = f"{echo.url.replace('http', 'ws')}/api/portforward?ports=8001&ports=8000"
    async with connect(
        url, subprotocols=[Subprotocol("v4.channel.k8s.io")], compression=None, proxy=None
    ) as ws:
        await ws.send(b"\x02GET /health HTTP/1.0\r\n\r\n")
        messages = [await ws.recv() for _ in range(4)]
        assert [message[:1] for message in messages] == [b"\0", b"\1", b"\2", b"\3"]
        rest = [await ws.recv(), await ws.recv()]
        assert any(message.startswith(b"\x01error forwarding port 8001") for message in rest)
        assert any(message.startswith(b"\x02HTTP/1.1 200 OK") for message in rest)


@pytest.mark.parametrize(
    ("query", "protocols", "status", "words"),
    [
        ("", ["v4.channel.k8s.io"], 400, 'query parameter \\"port\\" is required'),
        ("?ports=x", ["v4.channel.k8s.io"], 400, 'unable to parse \\"x\\" as a port'),
        ("?ports=0", ["v4.channel.k8s.io"], 400, 'port \\"0\\" must be > 0'),
        ("?ports=1", ["v9.channel.k8s.io"], 403, ""),
    ],
)
async def test_a_websocket_that_makes_no_sense_is_refused(echo, query, protocols, status, words):
    with pytest.raises(InvalidStatus) as caught:
        await connect(
            f"{echo.url.replace('http', 'ws')}/echo/portforward{query}", subprotocols=protocols, proxy=None
        )
    assert caught.value.response.status_code == status
    assert words in (caught.value.response.body or b"").decode()
    if status == 403:
        assert not caught.value.response.body


async def test_request_without_upgrade_or_post_is_refused(echo):
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{echo.url}/echo/portforward") as answer:
            assert answer.status == 400
            assert (await answer.json())["message"] == "Upgrade request required"
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        async with http.post(f"{echo.url}/echo/portforward", headers=upgrade) as answer:
            assert answer.status == 405


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 406),
        ("application/json;q=1, text/plain", 406),
        ("application/json, */*;q=0.1", 101),
    ],
)
@pytest.mark.parametrize("upgrade", ["SPDY/3.1", "websocket"])
async def test_client_that_takes_only_some_types_is_refused(echo, upgrade, accept, status):
    headers = {"Connection": "Upgrade", "Upgrade": upgrade, "Accept": accept}
    if upgrade == "websocket":
        method, more = "GET", {"Sec-WebSocket-Key": "c3NwY2xvdWQtbWFnaWNzIQ==", "Sec-WebSocket-Version": "13"}
        more["Sec-WebSocket-Protocol"] = TUNNEL
    else:
        method, more = "POST", {"X-Stream-Protocol-Version": "portforward.k8s.io"}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{echo.url}/echo/portforward", headers=headers | more) as answer,
    ):
        assert answer.status == status
        answer.close()


async def test_a_refusal_tells_no_token(echo):
    headers = {"Connection": "Upgrade", "Upgrade": "carrier-pigeon", "Authorization": "Bearer let-me-in"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{echo.url}/echo/portforward", headers=headers) as answer,
    ):
        words = await answer.text()
    assert "carrier-pigeon" in words
    assert "let-me-in" not in words


async def test_streams_without_a_websocket(echo):
    host, port = echo.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = "POST /echo/portforward HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: SPDY/3.1"
    writer.write("\r\n".join([*lines, "X-Stream-Protocol-Version: portforward.k8s.io", "", ""]).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"X-Stream-Protocol-Version: portforward.k8s.io" in head
    client = SpdyClient()
    writer.write(client.pair("1", 9000, 1) + client.data(3, b"hello"))
    frames: list[Frame] = []
    while join_data(frames, 3) != b"hello":
        frames += client.frames(await reader.read(65536))
    writer.close()
    await writer.wait_closed()


async def test_streams_of_another_version_are_refused(echo):
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v9"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{echo.url}/echo/portforward", headers=headers) as answer,
    ):
        assert answer.status == 403
        assert "client supports [v9], server supports [portforward.k8s.io]" in await answer.text()


# What containerd does at the far end, with servers of the test's own.


class Pipe:
    """The client's end of a tunnel in memory."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self.outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self.client = SpdyClient()

    async def receive(self) -> bytes:
        return await self.inbox.get()

    async def send(self, data: bytes) -> None:
        await self.outbox.put(data)

    async def wait_until(self, condition: Callable[[list[Frame]], bool]) -> list[Frame]:
        frames: list[Frame] = []
        while not condition(frames):
            frames += self.client.frames(await self.outbox.get())
        return frames


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def session(handler: Handler, grace: float = GRACE, **how: float) -> AsyncIterator[Pipe]:
    """A tunnel to a pod whose every port is served by `handler`."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pipe = Pipe()
    pod = Sandbox("f" * 64, "/var/run/netns/x", lambda _: connection.connect(port), grace)
    task = asyncio.create_task(SpdySession(pipe, pod, **how).run())
    try:
        yield pipe
    finally:
        pipe.inbox.put_nowait(b"")
        await task
        server.close()
        await server.wait_closed()


def both_ended(frames: list[Frame]) -> bool:
    return sum(frame[3] for frame in frames if frame[0] == "data") == 2


async def test_half_close_cuts_the_reply():
    met_eof = asyncio.Event()
    over = asyncio.Event()

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(3) == b"abc"
        reading = asyncio.create_task(reader.read())
        await asyncio.wait({reading}, timeout=0.02)
        if reading.done():
            met_eof.set()
        with contextlib.suppress(ConnectionError):
            await reading
        writer.close()
        over.set()

    async with session(never_answers, grace=0.05) as pipe:
        pipe.inbox.put_nowait(pipe.client.pair("1", 1, 1) + pipe.client.data(3, b"abc", fin=True))
        frames = await pipe.wait_until(both_ended)
        assert join_data(frames, 3) == b""
        await over.wait()
    assert not met_eof.is_set()


async def test_bytes_before_the_pods_close_arrive_whole():
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int(await reader.readline())
        writer.write(bytes(size))
        await writer.drain()
        writer.close()

    async with session(answers) as pipe:
        pipe.inbox.put_nowait(pipe.client.pair("1", 1, 1) + pipe.client.data(3, b"5000000\n"))
        pipe.inbox.put_nowait(pipe.client.data(3, b"", fin=True))
        assert len(join_data(await pipe.wait_until(both_ended), 3)) == 5_000_000


async def closes(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"bye")
    writer.close()


@asynccontextmanager
async def session_behind_its_pod() -> AsyncIterator[Pipe]:
    """A tunnel with a connection on which the pod has said ``bye`` and closed, an hour before that would be told."""
    async with session(closes, grace=3600.0) as pipe:
        pipe.inbox.put_nowait(pipe.client.pair("1", 1, 1))
        await pipe.wait_until(lambda frames: join_data(frames, 3) == b"bye")
        for _ in range(50):  # so that the end has come, too
            await asyncio.sleep(0)
        yield pipe


async def test_pods_end_is_told_with_the_clients_or_later():
    async with session_behind_its_pod() as pipe:
        assert pipe.outbox.empty()
        pipe.inbox.put_nowait(pipe.client.data(3, b"", fin=True))
        await pipe.wait_until(both_ended)
    async with session(closes, grace=0.05) as pipe:
        pipe.inbox.put_nowait(pipe.client.pair("1", 1, 1))
        await pipe.wait_until(lambda frames: any(frame[3] for frame in frames))


async def test_ended_tunnel_says_no_more_of_an_ended_pod():
    async with session_behind_its_pod() as pipe:
        pass
    assert pipe.outbox.empty()


async def test_bytes_for_a_gone_client_end_the_pods_side():
    ended = asyncio.Event()

    async def speaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await reader.read()
        writer.close()
        ended.set()

    async def raise_gone(_data: bytes) -> None:
        raise relay.ClientGone

    async with asyncio.timeout(20), await asyncio.start_server(speaks, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        forwarding = relay.Forwarding(
            Sandbox("f" * 64, "/var/run/netns/x", lambda _: connection.connect(port)), 1, raise_gone
        )
        forwarding.feed_eof()
        assert await forwarding.run() is None
        await ended.wait()


async def test_pods_reset_comes_after_its_bytes():
    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"last words")
        await writer.drain()
        await reader.readexactly(1)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async with session(resets) as pipe:
        pipe.inbox.put_nowait(pipe.client.pair("1", 5432, 1))
        frames = await pipe.wait_until(lambda frames: join_data(frames, 3) == b"last words")
        pipe.inbox.put_nowait(pipe.client.data(3, b"x"))
        frames = await pipe.wait_until(lambda frames: sum(frame[0] == "reset" for frame in frames) == 2)
        assert join_data(frames, 1).endswith(b"->127.0.0.1:5432: read: connection reset by peer")


async def test_a_pair_that_stays_incomplete_is_given_up():
    async def refuse_dial(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        raise AssertionError("dialled")

    async with session(refuse_dial, pair_timeout=0.01) as pipe:
        headers = {"streamtype": "error", "port": "1", "requestid": "9"}
        pipe.inbox.put_nowait(pipe.client.open(1, headers))
        frames = await pipe.wait_until(lambda frames: bool(join_data(frames, 1)))
        assert join_data(frames, 1).endswith(b"request=9) timed out waiting for streams")


async def test_stream_reset_by_the_client_is_not_ended():
    left = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        left.set()

    async with session(waits, grace=0.01) as pipe:
        pipe.inbox.put_nowait(pipe.client.pair("1", 1, 1) + pipe.client.reset(3))
        frames = await pipe.wait_until(lambda frames: any(frame[3] for frame in frames))
        await left.wait()
        assert [frame[1] for frame in frames if frame[3]] == [1]


async def test_connection_pauses_when_bytes_are_not_taken():
    class Transport(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__({"sslcontext": None})
            self.reading = True

        def pause_reading(self) -> None:
            self.reading = False

        def resume_reading(self) -> None:
            self.reading = True

    transport, taken = Transport(), connection.Connection()
    taken.connection_made(transport)
    chunk = bytes(connection.READ_AHEAD // 4)
    for _ in range(3):
        taken.data_received(chunk)
    assert transport.reading
    taken.data_received(chunk)
    assert not transport.reading
    await taken.read()
    assert transport.reading
