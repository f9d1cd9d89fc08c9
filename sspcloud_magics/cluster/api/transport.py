"""Connections to servers that are not trusted: an answer has a limit in size and in time.

urllib3's timeouts are for one wait each: a byte a second goes on for ever. The sockets here know when an answer has to be there
as a whole, head and body. Its body is unpacked piece by piece, so that a small one which unpacks to a large one is
given up in time. `sspcloud_magics.bounded_json` has the limits of what it says.
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

from sspcloud_magics.bounded_json import TooMuch, parse
from sspcloud_magics.proxies import Proxy

LONGEST_ANSWER = 128 << 20
"""In bytes, unpacked. A page has 500 objects of 1.5 MiB at most, and of some KiB as a rule."""

LONGEST_EVENT = 16 << 20
"""In bytes: one object, which etcd keeps below 1.5 MiB."""

ANSWER_SECONDS = 60.0
"""From the request to the last byte; a watch may be silent for longer, and ends when that time is over."""

_CONNECT_SECONDS = 30.0
_P = TypeVar("_P", bound=urllib3.HTTPConnectionPool)
_PIECE = 1 << 18


def get_proxy_settings(proxy: Proxy | None) -> dict[str, Any]:
    """Return the settings of a manager of connections that go through a proxy; none where there is none."""
    if proxy is None:
        return {}
    said = proxy.authorization
    headers = {"Proxy-Authorization": said.reveal()} if said is not None else None
    return {"proxy_url": str(proxy), "proxy_headers": headers}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read to its end.

    Parameters
    ----------
    status, headers, data
        As the server gave them; `data` is unpacked. They may hold secrets, so they are in no repr.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    data: bytes = field(repr=False)


def pool_manager(
    context: ssl.SSLContext | None, *, answer_seconds: float = ANSWER_SECONDS, **settings: Any
) -> urllib3.PoolManager:
    """Return urllib3's manager of connections, with connections that keep to a time.

    Parameters
    ----------
    context
        For TLS; None where none is used.
    answer_seconds
        The time from a request to the last byte of its answer.
    settings
        Of `urllib3.PoolManager`, or of `urllib3.ProxyManager` where ``proxy_url`` is among them.
    """
    if context is not None:
        context.sslsocket_class = _TlsSocket
        settings["ssl_context"] = context
    manager = urllib3.ProxyManager if "proxy_url" in settings else urllib3.PoolManager
    made: urllib3.PoolManager = manager(**settings)
    # That a certificate is not verified is told once, where the user looks; urllib3 would warn in every cell.
    unverified = context is not None and context.verify_mode == ssl.CERT_NONE
    secure = _UnverifiedConnection if unverified else _TlsConnection
    made.pool_classes_by_scheme = {
        "http": _make_pool_class(urllib3.HTTPConnectionPool, _Connection, answer_seconds),
        "https": _make_pool_class(urllib3.HTTPSConnectionPool, secure, answer_seconds),
    }
    return made


def read(answer: urllib3.BaseHTTPResponse, longest: int = LONGEST_ANSWER) -> Answer:
    """Read an answer that was not preloaded to its end, and let its connection be used again.

    Raises
    ------
    TooMuch
        If it has more bytes than that.
    urllib3.exceptions.HTTPError
        If it is cut, or takes too long.
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
        raise TooMuch(f"more than {longest >> 20} MiB")
    answer.release_conn()
    return Answer(answer.status, answer.headers, bytes(data))


def lines(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield the lines of an answer as they come; what stands behind the last line end is dropped.

    Raises
    ------
    TooMuch
        If one has more bytes than an object can have.
    urllib3.exceptions.HTTPError
        If the answer is cut, or takes too long.
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
            raise TooMuch(f"more than {LONGEST_EVENT >> 20} MiB")


def json_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that `data` is.

    Raises
    ------
    TooMuch
        If it has more values or more levels of nesting than any that is meant.
    ValueError
        If it is something else.
    """
    found = parse(data)
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004 - of the text, not of an argument
    return found


class _Timed:
    """Part of a socket: what is received has to come by a moment."""

    ends = float("inf")

    def _wait_at_most(self, usual: float | None) -> float | None:
        """Return how long the next wait may take where that is less than usual; None where it is not."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        return left if usual is None or left < usual else None


class _TlsSocket(_Timed, ssl.SSLSocket):
    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        if (wait := self._wait_at_most(self.gettimeout())) is not None:
            self.settimeout(wait)
        return super().recv_into(buffer, nbytes, flags)


class _PlainSocket(_Timed, socket.socket):
    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        if (wait := self._wait_at_most(self.gettimeout())) is not None:
            self.settimeout(wait)
        return super().recv_into(buffer, nbytes, flags)


def _copy_timeout(sock: socket.socket) -> _PlainSocket:
    usual = sock.gettimeout()
    made = _PlainSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    made.settimeout(usual)
    made.ends = time.monotonic() + _CONNECT_SECONDS  # until the answer of a proxy is there
    return made


def _begin_answer(sock: Any, wait: object, seconds: float) -> None:
    """Set the deadline of the answer that is about to be read, no earlier than that of a single read."""
    sock.ends = time.monotonic() + max(seconds, wait if isinstance(wait, float) else 0.0)


class _Connection(HTTPConnection):
    answer_seconds = ANSWER_SECONDS

    def _new_conn(self) -> socket.socket:
        return _copy_timeout(super()._new_conn())

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as in urllib3
        _begin_answer(self.sock, self.timeout, self.answer_seconds)
        return super().getresponse()


class _TlsConnection(HTTPSConnection):
    answer_seconds = ANSWER_SECONDS

    def _new_conn(self) -> socket.socket:
        return _copy_timeout(super()._new_conn())

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as in urllib3
        _begin_answer(self.sock, self.timeout, self.answer_seconds)
        return super().getresponse()


class _UnverifiedConnection(_TlsConnection):
    def connect(self) -> None:
        super().connect()
        self.is_verified = True


def _make_pool_class(pool: type[_P], connection: type, answer_seconds: float) -> type[_P]:
    """Return a pool class whose connections keep to a time; urllib3 passes no settings but its own to them."""
    timed = type(connection.__name__, (connection,), {"answer_seconds": answer_seconds})
    return type(pool.__name__, (pool,), {"ConnectionCls": timed})
