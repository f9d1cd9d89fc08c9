"""A student's web API and its front end in the scenario: communes of France as JSON and as a page, on port 8000.

``/``, ``/health``, ``/communes?departement=35&limit=10&offset=0``, ``/communes/35238`` and ``/departements``. A browser gets
the front end at ``/``. All of its addresses are relative, so that it also works behind a proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from sspcloud_magics.sandbox.node.programs.pod import Pod, run, say

PORT: Final = 8000
LAST_REQUEST_SECONDS: Final = 1.0
"""Seconds that a new connection has to send its request when the node stops the program."""

COMMUNES: Final = json.loads(Path(__file__).with_name("communes.json").read_text(encoding="utf-8"))


class _Refused(Exception):
    """A request that is answered with an error; the message becomes the ``detail``."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def answer(target: str) -> Any:
    """Return the JSON value at a path; raise `_Refused` for an unknown path or an invalid query."""
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


def front_end(target: str) -> str | None:
    """Return the page at a path, None if there is no page."""
    url = urlsplit(target)
    if url.path != "/":
        return None
    departement = parse_qs(url.query).get("departement", ["35"])[-1]
    found = sorted(
        (commune for commune in COMMUNES if commune["departement"] == departement),
        key=lambda commune: -commune["population"],
    )
    rows = "".join(f"<tr><td>{each['nom']}</td><td>{each['population']}</td></tr>" for each in found[:10])
    return (
        '<!DOCTYPE html><html lang="fr"><meta charset="utf-8"><title>Mes communes</title><h1>Mes communes</h1>'
        f'<form><label>Département <input name="departement" value="{escape(departement)}"></label> <button>Afficher</button></form>'
        f"<table><tr><th>Commune</th><th>Population</th></tr>{rows}</table></html>"
    )


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: {text!r} is not a number")
    return int(text)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # buffered: head and body are sent together
    server: Server
    # Whether the connection is idle: it has had a response, and no further request.
    idle = False

    def handle(self) -> None:
        """Answer requests until the client closes, or the server stops."""
        self.server.handlers.add(self)
        with contextlib.suppress(ConnectionError):
            super().handle()
        self.server.handlers.discard(self)

    def handle_one_request(self) -> None:
        """Answer the next request."""
        super().handle_one_request()
        self.idle = True
        if self.server.stopping:
            self.close_connection = True

    def parse_request(self) -> bool:
        """Parse the head of a request."""
        self.idle = False
        return super().parse_request()

    def do_GET(self) -> None:
        """Answer a request."""
        status, value, kind = HTTPStatus.OK, None, "application/json"
        page = front_end(self.path) if "text/html" in self.headers.get("accept", "") else None
        try:
            value = answer(self.path) if page is None else None
        except _Refused as refused:
            status, value = refused.status, {"detail": str(refused)}
        body = json.dumps(value, ensure_ascii=False).encode()
        if page is not None:
            body, kind = page.encode(), "text/html; charset=utf-8"
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log a request in uvicorn's format."""
        del size
        host, port = self.client_address
        say(f'INFO:     {host}:{port} - "{self.requestline}" {int(code)} {HTTPStatus(int(code)).phrase}')

    def stop_reading(self) -> None:
        """Let the connection end after the requests that have arrived."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RD)


class Server(ThreadingHTTPServer):
    """The HTTP server."""

    request_queue_size = 128
    daemon_threads = False  # the process ends after the last response

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.socket.setblocking(False)
        self.handlers: set[Handler] = set()
        """The open connections; each thread adds and removes its own."""
        self.stopping = False
        """Whether the node has asked the program to end."""

    def accept_all(self) -> None:
        """Serve all connections that wait in the backlog, each in a thread of its own."""
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, address = self.socket.accept()
                connection.setblocking(True)
                self.process_request(connection, address)


async def main() -> int:
    """Serve until the node stops the program; then, like uvicorn, answer the requests that have arrived."""
    pod = await Pod.join()
    say(f"INFO:     Started server process [{os.getpid()}]")
    server, loop, stop = Server(), asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(server.socket, server.accept_all)
    pod.announce(PORT, server.socket)
    say(f"INFO:     Uvicorn running on http://0.0.0.0:{PORT} (Press CTRL+C to quit)")
    await stop.wait()
    say("INFO:     Shutting down")
    server.stopping = True
    loop.remove_reader(server.socket)
    server.accept_all()
    server.socket.close()
    closing = asyncio.create_task(asyncio.to_thread(server.server_close))  # waits for the threads
    for handler in list(server.handlers):
        if handler.idle:
            handler.stop_reading()
    await asyncio.wait({closing}, timeout=LAST_REQUEST_SECONDS)
    for handler in list(server.handlers):
        handler.stop_reading()
    await closing
    say(f"INFO:     Finished server process [{os.getpid()}]")
    return 0


if __name__ == "__main__":
    run(main)
