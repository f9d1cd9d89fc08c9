"""The tunnel protocols, sans IO: bytes in, events out, without sockets and asyncio.

    bytes ───────────────────────────▶ spdy.FrameDecoder ─▶ spdy_tunnel.SpdyTunnel            spdy
    bytes ─▶ websocket.FrameDecoder ─▶ spdy.FrameDecoder ─▶ spdy_tunnel.SpdyOverWebSocket     spdy_websocket
    bytes ─▶ websocket.FrameDecoder ─▶ websocket_channels.ChannelTunnel                       channels

All tunnels report the same `events` to the engine, which does not know the protocol; `handshake` is the request for an
upgrade. No payload is buffered: each slice of received data is passed on as a view of the receive buffer, valid until
the next call. Only data that must be complete (a header, a control frame, an error text) is buffered, within a limit.
"""
