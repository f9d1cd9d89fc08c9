"""The part of OpenID Connect that a kubeconfig needs: exchange a refresh token for a new ID token.

The discovery document names the token endpoint, which receives a request with ``grant_type=refresh_token``. The
new ID token must have the same issuer, this client as audience, and the same user. The provider may rotate the refresh
token, which invalidates the old one: callers of `refresh` save the new one first.

Source: OpenID Connect Discovery 1.0 (4), Core 1.0 (12.2); RFC 6749 (5.2, 6); RFC 9449 (DPoP).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from sspcloud_magics import addresses, pem
from sspcloud_magics._version import __version__
from sspcloud_magics.access import Access
from sspcloud_magics.bounded_json import LimitExceeded
from sspcloud_magics.cluster.api import transport
from sspcloud_magics.cluster.api.api_errors import from_transport
from sspcloud_magics.cluster.api.clock_skew import describe_skew, measure_skew
from sspcloud_magics.cluster.auth import jwt
from sspcloud_magics.cluster.platform import copy_script_again
from sspcloud_magics.errors import (
    CertificateNotTrusted,
    ClusterError,
    KubeconfigInvalid,
    ServerError,
    ServerUnreachable,
    TokenExpired,
)
from sspcloud_magics.i18n import _
from sspcloud_magics.proxies import proxy_for
from sspcloud_magics.secret import HIDDEN, Form, Secret, check_secret, without_frames
from sspcloud_magics.tls import tls_context

TIMEOUT = urllib3.Timeout(connect=10.0, read=20.0)
# The maximum size of a response, in bytes; discovery documents have some KiB.
_LONGEST = 1 << 20

# Error codes for a token that is bound to a key (RFC 9449, 5 and 8; Keycloak).
_BOUND = frozenset({"invalid_dpop_proof", "use_dpop_nonce"})


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a provider."""

    id_token: Secret  # the token for the API server
    # The token for the next refresh: a new one if the provider rotates them, else the old one.
    refresh_token: Secret
    clock: str = ""  # a sentence about this machine's clock if it is wrong; else empty


@without_frames
def refresh(settings: Mapping[str, str | Secret], folder: Path | None = None) -> Tokens:
    """Request a new ID token from a provider.

    Parameters
    ----------
    settings
        The ``config`` of the kubeconfig's auth provider: ``idp-issuer-url``, ``client-id``, ``refresh-token``,
        ``id-token``, and optionally ``client-secret``, ``idp-certificate-authority(-data)``.
    folder
        The directory to which a relative path of an authority refers.

    Returns
    -------
    Tokens
        The new tokens. If the refresh token has changed, the old one may be invalid already.

    Raises
    ------
    TokenExpired
        If the provider refuses: the login has ended, was revoked, or is bound to another program.
    ServerUnreachable, CertificateNotTrusted, ServerError
        If the provider cannot be reached, or its response is malformed.
    KubeconfigInvalid
        If a required setting is missing.
    """
    given = {key: _plain(value) for key, value in settings.items()}
    issuer = given.get("idp-issuer-url", "").rstrip("/")
    for key in ("idp-issuer-url", "client-id", "refresh-token"):
        if not given.get(key):
            raise KubeconfigInvalid(
                _("The login cannot be renewed: the kubeconfig has no {key} for it.", key=key),
                hint=copy_script_again(),
            )
    for key in ("refresh-token", "client-secret"):
        if given.get(key):
            check_secret(
                given[key],
                Form.PHRASE,
                partial(_unusable, _("The {key} of this login cannot be used.", key=key)),
            )
    provider = _Provider(issuer, _authority(given, folder))
    endpoint = provider.token_endpoint()
    form = {
        "grant_type": "refresh_token",
        "refresh_token": given["refresh-token"],
        "client_id": given["client-id"],
    }
    if given.get("client-secret"):
        form["client_secret"] = given["client-secret"]
    status, answer, clock = provider.ask("POST", endpoint, form)
    if status != 200:
        raise _refusal(issuer, status, answer, clock, form)
    id_token = answer.get("id_token")
    if not isinstance(id_token, str) or not jwt.claims(Secret(id_token)):
        raise ServerError(
            _("The identity provider {issuer} returned no ID token.", issuer=issuer),
            why=_("The login lacks the scope openid, or this is not an OpenID provider."),
            hint=copy_script_again(),
        )
    unusable = partial(_unusable, _("The ID token from {issuer} cannot be used.", issuer=issuer))
    fresh = check_secret(id_token, Form.TOKEN, unusable)
    check_token(fresh, issuer, given["client-id"], Secret(given.get("id-token", "")))
    rotated = answer.get("refresh_token")
    kept = rotated if isinstance(rotated, str) and rotated else given["refresh-token"]
    refused = partial(_unusable, _("The refresh token from {issuer} cannot be used.", issuer=issuer))
    return Tokens(fresh, check_secret(kept, Form.PHRASE, refused), clock)


def _unusable(what: str, why: str) -> KubeconfigInvalid:
    return KubeconfigInvalid(what, why=why, hint=copy_script_again())


def check_token(token: Secret, issuer: str, client: str, former: Secret | None = None) -> None:
    """Check that an ID token is from this issuer, for this client, and of the same user as the previous one.

    Raises
    ------
    ServerError
        If it is not: the API server would refuse it with a less clear message, or accept it as another user.
    """
    claims = jwt.claims(token)
    audience = jwt.audience(token)
    token_issuer = str(claims.get("iss", "")).rstrip("/")
    if token_issuer != issuer.rstrip("/"):
        raise ServerError(
            _("The ID token is from another identity provider than the configured one."),
            why=_(
                "It is from {other}; {configured} is configured.",
                other=_describe_issuer(token_issuer),
                configured=_describe_issuer(issuer),
            ),
            hint=copy_script_again(),
        )
    if client not in audience:
        raise ServerError(
            _("The ID token is for another program than this login (its audience is wrong)."),
            why=_(
                "Its audience is {audience}; the login is for {client}.",
                audience=", ".join(audience),
                client=client,
            )
            if audience
            else _("Its audience is empty; the login is for {client}.", client=client),
            hint=copy_script_again(),
        )
    subject = jwt.claims(former).get("sub")
    if subject and claims.get("sub") != subject:
        raise ServerError(
            _("The identity provider returned the ID token of another user."),
            why=_("It was not used."),
            hint=copy_script_again(),
        )


class _Provider:
    """An identity provider; requests verify its certificate and follow no redirects."""

    def __init__(self, issuer: str, ca: str | None) -> None:
        address = addresses.parse(issuer)
        if address is None or address.scheme != "https" or address.user_info is not None:
            raise KubeconfigInvalid(
                _("The identity provider's address (idp-issuer-url) is not a plain https:// address."),
                why=_("A refresh token is like a password: it is sent only over verified TLS."),
                hint=copy_script_again(),
            )
        self._issuer = issuer
        self._access = Access(server=issuer, ca=ca)

    def token_endpoint(self) -> str:
        status, document, _unused = self.ask("GET", f"{self._issuer}/.well-known/openid-configuration")
        endpoint = document.get("token_endpoint")
        address = addresses.parse(endpoint) if isinstance(endpoint, str) else None
        if status != 200 or address is None or address.scheme != "https":
            raise self._no_provider(_("Asked for a new token, it answered {status}.", status=status))
        issuer = str(document.get("issuer", "")).rstrip("/")
        if issuer != self._issuer:
            raise self._no_provider(
                _(
                    "Asked for a new token, it names another issuer, {issuer}.",
                    issuer=_describe_issuer(issuer),
                )
            )
        return str(endpoint)

    def ask(
        self, method: str, url: str, form: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any], str]:
        """Send a request; return the status, the JSON object, and a sentence if this machine's clock is wrong."""
        pool = transport.pool_manager(
            tls_context(self._access), **transport.get_proxy_settings(proxy_for(self._access))
        )
        headers = {"Accept": "application/json", "User-Agent": f"sspcloud-magics/{__version__}"}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = urlencode(form) if form is not None else None
        try:
            with pool:
                answer = pool.request(
                    method, url, body=body, headers=headers, timeout=TIMEOUT, retries=False, redirect=False,
                    preload_content=False,
                )  # fmt: skip
                content = transport.read(answer, _LONGEST).data
        except LimitExceeded as error:
            raise self._no_provider(
                _("Asked for a new token, it answered with {error}.", error=error)
            ) from None
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        if 300 <= answer.status < 400:
            address = addresses.parse(answer.headers.get("Location", ""))
            if address is None:
                why = _(
                    "Asked for a new token, it redirects to another page, and a refresh token is not sent there."
                )
            else:
                why = _(
                    "Asked for a new token, it redirects to {host}, and a refresh token is not sent there.",
                    host=address.host,
                )
            raise self._no_provider(why)
        try:
            document = transport.json_object(content)
        except LimitExceeded as error:
            raise self._no_provider(
                _("Asked for a new token, it answered with {error}.", error=error)
            ) from None
        except ValueError:
            raise self._no_provider(_describe_no_json(answer)) from None
        return answer.status, document, describe_skew(measure_skew(answer.headers.get("Date")))

    def _no_provider(self, why: str) -> ServerError:
        return ServerError(
            _("{issuer} does not answer as an identity provider does.", issuer=self._issuer),
            why=why,
            hint=_(
                "try again later: open forwards and connections stay open\nif the error returns, {copy_again}",
                copy_again=copy_script_again(),
            ),
        )

    def _unreachable(self, error: Exception) -> ClusterError:
        failure = from_transport(error, self._issuer)
        kind = CertificateNotTrusted if isinstance(failure, CertificateNotTrusted) else ServerUnreachable
        return kind(
            _(
                "The token has expired, and the identity provider {issuer} cannot renew it.",
                issuer=self._issuer,
            ),
            why=f"{failure.what} {failure.why}".strip(),
            hint=_(
                "check the network (VPN, proxy), then run the cell again: open forwards and connections stay open"
            ),
        )


def _describe_no_json(answer: urllib3.BaseHTTPResponse) -> str:
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    if not kind:
        return _("Asked for a new token, it answered {status} without JSON.", status=answer.status)
    return _(
        "Asked for a new token, it answered {status} with {kind}, not JSON.", status=answer.status, kind=kind
    )


def _refusal(
    issuer: str, status: int, answer: Mapping[str, Any], clock: str, form: Mapping[str, str]
) -> ClusterError:
    code, description = str(answer.get("error", "")), str(answer.get("error_description", ""))
    for secret in (form["refresh_token"], form.get("client_secret")):
        if secret:
            code, description = code.replace(secret, HIDDEN), description.replace(secret, HIDDEN)
    code, description = code[:80], description[:200]
    quoted = ""
    if description or code:
        quoted = _("The identity provider says: {text}.", text=description or code)
    if code in _BOUND or "dpop" in description.lower():
        return TokenExpired(
            _("Your login is bound to the program that created it (DPoP), and cannot be renewed here."),
            why=quoted,
            hint=copy_script_again(),
        )
    if code == "invalid_grant":
        return TokenExpired(
            _("Your login has ended."),
            why=" ".join(
                part for part in (quoted, _explain_end(Secret(form["refresh_token"])), clock) if part
            ),
            hint=copy_script_again(),
        )
    if 400 <= status < 500:
        return TokenExpired(
            _("The identity provider does not renew your login."),
            why=quoted or _("It answered {status}.", status=status),
            hint=copy_script_again(),
        )
    return ServerError(
        _("The identity provider {issuer} failed ({status}).", issuer=issuer, status=status),
        why=quoted,
        hint=_("try again later"),
    )


def _explain_end(token: Secret) -> str:
    ends = jwt.expiry(token)
    if ends is not None and ends <= datetime.now(UTC):
        return jwt.expiry_in_words(token)
    return _("It was revoked, used by another program, or has ended.")


def _authority(given: Mapping[str, str], folder: Path | None) -> str | None:
    data, path = given.get("idp-certificate-authority-data"), given.get("idp-certificate-authority")
    try:
        if data:
            return pem.extract(base64.b64decode(data), pem.CERTIFICATE)
        return pem.extract(((folder or Path()) / path).read_bytes(), pem.CERTIFICATE) if path else None
    except (OSError, ValueError):
        raise KubeconfigInvalid(
            _(
                "The certificate authority of the identity provider (idp-certificate-authority) cannot be read."
            ),
            hint=copy_script_again(),
        ) from None


def _plain(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else str(value)


def _describe_issuer(url: str) -> str:
    """Return an issuer for a message, with its path: two issuers may be realms of the same host."""
    address = addresses.parse(url)
    if address is None:
        return _("an invalid address")
    return f"{address.host}{f':{address.port}' if address.port else ''}{address.path[:80]}"
