"""Which refusals lead on to the next protocol, and which are the end."""

from __future__ import annotations

import pytest

from sspcloud_magics.errors import ServerUnreachable
from sspcloud_magics.tunnel.http import StatusError
from sspcloud_magics.tunnel.negotiation import following
from sspcloud_magics.tunnel.protocols.channels import ChannelTunnel
from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.protocols.spdy_tunnel import SpdyOverWebSocket, SpdyTunnel

A_RIGHT = StatusError(403, 'pods "web-0" is forbidden: ')
NO_POD = StatusError(404, 'pods "web-0" not found')
SILENT = ServerUnreachable("The API server cannot be reached.")
STRANGE = ProtocolError("the server switched to another protocol")


@pytest.mark.parametrize(
    ("refusal", "of_a_stranger", "of_a_speaker"),
    [
        (StatusError(400, "Upgrade request required"), True, False),
        (StatusError(403, ""), True, False),
        (A_RIGHT, True, True),  # it may be there for the other
        (StatusError(404, ""), True, False),
        (NO_POD, False, False),
        (StatusError(401, "Unauthorized"), False, False),
        (StatusError(502, "Bad Gateway"), True, False),
        (STRANGE, True, False),
        (SILENT, True, False),
    ],
)
def test_after_spdy(refusal, of_a_stranger, of_a_speaker):
    leads_on = [following(SpdyTunnel, refusal, known=known) is SpdyOverWebSocket for known in (False, True)]
    assert leads_on == [of_a_stranger, of_a_speaker]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("refusal", "leads_on"),
    [
        (StatusError(400, "no such protocol"), True),
        (StatusError(403, ""), True),
        (A_RIGHT, False),
        (StatusError(404, ""), True),
        (NO_POD, False),
        (StatusError(405, ""), True),
        (StatusError(500, "dial tcp: refused"), False),
        (StatusError(401, "Unauthorized"), False),
        (STRANGE, True),
        (SILENT, False),
    ],
)
def test_after_spdy_over_websocket(refusal, leads_on, known):
    found = following(SpdyOverWebSocket, refusal, known=known)
    assert found is (ChannelTunnel if leads_on else None)


@pytest.mark.parametrize("refusal", [StatusError(400, ""), A_RIGHT, STRANGE, SILENT])
def test_nothing_follows_the_channels(refusal):
    assert following(ChannelTunnel, refusal, known=False) is None
