"""Bound service-account tokens, as issued by the TokenRequest API.

A token is invalid when it has expired, when its service account was deleted or replaced under the same name, or
when the pod that it is bound to is gone. Each use checks the store, so there is no list of tokens.

Source: RFC 7519 (JWT), RFC 7515 (JWS), KEP-1205 (bound service account tokens).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.auth.jws import InvalidToken, Signer
from sspcloud_magics.sandbox.auth.users import User, service_account
from sspcloud_magics.sandbox.store import NotFound, Store

AUDIENCE = ISSUER = "https://kubernetes.default.svc.cluster.local"


def new_signing_key() -> bytes:
    """Return a new RSA key in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class ServiceAccountTokens:
    """Issues and verifies the tokens of service accounts.

    `signing_key`: an RSA key in PEM; tokens stay valid across restarts with the same key.
    """

    def __init__(self, store: Store, signing_key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._signer = Signer(signing_key)

    def issue(
        self,
        namespace: str,
        name: str,
        *,
        seconds: int = 3600,
        audiences: Sequence[str] = (AUDIENCE,),
        pod: str | None = None,
    ) -> tuple[str, float]:
        """Return a new token and its expiry, in seconds since the epoch.

        `pod`: name of the pod that it is bound to. Raise `NotFound` if the service account or the pod does not
        exist.
        """
        issued = int(self._clock())
        account = self._store.peek(kinds.SERVICE_ACCOUNTS, namespace, name)
        private: dict[str, Any] = {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
        }
        if pod is not None:
            bound = self._store.peek(kinds.PODS, namespace, pod)
            private["pod"] = {"name": pod, "uid": bound["metadata"]["uid"]}
        claims = {
            "aud": list(audiences),
            "exp": issued + seconds,
            "iat": issued,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "nbf": issued,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return self._signer.sign(claims), float(issued + seconds)

    def read(self, token: str) -> User:
        """Return the user of a token.

        Raise `InvalidToken` if it was issued elsewhere, has expired, is for another audience, or is bound to an
        object that is gone.
        """
        claims = self._signer.read(token)
        private = claims["kubernetes.io"]
        now = self._clock()
        if not claims["nbf"] <= now < claims["exp"]:
            raise InvalidToken("the token has expired")
        if AUDIENCE not in claims["aud"]:
            raise InvalidToken("the token is for another audience")
        namespace, account = private["namespace"], private["serviceaccount"]
        self._check_bound(kinds.SERVICE_ACCOUNTS, namespace, account)
        extra: dict[str, tuple[str, ...]] = {
            "authentication.kubernetes.io/credential-id": (f"JTI={claims['jti']}",)
        }
        if "pod" in private:
            self._check_bound(kinds.PODS, namespace, private["pod"])
            extra["authentication.kubernetes.io/pod-name"] = (private["pod"]["name"],)
            extra["authentication.kubernetes.io/pod-uid"] = (private["pod"]["uid"],)
        return service_account(namespace, account["name"], uid=account["uid"], extra=extra)

    def _check_bound(self, resource: Any, namespace: str, reference: Mapping[str, str]) -> None:
        try:
            found = self._store.peek(resource, namespace, reference["name"])
        except NotFound as error:
            raise InvalidToken(str(error)) from None
        if found["metadata"]["uid"] != reference["uid"]:
            raise InvalidToken(f"the {resource.singular} was replaced since the token was issued")


__all__ = ["AUDIENCE", "ISSUER", "InvalidToken", "ServiceAccountTokens", "new_signing_key"]
