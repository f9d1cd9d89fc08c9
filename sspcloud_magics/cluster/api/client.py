"""Questions to the API server: HTTPS in, JSON out, errors in words.

urllib3 (on which the ``kubernetes`` package stands, too) carries them. The package's typed models are
not used: a list of 500 pods takes 830 ms as models and 21 ms as JSON, its import 400 ms, and it can
take a client certificate from files only. A 401 makes one more try with renewed credentials. After a 403 the
server is asked whether it is ready, because one that starts refuses everything until it has read the rights.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import urlencode

import urllib3

from sspcloud_magics import fork_hooks
from sspcloud_magics._version import __version__
from sspcloud_magics.access import Access
from sspcloud_magics.bounded_json import TooMuch
from sspcloud_magics.cluster.api import api_errors, transport
from sspcloud_magics.cluster.api.resources import Attempt
from sspcloud_magics.cluster.api.transport import Answer
from sspcloud_magics.errors import ServerError
from sspcloud_magics.proxies import proxy_for
from sspcloud_magics.secret import HIDDEN, Secret, without_frames
from sspcloud_magics.tls import tls_context

_log = logging.getLogger(__name__)

_BUSY_SECONDS = 10.0
_ASK_AGAIN = 0.25
# No API server ends and starts again within this many seconds: if it was ready then, it is ready now.
_STAYS_READY = 0.5
# Where the server does not say whether it is ready, a 403 takes `Timings.starting`. Those after it need not.
_STAYS_BELIEVED = 60.0
_SERVER_ERROR = 500

_METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "delete": "DELETE",
    "update": "PUT",
}


@dataclass(frozen=True)
class Timings:
    """How long to wait for a server, in seconds."""

    connect: float = 10.0
    read: float = 30.0
    """For the next bytes of an answer; a list of thousands of objects takes a server some of them."""
    answer: float = transport.ANSWER_SECONDS
    """From a request to the last byte of its answer."""
    watch: float = 45.0
    """After which the server ends a watch: what stands between cuts silent connections after 60."""
    silence: float = 30.0
    """How much later than that a watch is given up."""
    starting: float = 10.0
    """For a server that starts."""


# The pools that forked children have inherited.
_parents: list[object] = []


class ApiClient:
    """The connections of one identity to one API server. Safe to use from several threads.

    Parameters
    ----------
    access
        Gives the access as it is now.
    renew_access
        Gives another access than the one that was refused, or raises `TokenExpired`.
    in_service
        Whether this is a notebook service inside the cluster: errors name the link that mends.
    timings
        How long to wait for the server; they may change between two requests.
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
        self._lock = threading.Lock()
        self._pool: urllib3.PoolManager | None = None
        self._pool_is_for: object = None
        # Until when a 403 is believed without asking: a request has just succeeded.
        self._ready_until = 0.0
        # The same, of a server that does not say whether it is ready, and has refused for long.
        self._believed_until = 0.0
        fork_hooks.begin_again(self)

    def begin_in_child(self) -> None:
        """Leave the connections to the parent process. They are kept: to close one takes locks that its threads may hold."""
        self._lock = threading.Lock()
        _parents.append(self._pool)
        self._pool = None

    @without_frames
    def ask(
        self,
        attempt: Attempt,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        own: bool = True,
    ) -> dict[str, Any]:
        """Make one request and return its answer.

        Parameters
        ----------
        attempt
            What to do.
        query
            Parameters of the URL.
        body
            The object to send; a `Secret` in it goes in clear, over TLS.
        own
            Whether the namespace is the caller's own: it decides the advice in an error.

        Returns
        -------
        dict
            The object that the server answered.

        Raises
        ------
        TokenExpired, Forbidden, NotFound, ServerError
            By the status of the answer.
        ServerUnreachable, CertificateNotTrusted
            If there was no answer.
        """
        answer, server = self._get_answer(attempt, query, body, own=own)
        try:
            return transport.json_object(answer.data)
        except TooMuch as error:
            raise api_errors.make_malformed_error(server, f"Its answer has {error}.") from None
        except ValueError:
            raise api_errors.no_api(answer.status, answer.headers.get("Content-Type", ""), server) from None

    @without_frames
    def watch(self, attempt: Attempt, version: str, *, own: bool = True) -> ResponseStream:
        """Begin to watch, and return the events as they come.

        Returns
        -------
        Stream
            It ends by itself, now and then, and goes on with the version of its last event.

        Raises
        ------
        TokenExpired, Forbidden, ServerError
            By the status of the answer.
        ServerUnreachable, CertificateNotTrusted
            If there was no answer.
        """
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": f"{self.timings.watch:.0f}",
        }
        answer, server = self._get_answer(attempt, query, None, own=own, stream=True)
        return ResponseStream(cast("urllib3.BaseHTTPResponse", answer), server)

    def _get_answer(
        self,
        attempt: Attempt,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        *,
        own: bool,
        stream: bool = False,
    ) -> tuple[Answer | urllib3.BaseHTTPResponse, str]:
        """Return an answer that is a success, and the server that gave it; for a stream its body is still to be read."""
        access = self._access()
        asked_at = time.monotonic()
        answer = self._ask_patiently(access, attempt, query, body, stream=stream)
        if answer.status == 401:
            access = self._renew_access(access)
            answer = self._ask_patiently(access, attempt, query, body, stream=stream)
        # A success that came after the question says nothing of the moment in which it was refused.
        believed = self._ready_until - _STAYS_READY <= asked_at < self._ready_until
        if answer.status == 403 and not believed:
            answer = self._ask_when_ready(access, attempt, query, body, answer, stream=stream)
        if 200 <= answer.status < 300:
            self._ready_until = time.monotonic() + _STAYS_READY
            return answer, access.server
        location = answer.headers.get("Location", "") if answer.status < 400 else ""
        raise api_errors.from_answer(
            answer.status,
            answer.headers.get("Content-Type", ""),
            _mask_token(answer.data, access.token),
            attempt,
            server=access.server,
            in_service=self._in_service,
            own=own,
            location=_mask_token(location.encode(), access.token).decode(),
        )

    def _ask_when_ready(
        self,
        access: Access,
        attempt: Attempt,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        refusal: Answer | urllib3.BaseHTTPResponse,
        *,
        stream: bool,
    ) -> Answer | urllib3.BaseHTTPResponse:
        """Ask again after a 403, which a server that starts gives to everybody, and return the answer to be believed.

        Raises
        ------
        ServerError
            If it is still starting after some seconds.
        """
        deadline = time.monotonic() + self.timings.starting
        answer = refusal
        while answer.status == 403 and time.monotonic() >= self._believed_until:
            said = self._look(access, "/readyz", _who(access))
            is_starting = said.status >= _SERVER_ERROR
            is_ready = said.status == 200 and said.data.strip() == b"ok"
            if time.monotonic() >= deadline and is_starting:
                raise ServerError(
                    "The API server is starting.",
                    why="It refuses everything until it has read the rights.",
                    hint="try again in a moment",
                )
            if is_ready:
                return self._ask_patiently(access, attempt, query, body, stream=stream)
            if not is_starting:
                # It does not tell: a server that refuses for so long does not start. The last refusal counts, since the
                # server may have been starting until now.
                is_late = time.monotonic() >= deadline
                answer = self._ask_patiently(access, attempt, query, body, stream=stream)
                if is_late:
                    if answer.status == 403:
                        self._believed_until = time.monotonic() + _STAYS_BELIEVED
                    break
            time.sleep(_ASK_AGAIN)
        return answer

    def look(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """Ask for a path without saying who one is, and return the status, the headers and the body.

        Raises
        ------
        ServerUnreachable, CertificateNotTrusted
            If there was no answer.
        """
        answer = self._look(self._access(), path, {})
        return answer.status, answer.headers, answer.data

    def _look(self, access: Access, path: str, headers: Mapping[str, str]) -> Answer:
        try:
            return transport.read(
                self._pool_for(access).request(
                    "GET",
                    access.server + path,
                    headers=headers,
                    timeout=self._timeout(),
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
            )
        except TooMuch as error:
            raise api_errors.make_malformed_error(access.server, f"Its answer has {error}.") from None
        except urllib3.exceptions.HTTPError as error:
            raise api_errors.from_transport(error, access.server) from None

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._pool is not None:
                # Its own `clear` leaves the closing to the garbage collector.
                for key in self._pool.pools.keys():  # noqa: SIM118 - it cannot be iterated over itself
                    self._pool.pools[key].close()
                self._pool.clear()
            self._pool, self._pool_is_for = None, None

    def _ask_patiently(
        self,
        access: Access,
        attempt: Attempt,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        *,
        stream: bool,
    ) -> Answer | urllib3.BaseHTTPResponse:
        """Make a request; again when a busy server says when, as long as that is soon (as client-go does)."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            answer = self._request(access, attempt, query, body, stream=stream)
            after = answer.headers.get("Retry-After", "")
            busy = answer.status == 429 or answer.status >= _SERVER_ERROR
            if not (busy and after.isascii() and after.isdigit()):
                return answer
            pause = max(float(after), _ASK_AGAIN)
            if time.monotonic() + pause > deadline:
                return answer
            time.sleep(pause)

    def _request(
        self,
        access: Access,
        attempt: Attempt,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        *,
        stream: bool = False,
    ) -> Answer | urllib3.BaseHTTPResponse:
        pool = self._pool_for(access)
        headers = {
            "Accept": "application/json",
            "User-Agent": f"sspcloud-magics/{__version__}",
            **_who(access),
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        url = access.server + attempt.path + (f"?{urlencode(query)}" if query else "")
        method = _METHODS[attempt.verb]
        tries = 2 if method == "GET" else 1
        while True:
            tries -= 1
            began = time.monotonic()
            try:
                answer = pool.request(
                    method,
                    url,
                    body=None if body is None else json.dumps(body, default=_in_clear),
                    headers=headers,
                    timeout=self._timeout(stream=stream),
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
                _log.debug(
                    "%s %s: %d after %.0f ms",
                    method,
                    attempt.path,
                    answer.status,
                    1000 * (time.monotonic() - began),
                )
                return answer if stream and answer.status == 200 else transport.read(answer)
            except TooMuch as error:
                raise api_errors.make_malformed_error(access.server, f"Its answer has {error}.") from None
            except urllib3.exceptions.ProtocolError as error:
                _log.info("%s %s: the connection broke (%s)", method, attempt.path, type(error).__name__)
                # A kept connection that the server closed while it was idle: once more, on a new one.
                if not tries:
                    raise api_errors.from_transport(error, access.server) from None
            except urllib3.exceptions.HTTPError as error:
                raise api_errors.from_transport(error, access.server) from None

    def _timeout(self, *, stream: bool = False) -> urllib3.Timeout:
        told = self.timings
        return urllib3.Timeout(connect=told.connect, read=told.watch + told.silence if stream else told.read)

    def _pool_for(self, access: Access) -> urllib3.PoolManager:
        # The pool outlives the token, which each request carries.
        key = replace(access, token=None), self.timings.answer
        with self._lock:
            if self._pool is None or key != self._pool_is_for:
                self._pool = _pool(access, self.timings.answer)
                self._pool_is_for = key
            return self._pool


class ResponseStream:
    """The events of a watch, as they come: each a dict with ``type`` and ``object``.

    Parameters
    ----------
    answer
        The answer whose body they are, one a line.
    server
        Who gives it.
    """

    def __init__(self, answer: urllib3.BaseHTTPResponse, server: str) -> None:
        self._answer = answer
        self._server = server
        self._closed = False
        self._process = os.getpid()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            for line in filter(None, transport.lines(self._answer)):
                yield self._event(line)
        except TooMuch as error:
            raise api_errors.make_malformed_error(self._server, f"It tells of a change in {error}.") from None
        except ValueError:
            if not self._closed:
                raise api_errors.make_malformed_error(
                    self._server, "It tells of changes in what cannot be read.", api_errors.Expired
                ) from None
        except (urllib3.exceptions.HTTPError, OSError, AttributeError):
            # Closed, or cut by what stands between: whoever asks for the next one is told where that fails, too.
            return
        finally:
            self._answer.close()

    def _event(self, line: bytes) -> dict[str, Any]:
        """Return the event that a line is, with its object."""
        try:
            event = transport.json_object(line)
        except TooMuch as error:
            why = f"It tells of a change in {error}."
            raise api_errors.make_malformed_error(self._server, why, api_errors.Expired) from None
        except ValueError:
            event = {}
        if not isinstance(event.get("object"), dict):
            raise api_errors.make_malformed_error(
                self._server, "It tells of changes in what is no event.", api_errors.Expired
            )
        return event

    def close(self) -> None:
        """End it, also while another thread waits for an event."""
        self._closed = True
        if self._process != os.getpid():  # a forked child: the conversation is the parent's
            return
        with suppress(ValueError, OSError):  # nothing to end any more
            self._answer.shutdown()


def _who(access: Access) -> dict[str, str]:
    said = access.authorization
    return {} if said is None else {"Authorization": said.reveal()}


def _in_clear(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _mask_token(data: bytes, token: Secret | None) -> bytes:
    """Return what a server says without the token that it was shown, should it say that back."""
    return data.replace(token.reveal().encode(), HIDDEN.encode()) if token else data


def _pool(access: Access, answer_seconds: float) -> urllib3.PoolManager:
    # As many connections are kept as threads may ask at once; urllib3 logs a warning for each beyond.
    settings: dict[str, Any] = {"maxsize": 16, "answer_seconds": answer_seconds}
    if access.is_encrypted and access.tls_server_name:
        settings["server_hostname"] = access.tls_server_name
    context = tls_context(access) if access.is_encrypted else None
    return transport.pool_manager(context, **settings, **transport.get_proxy_settings(proxy_for(access)))
