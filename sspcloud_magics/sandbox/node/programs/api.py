"""A student's small web API: municipalities of France as JSON, on port 8000.

``/``, ``/health``, ``/communes?departement=35&limit=10&offset=0``, ``/communes/35238`` and ``/departements``; HTTP/1.1 by h11.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import h11

from sspcloud_magics.sandbox.node.programs.pod import Pod, closing, run, say

PORT: Final = 8000

COMMUNES: Final = tuple(
    {"code": code, "nom": name, "departement": code[:2], "population": population}
    for code, name, population in (
        ("06088", "Nice", 348085),
        ("13055", "Marseille", 877215),
        ("21231", "Dijon", 160204),
        ("29019", "Brest", 139619),
        ("29232", "Quimper", 64385),
        ("31555", "Toulouse", 511684),
        ("33063", "Bordeaux", 265328),
        ("34172", "Montpellier", 307101),
        ("35047", "Bruz", 19013),
        ("35051", "Cesson-Sévigné", 17969),
        ("35093", "Dinard", 10181),
        ("35115", "Fougères", 20739),
        ("35236", "Redon", 9219),
        ("35238", "Rennes", 227830),
        ("35288", "Saint-Malo", 47255),
        ("35360", "Vitré", 18919),
        ("38185", "Grenoble", 156389),
        ("44109", "Nantes", 325070),
        ("56121", "Lorient", 57812),
        ("56260", "Vannes", 54420),
        ("59350", "Lille", 238695),
        ("67482", "Strasbourg", 291709),
        ("69123", "Lyon", 520774),
        ("75056", "Paris", 2113705),
        ("76540", "Rouen", 117662),
    )
)


class _Refused(Exception):
    """A request that gets an error; the status and what is wrong with it."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def answer(target: str) -> Any:
    """Return the JSON value of a path with its query.

    Raise `_Refused` if there is no such thing, or the query makes no sense.
    """
    url = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
    match unquote(url.path).strip("/").split("/"):
        case [""]:
            return {
                "message": "Mon API",
                "communes": len(COMMUNES),
                "docs": "/communes?departement=35&limit=10",
            }
        case ["health"]:
            return {"status": "ok"}
        case ["departements"]:
            return sorted({commune["departement"] for commune in COMMUNES}, key=str)
        case ["communes"]:
            wanted = query.get("departement")
            found = [commune for commune in COMMUNES if wanted in (None, commune["departement"])]
            offset = _number(query, "offset", 0)
            return found[offset : offset + _number(query, "limit", 10)]
        case ["communes", code]:
            for commune in COMMUNES:
                if commune["code"] == code:
                    return commune
            raise _Refused(HTTPStatus.NOT_FOUND, f"no commune has the code {code}")
    raise _Refused(HTTPStatus.NOT_FOUND, "Not Found")


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: {text!r} is not a number")
    return int(text)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    connection = h11.Connection(h11.SERVER)
    peer = writer.get_extra_info("peername")
    while True:
        try:
            request = await _next_request(connection, reader)
        except h11.RemoteProtocolError as error:
            await _send(
                connection, writer, HTTPStatus(error.error_status_hint), {"detail": str(error)}, head=False
            )
            return
        if request is None:
            return
        target = request.target.decode("ascii")
        status: HTTPStatus = HTTPStatus.OK
        value: Any
        if request.method not in {b"GET", b"HEAD"}:
            status, value = HTTPStatus.METHOD_NOT_ALLOWED, {"detail": "Method Not Allowed"}
        else:
            try:
                value = answer(target)
            except _Refused as refused:
                status, value = refused.status, {"detail": str(refused)}
        await _send(connection, writer, status, value, head=request.method == b"HEAD")
        line = f"{request.method.decode()} {target} HTTP/1.1"
        say(f'INFO:     {peer[0]}:{peer[1]} - "{line}" {status.value} {status.phrase}')
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


async def _next_request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    request: h11.Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage):
            return request
        elif isinstance(event, h11.ConnectionClosed):
            return None


async def _send(
    connection: h11.Connection, writer: asyncio.StreamWriter, status: HTTPStatus, value: Any, *, head: bool
) -> None:
    body = json.dumps(value, ensure_ascii=False).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    writer.write(
        connection.send(h11.Response(status_code=status, headers=headers, reason=status.phrase)) or b""
    )
    if not head:
        writer.write(connection.send(h11.Data(data=body)) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()


async def main() -> int:
    """Serve until the node ends it."""
    pod = await Pod.join()
    say(f"INFO:     Started server process [{os.getpid()}]")
    server = await pod.listen(PORT, closing(serve))
    say(f"INFO:     Uvicorn running on http://0.0.0.0:{PORT} (Press CTRL+C to quit)")
    await server.serve_forever()
    return 0


if __name__ == "__main__":
    run(main)
