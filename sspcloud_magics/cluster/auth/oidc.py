"""A fresh ID token for a refresh token: OpenID Connect, as far as a kubeconfig needs it.

The provider's discovery document says where its token endpoint is; that is asked with
``grant_type=refresh_token``. What it answers is checked before it is used: the same issuer, this client, not
another user. The provider may rotate the refresh token, and then the old one is worth nothing: whoever calls
`refresh` keeps the new one first.

Source: OpenID Connect Discovery 1.0 (4), Core 1.0 (12.2); RFC 6749 (5.2, 6); RFC 9449 (DPoP).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from sspcloud_magics import addresses, pem
from sspcloud_magics._version import __version__
from sspcloud_magics.access import Access
from sspcloud_magics.bounded_json import TooMuch
from sspcloud_magics.cluster.api import transport
from sspcloud_magics.cluster.api.api_errors import from_transport
from sspcloud_magics.cluster.api.clock_skew import skew, skew_in_words
from sspcloud_magics.cluster.auth import jwt
from sspcloud_magics.cluster.platform import COPY_AGAIN
from sspcloud_magics.errors import (
    CertificateNotTrusted,
    ClusterError,
    KubeconfigInvalid,
    ServerError,
    ServerUnreachable,
    TokenExpired,
)
from sspcloud_magics.proxies import proxy_for
from sspcloud_magics.secret import HIDDEN, Form, Secret, check_secret, without_frames
from sspcloud_magics.tls import tls_context

TIMEOUT = urllib3.Timeout(connect=10.0, read=20.0)
_LONGEST = 1 << 20

# What providers answer when a token alone is not enough (RFC 9449, 5 and 8; Keycloak's words).
_BOUND = frozenset({"invalid_dpop_proof", "use_dpop_nonce"})


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a provider gave.

    Parameters
    ----------
    id_token
        What the API server takes.
    refresh_token
        What buys the next one: the new one where the provider rotates them, else the old one.
    clock
        A sentence on this machine's clock where it is wrong; empty where it is right.
    """

    id_token: Secret
    refresh_token: Secret
    clock: str = ""


@without_frames
def refresh(settings: Mapping[str, str | Secret], folder: Path | None = None) -> Tokens:
    """Ask a provider for a fresh ID token.

    Parameters
    ----------
    settings
        The ``config`` of the kubeconfig's auth provider: ``idp-issuer-url``, ``client-id``, ``refresh-token``,
        ``id-token``, and where they are needed ``client-secret``, ``idp-certificate-authority(-data)``.
    folder
        Where a relative path of an authority starts.

    Returns
    -------
    Tokens
        The fresh ones. If the refresh token is another one, the old one may be worth nothing by now.

    Raises
    ------
    TokenExpired
        If the provider refuses: the login has ended, was revoked, or is bound to another program.
    ServerUnreachable, CertificateNotTrusted, ServerError
        If the provider cannot be reached, or answers as no provider does.
    KubeconfigInvalid
        If the settings lack something.
    """
    given = {key: _plain(value) for key, value in settings.items()}
    issuer = given.get("idp-issuer-url", "").rstrip("/")
    for key in ("idp-issuer-url", "client-id", "refresh-token"):
        if not given.get(key):
            raise KubeconfigInvalid(
                f"The login cannot be renewed: the kubeconfig has no {key} for it.", hint=COPY_AGAIN
            )
    for key in ("refresh-token", "client-secret"):
        if given.get(key):
            check_secret(given[key], Form.PHRASE, partial(_unusable, f"The {key} of this login"))
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
            f"The identity provider {issuer} gave no ID token.",
            why="The scope openid is missing from this login, or it is no OpenID provider.",
            hint=COPY_AGAIN,
        )
    fresh = check_secret(id_token, Form.TOKEN, partial(_unusable, f"The ID token that {issuer} gave"))
    check_token(fresh, issuer, given["client-id"], Secret(given.get("id-token", "")))
    rotated = answer.get("refresh_token")
    kept = rotated if isinstance(rotated, str) and rotated else given["refresh-token"]
    refused = partial(_unusable, f"The refresh token that {issuer} gave")
    return Tokens(fresh, check_secret(kept, Form.PHRASE, refused), clock)


def _unusable(what: str, why: str) -> KubeconfigInvalid:
    return KubeconfigInvalid(f"{what} cannot be used.", why=why, hint=COPY_AGAIN)


def check_token(token: Secret, issuer: str, client: str, former: Secret | None = None) -> None:
    """Check that an ID token is from this issuer, for this client, and of the same user as the former one.

    Raises
    ------
    ServerError
        If it is not: it would be refused later, in other words, or make one somebody else.
    """
    told = jwt.claims(token)
    whose = jwt.audience(token)
    said = str(told.get("iss", "")).rstrip("/")
    if said != issuer.rstrip("/"):
        raise ServerError(
            "The ID token is from another identity provider than the one that is configured.",
            why=f"It is from {_describe_issuer(said)}, and {_describe_issuer(issuer)} is configured.",
            hint=COPY_AGAIN,
        )
    if client not in whose:
        raise ServerError(
            "The ID token is for another program than this login (its audience is wrong).",
            why=f"It is for {', '.join(whose) or 'nobody'}, and the login is for {client}.",
            hint=COPY_AGAIN,
        )
    subject = jwt.claims(former).get("sub")
    if subject and told.get("sub") != subject:
        raise ServerError(
            "The identity provider gave the ID token of another user.",
            why="It was not used.",
            hint=COPY_AGAIN,
        )


class _Provider:
    """One identity provider, asked over a connection that verifies it, without following redirects."""

    def __init__(self, issuer: str, ca: str | None) -> None:
        address = addresses.parse(issuer)
        if address is None or address.scheme != "https" or address.user_info is not None:
            raise KubeconfigInvalid(
                "The identity provider's address (idp-issuer-url) is not a plain https:// address.",
                why="A refresh token is a password: it is sent over verified TLS only.",
                hint=COPY_AGAIN,
            )
        self._issuer = issuer
        self._access = Access(server=issuer, ca=ca)

    def token_endpoint(self) -> str:
        status, document, _ = self.ask("GET", f"{self._issuer}/.well-known/openid-configuration")
        endpoint = document.get("token_endpoint")
        address = addresses.parse(endpoint) if isinstance(endpoint, str) else None
        if status != 200 or address is None or address.scheme != "https":
            raise self._no_provider(f"it answered {status}")
        said = str(document.get("issuer", "")).rstrip("/")
        if said != self._issuer:
            raise self._no_provider(f"it calls itself {_describe_issuer(said)}, which is another one")
        return str(endpoint)

    def ask(
        self, method: str, url: str, form: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any], str]:
        """Return the status, the JSON object of the answer, and a word on the clock."""
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
        except TooMuch as error:
            raise self._no_provider(f"it answered with {error}") from None
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        if 300 <= answer.status < 400:
            address = addresses.parse(answer.headers.get("Location", ""))
            where = address.host if address is not None else "another page"
            raise self._no_provider(f"it redirects to {where}, and a refresh token is not sent on")
        try:
            document = transport.json_object(content)
        except TooMuch as error:
            raise self._no_provider(f"it answered with {error}") from None
        except ValueError:
            kind = answer.headers.get("Content-Type", "nothing").partition(";")[0]
            raise self._no_provider(f"it answered {answer.status} with {kind}, not JSON") from None
        return answer.status, document, skew_in_words(skew(answer.headers.get("Date")))

    def _no_provider(self, why: str) -> ServerError:
        return ServerError(
            f"{self._issuer} does not answer as an identity provider does.",
            why=f"Asked for a fresh token, {why}.",
            hint=f"try again later: what is open stays open\nif it goes on, {COPY_AGAIN}",
        )

    def _unreachable(self, error: Exception) -> ClusterError:
        failure = from_transport(error, self._issuer)
        kind = CertificateNotTrusted if isinstance(failure, CertificateNotTrusted) else ServerUnreachable
        return kind(
            f"The token has expired, and the identity provider {self._issuer} cannot renew it.",
            why=f"{failure.what} {failure.why}".strip(),
            hint="check the network (VPN, proxy), then run the cell again: what is open stays open",
        )


def _refusal(
    issuer: str, status: int, answer: Mapping[str, Any], clock: str, form: Mapping[str, str]
) -> ClusterError:
    code, said = str(answer.get("error", "")), str(answer.get("error_description", ""))
    for secret in (form["refresh_token"], form.get("client_secret")):
        if secret:
            code, said = code.replace(secret, HIDDEN), said.replace(secret, HIDDEN)
    code, said = code[:80], said[:200]
    quoted = f"The identity provider says: {said or code}." if said or code else ""
    if code in _BOUND or "dpop" in said.lower():
        return TokenExpired(
            "Your login is bound to the program that made it (DPoP), and cannot be renewed here.",
            why=quoted,
            hint=COPY_AGAIN,
        )
    if code == "invalid_grant":
        return TokenExpired(
            "Your login has ended.",
            why=" ".join(
                part for part in (quoted, _explain_end(Secret(form["refresh_token"])), clock) if part
            ),
            hint=COPY_AGAIN,
        )
    if 400 <= status < 500:
        return TokenExpired(
            "The identity provider does not renew your login.",
            why=quoted or f"It answered {status}.",
            hint=COPY_AGAIN,
        )
    return ServerError(
        f"The identity provider {issuer} failed ({status}).", why=quoted, hint="try again later"
    )


def _explain_end(token: Secret) -> str:
    words = jwt.expiry_in_words(token)
    return words if "expired" in words else "It was revoked, used up elsewhere, or ended."


def _authority(given: Mapping[str, str], folder: Path | None) -> str | None:
    data, path = given.get("idp-certificate-authority-data"), given.get("idp-certificate-authority")
    try:
        if data:
            return pem.extract(base64.b64decode(data), pem.CERTIFICATE)
        return pem.extract(((folder or Path()) / path).read_bytes(), pem.CERTIFICATE) if path else None
    except (OSError, ValueError):
        raise KubeconfigInvalid(
            "The certificate authority of the identity provider (idp-certificate-authority) cannot be read.",
            hint=COPY_AGAIN,
        ) from None


def _plain(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else str(value)


def _describe_issuer(url: str) -> str:
    """Return how an issuer is told from another one: two of them may be realms of one host."""
    address = addresses.parse(url)
    if address is None:
        return "an address that is none"
    return f"{address.host}{f':{address.port}' if address.port else ''}{address.path[:80]}"
