"""The tunnel's protocols: bytes in, events out, and neither sockets nor asyncio anywhere.

    bytes ───────────────────────────▶ spdy.FrameDecoder ─▶ spdy_tunnel.SpdyTunnel          (protocol C)
    bytes ─▶ websocket.FrameDecoder ─▶ spdy.FrameDecoder ─▶ spdy_tunnel.SpdyOverWebSocket   (protocol A)
    bytes ─▶ websocket.FrameDecoder ─▶ channels.ChannelTunnel                               (protocol B)

All tunnels speak to the engine in the same events (`events`), so that the engine does not know which it
drives; `handshake` is how each is asked for. Nothing here buffers a payload: each slice of what was received is handed on as a view of the
receive buffer, valid until the next call, and only what must be whole (a header, a control frame, an
error text) is kept, within a limit.
"""
