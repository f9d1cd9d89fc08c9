"""Measure the minimum cost of a tunnel in Python on this machine, compared with kubectl and `portforward`.

    python benchmarks/floor.py [--testbed FILE.json] [--rounds 5] [--mib 256]

A goal such as "0.6 of kubectl's CPU time" is reachable only if the unavoidable work of a client takes less. So this
benchmark does only the unavoidable work, with blocking calls:

- download: receive from the socket, decrypt, and send to a socket of another process; no event loop, no parsing.
- echo: read a byte from a client, encrypt and send it; receive the answer, decrypt and send it back; no event loop.
- connect: send a prepared request that opens a stream pair with one byte, and wait for the answer; no listener.

kubectl, `portforward` and the helper of this project do their full work in the same rounds. The output has the medians,
and their ratios to kubectl's.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import ssl
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import load
from measures.bed import GIB, MIB, Bed, Numbers, percentile, the_bed
from measures.connections import measure_connect, measure_echo
from measures.transfers import measure_download

from sspcloud_magics.tunnel.http import Client
from sspcloud_magics.tunnel.protocols.events import Received
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyTunnel
from sspcloud_magics.tunnel.stream import CHUNK, TlsStream

CONNECTIONS = 200
ECHOES = 2000
ROWS = ("download CPU s/GiB", "echo p50 us", "connect p50 ms")
WHOLE = ("ours", "kubectl", "portforward")


class Bare:
    """An open tunnel without an event loop."""

    def __init__(self, stream: TlsStream) -> None:
        self.socket = stream.socket
        self.socket.setblocking(True)
        # The TLS objects of the engine's stream, without its event loop.
        self._tls = stream._tls  # noqa: SLF001 - there is no other access to its state
        self._incoming, self._outgoing = stream._incoming, stream._outgoing  # noqa: SLF001
        self._encrypted = memoryview(bytearray(CHUNK))
        self._chunk = memoryview(bytearray(CHUNK + 16 * 1024))

    def send(self, message: bytes) -> None:
        self._tls.write(message)
        self.socket.sendall(self._outgoing.read())

    def receive(self) -> memoryview:
        """Return the decrypted bytes of one read of the socket."""
        count = self.socket.recv_into(self._encrypted)
        if not count:
            raise ConnectionError("the server closed the tunnel")
        self._incoming.write(self._encrypted[:count])
        size, chunk, read = 0, self._chunk, self._tls.read
        try:
            while True:
                size += read(len(chunk) - size, chunk[size:])
                if not self._incoming.pending:
                    break
        except ssl.SSLWantReadError:
            pass
        return chunk[:size]


def open_tunnel(bed: Bed, pod: str) -> Bare:
    """Open a tunnel to a pod."""
    import sspcloud_magics as ssp
    from sspcloud_magics.session import session

    place = bed.place
    ssp.login(kubeconfig=str(place.kubeconfig), context=place.context, namespace=place.namespace)
    access = session.current_cluster().access()
    path = f"/api/v1/namespaces/{place.namespace}/pods/{pod}/portforward"

    async def upgrade() -> TlsStream:
        stream = (await Client(access).upgrade(path, {}, SpdyTunnel.handshake())).stream
        if not isinstance(stream, TlsStream):
            raise TypeError("the server does not speak TLS")
        return stream

    return Bare(asyncio.run(upgrade()))


def take(listener: socket.socket) -> None:
    """Read and discard all bytes, like the load of a benchmark."""
    buffer = bytearray(load.CHUNK)
    link, _ = listener.accept()
    while link.recv_into(buffer):
        pass


def download(bed: Bed, size: int) -> float:
    """Return the CPU seconds per GiB of receiving, decrypting and sending."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sink = multiprocessing.Process(target=take, args=(listener,), daemon=True)
        sink.start()
        with load.connect(listener.getsockname()[1]) as local:
            tunnel = open_tunnel(bed, bed.testbed.source.pod)
            with tunnel.socket:
                _, request = SpdyTunnel().open(bed.testbed.source.port, b"%d\n" % size)
                tunnel.send(request)
                got, started = 0, time.process_time()
                while got < size:
                    chunk = tunnel.receive()
                    got += len(chunk)
                    local.sendall(chunk)
                spent = time.process_time() - started
        sink.join()
    return spent / (got / GIB)


def echo(bed: Bed) -> list[float]:
    """Return the seconds of each round trip of one byte from a client in another process."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ProcessPoolExecutor(1) as pool:
        client = pool.submit(load.echo, listener.getsockname()[1], ECHOES)
        tunnel, protocol = open_tunnel(bed, bed.testbed.echo.pod), SpdyTunnel()
        link, _ = listener.accept()
        with tunnel.socket, link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair, request = protocol.open(bed.testbed.echo.port)
            tunnel.send(request)
            while said := link.recv(100):
                tunnel.send(b"".join(protocol.send(pair, memoryview(said))))
                while not (answer := join_received(protocol, tunnel.receive())):
                    pass
                link.sendall(answer)
        return client.result()


def join_received(protocol: SpdyTunnel, data: memoryview) -> bytes:
    """Return the pod's bytes in the received data."""
    events = protocol.receive(data)
    return b"".join(part for event in events if isinstance(event, Received) for part in event.parts)


def connect(bed: Bed) -> list[float]:
    """Return the seconds from each request to its answer, alternately on two tunnels."""
    tunnels = [(open_tunnel(bed, bed.testbed.echo.pod), SpdyTunnel()) for _ in range(2)]
    spent = []
    for number in range(CONNECTIONS):
        bare, protocol = tunnels[number % 2]
        pair, request = protocol.open(bed.testbed.echo.port, b"x")
        started = time.perf_counter()
        bare.send(request)
        while not join_received(protocol, bare.receive()):
            pass
        spent.append(time.perf_counter() - started)
        bare.send(protocol.abandon(pair))
    for bare, _ in tunnels:
        bare.socket.close()
    return spent


def whole(bed: Bed, name: str, size: int) -> Numbers:
    """Return the figures of a complete forwarder."""
    scale = size / GIB
    return measure_download(bed, name, scale) | measure_echo(bed, name, 1) | measure_connect(bed, name, scale)


def alone(bed: Bed, size: int) -> Numbers:
    """Return the figures of the unavoidable work."""
    return {
        "download CPU s/GiB": download(bed, size),
        "echo p50 us": percentile(echo(bed), 0.5) * 1e6,
        "connect p50 ms": percentile(connect(bed), 0.5) * 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--testbed", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=256)
    options = parser.parse_args()
    rounds: dict[str, list[Numbers]] = {name: [] for name in ("the least", *WHOLE)}
    with the_bed(options.testbed) as bed:
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
            rounds["the least"].append(alone(bed, options.mib * MIB))
            for name in WHOLE:
                rounds[name].append(whole(bed, name, options.mib * MIB))
    for row in ROWS:
        medians = {name: statistics.median(each[row] for each in found) for name, found in rounds.items()}
        cells = "   ".join(
            f"{name} {value:.2f} ({value / medians['kubectl']:.2f} of kubectl)"
            for name, value in medians.items()
        )
        print(f"{row}:   {cells}")


if __name__ == "__main__":
    main()
