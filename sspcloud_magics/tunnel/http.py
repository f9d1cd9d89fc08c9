"""The little HTTP that the helper needs: GET an object, watch a collection, upgrade to a tunnel.

One connection a request, over TCP, through a proxy's CONNECT where one is named, TLS on top; h11 speaks
HTTP/1.1. Tunnels are opened by the hundred, so they get the short way: a TLS session is resumed from one connection
to the next, which spares both ends most of a handshake; the request is composed once and differs in its key;
and an answer that switches protocols is read here, all others by h11. Answers that are no success are raised as
`StatusError`, and whoever asked says what they mean.
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
from sspcloud_magics.bounded_json import TooMuch, parse
from sspcloud_magics.errors import CertificateNotTrusted, ServerUnreachable, UsageProblem, show_url
from sspcloud_magics.printable import shorten
from sspcloud_magics.proxies import Proxy, proxy_for
from sspcloud_magics.secret import HIDDEN
from sspcloud_magics.tls import tls_context
from sspcloud_magics.tunnel.protocols.handshake import Handshake
from sspcloud_magics.tunnel.stream import Stream, TlsStream
from sspcloud_magics.tunnel.timings import Timings

ANSWER_TIMEOUT = 20.0
_SESSION_LIFE = 600.0
_USER_AGENT = "sspcloud-magics"
# The node takes part in the answer to an upgrade, and refuses whoever takes nothing but JSON.
_ACCEPT = "application/json, */*"
_PLAIN_PORT, _TLS_PORT = 80, 443
_SERVER_ERROR = 500
_HUNG_UP = (h11.RemoteProtocolError, ConnectionResetError, BrokenPipeError)
_IN_PATHS = "/%:@!$&'()*+,;=~"
_ZONE = re.compile(r"%[^\]]*(?=\])")
_SWITCHING = b"HTTP/1.1 101"
_LONGEST_HEAD = 64 * 1024
_LONGEST_REFUSAL = 64 * 1024
# A collection is fetched for one target: some pods, of some KiB each. etcd keeps an object below 1.5 MiB.
_LONGEST_ANSWER = 32 << 20
_LONGEST_EVENT = 16 << 20
# As many as pods of that size have; a value takes some 100 bytes of memory.
_MOST_VALUES = 1_200_000


class StatusError(Exception):
    """The API server answered, and not with a success.

    Parameters
    ----------
    status
        The HTTP status.
    message
        What it said.
    from_api
        Whether that stood in a ``Status`` object, as all that an API server itself says.
    retry_after
        After how many seconds it wants to be asked again; None where it does not say.
    """

    def __init__(
        self, status: int, message: str, *, from_api: bool = False, retry_after: int | None = None
    ) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.from_api = from_api
        self.retry_after = retry_after


class _Malformed(Exception):
    """What came is not what an API server answers; the text says why, and quotes nothing of it."""


class NoAnswer(Exception):
    """The server was reached, and gave no answer of HTTP to an upgrade.

    Parameters
    ----------
    error
        What to tell the user.
    hung_up
        Whether it closed the connection instead, as a server that is about to end does.
    """

    def __init__(self, error: ServerUnreachable, *, hung_up: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.hung_up = hung_up


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A connection that speaks another protocol now; `first` is what the server has said in it already."""

    stream: Stream
    first: bytes


class _Chunks:
    """A `Receiver` that lets a coroutine read, for the requests that carry little."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._chunks: list[bytes] = []
        # Whether nothing comes any more.
        self.over = False
        self._error: OSError | None = None
        self._waiter: asyncio.Future[None] | None = None
        stream.start(self)

    async def read(self) -> bytes:
        """Return the next bytes; none at the end."""
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
        """Return what has been received and not read."""
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
        """Nothing waits for it: requests are small."""

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Client:
    """HTTP to one API server with one `Access`.

    Parameters
    ----------
    access
        The server and the credentials.
    timings
        How long a handshake may take.
    """

    def __init__(self, access: Access, timings: Timings = Timings()) -> None:  # noqa: B008 - frozen
        url = urlsplit(access.server)
        self._secure = access.is_encrypted
        # An IPv6 address may have a zone, which only this machine understands (RFC 6874); a URL writes its % as %25.
        self._host = unquote(url.hostname or "")
        self._name = access.tls_server_name or self._host.partition("%")[0]
        self._port = url.port or (_TLS_PORT if self._secure else _PLAIN_PORT)
        # As it stands in the configuration, percent signs too; a path prefix is Rancher's.
        self._base = quote(url.path.rstrip("/"), safe=_IN_PATHS)
        self._authority = _ZONE.sub("", url.netloc.rpartition("@")[2])
        self._access = access
        self._handshake_timeout = timings.handshake
        self._context: ssl.SSLContext | None = None
        self._session: ssl.SSLSession | None = None
        self._session_until = 0.0
        # The last upgrade that was asked for: what, with which key, and in which bytes.
        self._upgrade: tuple[tuple[str, ...], bytes, bytes] | None = None
        self.date = ""
        """The server's time at its last answer, as it wrote it; empty where it says none."""

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the JSON object at `path`; raises `StatusError` or `ServerUnreachable`."""
        with self._explain_errors():
            try:
                body = await self._read(path, query or {})
            except _HUNG_UP:
                body = await self._read(path, query or {})
            return _object(body)

    async def is_ready(self) -> bool | None:
        """Return whether the API server says that it is ready; None where it cannot be asked.

        Raises
        ------
        ServerUnreachable, CertificateNotTrusted
            If there is no answer.
        """
        try:
            with self._explain_errors():
                body = await self._read("/readyz", {})
        except StatusError as error:
            return False if error.status >= _SERVER_ERROR else None
        return True if body.strip() == b"ok" else None

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[dict[str, Any]]:
        """Yield the events of a watch as they come, until the server ends it."""
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
                    if len(begun) > _LONGEST_EVENT:
                        raise _Malformed(f"it tells of a change in more than {_LONGEST_EVENT >> 20} MiB")

    async def upgrade(
        self,
        path: str,
        query: Mapping[str, str],
        handshake: Handshake,
        answer_within: float = ANSWER_TIMEOUT,
    ) -> Upgraded:
        """Have a fresh connection speak another protocol.

        Raises
        ------
        ServerUnreachable, CertificateNotTrusted
            If there is no connection.
        StatusError, ProtocolError, NoAnswer
            If the server refuses, or does not answer within that many seconds.
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
        """Return a request for an upgrade: the last one with another key, if it was for the same."""
        key = handshake.key.encode()
        what = (path, urlencode(query), *(value for _, value in handshake.headers if value != handshake.key))
        if self._upgrade is None or self._upgrade[0] != what:
            _, request = self._compose(path, query, [*handshake.headers], handshake.method)
            self._upgrade = what, key, request
        _, old_key, request = self._upgrade
        return request.replace(old_key, key, 1) if key else request

    async def _read(self, path: str, query: Mapping[str, str]) -> bytearray:
        body = bytearray()
        async with asyncio.timeout(ANSWER_TIMEOUT), self._request(path, query) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > _LONGEST_ANSWER:
                    raise _Malformed(f"its answer has more than {_LONGEST_ANSWER >> 20} MiB")
        return body

    @asynccontextmanager
    async def _request(self, path: str, query: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a GET; give the pieces of the body of a success."""
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
        """Read the answer to an upgrade that was not granted, and raise what it says."""
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
            if len(text) > _LONGEST_REFUSAL:
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
            message = f"It redirects to {shorten(to)}"
        after = headers.get(b"retry-after", b"")
        retry_after = int(after) if after.isdigit() and len(after) < 10 else None
        raise StatusError(answer.status_code, message, from_api=from_api, retry_after=retry_after)

    def _without_token(self, said: bytes) -> bytes:
        """Return what a server says without the token that it was shown, should it say that back."""
        token = self._access.token
        return said.replace(token.reveal().encode(), HIDDEN.encode()) if token else said

    def _compose(
        self, path: str, query: Mapping[str, str], headers: list[tuple[str, str]], method: str = "GET"
    ) -> tuple[h11.Connection, bytes]:
        """Return a request without a body, and who reads the answer to it."""
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=1024 * 1024)
        target = self._base + quote(path) + (f"?{urlencode(query)}" if query else "")
        if (authorization := self._access.authorization) is not None:
            headers = [*headers, ("Authorization", authorization.reveal())]
        common = [("Host", self._authority), ("Accept", _ACCEPT), ("User-Agent", _USER_AGENT)]
        request = h11.Request(method=method, target=target, headers=[*common, *headers])
        return http, (http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b"")

    def _remember(self, stream: Stream) -> None:
        # To take a session out of OpenSSL costs as much as half a handshake: once in its life is enough.
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
                f"The proxy {proxy} cannot be used.",
                why="Only proxies that are reached by plain HTTP (http://HOST:PORT) are supported.",
                hint="set HTTPS_PROXY to such a proxy, or NO_PROXY to the cluster's host",
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
                # A byte at a time: what follows the answer's empty line belongs to TLS.
                http.receive_data(await loop.sock_recv(sock, 1))
        except h11.RemoteProtocolError:
            sock.close()
            raise ServerUnreachable(
                f"The proxy {proxy.host} does not speak plain HTTP.",
                why="It may speak TLS, which tunnels cannot go through.",
                hint="set HTTPS_PROXY to a proxy that is reached by http://HOST:PORT",
            ) from None
        except BaseException:
            sock.close()
            raise
        if not 200 <= answer.status_code < 300:
            sock.close()
            raise ServerUnreachable(
                f"The proxy {proxy.host} does not lead to {self._authority}.",
                why=f"It answered {answer.status_code}.",
                hint="check HTTPS_PROXY and NO_PROXY",
            )
        return sock

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        """Turn what can go wrong on the way to the server into errors that say so."""
        what = f"The API server {self._authority} cannot be reached."
        hint = "check the network (VPN, proxy), then try again"
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise CertificateNotTrusted(
                f"The certificate of the API server {self._authority} is not trusted.",
                why=error.verify_message,
                hint="log in again with a fresh configuration, which brings the right certificate authority",
            ) from None
        except TimeoutError:
            raise ServerUnreachable(what, why="It does not answer in time.", hint=hint) from None
        except OSError as error:
            raise ServerUnreachable(what, why=_reason(error), hint=hint) from None
        except (h11.RemoteProtocolError, _Malformed) as error:
            why = f"It does not answer as an API server does: {error}"
            raise ServerUnreachable(what, why=why, hint="check the server's address") from None


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"Its name is not known here: {error.strerror}."
    return f"{error.strerror or error}."


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
                # A host with two families of which one is a black hole must not cost the whole time.
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
    """Return the head of an answer, and what has come after it; at the end or after too much, what there is."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0 and len(received) < _LONGEST_HEAD:
        data = await chunks.read()
        if not data:
            return received, b""
        received += data
    end = len(received) if end < 0 else end + 4
    return received[:end], received[end:]


def _headers(head: bytes) -> dict[str, str]:
    """Return the headers of a well-formed head, their names in lower case."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _next_event(http: h11.Connection, chunks: _Chunks) -> Any:
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await chunks.read())
    return event


async def _body(http: h11.Connection, chunks: _Chunks) -> AsyncIterator[bytes]:
    while isinstance(event := await _next_event(http, chunks), h11.Data):
        yield bytes(event.data)


def _object(text: bytes | bytearray) -> dict[str, Any]:
    """Return the object of Kubernetes that a text is, or a list of such objects."""
    try:
        found = parse(text, _MOST_VALUES)
        items = found.get("items") or ()
        # What every object has: those who read them further on rely on it.
        is_object = isinstance(found.get("metadata") or {}, dict) and all(
            isinstance(item["metadata"]["name"], str) for item in items
        )
    except TooMuch as error:
        raise _Malformed(f"its answer has {error}") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        is_object = False
    if not is_object:
        raise _Malformed("it is no object of Kubernetes in JSON")
    checked: dict[str, Any] = found
    return checked


def _event(line: bytes) -> dict[str, Any]:
    """Return the event of a watch that a line is."""
    try:
        found = parse(line, _MOST_VALUES)
        changed = found["object"]
        is_event = changed.get("kind") == "Status" or isinstance(changed["metadata"], dict)
        is_event = is_event and isinstance(found["type"], str)
    except TooMuch as error:
        raise _Malformed(f"it tells of a change in {error}") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        is_event = False
    if not is_event:
        raise _Malformed("it tells of a change in what is no event")
    checked: dict[str, Any] = found
    return checked
