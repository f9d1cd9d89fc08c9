"""Authentication of requests.

There are four kinds of credentials, tried in the order of the real server: the client certificate of the TLS
connection, a static bearer token, a service-account token, and an ID token of the identity provider. A request
without credentials is from ``system:anonymous``; invalid or expired credentials are refused. Static tokens are
stored as digests, so that no dump of this object's state shows one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from sspcloud_magics.sandbox.auth.tokens import InvalidToken, ServiceAccountTokens, new_signing_key
from sspcloud_magics.sandbox.auth.users import ANONYMOUS, User, authenticate
from sspcloud_magics.sandbox.store import Store


class Unauthenticated(Exception):
    """The credentials are invalid."""


class Authenticator:
    """The authenticator of a cluster.

    `signing_key`: RSA key in PEM for service-account tokens; by default a new one.
    """

    def __init__(
        self, store: Store, *, signing_key: bytes | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        # Users of static tokens, by the digest of the token.
        self._static: dict[bytes, User] = {}
        self._identity_provider: Callable[[str], User] | None = None
        self.service_accounts = ServiceAccountTokens(store, signing_key or new_signing_key(), clock)

    def add_token(self, token: str, user: str, *, groups: tuple[str, ...] = ()) -> None:
        """Accept a bearer token from now on."""
        self._static[_digest(token)] = authenticate(user, groups=groups)

    def trust_identity_provider(self, read: Callable[[str], User]) -> None:
        """Accept the ID tokens of an identity provider from now on.

        `read`: returns the user of a token, or raises `InvalidToken`.
        """
        self._identity_provider = read

    def authenticate(
        self, authorization: str | None, peer_certificate: Mapping[str, Any] | None = None
    ) -> User:
        """Return the user of a request.

        `peer_certificate`: the client's certificate in the form of `ssl.SSLSocket.getpeercert`, verified by TLS.
        Raise `Unauthenticated` for invalid credentials.
        """
        if peer_certificate:
            return _certificate_user(peer_certificate)
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return ANONYMOUS
        return self.user_of_token(token.strip())

    def user_of_token(self, token: str) -> User:
        """Return the user of a bearer token; raise `Unauthenticated` if it is unknown or has expired."""
        static = self._static.get(_digest(token))
        if static is not None:
            return static
        try:
            return self.service_accounts.read(token)
        except InvalidToken as error:
            if self._identity_provider is None:
                raise Unauthenticated(str(error)) from None
        try:
            return self._identity_provider(token)
        except InvalidToken as error:
            raise Unauthenticated(str(error)) from None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _certificate_user(certificate: Mapping[str, Any]) -> User:
    """Return the user of a client certificate: CN is the name, each O a group."""
    subject = [pair for name in certificate.get("subject", ()) for pair in name]
    names = [value for key, value in subject if key == "commonName"]
    if not names:
        raise Unauthenticated("the client certificate has no common name")
    return authenticate(names[-1], groups=tuple(v for key, v in subject if key == "organizationName"))
