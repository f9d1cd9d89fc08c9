"""Which protocol a server is asked for, and which one next where it is refused.

All lead to the same pod, and differ in what they cost and in what lets them through:

    SpdyTunnel           C   a POST that becomes SPDY       the least work; some proxies do not know it
    SpdyOverWebSocket    A   SPDY in a WebSocket            half as much again for a download; Kubernetes 1.31 and later
    ChannelTunnel        B   channels in a WebSocket        the most work, no half-close, nothing ahead; all

Their rights differ too: C is a ``create`` of ``pods/portforward``, A and B are a ``get``, to which Kubernetes 1.35 adds ``create``.
So a refusal for want of a right is no word on the protocol, but the next one may still be allowed.
"""

from __future__ import annotations

from typing import TypeAlias

from sspcloud_magics.errors import ServerUnreachable
from sspcloud_magics.tunnel.http import StatusError
from sspcloud_magics.tunnel.protocols.channels import ChannelTunnel
from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyOverWebSocket, SpdyTunnel

TunnelProtocol: TypeAlias = type[SpdyTunnel | ChannelTunnel]
Refusal: TypeAlias = StatusError | ProtocolError | ServerUnreachable

PROTOCOLS: tuple[TunnelProtocol, ...] = (SpdyTunnel, SpdyOverWebSocket, ChannelTunnel)
"""The best first."""
FIRST_ANSWER = 5.0
"""Seconds in which a server, or a proxy before it, has to answer to SPDY the first time that it hears of it."""
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_NO_SUCH_PROTOCOL = (400, _FORBIDDEN, _NOT_FOUND, 405, 501)


def lacks_a_right(refusal: Refusal) -> bool:
    """Return whether the server refused for want of a right. Where it knows no such protocol, it says 403 without a word."""
    return isinstance(refusal, StatusError) and refusal.status == _FORBIDDEN and bool(refusal.message)


def following(protocol: TunnelProtocol, refusal: Refusal, *, known: bool) -> TunnelProtocol | None:
    """Return what to try after `protocol` was refused; None where the refusal is not about the protocol.

    Parameters
    ----------
    protocol, refusal
        What was asked for, and how that ended.
    known
        Whether this server has spoken `protocol` before.
    """
    rest = PROTOCOLS[PROTOCOLS.index(protocol) + 1 :]
    if not rest or not _may_be_the_protocol(protocol, refusal, known=known):
        return None
    return rest[0]


def _may_be_the_protocol(protocol: TunnelProtocol, refusal: Refusal, *, known: bool) -> bool:
    if isinstance(refusal, StatusError):
        if refusal.status == _NOT_FOUND and refusal.message:
            return False  # the pod is not there
        if protocol is not SpdyTunnel:
            return refusal.status in _NO_SUCH_PROTOCOL and not lacks_a_right(refusal)
        if lacks_a_right(refusal):
            return True
        return not known and refusal.status != _UNAUTHORIZED
    if protocol is not SpdyTunnel:
        return isinstance(refusal, ProtocolError)
    return not known  # a proxy may say anything to what it does not know, or nothing at all
