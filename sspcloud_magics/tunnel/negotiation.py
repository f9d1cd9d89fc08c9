"""Which protocol a server is asked for, and which one next where it is refused.

All lead to the same pod, and differ in what they cost and in what lets them through:

    SpdyTunnel           C   a POST that becomes SPDY       the least work; some proxies do not know it
    SpdyOverWebSocket    A   SPDY in a WebSocket            half as much again for a download; Kubernetes 1.31 and later
    ChannelTunnel        B   channels in a WebSocket        the most work, no half-close, nothing ahead; all

Their rights differ too: C is a ``create`` of ``pods/portforward``, A and B are a ``get``, to which Kubernetes 1.35 adds ``create``.
So a refusal for want of a right is no word on the protocol, but the next one may still be allowed.

Between us and the server may stand a proxy that knows neither, and may say anything to what it does not know. Only the API server
describes its refusals in a ``Status``; so a 403 or a 404 without one is such a proxy's, or that of a server which does not
know the protocol. The exception is the kubelet, whose plain words on a pod that it does not run are passed on as they are.
"""

from __future__ import annotations

from typing import TypeAlias

from sspcloud_magics.tunnel.http import NoAnswer, StatusError
from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyOverWebSocket, SpdyTunnel
from sspcloud_magics.tunnel.protocols.websocket_channels import ChannelTunnel

TunnelProtocol: TypeAlias = type[SpdyTunnel | ChannelTunnel]
Refusal: TypeAlias = StatusError | ProtocolError | NoAnswer

PROTOCOLS: tuple[TunnelProtocol, ...] = (SpdyTunnel, SpdyOverWebSocket, ChannelTunnel)
"""The best first."""
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
# pkg/kubelet/server/server.go, getPortForward
_KUBELET_ON_PODS = ("pod does not exist", "pod not found")
_NO_SUCH_PROTOCOL = (400, _FORBIDDEN, _NOT_FOUND, 405, 426, 501)


def lacks_a_right(refusal: Refusal) -> bool:
    """Return whether the server refused for want of a right."""
    return isinstance(refusal, StatusError) and refusal.status == _FORBIDDEN and refusal.from_api


def is_of_the_protocol(refusal: Refusal) -> bool:
    """Return whether to ask for this protocol again would be in vain, at any time and for any pod."""
    if isinstance(refusal, StatusError):
        of_rights_or_pods = refusal.from_api or refusal.message in _KUBELET_ON_PODS
        return refusal.status in _NO_SUCH_PROTOCOL and not (
            of_rights_or_pods and refusal.status in (_FORBIDDEN, _NOT_FOUND)
        )
    return True


def get_next_protocol(protocol: TunnelProtocol, refusal: Refusal, *, spoken: bool) -> TunnelProtocol | None:
    """Return what to try after `protocol` was refused; None where the refusal is the end.

    Parameters
    ----------
    protocol, refusal
        What was asked for, and how that ended.
    spoken
        Whether this server has spoken `protocol` before: then what went wrong is another thing.
    """
    rest = PROTOCOLS[PROTOCOLS.index(protocol) + 1 :]
    return rest[0] if rest and _leads_on(protocol, refusal, spoken=spoken) else None


def _leads_on(protocol: TunnelProtocol, refusal: Refusal, *, spoken: bool) -> bool:
    if isinstance(refusal, NoAnswer):
        return protocol is SpdyTunnel and not spoken
    if is_of_the_protocol(refusal):
        return True
    if protocol is not SpdyTunnel or not isinstance(refusal, StatusError):
        return False
    if refusal.retry_after is not None:
        return False  # the server is busy: it is asked again
    return lacks_a_right(refusal) or (not spoken and refusal.status not in (_UNAUTHORIZED, _NOT_FOUND))
