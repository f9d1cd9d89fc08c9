"""How to reach one API server as one identity: the plain value that layers pass to each other.

`cluster` makes an `Access` from whatever configuration there is; `tunnel` uses it and knows nothing of
kubeconfigs. It holds material, not file names or commands: whoever made it renews it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sspcloud_magics.secret import Secret

_SECRETS = ("token", "client_key", "proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One API server and the credentials of one identity, as they are at this moment.

    Parameters
    ----------
    server
        The base URL, such as ``https://apiserver.example:6443``; it may have a path.
    ca
        Certificates to trust, in PEM; the system's where it is None.
    insecure_skip_tls_verify
        Do not verify the server's certificate.
    tls_server_name
        The name to verify the certificate against, where it is not the URL's host.
    token
        A bearer token.
    client_certificate, client_key
        A client certificate and its key, in PEM.
    proxy
        The URL of the proxy that the configuration names, which may hold a password; the environment's rules apply
        where it is None.
    credentials_without_tls
        Send the token also to a server whose address begins with ``http://``.
    """

    server: str
    ca: str | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    token: Secret | None = None
    client_certificate: str | None = None
    client_key: Secret | None = None
    proxy: Secret | None = None
    credentials_without_tls: bool = False

    @property
    def authorization(self) -> Secret | None:
        """What the ``Authorization`` header says; None where there is no token, or it would go in clear."""
        if self.token is None or not (self.is_encrypted or self.credentials_without_tls):
            return None
        return Secret(f"Bearer {self.token.reveal()}")

    @property
    def is_encrypted(self) -> bool:
        """Whether the server is spoken to over TLS."""
        return self.server.startswith("https://")

    def to_wire(self) -> dict[str, Any]:
        """Return plain values with the secrets revealed, for the private pipe to the helper."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()
        }

    @classmethod
    def from_wire(cls, plain: dict[str, Any]) -> Access:
        """Return the value that `to_wire` described."""
        hidden: dict[str, Any] = {
            name: Secret(value) if name in _SECRETS and value is not None else value
            for name, value in plain.items()
        }
        return cls(**hidden)
