"""The handshake of each protocol: the name on the wire, and the HTTP method that decides the permission."""

from __future__ import annotations

import pytest

from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyOverWebSocket, SpdyTunnel
from sspcloud_magics.tunnel.protocols.websocket_channels import ChannelTunnel

ASKED = {
    SpdyTunnel: ("POST", {"Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "portforward.k8s.io"}),
    SpdyOverWebSocket: (
        "GET",
        {"Upgrade": "websocket", "Sec-WebSocket-Protocol": "SPDY/3.1+portforward.k8s.io"},
    ),
    ChannelTunnel: ("GET", {"Upgrade": "websocket", "Sec-WebSocket-Protocol": "v4.channel.k8s.io"}),
}


@pytest.mark.parametrize("protocol", ASKED, ids=lambda protocol: protocol.name)
def test_the_request_names_the_protocol(protocol):
    method, headers = ASKED[protocol]
    asked = protocol.handshake()
    assert asked.method == method
    assert headers.items() <= dict(asked.headers).items()
