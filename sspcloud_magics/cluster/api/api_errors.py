"""What the API server refuses, and what keeps one from reaching it, as errors with a next step.

The one place where answers of HTTP, of TLS and of the network become the errors of
`sspcloud_magics.errors`.
"""

from __future__ import annotations

import re
import socket
import ssl
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, Protocol
from urllib.parse import quote

import urllib3

from sspcloud_magics.cluster.api.resources import Attempt
from sspcloud_magics.cluster.api.transport import json_object
from sspcloud_magics.errors import (
    CertificateNotTrusted,
    ClusterError,
    Forbidden,
    ServerError,
    ServerUnreachable,
    TargetNotFound,
    TokenExpired,
    show_url,
)
from sspcloud_magics.printable import shorten

LAUNCHER = (
    "https://datalab.sspcloud.fr/launcher/ide/jupyter-python?autoLaunch=false&kubernetes.role=%C2%AB{}%C2%BB"
)

ANONYMOUS = "system:anonymous"
"""Whom a server takes one for that has shown no credentials, or none that it knows."""

# What the roles of a notebook service lack, the weakest role that has it first (view is the least).
_NEEDS_ADMIN = frozenset({"roles", "rolebindings"})
_IN_VIEW = frozenset({"get", "list", "watch"})
_NOT_IN_VIEW = frozenset({"secrets"})

# What an admission plugin says, and RBAC never does.
_ADMISSION = re.compile(
    r"is forbidden: (exceeded quota|failed quota|violates PodSecurity|(maximum|minimum) \S+ usage per)"
)

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (
        urllib3.exceptions.ProxyError,
        "The proxy of HTTPS_PROXY or proxy-url does not let it through, or cannot be reached.",
    ),
    (urllib3.exceptions.NameResolutionError, "Its name is not known here."),
    (socket.gaierror, "Its name is not known here."),
    (ConnectionRefusedError, "Nothing listens there (connection refused)."),
    (urllib3.exceptions.ReadTimeoutError, "It took the request, and did not answer in time."),
    (TimeoutError, "Nothing answered in time."),
)
"""The first kind that lies anywhere under a failure says why."""


class NotFound(TargetNotFound):
    """The server has no object of that name (404)."""


class Expired(ServerError):
    """A list has to be asked for again: its pages are not kept any longer (410), or its watch cannot be read."""


class Conflict(ServerError):
    """Somebody else has made or changed the object in the meantime (409)."""


_SERVER_ERRORS: dict[int, tuple[str, type[ServerError], str]] = {
    409: ("Somebody else has changed it in the meantime (409).", Conflict, "try again"),
    410: ("The list has changed too much since its first page (410).", Expired, ""),
    429: ("The API server is busy (429).", ServerError, "wait a moment, then try again"),
}


def relaunch_link(attempt: Attempt) -> str:
    """Return the link that launches a notebook service with a role that allows `attempt`."""
    plural = attempt.resource.plural
    if plural in _NEEDS_ADMIN:
        role = "admin"
    elif attempt.verb in _IN_VIEW and plural not in _NOT_IN_VIEW and not attempt.subresource:
        role = "view"
    else:
        role = "edit"
    return LAUNCHER.format(quote(role))


def from_answer(
    status: int,
    content_type: str,
    body: bytes,
    attempt: Attempt,
    *,
    server: str,
    in_service: bool,
    own: bool,
    location: str = "",
) -> ClusterError | TargetNotFound:
    """Return the error that an answer of the API server means.

    Parameters
    ----------
    status, content_type, body
        The answer.
    attempt
        What was asked.
    server
        The base URL.
    in_service
        Whether this is a notebook service inside the cluster.
    own
        Whether the namespace is the caller's own.
    location
        Where it redirects to.
    """
    if location:
        return ServerError(
            f"{server} is not where the API server answers ({status}).",
            why=f"It redirects to {shorten(show_url(location))}",
            hint="write the address that leads to the API server itself, or log in there first",
        )
    message = _message(content_type, body)
    if message is None:
        return no_api(status, content_type, server)
    if status == 401:
        return TokenExpired(
            f"{server} does not accept the credentials (401).", why=message, hint="log in again: %k8s_login"
        )
    if status == 403:
        return _make_forbidden(message, attempt, in_service=in_service, own=own)
    if status == 404:
        return NotFound(f"{attempt.resource.plural} {attempt.name} is not there.", why=message)
    what, kind, hint = _SERVER_ERRORS.get(
        status, (f"The API server could not {attempt.words} ({status}).", ServerError, "")
    )
    return kind(what, why=message, hint=hint)


def _message(content_type: str, body: bytes) -> str | None:
    """Return the message of a Status object; None where the body is something else."""
    if not body:
        return ""
    if not content_type.startswith("application/json"):
        # The API server itself answers some 404s and 401s with a line of plain text.
        text = body[:300].decode(errors="replace").strip()
        return text if content_type.startswith("text/plain") and "<" not in text else None
    try:
        return shorten(str(json_object(body).get("message") or ""))
    except ValueError:
        return None


def _make_forbidden(message: str, attempt: Attempt, *, in_service: bool, own: bool) -> Forbidden:
    if ANONYMOUS in message:
        return Forbidden(
            "The API server takes you for nobody (system:anonymous).",
            why=message,
            hint="the credentials did not arrive or mean nothing to it: log in again",
        )
    refusal = _ADMISSION.search(message)
    if refusal is not None:
        # No right is missing: one may do it, and the cluster's rules are against this one.
        if "exceeded quota" in refusal[0]:
            return Forbidden(
                f"A quota leaves no room to {attempt.words}.",
                why=message,
                hint="stop a service that you do not need, or ask for less",
            )
        return Forbidden(
            f"A rule of the cluster refuses to {attempt.words}.",
            why=message,
            hint="do what it says, or show it to those who run the cluster",
        )
    if in_service and own:
        hint = f"relaunch the service with a role that allows it: {relaunch_link(attempt)}"
    elif attempt.namespace is None and attempt.resource.namespaced:
        hint = "name a namespace: nobody but an administrator may ask for all of them"
    elif own:
        hint = "ask whoever runs the cluster, or whoever owns the namespace, for that right"
    else:
        hint = (
            f"check the spelling: a namespace that does not exist is answered the same way{_persons(attempt.namespace)}\n"
            f"ask the owner of {attempt.namespace} to share it with you"
        )
    return Forbidden(f"You may not {attempt.words}.", why=message, hint=hint)


def _persons(namespace: str | None) -> str:
    """Return how a person's namespace is written, where it was left out."""
    if namespace is None or namespace.startswith(("user-", "projet-")):
        return ""
    return f"\na person's namespace begins with user-: user-{namespace}"


def no_api(status: int, content_type: str, server: str) -> ServerError:
    """Return the error for an answer that is not the API server's."""
    kind = content_type.partition(";")[0] or "nothing"
    return ServerError(
        f"{server} did not answer as a Kubernetes API server does ({status}).",
        why=f"It answered {kind}: a proxy or a login page stands in between, or the address is another site's.",
        hint="check the server's address, and HTTPS_PROXY and NO_PROXY in the environment",
    )


def make_malformed_error(server: str, why: str, kind: type[ServerError] = ServerError) -> ServerError:
    """Return the error for an answer that no API server gives: too large, or of another shape."""
    return kind(
        f"{server} did not answer as a Kubernetes API server does.",
        why=why,
        hint="check the server's address, and HTTPS_PROXY and NO_PROXY in the environment; what is open stays open",
    )


class HasServer(Protocol):
    """A cluster, of which only the address counts here."""

    @property
    def server(self) -> str:
        """The base URL of its API server."""


_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@contextmanager
def report_malformed(cluster: HasServer) -> Iterator[None]:
    """Tell of an object that lacks what it has to have, or has something odd in its place, as of no Kubernetes API's.

    Only values are made of objects in such a block: what asks a server, or runs anything else, stands outside, so that
    a defect there is told as what it is.

    Raises
    ------
    ServerError
        Instead of the bare error that reading an object of another shape raises.
    """
    try:
        yield
    except _FAULTS as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__} in {place.name}, {PurePath(place.filename).name}:{place.lineno}"
        raise make_malformed_error(
            cluster.server, f"An object lacks what it has to have ({fault})."
        ) from None


def from_transport(error: Exception, server: str) -> ClusterError:
    """Return the error that a failure below HTTP means."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateNotTrusted(
                f"The certificate of {server} is not trusted.",
                why=f"{cause.verify_message.rstrip('.')}.",
                hint="give the cluster's certificate authority: %k8s_login … --ca FILE (ca_file= in Python), or "
                "certificate-authority-data in the kubeconfig\nif nothing has changed on your side, do not go on: ask who runs the cluster",
            )
    for cause in chain:
        if isinstance(cause, ssl.SSLError):
            reason = (getattr(cause, "reason", None) or str(cause)).replace("_", " ").lower()
            return ServerUnreachable(
                f"{server} does not speak TLS as expected.",
                why=f"{reason}.",
                hint="check the address: http or https, and the port",
            )
    return ServerUnreachable(
        f"{server} cannot be reached.",
        why=_reason(chain),
        hint="check the network (VPN, proxy) and the address; what is open stays open",
    )


def _reason(chain: list[BaseException]) -> str:
    for kind, words in _REASONS:
        if any(isinstance(cause, kind) for cause in chain):
            return words
    system = [cause.strerror for cause in chain if isinstance(cause, OSError) and cause.strerror]
    return f"{system[0] if system else type(chain[-1]).__name__}."


def _causes(error: BaseException) -> Any:
    """Yield an error and what lies under it, as Python and as urllib3 chain them."""
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        found = waiting.pop(0)
        if not isinstance(found, BaseException) or any(found is other for other in seen):
            continue
        seen.append(found)
        yield found
        waiting += [getattr(found, "reason", None), found.__cause__, found.__context__, *found.args]
