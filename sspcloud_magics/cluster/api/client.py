"""Client of the Kubernetes API: requests over HTTPS, JSON responses, and readable errors.

It uses urllib3, as the ``kubernetes`` package does, but not that package: there a list of 500 pods takes 830 ms as typed
models instead of 21 ms as JSON, the import takes 400 ms, and a client certificate must be in a file. After a 401, the client
retries once with renewed credentials. After a 403, it checks whether the server is ready: a starting server refuses
everything until it has loaded the RBAC rules.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import urlencode

import urllib3

from sspcloud_magics import fork_hooks
from sspcloud_magics._version import __version__
from sspcloud_magics.access import Access
from sspcloud_magics.bounded_json import LimitExceeded
from sspcloud_magics.cluster.api import api_errors, transport
from sspcloud_magics.cluster.api.resources import Attempt, parse_attempt
from sspcloud_magics.cluster.api.transport import Answer
from sspcloud_magics.errors import ClusterError, ServerError, TargetNotFound
from sspcloud_magics.i18n import _
from sspcloud_magics.proxies import proxy_for
from sspcloud_magics.secret import HIDDEN, Secret, without_frames
from sspcloud_magics.tls import tls_context

_log = logging.getLogger(__name__)

# How long to retry while a busy server sends Retry-After.
_BUSY_SECONDS = 10.0
# The shortest pause between two tries, in seconds.
_RETRY_PAUSE = 0.25
# After a success, a 403 is believed for this time: no API server restarts within so few seconds.
_STAYS_READY = 0.5
# If `/readyz` does not report readiness, the first 403 takes `Timings.starting`; later ones are believed for this time.
_STAYS_BELIEVED = 60.0
_SERVER_ERROR = 500

_METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "delete": "DELETE",
    "update": "PUT",
    "patch": "PATCH",
}
_JSON = "application/json"
# The text of a `Warning` header, as the API server sends it: RFC 7234, 5.5.
# YAML takes some of these for line ends, and refuses the others.
_ONLY_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Timings:
    """Timeouts of requests, in seconds."""

    connect: float = 10.0
    read: float = 30.0
    """Wait for the next bytes of a response; a server needs some seconds for a list of thousands of objects."""
    answer: float = transport.ANSWER_SECONDS
    """Total time from a request to the last byte of its response."""
    watch: float = 45.0
    """Duration of a watch, which the server ends: proxies cut silent connections after 60 seconds."""
    silence: float = 30.0
    """Additional wait before the client gives up a watch."""
    starting: float = 10.0
    """Wait for a server that is starting."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A request, and the attempt that describes it in errors."""

    attempt: Attempt
    method: str
    # With the query.
    path: str
    headers: Mapping[str, str]
    body: str | bytes | None = None
    stream: bool = False
    # A stream that may be silent for ever, such as a log: the server's end is its only end.
    endless: bool = False
    # Instead of `Timings`.
    timeout: urllib3.Timeout | None = None


# Pools inherited from the parent process, kept in a forked child so that they are never closed there.
_parents: list[object] = []


class ApiClient:
    """The connections of one identity to one API server. Safe to use from several threads.

    Parameters
    ----------
    access
        Returns the current access.
    renew_access
        Returns another access after one was refused, or raises `TokenExpired`.
    in_service
        Whether this is a notebook service inside the cluster: errors then link to a launch with another role.
    timings
        The timeouts; they may change between two requests.
    """

    def __init__(
        self,
        access: Callable[[], Access],
        renew_access: Callable[[Access], Access],
        *,
        in_service: bool = False,
        timings: Timings = Timings(),
    ) -> None:
        self.timings = timings
        self._access = access
        self._renew_access = renew_access
        self._in_service = in_service
        # Guards the pool and its key.
        self._lock = threading.Lock()
        # The connections; `_pool_for` replaces them when the access changes, except for its token.
        self._pool: urllib3.PoolManager | None = None
        self._pool_key: object = None
        # A 403 is believed until this time, because a request has just succeeded.
        self._ready_until = 0.0
        # A 403 is believed until this time, because the server refused for long and has no usable `/readyz`.
        self._believed_until = 0.0
        fork_hooks.register(self)

    def reset_in_child(self) -> None:
        """Leave the connections to the parent, unclosed: closing takes locks that a thread of the parent may hold."""
        self._lock = threading.Lock()
        _parents.append(self._pool)
        self._pool = None

    @without_frames
    def ask(
        self,
        attempt: Attempt,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | Sequence[Any] | None = None,
        own: bool = True,
        accept: str = _JSON,
        content_type: str = _JSON,
        warnings: list[str] | None = None,
    ) -> dict[str, Any]:
        """Send a request and return the response.

        Parameters
        ----------
        attempt
            The request.
        query
            Parameters of the URL.
        body
            The object to send; a `Secret` in it is sent in clear text, over TLS.
        own
            Whether the namespace is the caller's own, for the hint of an error.
        accept, content_type
            The representation of the response, such as a Table, and that of `body`, such as a patch; both are JSON.
        warnings
            A list to which the server's warnings are added.

        Returns
        -------
        dict
            The object in the response.

        Raises
        ------
        TokenExpired, Forbidden, NotFound, ServerError
            According to the status of the response.
        ServerUnreachable, CertificateNotTrusted
            If there was no response.
        """
        answer, server = self._get_answer(_make_request(attempt, query, body, accept, content_type), own=own)
        if warnings is not None:
            found = _WARNING.findall(answer.headers.get("Warning", ""))
            warnings += [re.sub(r"\\(.)", r"\1", text) for text in found]
        try:
            return transport.json_object(answer.data)
        except LimitExceeded as error:
            raise api_errors.make_malformed_error(server, _("Its answer has {error}.", error=error)) from None
        except ValueError:
            content_type = answer.headers.get("Content-Type", "")
            raise api_errors.make_foreign_error(answer.status, content_type, server) from None

    @without_frames
    def watch(self, attempt: Attempt, version: str) -> ResponseStream:
        """Start a watch, and return its stream of events.

        Returns
        -------
        ResponseStream
            The server ends it from time to time: start the next watch with the version of the last event.

        Raises
        ------
        TokenExpired, Forbidden, ServerError
            According to the status of the response.
        ServerUnreachable, CertificateNotTrusted
            If there was no response.
        """
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": f"{self.timings.watch:.0f}",
        }
        request = replace(_make_request(attempt, query), stream=True)
        answer, server = self._get_answer(request, own=True)
        return ResponseStream(cast("urllib3.BaseHTTPResponse", answer), server)

    @without_frames
    def exchange(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        endless: bool = False,
        timeout: urllib3.Timeout | None = None,
        own: bool = True,
    ) -> tuple[Answer | urllib3.BaseHTTPResponse, ClusterError | TargetNotFound | None]:
        """Send any request with the credentials, and return the response and the error that it means.

        Parameters
        ----------
        method, path, headers, body
            The request; the path has its query.
        endless
            Return a response with an unread body, which may be silent for ever. The caller closes it.
        timeout
            The timeouts, instead of `Timings`.
        own
            As for `ask`.

        Raises
        ------
        TokenExpired, ServerUnreachable, CertificateNotTrusted
            If there was no response, or no credentials that the server accepts.
        """
        attempt = parse_attempt(method, path)
        request = _Request(attempt, method, path, headers or {}, body, endless, endless, timeout)
        answer, access = self._ask(request)
        error = None if 200 <= answer.status < 300 else self._explain(answer, access, request, own=own)
        return answer, error

    def _get_answer(self, request: _Request, *, own: bool) -> tuple[Answer | urllib3.BaseHTTPResponse, str]:
        """Return a successful response and its server; the body of a stream is still unread."""
        answer, access = self._ask(request)
        if not 200 <= answer.status < 300:
            raise self._explain(answer, access, request, own=own)
        return answer, access.server

    def _ask(self, request: _Request) -> tuple[Answer | urllib3.BaseHTTPResponse, Access]:
        """Return the final response, after renewed credentials and a wait for a starting server, and its access."""
        access = self._access()
        asked_at = time.monotonic()
        answer = self._ask_patiently(access, request)
        if answer.status == 401:
            access = self._renew_access(access)
            answer = self._ask_patiently(access, request)
        # A success of another thread after this request was sent does not show that the server was ready then.
        believed = self._ready_until - _STAYS_READY <= asked_at < self._ready_until
        if answer.status == 403 and not believed:
            answer = self._ask_when_ready(access, request, answer)
        if 200 <= answer.status < 300:
            self._ready_until = time.monotonic() + _STAYS_READY
        return answer, access

    def _explain(
        self, answer: Answer | urllib3.BaseHTTPResponse, access: Access, request: _Request, *, own: bool
    ) -> ClusterError | TargetNotFound:
        """Return the error that an unsuccessful response means."""
        location = answer.headers.get("Location", "") if answer.status < 400 else ""
        return api_errors.from_answer(
            answer.status,
            answer.headers.get("Content-Type", ""),
            _mask_token(answer.data, access.token),
            request.attempt,
            server=access.server,
            in_service=self._in_service,
            own=own,
            location=_mask_token(location.encode(), access.token).decode(),
        )

    def _ask_when_ready(
        self, access: Access, request: _Request, refusal: Answer | urllib3.BaseHTTPResponse
    ) -> Answer | urllib3.BaseHTTPResponse:
        """Repeat a request that was answered 403 once the server is ready, and return the final response.

        A starting server answers 403 to every request.

        Raises
        ------
        ServerError
            If the server is still starting after `Timings.starting`.
        """
        deadline = time.monotonic() + self.timings.starting
        answer = refusal
        while answer.status == 403 and time.monotonic() >= self._believed_until:
            readyz = self._probe(access, "/readyz", _authorization_header(access))
            is_starting = readyz.status >= _SERVER_ERROR
            is_ready = readyz.status == 200 and readyz.data.strip() == b"ok"
            if time.monotonic() >= deadline and is_starting:
                raise ServerError(
                    _("The API server is starting."),
                    why=_("It refuses everything until it has loaded the permissions."),
                    hint=_("try again in a moment"),
                )
            if is_ready:
                return self._ask_patiently(access, request)
            if not is_starting:
                # Readiness is unknown. After the deadline a 403 is final, but only one from a last try: the server
                # may have been starting until now.
                is_late = time.monotonic() >= deadline
                answer = self._ask_patiently(access, request)
                if is_late:
                    if answer.status == 403:
                        self._believed_until = time.monotonic() + _STAYS_BELIEVED
                    break
            time.sleep(_RETRY_PAUSE)
        return answer

    def probe(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """Request a path without credentials; return the status, the headers and the body.

        Raises
        ------
        ServerUnreachable, CertificateNotTrusted
            If there was no response.
        """
        answer = self._probe(self._access(), path, {})
        return answer.status, answer.headers, answer.data

    def _probe(self, access: Access, path: str, headers: Mapping[str, str]) -> Answer:
        with _convert_errors(access.server):
            request = _Request(parse_attempt("GET", path), "GET", path, {})
            return cast("Answer", self._exchange(access, request, headers))

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._pool is not None:
                # `clear` alone leaves the closing to the garbage collector.
                for key in self._pool.pools.keys():  # noqa: SIM118 - the container itself is not iterable
                    self._pool.pools[key].close()
                self._pool.clear()
            self._pool, self._pool_key = None, None

    def _ask_patiently(self, access: Access, request: _Request) -> Answer | urllib3.BaseHTTPResponse:
        """Send a request, and repeat it when a busy server asks for that soon by Retry-After, as client-go does."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            answer = self._send(access, request)
            after = answer.headers.get("Retry-After", "")
            busy = answer.status == 429 or answer.status >= _SERVER_ERROR
            if not (busy and after.isascii() and after.isdigit()):
                return answer
            pause = max(float(after), _RETRY_PAUSE)
            if time.monotonic() + pause > deadline:
                return answer
            time.sleep(pause)

    def _send(self, access: Access, request: _Request) -> Answer | urllib3.BaseHTTPResponse:
        headers = {
            "Accept": _JSON,
            "User-Agent": f"sspcloud-magics/{__version__}",
            **request.headers,
            **_authorization_header(access),
        }
        with _convert_errors(access.server):
            try:
                return self._exchange(access, request, headers)
            except urllib3.exceptions.ProtocolError as error:
                path = request.path.partition("?")[0]
                _log.info("%s %s: the connection broke (%s)", request.method, path, type(error).__name__)
                if request.method != "GET":
                    raise
            # The server has closed an idle connection of the pool: retry on a new one.
            return self._exchange(access, request, headers)

    def _exchange(
        self, access: Access, request: _Request, headers: Mapping[str, str]
    ) -> Answer | urllib3.BaseHTTPResponse:
        began = time.monotonic()
        answer = self._pool_for(access).request(
            request.method,
            access.server + request.path,
            body=request.body,
            headers=headers,
            timeout=self._timeout(request),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        took = 1000 * (time.monotonic() - began)
        path = request.path.partition("?")[0]
        _log.debug("%s %s: %d after %.0f ms", request.method, path, answer.status, took)
        return answer if request.stream and answer.status == 200 else transport.read(answer)

    def _timeout(self, request: _Request) -> urllib3.Timeout:
        if request.timeout is not None:
            return request.timeout
        times = self.timings
        read = times.watch + times.silence if request.stream else times.read
        return urllib3.Timeout(connect=times.connect, read=None if request.endless else read)

    def _pool_for(self, access: Access) -> urllib3.PoolManager:
        # A new token does not need a new pool: each request carries the token.
        key = replace(access, token=None), self.timings.answer
        with self._lock:
            if self._pool is None or key != self._pool_key:
                self._pool = _make_pool(access, self.timings.answer)
                self._pool_key = key
            return self._pool


class ResponseStream:
    """Iterator over the events of a watch, dicts with ``type`` and ``object``, as they arrive.

    Parameters
    ----------
    answer
        The response; its body has one event per line.
    server
        The base URL of the server.
    """

    def __init__(self, answer: urllib3.BaseHTTPResponse, server: str) -> None:
        self._answer = answer
        self._server = server
        # Set by `close`; errors of a closed stream are expected.
        self._closed = False
        # The process that opened the stream.
        self._process = os.getpid()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            for line in filter(None, transport.lines(self._answer)):
                yield self._event(line)
        except LimitExceeded as error:
            raise api_errors.make_malformed_error(
                self._server, _("An event of its watch has {error}.", error=error)
            ) from None
        except ValueError:
            if not self._closed:
                raise api_errors.make_malformed_error(
                    self._server, _("An event of its watch cannot be read."), api_errors.Expired
                ) from None
        except (urllib3.exceptions.HTTPError, OSError, AttributeError):
            # Closed, or cut by a proxy: if the network is down, the next watch reports it.
            return
        finally:
            self._answer.close()

    def _event(self, line: bytes) -> dict[str, Any]:
        """Parse an event."""
        try:
            event = transport.json_object(line)
        except LimitExceeded as error:
            why = _("An event of its watch has {error}.", error=error)
            raise api_errors.make_malformed_error(self._server, why, api_errors.Expired) from None
        except ValueError:
            event = {}
        if not isinstance(event.get("object"), dict):
            raise api_errors.make_malformed_error(
                self._server, _("Its watch sends something that is not an event."), api_errors.Expired
            )
        return event

    def close(self) -> None:
        """Close the stream, even while another thread waits for an event."""
        self._closed = True
        if self._process != os.getpid():  # in a forked child, the connection belongs to the parent
            return
        with suppress(ValueError, OSError):  # it has already ended
            self._answer.shutdown()


@contextmanager
def _convert_errors(server: str) -> Iterator[None]:
    try:
        yield
    except LimitExceeded as error:
        raise api_errors.make_malformed_error(server, _("Its answer has {error}.", error=error)) from None
    except urllib3.exceptions.HTTPError as error:
        raise api_errors.from_transport(error, server) from None


def _authorization_header(access: Access) -> dict[str, str]:
    authorization = access.authorization
    return {} if authorization is None else {"Authorization": authorization.reveal()}


def _make_request(
    attempt: Attempt,
    query: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | Sequence[Any] | None = None,
    accept: str = _JSON,
    content_type: str = _JSON,
) -> _Request:
    headers = {"Accept": accept} | ({} if body is None else {"Content-Type": content_type})
    text = None if body is None else _to_json(body)
    path = attempt.path + (f"?{urlencode(query)}" if query else "")
    return _Request(attempt, _METHODS[attempt.verb], path, headers, text)


def _to_json(body: Mapping[str, Any] | Sequence[Any]) -> str:
    """Format JSON that is YAML too: the server reads an applied object as YAML, which has no escaped surrogates."""
    text = json.dumps(body, default=_reveal, ensure_ascii=False)
    # A lone surrogate is replaced, as in Go.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _ONLY_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _reveal(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _mask_token(data: bytes, token: Secret | None) -> bytes:
    """Hide the token in a response, in case the server echoes it."""
    return data.replace(token.reveal().encode(), HIDDEN.encode()) if token else data


def _make_pool(access: Access, answer_seconds: float) -> urllib3.PoolManager:
    # At least the number of threads that send requests at once; urllib3 logs a warning for each connection beyond it.
    settings: dict[str, Any] = {"maxsize": 16, "answer_seconds": answer_seconds}
    if access.is_encrypted and access.tls_server_name:
        settings["server_hostname"] = access.tls_server_name
    context = tls_context(access) if access.is_encrypted else None
    return transport.pool_manager(context, **settings, **transport.get_proxy_settings(proxy_for(access)))
