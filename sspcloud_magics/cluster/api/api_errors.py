"""Convert refusals of the API server, and failures of HTTP, TLS and the network, to `sspcloud_magics.errors`."""

from __future__ import annotations

import re
import socket
import ssl
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, Protocol

import urllib3

from sspcloud_magics import platforms
from sspcloud_magics.bounded_json import MALFORMED
from sspcloud_magics.cluster.api.resources import Attempt
from sspcloud_magics.cluster.api.transport import json_object
from sspcloud_magics.cluster.platform import launcher
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
from sspcloud_magics.i18n import N_, _, quote_words
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.printable import shorten
from sspcloud_magics.target import capitalize, describe_object

ANONYMOUS = "system:anonymous"
"""The user name that a server gives to a request without credentials, or with unknown ones."""

# Resources and verbs by the weakest role of a notebook service that allows them: view, edit, admin.
_NEEDS_ADMIN = frozenset({"roles", "rolebindings"})
_IN_VIEW = frozenset({"get", "list", "watch"})
_NOT_IN_VIEW = frozenset({"secrets"})

# Messages of admission plugins; RBAC never uses these words.
_ADMISSION = re.compile(
    r"is forbidden: (exceeded quota|failed quota|violates PodSecurity|(maximum|minimum) \S+ usage per)"
)

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (
        urllib3.exceptions.ProxyError,
        N_("The proxy of HTTPS_PROXY or proxy-url refuses the connection, or cannot be reached."),
    ),
    (urllib3.exceptions.NameResolutionError, N_("Its name is not known here.")),
    (socket.gaierror, N_("Its name is not known here.")),
    (ConnectionRefusedError, N_("Nothing listens there (connection refused).")),
    (urllib3.exceptions.ReadTimeoutError, N_("It accepted the request, and did not answer in time.")),
    (TimeoutError, N_("Nothing answered in time.")),
)
"""Reasons by exception type. The first type found anywhere in the chain of causes gives the reason."""


class NotFound(TargetNotFound):
    """The server has no object of that name (404)."""


class Expired(ServerError):
    """A list must be requested again: the server has discarded its pages (410), or the watch cannot be read."""


class Conflict(ServerError):
    """Another client has created or changed the object in the meantime (409)."""


class Invalid(ServerError):
    """The object is malformed, or a field has a value that the server does not allow (400, 422)."""


class FormatNotAccepted(ServerError):
    """The server does not know the format of a request, such as server-side apply before Kubernetes 1.22 (415)."""


_SERVER_ERRORS: dict[int, tuple[str, type[ServerError], str]] = {
    400: (N_("The API server does not understand the request (400)."), Invalid, ""),
    409: (N_("Another client has changed it in the meantime (409)."), Conflict, N_("try again")),
    410: (N_("The list has changed too much since its first page (410)."), Expired, ""),
    415: (N_("The API server does not know the format of the request (415)."), FormatNotAccepted, ""),
    422: (N_("The API server refuses the object as invalid (422)."), Invalid, ""),
    429: (N_("The API server is busy (429)."), ServerError, N_("wait a moment, then try again")),
}


def relaunch_link(attempt: Attempt) -> str:
    """Return the page that launches a notebook service with a role that allows `attempt`."""
    plural = attempt.resource.plural
    if plural in _NEEDS_ADMIN:
        role = "admin"
    elif attempt.verb in _IN_VIEW and plural not in _NOT_IN_VIEW and not attempt.subresource:
        role = "view"
    else:
        role = "edit"
    return launcher(role)


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
    """Return the error for an error response of the API server.

    Parameters
    ----------
    status, content_type, body
        The response.
    attempt
        The request.
    server
        The base URL.
    in_service
        Whether this is a notebook service inside the cluster.
    own
        Whether the namespace is the caller's own.
    location
        The target of a redirect.
    """
    if location:
        return ServerError(
            _("{server} is not the address of the API server ({status}).", server=server, status=status),
            why=_("It redirects to {url}", url=shorten(show_url(location))),
            hint=_("use the address of the API server itself, or log in there first"),
        )
    message = _message(content_type, body)
    if message is None:
        return make_foreign_error(status, content_type, server)
    if status == 401:
        return TokenExpired(
            _("{server} does not accept the credentials (401).", server=server),
            why=quote_words(message),
            hint=_("log in again: %k8s_login"),
        )
    if status == 403:
        return _make_forbidden(message, attempt, in_service=in_service, own=own)
    if status == 404:
        return _make_not_found(message, attempt)
    return _make_server_error(status, message, attempt)


def _make_not_found(message: str, attempt: Attempt) -> NotFound:
    plural = attempt.resource.plural
    if not attempt.name:
        return NotFound(_("The API server has no {resource}.", resource=plural), why=quote_words(message))
    missing = capitalize(describe_object(plural, attempt.name))
    return NotFound(_("{object} does not exist.", object=missing), why=quote_words(message))


def _make_server_error(status: int, message: str, attempt: Attempt) -> ServerError:
    if status in _SERVER_ERRORS:
        what, kind, hint = _SERVER_ERRORS[status]
        return kind(_(what), why=quote_words(message), hint=_(hint) if hint else "")
    return ServerError(
        _("The API server could not {request} ({status}).", request=attempt.words, status=status),
        why=quote_words(message),
    )


def _message(content_type: str, body: bytes) -> str | None:
    """Return the message of a Status object; None if the body is something else."""
    if not body:
        return ""
    if not content_type.startswith("application/json"):
        # The API server answers some 404s and 401s with a line of plain text.
        text = body[:300].decode(errors="replace").strip()
        return text if content_type.startswith("text/plain") and "<" not in text else None
    try:
        return shorten(str(json_object(body).get("message") or ""))
    except ValueError:
        return None


def _make_forbidden(message: str, attempt: Attempt, *, in_service: bool, own: bool) -> Forbidden:
    if ANONYMOUS in message:
        return Forbidden(
            _("The API server does not know who you are (system:anonymous)."),
            why=quote_words(message),
            hint=_("log in again: the credentials did not arrive, or the server does not know them"),
        )
    refusal = _ADMISSION.search(message)
    if refusal is not None:
        # RBAC allows the request; a quota or a policy refuses this object.
        if "exceeded quota" in refusal[0]:
            return Forbidden(
                _("You may not {request}: the namespace's quota is used up.", request=attempt.words),
                why=quote_words(message),
                hint=_("stop a service that you do not need, or ask for less"),
            )
        return Forbidden(
            _("You may not {request}: a rule of the cluster forbids it.", request=attempt.words),
            why=quote_words(message),
            hint=_("do what it says, or show it to the administrators of the cluster"),
        )
    if in_service and own:
        hint = _(
            "relaunch the service with a role that allows it: {link}",
            link=relaunch_link(attempt),
        )
    elif attempt.namespace is None and attempt.resource.namespaced:
        hint = _("name a namespace: only administrators may list all of them")
    elif own:
        hint = _("ask an administrator of the cluster, or the owner of the namespace, for that permission")
    else:
        lines = [
            _("check the spelling: the answer for a namespace that does not exist is the same"),
            _suggest_user_namespace(attempt.namespace),
            _("ask the owner of {namespace} to share it with you", namespace=attempt.namespace),
        ]
        hint = "\n".join(filter(None, lines))
    return Forbidden(_("You may not {request}.", request=attempt.words), why=quote_words(message), hint=hint)


def _suggest_user_namespace(namespace: str | None) -> str:
    """Return a hint on the prefix of users' namespaces, if it was left out."""
    if namespace is None or platforms.current().is_namespace(namespace):
        return ""
    return _(
        "a person's namespace begins with {prefix}: {prefix}{namespace}",
        prefix=platforms.current().users,
        namespace=namespace,
    )


def make_foreign_error(status: int, content_type: str, server: str) -> ServerError:
    """Return the error for a response that does not come from an API server."""
    kind = content_type.partition(";")[0]
    return ServerError(
        _(
            "{server} did not answer as a Kubernetes API server does ({status}).",
            server=server,
            status=status,
        ),
        why=_("It answered {kind}: this is a proxy, a login page or another site.", kind=kind)
        if kind
        else _("It answered nothing: this is a proxy, a login page or another site."),
        hint=_("check the server's address, and HTTPS_PROXY and NO_PROXY in the environment"),
    )


def make_malformed_error(server: str, why: str, kind: type[ServerError] = ServerError) -> ServerError:
    """Return the error for a response that no API server gives: too large, or malformed."""
    return kind(
        _("{server} did not answer as a Kubernetes API server does.", server=server),
        why=why,
        hint=_(
            "check the server's address, and HTTPS_PROXY and NO_PROXY in the environment; open forwards and connections stay open"
        ),
    )


class HasServer(Protocol):
    """An object with the address of an API server, such as a cluster."""

    @property
    def server(self) -> str:
        """The base URL of its API server."""


@contextmanager
def report_malformed(cluster: HasServer) -> Iterator[None]:
    """Report an object of the API with missing or malformed fields.

    Use this context only around code that reads fields of objects. Requests and other code belong outside, so that their
    defects raise their own errors.

    Raises
    ------
    ServerError
        Instead of the `KeyError` or similar that a malformed object causes.
    """
    try:
        yield
    except MALFORMED as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        why = _(
            "An object lacks a required field ({error} in {function}, {file}:{line}).",
            error=type(error).__name__,
            function=place.name,
            file=PurePath(place.filename).name,
            line=place.lineno,
        )
        raise make_malformed_error(cluster.server, why) from None


def from_transport(error: Exception, server: str) -> ClusterError:
    """Return the error for a failure of TLS or the network."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateNotTrusted(
                _("The certificate of {server} is not trusted.", server=server),
                why=_("{reason}.", reason=cause.verify_message.rstrip(".")),
                hint=_(
                    "give the cluster's certificate authority: %k8s_login … --ca FILE (ca_file= in Python), or "
                    "certificate-authority-data in the kubeconfig\n"
                    "if nothing has changed on your side, do not continue: ask an administrator of the cluster"
                ),
            )
    for cause in chain:
        if isinstance(cause, ssl.SSLError):
            reason = (getattr(cause, "reason", None) or str(cause)).replace("_", " ").lower()
            return ServerUnreachable(
                _("{server} does not speak TLS as expected.", server=server),
                why=_("{reason}.", reason=reason),
                hint=_("check the address: http or https, and the port"),
            )
    return ServerUnreachable(
        _("{server} cannot be reached.", server=server),
        why=_reason(chain),
        hint=_("check the network (VPN, proxy) and the address; open forwards and connections stay open"),
    )


def _reason(chain: list[BaseException]) -> str:
    for kind, reason in _REASONS:
        if any(isinstance(cause, kind) for cause in chain):
            return _(reason)
    for cause in chain:
        if isinstance(cause, OSError) and cause.strerror:
            return system_reason(cause)
    return _("{reason}.", reason=type(chain[-1]).__name__)


def _causes(error: BaseException) -> Any:
    """Yield an error and its causes, as Python and urllib3 chain them."""
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        found = waiting.pop(0)
        if not isinstance(found, BaseException) or any(found is other for other in seen):
            continue
        seen.append(found)
        yield found
        waiting += [getattr(found, "reason", None), found.__cause__, found.__context__, *found.args]
