"""The logins of the identity provider, and their tokens.

A login gives an ID token for the API server and a refresh token for the next pair. A refresh token is valid
once: its second use ends the login, as in Keycloak. Both are JSON Web Tokens with an expiry. `Issuer.logins`
saves the logins across a restart of the sandbox.

Source: OpenID Connect Core 1.0 (2, 12), RFC 6749 (5.2, 6), RFC 9449 (DPoP).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from sspcloud_magics.sandbox.auth.jws import InvalidToken, Signer
from sspcloud_magics.sandbox.auth.users import User, authenticate

CLIENT_ID = "onyxia-k8s-apiserver"
"""The client ID, and the audience that the API server expects."""

PREFIX = "oidc-"
"""Default prefix of a user's name in RBAC."""

# Default lifetimes.
ID_TOKEN_SECONDS = 900
LOGIN_SECONDS = 7 * 24 * 3600


class Refused(Exception):
    """An error response of the token endpoint, with the ``error`` and ``error_description`` of RFC 6749."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


@dataclass(frozen=True, slots=True, repr=False)
class TokenPair:
    """The tokens of a login or of its renewal; the repr hides them."""

    id_token: str
    refresh_token: str
    id_token_seconds: int
    login_seconds: int


@dataclass(slots=True)
class _Login:
    person: str
    id_token_seconds: int
    ends: float  # seconds since the epoch
    bound: bool  # see `Issuer.log_in`
    audience: str
    refresh_id: str = ""  # ID of the only refresh token that is valid now


class Issuer:
    """One identity provider.

    `username_prefix`: prefix of user names in RBAC. `logins`: the result of `logins` before a restart.
    `changed`: called when a login was created, renewed or ended.
    """

    def __init__(
        self,
        url: str,
        signing_key: bytes,
        *,
        username_prefix: str = PREFIX,
        clock: Callable[[], float] = time.time,
        logins: Mapping[str, Any] = MappingProxyType({}),
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.url = url
        self._prefix = username_prefix
        self._clock = clock
        self._signer = Signer(signing_key)
        # Logins by their session ID, also those that have ended.
        self._logins = {key: _Login(**login) for key, login in logins.items()}
        self._changed = changed

    def logins(self) -> dict[str, Any]:
        """Return the logins that have not ended, as JSON values."""
        return {key: asdict(login) for key, login in self._logins.items() if login.ends > self._clock()}

    def log_in(
        self,
        person: str,
        *,
        id_token_seconds: int = ID_TOKEN_SECONDS,
        login_seconds: int = LOGIN_SECONDS,
        bound: bool = False,
        audience: str = CLIENT_ID,
    ) -> TokenPair:
        """Return the tokens of a new login.

        `bound`: whether a renewal requires a DPoP proof, which kubectl cannot give.
        """
        session = str(uuid.uuid4())
        ends = self._clock() + login_seconds
        self._logins[session] = _Login(person, id_token_seconds, ends, bound, audience)
        return self._issue(session)

    def log_out(self, person: str) -> None:
        """End all logins of a person; ID tokens stay valid until they expire."""
        self._logins = {key: login for key, login in self._logins.items() if login.person != person}
        self._changed()

    def refresh(self, refresh_token: str, client: str) -> TokenPair:
        """Return a new pair of tokens and invalidate the refresh token.

        Raise `Refused` if the login has ended, the token was used before, or a DPoP proof is required.
        """
        if client != CLIENT_ID:
            raise Refused("invalid_client", "Invalid client or Invalid client credentials")
        try:
            claims = self._signer.read(refresh_token)
        except InvalidToken:
            raise Refused("invalid_grant", "Invalid refresh token") from None
        if claims.get("typ") != "Refresh" or claims.get("iss") != self.url:
            raise Refused("invalid_grant", "Invalid refresh token")
        if self._clock() >= claims["exp"]:
            raise Refused("invalid_grant", "Token is not active")
        session = str(claims["sid"])
        login = self._logins.get(session)
        if login is None:
            raise Refused("invalid_grant", "Session not active")
        if login.bound:
            raise Refused("invalid_request", "DPoP proof is missing")
        if claims["jti"] != login.refresh_id:
            del self._logins[session]
            self._changed()
            raise Refused("invalid_grant", "Maximum allowed refresh token reuse exceeded")
        return self._issue(session)

    def user_of_token(self, token: str) -> User:
        """Return the user of an ID token, as the API server's OIDC authenticator does.

        Raise `InvalidToken` if it was issued elsewhere, has expired, or is for another audience.
        """
        claims = self._signer.read(token)
        audience = claims.get("aud")
        if claims.get("iss") != self.url or claims.get("typ") != "ID":
            raise InvalidToken("oidc: id token issued by a different provider")
        if CLIENT_ID not in (audience if isinstance(audience, list) else [audience]):
            raise InvalidToken(f"oidc: expected audience {CLIENT_ID!r}")
        if self._clock() >= claims["exp"]:
            raise InvalidToken("oidc: token is expired")
        return authenticate(self._prefix + claims["preferred_username"])

    def discovery(self) -> dict[str, Any]:
        """Return the discovery document (OpenID Connect Discovery 1.0, 3)."""
        endpoints = f"{self.url}/protocol/openid-connect"
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{endpoints}/auth",
            "token_endpoint": f"{endpoints}/token",
            "jwks_uri": f"{endpoints}/certs",
            "grant_types_supported": ["refresh_token"],
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["none"],
        }

    def keys(self) -> dict[str, Any]:
        """Return the public keys (RFC 7517)."""
        return {"keys": [self._signer.jwk()]}

    def _issue(self, session: str) -> TokenPair:
        login = self._logins[session]
        now = self._clock()
        login.refresh_id = str(uuid.uuid4())
        self._changed()
        shared = {"iss": self.url, "iat": int(now), "sid": session, "sub": f"sandbox-{login.person}"}
        key_id = self._signer.jwk()["kid"]
        id_claims = {
            **shared,
            "typ": "ID",
            "aud": login.audience,
            "azp": CLIENT_ID,
            "exp": int(now) + login.id_token_seconds,
            "jti": str(uuid.uuid4()),
            "preferred_username": login.person,
            "name": login.person.capitalize(),
        }
        refresh_claims = {
            **shared, "typ": "Refresh", "aud": self.url, "exp": int(login.ends), "jti": login.refresh_id
        }  # fmt: skip
        return TokenPair(
            self._signer.sign(id_claims, kid=key_id),
            self._signer.sign(refresh_claims, kid=key_id),
            login.id_token_seconds,
            max(0, int(login.ends - now)),
        )
