"""JSON Web Tokens, signed with RS256.

Source: RFC 7519 (JWT), RFC 7515 (JWS), RFC 7517 (JWK).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


class InvalidToken(Exception):
    """The token was issued elsewhere, or is no longer valid."""


class Signer:
    """An RSA key that signs and verifies tokens."""

    def __init__(self, pem: bytes) -> None:
        # The sandbox has made the key itself; the check of its numbers takes 0.2 s at every start.
        key = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("tokens are signed with an RSA key")
        self._key = key

    def sign(self, claims: Mapping[str, Any], **header: str) -> str:
        """Return a token with these claims; `header` adds to its header, such as ``kid``."""
        signed = f"{_part({'alg': 'RS256', 'typ': 'JWT', **header})}.{_part(claims)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64url(signature)}"

    def read(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token, without checking them; raise `InvalidToken` if the signature is not valid."""
        signed, _, signature = token.rpartition(".")
        try:
            self._key.public_key().verify(
                _from_base64url(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
            claims: Mapping[str, Any] = json.loads(_from_base64url(signed.partition(".")[2]))
        except (InvalidSignature, ValueError):
            raise InvalidToken("not a token of this cluster") from None
        return claims

    def jwk(self) -> dict[str, str]:
        """Return the public half, as a JSON Web Key."""
        numbers = self._key.public_key().public_numbers()
        modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
        key_id = _base64url(hashlib.sha256(modulus).digest()[:15])
        public = {"n": _base64url(modulus), "e": _base64url(numbers.e.to_bytes(3, "big"))}
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key_id, **public}


def _part(value: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
