"""Hostile PostgreSQL servers: they speak the protocol, and say what no PostgreSQL would.

Source: https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import trustme

HOST = "db-rw.user-alice.svc"
_SSL_REQUEST = 80877103
READY = b"Z\x00\x00\x00\x05I"
_PARAMETERS = b"t\x00\x00\x00\x06\x00\x00"
LET_IN = b"\x00\x00\x00\x00"


def message(kind: bytes, body: bytes) -> bytes:
    """Return a message of the protocol."""
    return kind + struct.pack("!I", len(body) + 4) + body


def report(kind: bytes, **fields: str) -> bytes:
    """Return a notice (``N``) or an error (``E``), its fields by their letters."""
    body = b"".join(key.encode() + text.encode() + b"\0" for key, text in fields.items())
    return message(kind, body + b"\0")


@dataclass(frozen=True)
class Hostile:
    """What the server does.

    Parameters
    ----------
    login
        What it asks for, or says, instead of a login: the bodies of its authentication messages.
    refusal
        What it sends after that, instead of letting its client in.
    columns
        Names and numbers of types.
    rows
        Values of each row, as the wire has them; None for NULL.
    before
        What it sends before the end of each statement.
    error
        What it sends instead of rows.
    """

    login: Sequence[bytes] = (LET_IN,)
    refusal: bytes = b""
    columns: Sequence[tuple[str, int]] = (("n", 23),)
    rows: Sequence[Sequence[bytes | None]] = ()
    before: bytes = b""
    error: bytes = b""
    heard: list[bytes] = field(default_factory=list)


def _description(hostile: Hostile, fmt: int) -> bytes:
    body = struct.pack("!H", len(hostile.columns))
    for name, oid in hostile.columns:
        body += name.encode() + b"\0" + struct.pack("!IHIhih", 0, 0, oid, -1, -1, fmt)
    return message(b"T", body)


def _row(values: Sequence[bytes | None]) -> bytes:
    body = struct.pack("!H", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message(b"D", body)


def _exactly(client: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        piece = client.recv(count - len(found))
        if not piece:
            raise OSError("gone")
        found += piece
    return found


def _serve(client: socket.socket, hostile: Hostile, context: ssl.SSLContext | None) -> None:
    size, code = struct.unpack("!II", _exactly(client, 8))
    if code == _SSL_REQUEST:
        client.sendall(b"S" if context else b"N")
        if context is not None:
            with context.wrap_socket(client, server_side=True) as encrypted:
                _serve(encrypted, hostile, None)
        else:
            _serve(client, hostile, None)
        return
    _exactly(client, size - 8)
    for body in hostile.login:
        client.sendall(message(b"R", body))
        if body != LET_IN:
            hostile.heard.append(b"".join(_message(client)))
    if hostile.refusal:
        client.sendall(hostile.refusal)
        return
    for key, value in (("client_encoding", "UTF8"), ("DateStyle", "ISO"), ("server_version", "17.0")):
        client.sendall(message(b"S", key.encode() + b"\0" + value.encode() + b"\0"))
    client.sendall(READY)
    fmt = 0
    while True:
        kind, body = _message(client)
        if kind == b"X":
            return
        if kind == b"B":
            fmt = struct.unpack("!h", body[-2:])[0]
        client.sendall(_reply(hostile, kind, body, fmt))


def _message(client: socket.socket) -> tuple[bytes, bytes]:
    kind, size = struct.unpack("!cI", _exactly(client, 5))
    return kind, _exactly(client, size - 4)


def _reply(hostile: Hostile, kind: bytes, body: bytes, fmt: int) -> bytes:
    """Return what the server says to one message of its client."""
    done = b"".join(map(_row, hostile.rows)) + hostile.before
    done = hostile.error or done + message(b"C", f"SELECT {len(hostile.rows)}".encode() + b"\0")
    described = _description(hostile, fmt) if body[:1] == b"P" else _PARAMETERS + _description(hostile, 0)
    return {
        b"P": b"1\x00\x00\x00\x04",
        b"B": b"2\x00\x00\x00\x04",
        b"C": b"3\x00\x00\x00\x04",
        b"D": described,
        b"E": done,
        b"S": READY,
        b"Q": _description(hostile, 0) + done + READY,
    }.get(kind, b"")


@contextmanager
def serve(hostile: Hostile, authority: trustme.CA | None = None) -> Iterator[int]:
    """Run such a server, with TLS where an authority is given; give its port."""
    context = None
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST).configure_cert(context)

    def serve(client: socket.socket) -> None:
        with suppress(OSError, struct.error), client:
            _serve(client, hostile, context)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=serve, args=(client,), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
