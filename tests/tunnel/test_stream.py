"""The streams of a forward, on real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress

import pytest
import trustme

from sspcloud_magics.access import Access
from sspcloud_magics.tunnel.http import Client
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyOverWebSocket, SpdyTunnel
from sspcloud_magics.tunnel.protocols.websocket_channels import ChannelTunnel
from sspcloud_magics.tunnel.stream import Stream, TlsStream
from sspcloud_magics.tunnel.tunnel import Tunnel


class Writes:
    """A double of a stream, which records every write."""

    unsent = 0

    def __init__(self) -> None:
        self.calls: list[bytes] = []

    def write(self, *parts) -> None:
        self.calls.append(b"".join(parts))


class _Drained:
    """A receiver that ignores all events."""

    def on_data(self, data: memoryview) -> None: ...

    def on_end(self) -> None: ...

    def on_loss(self, error: OSError) -> None: ...

    def on_drain(self) -> None: ...


async def test_earlier_bytes_are_taken_before_reading_begins():
    here, there = socket.socketpair()
    with there:
        stream = Stream(here, asyncio.get_running_loop())
        assert stream.take() is None
        there.sendall(b"hello")
        assert bytes(stream.take() or b"") == b"hello"
        there.shutdown(socket.SHUT_WR)
        assert stream.take() is None
        stream.close()


async def test_clients_first_bytes_leave_with_the_request():
    writes = Writes()
    tunnel = Tunnel(writes, SpdyTunnel())  # type: ignore[arg-type]
    pair = tunnel.acquire()
    pair.open(80, object(), memoryview(b"hello"))  # type: ignore[arg-type]
    pair.send(memoryview(b"again"))
    assert len(writes.calls) == 2


async def test_many_small_parts_are_kept_as_a_few():
    here, there = socket.socketpair()
    with there:
        stream = Stream(here, asyncio.get_running_loop())
        stream.write(bytes(1 << 24))  # more than the socket takes
        waiting = stream.unsent
        for number in range(20_000):
            stream.write(memoryview(bytearray([number % 256])))
        assert stream.unsent == waiting + 20_000
        assert len(stream._unsent) < 10
        stream.start(_Drained())
        there.setblocking(False)
        received = b""
        while stream.unsent:
            await asyncio.sleep(0)
            with suppress(BlockingIOError):
                received += there.recv(1 << 20)
        with suppress(BlockingIOError):
            while piece := there.recv(1 << 20):
                received += piece
        assert received == bytes(1 << 24) + bytes(number % 256 for number in range(20_000))
        stream.close()


async def test_a_handshake_that_is_cut_is_an_error():
    async def cut(_reader, writer) -> None:
        writer.transport.abort()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, server.sockets[0].getsockname())
        stream = TlsStream(sock, loop, ssl.create_default_context(), "localhost", None)
        with pytest.raises(ConnectionError):
            await stream.handshake()
        stream.close()


async def test_lingering_close_ends_tls_and_takes_the_rest():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    said: list[object] = []

    def serve(listener: socket.socket) -> None:
        link, _ = listener.accept()
        with context.wrap_socket(link, server_side=True, suppress_ragged_eofs=False) as tls:
            tls.sendall(bytes(300_000))
            try:
                while piece := tls.recv(1000):
                    said.append(piece)
                said.append("a clean end")
                tls.sendall(bytes(300_000))  # which the other does not want any more
            except OSError as error:
                said.append(error)

    class Takes(_Drained):
        def __init__(self) -> None:
            self.got = 0
            self.all_of_it = asyncio.Event()

        def on_data(self, data: memoryview) -> None:
            self.got += len(data)
            if self.got >= 300_000:
                self.all_of_it.set()

    ours = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = asyncio.get_running_loop().run_in_executor(None, serve, listener)
        sock = socket.create_connection(listener.getsockname())
        stream = TlsStream(sock, asyncio.get_running_loop(), ours, "localhost", None)
        await stream.handshake()
        takes = Takes()
        stream.start(takes)
        stream.write(b"bye")
        async with asyncio.timeout(10):
            await takes.all_of_it.wait()
            stream.linger()
            stream.write(b"what is said afterwards is dropped")
            await served
            assert said == [b"bye", "a clean end"]
            while not stream.closed:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)


def test_tunnel_requests_differ_in_their_key_only():
    client = Client(Access(server="https://api.example"))
    path = "/api/v1/namespaces/lab/pods/web-0/portforward"
    one, other = SpdyOverWebSocket.handshake(), SpdyOverWebSocket.handshake()
    first = client._upgrade_request(path, {}, one)
    second = client._upgrade_request(path, {}, other)
    assert first.startswith(b"GET ")
    assert one.key.encode() in first
    assert second == first.replace(one.key.encode(), other.key.encode())
    assert b"ports=5" in client._upgrade_request(path, {"ports": "5"}, ChannelTunnel.handshake())
    bare = client._upgrade_request(path, {}, SpdyTunnel.handshake())
    assert bare.startswith(b"POST ")
    assert client._upgrade_request(path, {}, SpdyTunnel.handshake()) == bare
