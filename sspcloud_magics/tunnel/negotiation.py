"""Protocol negotiation: the preferred tunnel protocol, and the fallback when a server refuses it.

All of them lead to the same pod. They differ in cost and in what lets them through:

    SpdyTunnel         spdy            a POST that becomes SPDY   least work; some proxies do not know it
    SpdyOverWebSocket  spdy_websocket  SPDY in a WebSocket        a download costs half as much again; since Kubernetes 1.31
    ChannelTunnel      channels        channels in a WebSocket    most work, no half-close, not opened ahead; all servers

Their permissions differ too. `spdy` needs ``create`` on ``pods/portforward``, the others need ``get``, and since Kubernetes 1.35
also ``create``. So a missing permission says nothing about the protocol, but the next one may still be allowed.

A proxy on the way may not know the protocol, and may answer anything. Only the API server describes its refusals in a ``Status``.
So a 403 or a 404 without one comes from such a proxy, or from a server that does not know the protocol. The exception is the
kubelet, whose plain-text answers about a pod that it does not run are passed on unchanged.
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
"""In order of preference."""
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
# pkg/kubelet/server/server.go, getPortForward
_KUBELET_POD_MISSING = ("pod does not exist", "pod not found")  # not translated: the kubelet's words
# The statuses with which a server or a proxy refuses a protocol that it does not know.
_UNKNOWN_PROTOCOL = (400, _FORBIDDEN, _NOT_FOUND, 405, 426, 501)


def is_permission_missing(refusal: Refusal) -> bool:
    """Return whether the API server refused for lack of a permission."""
    return isinstance(refusal, StatusError) and refusal.status == _FORBIDDEN and refusal.from_api


def is_protocol_unknown(refusal: Refusal) -> bool:
    """Return whether the protocol itself was refused, so that no later attempt with it can succeed for any pod."""
    if isinstance(refusal, StatusError):
        is_about_pod = refusal.from_api or refusal.message in _KUBELET_POD_MISSING
        return refusal.status in _UNKNOWN_PROTOCOL and not (
            is_about_pod and refusal.status in (_FORBIDDEN, _NOT_FOUND)
        )
    return True


def get_next_protocol(
    protocol: TunnelProtocol, refusal: Refusal, *, confirmed: bool
) -> TunnelProtocol | None:
    """Return the protocol to try after `protocol` was refused; None if the refusal is final.

    Parameters
    ----------
    protocol, refusal
        The protocol that was tried, and the outcome.
    confirmed
        Whether this server has spoken `protocol` before, so that the refusal has another cause.
    """
    rest = PROTOCOLS[PROTOCOLS.index(protocol) + 1 :]
    return rest[0] if rest and _is_fallback_due(protocol, refusal, confirmed=confirmed) else None


def _is_fallback_due(protocol: TunnelProtocol, refusal: Refusal, *, confirmed: bool) -> bool:
    if isinstance(refusal, NoAnswer):
        return protocol is SpdyTunnel and not confirmed
    if is_protocol_unknown(refusal):
        return True
    if protocol is not SpdyTunnel or not isinstance(refusal, StatusError):
        return False
    if refusal.retry_after is not None:
        return False  # the server is busy; `AccessStore` retries
    return is_permission_missing(refusal) or (
        not confirmed and refusal.status not in (_UNAUTHORIZED, _NOT_FOUND)
    )
