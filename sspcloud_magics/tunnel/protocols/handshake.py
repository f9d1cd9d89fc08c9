"""The request that upgrades an HTTP connection to another protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Handshake:
    """A request for an upgrade (RFC 9110, section 7.8)."""

    # The request.
    method: str
    headers: tuple[tuple[str, str], ...]
    # Takes the headers of a ``101 Switching Protocols``, with names in lower case; raises `ProtocolError` if
    # they do not answer this request.
    check: Callable[[Mapping[str, str]], None]
    key: str = ""  # the header value that differs in each request; empty if there is none
