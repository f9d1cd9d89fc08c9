"""The address and credentials of one API server, as a plain value that the layers pass to each other.

`cluster` builds an `Access` from the configuration; `tunnel` uses it and knows nothing of kubeconfigs.
It holds key material, not file names or commands: `cluster` renews it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sspcloud_magics.secret import Secret

_SECRETS = ("token", "client_key", "proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """An API server and the current credentials of one identity."""

    server: str  # the base URL, such as ``https://apiserver.example:6443``; it may have a path
    ca: str | None = None  # certificates to trust, in PEM; those of the system if None
    insecure_skip_tls_verify: bool = False  # do not verify the server's certificate
    # The name to verify the certificate against, if it is not the URL's host.
    tls_server_name: str | None = None
    token: Secret | None = None  # a bearer token
    # A client certificate and its key, in PEM.
    client_certificate: str | None = None
    client_key: Secret | None = None
    # The URL of the configured proxy, which may hold a password. If None, the environment variables apply.
    proxy: Secret | None = None
    credentials_without_tls: bool = False  # send the token to an ``http://`` server too

    @property
    def authorization(self) -> Secret | None:
        """The value of the ``Authorization`` header; None without a token, or if it would be sent in clear text."""
        if self.token is None or not (self.is_encrypted or self.credentials_without_tls):
            return None
        return Secret(f"Bearer {self.token.reveal()}")  # not translated: a header

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection to the server uses TLS."""
        return self.server.startswith("https://")

    def to_wire(self) -> dict[str, Any]:
        """Return plain values with the secrets revealed, for the private pipe to the helper process."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()
        }

    @classmethod
    def from_wire(cls, plain: dict[str, Any]) -> Access:
        """Rebuild the value from the result of `to_wire`."""
        hidden: dict[str, Any] = {
            name: Secret(value) if name in _SECRETS and value is not None else value
            for name, value in plain.items()
        }
        return cls(**hidden)
