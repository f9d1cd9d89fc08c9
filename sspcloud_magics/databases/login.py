"""The parameters of a login to a server, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sspcloud_magics.secret import Secret


class Tls(StrEnum):
    """The encryption of a connection between this process and the server."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The parameters of a login."""

    host: str  # the server's name, against which its certificate is verified
    port: int  # the port at that address
    # The role, its password, and the database.
    user: str
    password: Secret
    dbname: str
    address: str | None = None  # the IP address to connect to; None to resolve `host`
    ca: str | None = None  # certificates in PEM to verify the server with; None if none are available
    options: str = ""  # command-line options for a session of PostgreSQL, such as ``-c lock_timeout=10s``
    timeout: float = 30.0  # the timeout of the login, in seconds
