"""Addresses of servers and proxies, parsed once, with the user information kept apart.

Some programs accept a login as ``https://user:password@host``. Such an address must not be displayed whole. If the password
holds a ``#`` or ``/``, even the parser's error would quote it: so a text that is not an address is never quoted.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from sspcloud_magics.secret import Secret


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server, without a query or a fragment."""

    # The parts of the URL; `port` is None if the URL has none.
    scheme: str
    host: str
    port: int | None
    path: str
    user_info: Secret | None  # ``USER:PASSWORD`` with percent escapes decoded; None if the URL has none

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def parse(text: str) -> Address | None:
    """Parse a text as an address; return None if it is not one.

    Examples
    --------
    >>> print(parse("https://bob:secret@api.example:6443/base"))
    https://api.example:6443/base
    >>> parse("http://bob:s3cr#et@proxy.example:3128")
    """
    if not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
        user, password = parts.username, parts.password
    except ValueError:
        return None
    # `?` and `#` usually belong to a password: these addresses have no query and no fragment.
    if not parts.scheme or not host or port == 0 or "?" in text or "#" in text:
        return None
    user_info = None
    if user is not None:
        user_info = Secret(f"{unquote(user)}:{unquote(password or '')}")
    return Address(parts.scheme, host, port, parts.path, user_info)
