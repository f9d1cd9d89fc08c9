"""The subresource ``portforward`` of a pod: protocol negotiation.

Like a real server, it supports three protocols: SPDY/3.1 in a WebSocket, channels in a WebSocket, and SPDY/3.1
on the upgraded connection itself. The caller has checked the permissions and the pod.

Source: KEP-4006; k8s.io/kubelet/pkg/cri/streaming/portforward; k8s.io/apimachinery/pkg/util/httpstream/wsstream;
for the Accept header, the routes of containerd's streaming server, which declare no type (go-restful,
Route.matchesAccept).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final

from aiohttp import web

from sspcloud_magics.sandbox.api.status import bad_request
from sspcloud_magics.sandbox.node.bare_connection import BareConnection, TakenOver
from sspcloud_magics.sandbox.node.channel_session import ChannelSession
from sspcloud_magics.sandbox.node.relay import GRACE, ClientGone, Sandbox
from sspcloud_magics.sandbox.node.spdy_session import SpdySession
from sspcloud_magics.sandbox.node.websocket_carrier import WebSocketCarrier

TUNNEL: Final = "SPDY/3.1+portforward.k8s.io"
CHANNELS: Final = "v4.channel.k8s.io"
STREAMS: Final = "portforward.k8s.io"

# Bytes of a WebSocket message.
MAX_MESSAGE: Final = 32 * 1024 * 1024


async def serve(request: web.Request, sandbox: Sandbox) -> web.StreamResponse:
    """Serve a request for ``…/pods/POD/portforward``; return when the forwarding has ended.

    Raise `ApiError` if the request is not a valid upgrade.
    """
    upgrade = request.headers.get("Upgrade", "").lower()
    connection = request.headers.get("Connection", "").lower()
    if "upgrade" not in connection or not upgrade:
        raise bad_request("Upgrade request required")
    if not _accepts_any_type(request):
        return web.Response(status=406, text="406: Not Acceptable")
    with contextlib.suppress(ClientGone):
        if upgrade == "websocket":
            return await _websocket(request, sandbox)
        if upgrade == "spdy/3.1":
            return await _streams(request, sandbox)
        headers = {name: value for name, value in request.headers.items() if name != "Authorization"}
        raise bad_request(f"unable to upgrade: missing upgrade headers in request: {headers!r}")
    return TakenOver()  # the client has left


def _accepts_any_type(request: web.Request) -> bool:
    """Return whether the client accepts a response without a type, like a node's streams."""
    types = [value.partition(";")[0].strip() for value in _list_values(request, "Accept")]
    return not types or "*/*" in types


async def _websocket(request: web.Request, sandbox: Sandbox) -> web.StreamResponse:
    if request.method != "GET":
        raise web.HTTPMethodNotAllowed(request.method, ["GET"], text="bad method\n")
    offered = _list_values(request, "Sec-WebSocket-Protocol")
    # The API server prefers SPDY in the WebSocket; for the rest, the kubelet takes the first protocol it knows.
    if TUNNEL in offered:
        chosen = TUNNEL
    else:
        chosen = CHANNELS if CHANNELS in offered else ""
        if offered and not chosen:
            return web.Response(status=403)
    ports = [] if chosen == TUNNEL else _ports(request)
    socket = web.WebSocketResponse(
        protocols=(chosen,) if chosen else (), compress=False, max_msg_size=MAX_MESSAGE, autoping=True
    )
    await socket.prepare(request)
    if chosen == TUNNEL:
        await SpdySession(WebSocketCarrier(request, socket), sandbox).run()
        await socket.close()
    else:
        await _run_to_end(ChannelSession(socket, sandbox, ports).run())
    return socket


async def _run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Let a session pass on the client's last bytes: aiohttp cancels the handler as soon as the client leaves."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=GRACE)
        raise
    finally:
        task.cancel()


async def _streams(request: web.Request, sandbox: Sandbox) -> web.StreamResponse:
    if request.method != "POST":
        raise web.HTTPMethodNotAllowed(request.method, ["POST"])
    offered = _list_values(request, "X-Stream-Protocol-Version")
    if offered and STREAMS not in offered:
        text = f"unable to upgrade: unable to negotiate protocol: client supports {_go(offered)}, server supports {_go([STREAMS])}"
        return web.Response(
            status=403, text=text + "\n", headers={"X-Accepted-Stream-Protocol-Versions": STREAMS}
        )
    carrier = BareConnection.take_over(
        request, {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": STREAMS}
    )
    try:
        await SpdySession(carrier, sandbox).run()
    finally:
        carrier.close()
    return TakenOver()


def _list_values(request: web.Request, header: str) -> list[str]:
    values = ",".join(request.headers.getall(header, ()))
    return [value.strip() for value in values.split(",") if value.strip()]


def _go(names: list[str]) -> str:
    return f"[{' '.join(names)}]"


def _ports(request: web.Request) -> list[int]:
    texts = [text for value in request.query.getall("ports", ()) for text in value.split(",")]
    if not texts:
        raise bad_request('query parameter "port" is required')
    ports = []
    for text in texts:
        if not text.isascii() or not text.isdigit() or int(text) > 65535:
            raise bad_request(
                f'unable to parse "{text}" as a port: strconv.ParseUint: parsing "{text}": invalid syntax'
            )
        if int(text) == 0:
            raise bad_request(f'port "{text}" must be > 0')
        ports.append(int(text))
    return ports
