"""The load on a forward: plain blocking sockets, which make the forwarder's cost visible."""

from __future__ import annotations

import concurrent.futures
import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

CHUNK = 1 << 20


@dataclass(frozen=True)
class Transfer:
    """The number of transferred bytes, and the seconds that they took."""

    size: int
    seconds: float

    @property
    def rate(self) -> float:
        """The rate in MiB per second."""
        return self.size / 2**20 / self.seconds


def connect(port: int, timeout: float = 60.0) -> socket.socket:
    """Open a connection to the forward with TCP_NODELAY."""
    link = socket.create_connection(("127.0.0.1", port), timeout)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def download(port: int, size: int) -> Transfer:
    """Request `size` bytes from the source, and read them to the end."""
    buffer = bytearray(CHUNK)
    started = time.perf_counter()
    with connect(port) as link:
        link.sendall(f"{size}\n".encode())
        got = 0
        while got < size and (count := link.recv_into(buffer)):
            got += count
    if got != size:
        raise ConnectionError(f"the download ended after {got} of {size} bytes")
    return Transfer(got, time.perf_counter() - started)


def download_many(port: int, size: int, connections: int) -> Transfer:
    """Split a download among connections."""
    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        parts = list(pool.map(lambda _: download(port, size // connections), range(connections)))
    return Transfer(sum(part.size for part in parts), time.perf_counter() - started)


def download_some(port: int, size: int, connections: int, patience: float) -> Transfer:
    """Download `size` bytes over each connection, or as many as arrive in `patience` seconds."""
    started = time.perf_counter()

    def some(_: int) -> int:
        buffer = bytearray(CHUNK)
        got = 0
        with contextlib.suppress(OSError), connect(port, patience) as link:
            link.sendall(f"{size}\n".encode())
            while got < size:
                link.settimeout(max(0.001, started + patience - time.perf_counter()))
                count = link.recv_into(buffer)
                if not count:
                    break
                got += count
        return got

    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        got = sum(pool.map(some, range(connections)))
    return Transfer(got, time.perf_counter() - started)


@contextlib.contextmanager
def stall_reader(port: int, size: int) -> Iterator[None]:
    """Request `size` bytes from the source, and read none of them during the block."""
    with connect(port) as link:
        link.sendall(f"{size}\n".encode())
        time.sleep(0.5)  # until all buffers on the route are full
        yield


def upload(port: int, size: int) -> Transfer:
    """Send `size` bytes to the sink.

    The clock stops when the last byte is in the local socket, since no server reports the arrival of a half-closed
    upload. A few MiB in buffers count as sent, for all subjects alike.
    """
    block = bytes(CHUNK)
    started = time.perf_counter()
    with connect(port) as link:
        for _ in range(size // CHUNK):
            link.sendall(block)
        seconds = time.perf_counter() - started
    return Transfer(size, seconds)


def echo(port: int, times: int) -> list[float]:
    """Return the seconds of each round trip of one byte on one connection."""
    spent = []
    with connect(port) as link:
        for _ in range(times):
            started = time.perf_counter()
            link.sendall(b"x")
            if link.recv(1) != b"x":
                raise ConnectionError("the echo ended")
            spent.append(time.perf_counter() - started)
    return spent


def one(port: int, timeout: float = 60.0) -> float:
    """Connect, echo one byte, close; return the seconds."""
    started = time.perf_counter()
    with connect(port, timeout) as link:
        link.sendall(b"x")
        if link.recv(1) != b"x":
            raise ConnectionError("the echo ended")
    return time.perf_counter() - started


def in_turn(port: int, times: int) -> list[float]:
    """Return the seconds of each of several short consecutive connections."""
    return [one(port) for _ in range(times)]


def at_once(port: int, connections: int, patience: float = 10.0) -> tuple[int, float]:
    """Hold all connections open at the same time, and echo a byte on each.

    Return the number of connections that were served within `patience` seconds, and the seconds.
    """
    started = time.perf_counter()
    links: list[socket.socket] = []
    served = 0

    def get_time_left() -> float:
        return max(0.01, started + patience - time.perf_counter())

    try:
        for _ in range(connections):
            with contextlib.suppress(OSError):
                links.append(connect(port, get_time_left()))
                links[-1].sendall(b"x")
        for link in links:
            with contextlib.suppress(OSError):
                link.settimeout(get_time_left())
                served += link.recv(1) == b"x"
        return served, time.perf_counter() - started
    finally:
        for link in links:
            link.close()
