"""How a connection is asked to speak another protocol than HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Handshake:
    """A request for an upgrade (RFC 9110, section 7.8).

    Parameters
    ----------
    method, headers
        The request.
    check
        Takes the headers of a ``101 Switching Protocols``, names in lower case; raises `ProtocolError` if they do not
        answer this request.
    key
        The one of the headers' values that is another each time; empty if there is none.
    """

    method: str
    headers: tuple[tuple[str, str], ...]
    check: Callable[[Mapping[str, str]], None]
    key: str = ""
