"""A minimal HTTP client for the helper: GET an object, watch a collection, upgrade to a tunnel.

Each request has its own connection: TCP, through CONNECT if a proxy is configured, then TLS; h11 speaks HTTP/1.1.
Tunnels are opened by the hundred, so upgrades take shortcuts. A TLS session is resumed from one connection to the
next, which saves both ends most of a handshake. The request is composed once, and only its key changes. An answer
that switches protocols is parsed here, all others by h11. Unsuccessful answers raise `StatusError`, which the caller
explains.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote, unquote, urlencode, urlsplit

import h11

from sspcloud_magics.access import Access
from sspcloud_magics.bounded_json import LimitExceeded, parse, too_large
from sspcloud_magics.errors import (
    CertificateNotTrusted,
    ServerUnreachable,
    UsageProblem,
    show_url,
)
from sspcloud_magics.i18n import _, quote_words
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.printable import shorten
from sspcloud_magics.proxies import Proxy, proxy_for
from sspcloud_magics.secret import HIDDEN
from sspcloud_magics.tls import tls_context
from sspcloud_magics.tunnel.protocols.handshake import Handshake
from sspcloud_magics.tunnel.stream import Stream, TlsStream
from sspcloud_magics.tunnel.timings import Timings

# Seconds for an answer, its body included.
ANSWER_TIMEOUT = 20.0
# Seconds for which a TLS session is reused.
_SESSION_LIFE = 600.0
_USER_AGENT = "sspcloud-magics"
# An upgrade is answered by the node too, which refuses clients that accept only JSON.
_ACCEPT = "application/json, */*"
_PLAIN_PORT, _TLS_PORT = 80, 443
_SERVER_ERROR = 500
_HUNG_UP = (h11.RemoteProtocolError, ConnectionResetError, BrokenPipeError)
_IN_PATHS = "/%:@!$&'()*+,;=~"
_ZONE = re.compile(r"%[^\]]*(?=\])")
_SWITCHING = b"HTTP/1.1 101"
# Limits in bytes. A collection is fetched for one target: some pods, of some KiB each; etcd keeps an object below 1.5 MiB.
_MAX_HEAD = 64 * 1024
_MAX_REFUSAL = 64 * 1024
_MAX_ANSWER = 32 << 20
_MAX_EVENT = 16 << 20
# As many JSON values as pods of that size have; a value takes some 100 bytes of memory.
_MAX_VALUES = 1_200_000


class StatusError(Exception):
    """An answer of the API server without success.

    Parameters
    ----------
    status
        The HTTP status.
    message
        The server's message.
    from_api
        Whether the message came in a ``Status`` object, as every message of an API server itself.
    retry_after
        The seconds of the header ``Retry-After``; None without it.
    """

    def __init__(
        self, status: int, message: str, *, from_api: bool = False, retry_after: int | None = None
    ) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.from_api = from_api
        self.retry_after = retry_after


def describe_for_log(error: Exception) -> str:
    """Describe a failure in English, since the texts of errors are in the language of the user."""
    text = f"StatusError {error.status}" if isinstance(error, StatusError) else ""  # not translated: a log
    return text or type(error).__name__


class _Malformed(Exception):
    """An answer that no API server would give; the text says why, and quotes nothing of it."""


class NoAnswer(Exception):
    """A reachable server gave no HTTP answer to an upgrade.

    Parameters
    ----------
    error
        The error for the user.
    hung_up
        Whether it closed the connection instead, as a server does that is shutting down.
    """

    def __init__(self, error: ServerUnreachable, *, hung_up: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.hung_up = hung_up


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A connection after the upgrade; `first` is the data that the server has already sent in the new protocol."""

    stream: Stream
    first: bytes


class _Chunks:
    """A `Receiver` that a coroutine reads from, for requests with little data."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        # The bytes that were received and not read yet.
        self._chunks: list[bytes] = []
        # Whether the server has closed, or the connection broke.
        self.over = False
        self._error: OSError | None = None
        self._waiter: asyncio.Future[None] | None = None
        stream.start(self)

    async def read(self) -> bytes:
        """Return the next bytes; empty at the end."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.over:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self.over:
            self._stream.resume()
        return self.take()

    def take(self) -> bytes:
        """Return all bytes that were received and not read."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data

    def on_data(self, data: memoryview) -> None:
        self._chunks.append(bytes(data))
        self._stream.pause()
        self._wake()

    def on_end(self) -> None:
        self.over = True
        self._wake()

    def on_loss(self, error: OSError) -> None:
        self.over, self._error = True, error
        self._wake()

    def on_drain(self) -> None:
        """Ignore it: requests are small."""

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Client:
    """An HTTP client for one API server, with one `Access`.

    Parameters
    ----------
    access
        The server and the credentials.
    timings
        `Timings.tls_timeout` limits the TLS handshake.
    """

    def __init__(self, access: Access, timings: Timings = Timings()) -> None:  # noqa: B008 - frozen
        url = urlsplit(access.server)
        self._secure = access.is_encrypted
        # An IPv6 address may have a zone, which means something only on this machine (RFC 6874); its % is %25 in a URL.
        self._host = unquote(url.hostname or "")
        self._name = access.tls_server_name or self._host.partition("%")[0]
        self._port = url.port or (_TLS_PORT if self._secure else _PLAIN_PORT)
        # A path prefix, as Rancher has it: unchanged from the configuration, percent signs included.
        self._base = quote(url.path.rstrip("/"), safe=_IN_PATHS)
        self._authority = _ZONE.sub("", url.netloc.rpartition("@")[2])
        self._access = access
        self._handshake_timeout = timings.tls_timeout
        self._context: ssl.SSLContext | None = None
        self._session: ssl.SSLSession | None = None
        self._session_until = 0.0
        # The last upgrade: what identifies it, its key, and the bytes of the request.
        self._upgrade: tuple[tuple[str, ...], bytes, bytes] | None = None
        self.date = ""
        """The ``Date`` header of the last answer; may be empty."""

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the JSON object at `path`; raises `StatusError` or `ServerUnreachable`."""
        with self._explain_errors():
            try:
                body = await self._read(path, query or {})
            except _HUNG_UP:
                body = await self._read(path, query or {})
            return _object(body)

    async def is_ready(self) -> bool | None:
        """Return whether the API server reports that it is ready; None if it has no ``/readyz``; raise if it is unreachable."""
        try:
            with self._explain_errors():
                body = await self._read("/readyz", {})
        except StatusError as error:
            return False if error.status >= _SERVER_ERROR else None
        return True if body.strip() == b"ok" else None

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[dict[str, Any]]:
        """Yield the events of a watch as they arrive, until the server ends it."""
        with self._explain_errors():
            async with self._request(path, {**query, "watch": "true"}) as pieces:
                begun = bytearray()
                async for piece in pieces:
                    first, *others = piece.split(b"\n")
                    begun += first
                    if others:
                        for line in (bytes(begun), *others[:-1]):
                            if line.strip():
                                yield _event(line)
                        begun = bytearray(others[-1])
                    if len(begun) > _MAX_EVENT:
                        raise _Malformed(_("an event has {error}", error=too_large(_MAX_EVENT)))

    async def upgrade(
        self,
        path: str,
        query: Mapping[str, str],
        handshake: Handshake,
        answer_within: float = ANSWER_TIMEOUT,
    ) -> Upgraded:
        """Upgrade a new connection to another protocol.

        Raises
        ------
        ServerUnreachable, CertificateNotTrusted
            If there is no connection.
        StatusError, ProtocolError, NoAnswer
            If the server refuses, or does not answer within `answer_within` seconds.
        """
        with self._explain_errors():
            async with asyncio.timeout(ANSWER_TIMEOUT):
                stream = await self._connect()
        head = b""
        hung_up = False
        try:
            chunks = _Chunks(stream)
            with self._explain_errors():
                async with asyncio.timeout(answer_within):
                    stream.write(self._upgrade_request(path, query, handshake))
                    try:
                        head, first = await _head(chunks)
                    finally:
                        hung_up = not head and chunks.over
                    if not head.startswith(_SWITCHING):
                        await self._raise_refusal(head + first, chunks)
            handshake.check(_headers(head))
        except ServerUnreachable as error:
            stream.close()
            raise NoAnswer(error, hung_up=hung_up) from None
        except BaseException:
            stream.close()
            raise
        self._remember(stream)
        return Upgraded(stream, first + chunks.take())

    def _upgrade_request(self, path: str, query: Mapping[str, str], handshake: Handshake) -> bytes:
        """Return the request for an upgrade: the last one with a new key, if the rest is the same."""
        key = handshake.key.encode()
        what = (
            path,
            urlencode(query),
            *(value for _unused, value in handshake.headers if value != handshake.key),
        )
        if self._upgrade is None or self._upgrade[0] != what:
            _unused, request = self._compose(path, query, [*handshake.headers], handshake.method)
            self._upgrade = what, key, request
        _connection, old_key, request = self._upgrade
        return request.replace(old_key, key, 1) if key else request

    async def _read(self, path: str, query: Mapping[str, str]) -> bytearray:
        body = bytearray()
        async with asyncio.timeout(ANSWER_TIMEOUT), self._request(path, query) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > _MAX_ANSWER:
                    raise _Malformed(_("the answer has {error}", error=too_large(_MAX_ANSWER)))
        return body

    @asynccontextmanager
    async def _request(self, path: str, query: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a GET request, and yield the pieces of a successful answer's body."""
        async with asyncio.timeout(ANSWER_TIMEOUT):
            stream = await self._connect()
            try:
                chunks = _Chunks(stream)
                http, request = self._compose(path, query, [("Connection", "close")])
                stream.write(request)
                answer = await _next_event(http, chunks)
                self.date = dict(answer.headers).get(b"date", b"").decode("latin-1")
                if answer.status_code != 200:
                    await self._raise_status(answer, _body(http, chunks))
            except BaseException:
                stream.close()
                raise
        self._remember(stream)
        try:
            yield _body(http, chunks)
        finally:
            stream.close()

    async def _raise_refusal(self, received: bytes, chunks: _Chunks) -> NoReturn:
        """Read the answer to a refused upgrade, and raise it as `StatusError`."""
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=1024 * 1024)
        http.send(h11.Request(method="GET", target="/", headers=[("Host", "-")]))
        http.send(h11.EndOfMessage())
        http.receive_data(received)
        answer = await _next_event(http, chunks)
        await self._raise_status(answer, _body(http, chunks))

    async def _raise_status(self, answer: h11.Response, body: AsyncIterator[bytes]) -> NoReturn:
        text = b""
        async for piece in body:
            text += piece
            if len(text) > _MAX_REFUSAL:
                break
        text = self._without_token(text)
        try:
            found = parse(text)
            message, from_api = shorten(str(found["message"])), found.get("kind") == "Status"
        except (ValueError, KeyError, TypeError, AttributeError):
            message, from_api = text[:500].decode(errors="replace").strip(), False
        headers = dict(answer.headers)
        if 300 <= answer.status_code < 400:
            to = show_url(self._without_token(headers.get(b"location", b"")).decode("utf-8", "replace"))
            message = _("It redirects to {url}", url=shorten(to))
        after = headers.get(b"retry-after", b"")
        retry_after = int(after) if after.isdigit() and len(after) < 10 else None
        raise StatusError(answer.status_code, message, from_api=from_api, retry_after=retry_after)

    def _without_token(self, said: bytes) -> bytes:
        """Return a server's text without the token, in case the server echoes it."""
        token = self._access.token
        return said.replace(token.reveal().encode(), HIDDEN.encode()) if token else said

    def _compose(
        self, path: str, query: Mapping[str, str], headers: list[tuple[str, str]], method: str = "GET"
    ) -> tuple[h11.Connection, bytes]:
        """Return the parser for the answer, and the bytes of a request without a body."""
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=1024 * 1024)
        target = self._base + quote(path) + (f"?{urlencode(query)}" if query else "")
        if (authorization := self._access.authorization) is not None:
            headers = [*headers, ("Authorization", authorization.reveal())]
        common = [("Host", self._authority), ("Accept", _ACCEPT), ("User-Agent", _USER_AGENT)]
        request = h11.Request(method=method, target=target, headers=[*common, *headers])
        return http, (http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b"")

    def _remember(self, stream: Stream) -> None:
        # Reading a session from OpenSSL costs half as much as a handshake, so it is done once in the session's life.
        now = time.monotonic()
        if isinstance(stream, TlsStream) and now > self._session_until:
            self._session, self._session_until = stream.session, now + _SESSION_LIFE

    async def _connect(self) -> Stream:
        loop = asyncio.get_running_loop()
        proxy = proxy_for(self._access)
        if proxy is None:
            sock = await _connect_tcp(self._host, self._port)
        else:
            sock = await self._connect_through(proxy)
        if not self._secure:
            return Stream(sock, loop)
        try:
            if self._context is None:
                self._context = tls_context(self._access)
            stream = TlsStream(sock, loop, self._context, self._name, self._session)
        except BaseException:
            sock.close()
            raise
        try:
            async with asyncio.timeout(self._handshake_timeout):
                await stream.handshake()
        except BaseException:
            stream.close()
            raise
        return stream

    async def _connect_through(self, proxy: Proxy) -> socket.socket:
        if proxy.scheme != "http":
            raise UsageProblem(
                _("The proxy {proxy} is not supported.", proxy=proxy),
                why=_("Only proxies that speak plain HTTP (http://HOST:PORT) are supported."),
                hint=_("set HTTPS_PROXY to such a proxy, or NO_PROXY to the cluster's host"),
            )
        loop = asyncio.get_running_loop()
        sock = await _connect_tcp(proxy.host, proxy.port)
        try:
            host = f"[{self._host}]" if ":" in self._host else self._host
            headers = [("Host", f"{host}:{self._port}"), ("User-Agent", _USER_AGENT)]
            if proxy.authorization is not None:
                headers.append(("Proxy-Authorization", proxy.authorization.reveal()))
            http = h11.Connection(h11.CLIENT)
            request = h11.Request(method="CONNECT", target=f"{host}:{self._port}", headers=headers)
            await loop.sock_sendall(sock, http.send(request) or b"")
            answer: Any
            while (answer := http.next_event()) is h11.NEED_DATA:
                # A byte at a time, because everything after the answer's empty line belongs to TLS.
                http.receive_data(await loop.sock_recv(sock, 1))
        except h11.RemoteProtocolError:
            sock.close()
            raise ServerUnreachable(
                _("The proxy {host} does not speak plain HTTP.", host=proxy.host),
                why=_("It may speak TLS, which tunnels do not support."),
                hint=_("set HTTPS_PROXY to a proxy that speaks plain HTTP: http://HOST:PORT"),
            ) from None
        except BaseException:
            sock.close()
            raise
        if not 200 <= answer.status_code < 300:
            sock.close()
            raise ServerUnreachable(
                _(
                    "The proxy {host} does not connect to {authority}.",
                    host=proxy.host,
                    authority=self._authority,
                ),
                why=_("It answered {status}.", status=answer.status_code),
                hint=_("check HTTPS_PROXY and NO_PROXY"),
            )
        return sock

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        """Turn the failures of a connection into errors for the user."""
        what = _("The API server {authority} cannot be reached.", authority=self._authority)
        hint = _("check the network (VPN, proxy), then try again")
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise CertificateNotTrusted(
                _("The certificate of the API server {authority} is not trusted.", authority=self._authority),
                why=_("{reason}.", reason=error.verify_message.rstrip(".")),
                hint=_("log in again with a fresh configuration, which has the right certificate authority"),
            ) from None
        except TimeoutError:
            raise ServerUnreachable(what, why=_("It does not answer in time."), hint=hint) from None
        except OSError as error:
            raise ServerUnreachable(what, why=_reason(error), hint=hint) from None
        except (h11.RemoteProtocolError, _Malformed) as error:
            words = quote_words(str(error)) if isinstance(error, h11.RemoteProtocolError) else error
            why = _("It does not answer like an API server: {error}", error=words)
            raise ServerUnreachable(what, why=why, hint=_("check the server's address")) from None


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return _("Its name cannot be resolved: {reason}.", reason=error.strerror)
    return system_reason(error)


async def _connect_tcp(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        addresses: list[Any] = [(family, (host, port))]
    except ValueError:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [(entry[0], entry[4]) for entry in found]
    last: OSError = OSError("the name has no address")
    for position, (family, address) in enumerate(addresses):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            if position == len(addresses) - 1:
                await loop.sock_connect(sock, address)
            else:
                # One of a host's two address families may be a black hole, which must not use up the whole timeout.
                async with asyncio.timeout(2.0):
                    await loop.sock_connect(sock, address)
        except OSError as error:
            last = error
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
    raise last


async def _head(chunks: _Chunks) -> tuple[bytes, bytes]:
    """Return the head of an answer and the data after it; at the end or the limit, the head may be incomplete."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0 and len(received) < _MAX_HEAD:
        data = await chunks.read()
        if not data:
            return received, b""
        received += data
    end = len(received) if end < 0 else end + 4
    return received[:end], received[end:]


def _headers(head: bytes) -> dict[str, str]:
    """Return the headers of a well-formed head, with their names in lower case."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _unused, value in pairs}


async def _next_event(http: h11.Connection, chunks: _Chunks) -> Any:
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await chunks.read())
    return event


async def _body(http: h11.Connection, chunks: _Chunks) -> AsyncIterator[bytes]:
    while isinstance(event := await _next_event(http, chunks), h11.Data):
        yield bytes(event.data)


def _object(text: bytes | bytearray) -> dict[str, Any]:
    """Parse a Kubernetes object, or a list of objects."""
    try:
        found = parse(text, _MAX_VALUES)
        items = found.get("items") or ()
        # Every object has these fields, and later readers rely on them.
        is_object = isinstance(found.get("metadata") or {}, dict) and all(
            isinstance(item["metadata"]["name"], str) for item in items
        )
    except LimitExceeded as error:
        raise _Malformed(_("the answer has {error}", error=error)) from None
    except (AttributeError, KeyError, TypeError, ValueError):
        is_object = False
    if not is_object:
        raise _Malformed(_("the answer is not a Kubernetes object in JSON"))
    checked: dict[str, Any] = found
    return checked


def _event(line: bytes) -> dict[str, Any]:
    """Parse an event of a watch."""
    try:
        found = parse(line, _MAX_VALUES)
        changed = found["object"]
        is_event = changed.get("kind") == "Status" or isinstance(changed["metadata"], dict)
        is_event = is_event and isinstance(found["type"], str)
    except LimitExceeded as error:
        raise _Malformed(_("an event has {error}", error=error)) from None
    except (AttributeError, KeyError, TypeError, ValueError):
        is_event = False
    if not is_event:
        raise _Malformed(_("a line of the watch is not an event"))
    checked: dict[str, Any] = found
    return checked
