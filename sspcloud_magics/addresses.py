"""The address of a server or a proxy, parsed once, with its user information kept apart.

``https://user:password@host`` is what some programs take for a login. Shown as a whole it would tell the password, and with
a ``#`` or ``/`` in it even the parser's error would: so a text that is no address is never quoted.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from sspcloud_magics.secret import Secret


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is.

    Parameters
    ----------
    scheme, host, port, path
        Its parts; no port where none is written.
    user_info
        ``USER:PASSWORD`` with its escapes resolved; None where there is none.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    user_info: Secret | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def parse(text: str) -> Address | None:
    """Return the address that a text is; None where it is none.

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
    # A mark of a query or a fragment is a password's, as a rule: an address of ours has none.
    if not parts.scheme or not host or port == 0 or "?" in text or "#" in text:
        return None
    user_info = None
    if user is not None:
        user_info = Secret(f"{unquote(user)}:{unquote(password or '')}")
    return Address(parts.scheme, host, port, parts.path, user_info)
