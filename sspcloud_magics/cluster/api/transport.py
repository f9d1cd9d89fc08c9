"""HTTP connections to untrusted servers, with limits on the size and the total time of a response.

A timeout of urllib3 covers one wait, so a server could send a byte per second for ever. The sockets here have a deadline
for the whole response, header and body. The body is decompressed in pieces, so that a compression bomb is detected early.
`sspcloud_magics.bounded_json` limits the content.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from sspcloud_magics.bounded_json import parse, too_large
from sspcloud_magics.proxies import Proxy

LONGEST_ANSWER = 128 << 20
"""In bytes, decompressed. A page has up to 500 objects, of at most 1.5 MiB and usually some KiB."""

LONGEST_EVENT = 16 << 20
"""In bytes, for one object; etcd limits objects to 1.5 MiB."""

ANSWER_SECONDS = 60.0
"""From the request to the last byte; a watch may be silent for longer, and ends when that time is over."""

# The deadline for a proxy's response to CONNECT and for the TLS handshake.
_CONNECT_SECONDS = 30.0
# The size of one read, in bytes.
_PIECE = 1 << 18

_P = TypeVar("_P", bound=urllib3.HTTPConnectionPool)


def get_proxy_settings(proxy: Proxy | None) -> dict[str, Any]:
    """Return the arguments of `pool_manager` for a proxy; empty without one."""
    if proxy is None:
        return {}
    authorization = proxy.authorization
    headers = {"Proxy-Authorization": authorization.reveal()} if authorization is not None else None
    return {"proxy_url": str(proxy), "proxy_headers": headers}


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response."""

    # The parts of the response; `data` is decompressed. Headers and data may hold secrets, so the repr omits
    # them.
    status: int
    headers: Mapping[str, str] = field(repr=False)
    data: bytes = field(repr=False)


def pool_manager(
    context: ssl.SSLContext | None, *, answer_seconds: float = ANSWER_SECONDS, **settings: Any
) -> urllib3.PoolManager:
    """Return a pool manager of urllib3 whose connections have deadlines.

    Parameters
    ----------
    context
        The TLS context; None for plain HTTP.
    answer_seconds
        The time from a request to the last byte of its response.
    settings
        Arguments of `urllib3.PoolManager`, or with ``proxy_url`` those of `urllib3.ProxyManager`.
    """
    if context is not None:
        context.sslsocket_class = _TlsSocket
        settings["ssl_context"] = context
    manager = urllib3.ProxyManager if "proxy_url" in settings else urllib3.PoolManager
    made: urllib3.PoolManager = manager(**settings)
    # The login reports an unverified certificate once; urllib3 would warn in every cell.
    unverified = context is not None and context.verify_mode == ssl.CERT_NONE
    secure = _UnverifiedConnection if unverified else _TlsConnection
    made.pool_classes_by_scheme = {
        "http": _make_pool_class(urllib3.HTTPConnectionPool, _Connection, answer_seconds),
        "https": _make_pool_class(urllib3.HTTPSConnectionPool, secure, answer_seconds),
    }
    return made


def read(answer: urllib3.BaseHTTPResponse, longest: int = LONGEST_ANSWER) -> Answer:
    """Read a response that was not preloaded, and release its connection.

    Raises
    ------
    LimitExceeded
        If it has more than `longest` bytes.
    urllib3.exceptions.HTTPError
        If it is truncated, or takes too long.
    """
    data = bytearray()
    try:
        while len(data) <= longest and (piece := answer.read(_PIECE, decode_content=True)):
            data += piece
    except BaseException:
        answer.close()
        raise
    if len(data) > longest:
        answer.close()
        raise too_large(longest)
    answer.release_conn()
    return Answer(answer.status, answer.headers, bytes(data))


def lines(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield the lines of a response as they arrive; an unfinished last line is dropped.

    Raises
    ------
    LimitExceeded
        If a line has more than `LONGEST_EVENT` bytes.
    urllib3.exceptions.HTTPError
        If the response is truncated, or takes too long.
    """
    begun = bytearray()
    for piece in answer.stream(_PIECE, decode_content=True):
        first, *others = piece.split(b"\n")
        begun += first
        if others:
            yield bytes(begun)
            yield from others[:-1]
            begun = bytearray(others[-1])
        if len(begun) > LONGEST_EVENT:
            raise too_large(LONGEST_EVENT)


def json_object(data: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises
    ------
    LimitExceeded
        If it has too many values or levels of nesting.
    ValueError
        If it is not a JSON object.
    """
    found = parse(data)
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004 - of the text, not of an argument
    return found


class _Timed:
    """Mixin for a socket with a deadline for everything that it receives."""

    # The deadline on the monotonic clock; each response sets a new one.
    deadline = float("inf")

    def recv_into(self: Any, *arguments: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")  # not translated: internal
        timeout = self.gettimeout()
        if left < (float("inf") if timeout is None else timeout):
            self.settimeout(left)
        return super().recv_into(*arguments)  # type: ignore[misc, no-any-return]


class _TlsSocket(_Timed, ssl.SSLSocket):
    pass


class _PlainSocket(_Timed, socket.socket):
    pass


def _add_deadline(sock: socket.socket) -> _PlainSocket:
    timeout = sock.gettimeout()
    timed = _PlainSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    timed.settimeout(timeout)
    timed.deadline = time.monotonic() + _CONNECT_SECONDS
    return timed


def _set_answer_deadline(sock: Any, timeout: object, seconds: float) -> None:
    """Set the deadline of the next response, which is not shorter than the timeout of a single wait; None has none."""
    longest = float("inf") if timeout is None else timeout
    sock.deadline = time.monotonic() + max(seconds, longest if isinstance(longest, float) else 0.0)


class _Connection(HTTPConnection):
    answer_seconds = ANSWER_SECONDS

    def _new_conn(self) -> socket.socket:
        return _add_deadline(super()._new_conn())

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as in urllib3
        _set_answer_deadline(self.sock, self.timeout, self.answer_seconds)
        return super().getresponse()


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _UnverifiedConnection(_TlsConnection):
    def connect(self) -> None:
        super().connect()
        self.is_verified = True


def _make_pool_class(pool: type[_P], connection: type, answer_seconds: float) -> type[_P]:
    """Return a pool class whose connections have a deadline; urllib3 passes only its own settings to them."""
    timed = type(connection.__name__, (connection,), {"answer_seconds": answer_seconds})
    return type(pool.__name__, (pool,), {"ConnectionCls": timed})
