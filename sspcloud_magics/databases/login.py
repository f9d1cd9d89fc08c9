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
    """The parameters of a login.

    Parameters
    ----------
    host
        The server's name, against which its certificate is verified.
    address
        The IP address to connect to; None to resolve `host`.
    port
        The port at that address.
    user, password, dbname
        The role, its password, and the database.
    ca
        Certificates in PEM to verify the server with; None if none are available.
    options
        Command-line options for a session of PostgreSQL, such as ``-c lock_timeout=10s``.
    timeout
        The timeout of the login, in seconds.
    """

    host: str
    port: int
    user: str
    password: Secret
    dbname: str
    address: str | None = None
    ca: str | None = None
    options: str = ""
    timeout: float = 30.0
