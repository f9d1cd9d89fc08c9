"""Hostile API servers: each answers every request with one kind of malice, until its client goes."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import trustme

from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from tests.support.waiting import dawdle

Behaviour = Callable[[socket.socket], None]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_MEBIBYTE = b" " * (1 << 20)


def answer(body: bytes, *, status: bytes = b"200 OK", headers: bytes = b"") -> Behaviour:
    """Answer with this body."""

    head = HEAD.replace(b"200 OK", status) + headers + f"Content-Length: {len(body)}\r\n\r\n".encode()

    def behave(client: socket.socket) -> None:
        client.sendall(head + body)

    return behave


@cache
def _bomb(mebibytes: int) -> bytes:
    return gzip.compress(b'{"items": [' + _MEBIBYTE * mebibytes + b"]}", compresslevel=1)


def gzip_bomb(mebibytes: int = 400) -> Behaviour:
    """Answer with a body that unpacks to a thousand times its size."""

    def behave(client: socket.socket) -> None:
        answer(_bomb(mebibytes), headers=b"Content-Encoding: gzip\r\n")(client)

    return behave


def endless(client: socket.socket) -> None:
    """Answer with a body that has no end."""
    client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        client.sendall(b"100000\r\n" + _MEBIBYTE + b"\r\n")


def drip(head: bytes = HEAD + b"Content-Length: 1000000\r\n\r\n") -> Behaviour:
    """Answer with a byte now and then: after this, for ever."""

    def behave(client: socket.socket) -> None:
        client.sendall(head)
        while True:
            client.sendall(b" ")
            dawdle(0.05)

    return behave


def drip_headers(client: socket.socket) -> None:
    """Answer with headers that never end."""
    drip(HEAD + b"X-Long: ")(client)


def brackets(count: int = 200_000) -> Behaviour:
    """Answer with an object that is nested deeply."""
    return answer(b'{"items": ' + b"[" * count + b"]" * count + b"}")


@cache
def _values(mebibytes: int) -> bytes:
    return b'{"items": [' + b"{}," * ((mebibytes << 20) // 3) + b"{}]}"


def many_values(mebibytes: int = 100) -> Behaviour:
    """Answer with a text whose values take twenty times its size in memory."""

    def behave(client: socket.socket) -> None:
        answer(_values(mebibytes))(client)

    return behave


def json_answer(value: object) -> Behaviour:
    """Answer with a value as JSON."""
    return answer(json.dumps(value).encode())


@contextmanager
def serve(authority: trustme.CA, behave: Behaviour) -> Iterator[str]:
    """Run a server whose every answer is that; give its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    clients: list[socket.socket] = []

    def serve(plain: socket.socket) -> None:
        with suppress(OSError, ValueError):
            client = context.wrap_socket(plain, server_side=True)
            clients.append(client)
            while _request(client):
                behave(client)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    clients.append(plain)
                    threading.Thread(target=serve, args=(plain,), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for client in clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
                client.close()


def _request(client: socket.socket) -> bool:
    """Read a request with its body; tell whether there was one."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(65536)
        if not piece:
            return False
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ),
        0,
    )
    while len(body) < length:
        body += client.recv(65536)
    return True


@contextmanager
def cluster_of(authority: trustme.CA, behave: Behaviour, folder: Path) -> Iterator[Cluster]:
    """Give a cluster whose server behaves so."""
    ca, token = folder / "ca.crt", folder / "token"
    authority.cert_pem.write_to_path(str(ca))
    token.write_text("canary-token")
    with serve(authority, behave) as url:
        found = find_cluster(server=url, token_file=token, ca_file=ca, namespace="user-bob", environ={})
        try:
            yield found
        finally:
            found.close()
