"""A small HTTPS server with settable answers of an API server, which records requests.

It serves the kernel's requests. `tests.tunnel.apiserver` forwards, and `tests.hostile.api` sends what no server should.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme

# A server that does not say so is doubted for ten seconds when it refuses something.
READY = 200, "text/plain", b"ok"


@dataclass
class Asked:
    """One request, as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    token: str
    body: Any
    client: str
    connection: int
    raw: bytes
    """The body as it was sent."""


@dataclass
class ApiServer:
    """The answers of the server, and the requests to it."""

    ca: trustme.CA
    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    """By path: an object (200), or ``(status, content type, bytes)``; or what returns one, given the request."""
    headers: dict[str, str] = field(default_factory=dict)
    """What else stands in the head of every refusal."""
    tokens: set[str] | None = None
    """The tokens that it accepts; all where None."""
    forbidden: set[str] = field(default_factory=set)
    """Paths that are answered 403."""
    asked: list[Asked] = field(default_factory=list)
    drop_kept: bool = False
    """Take the second request of a connection, and close it without an answer: it was about to be closed."""
    close_idle: bool = False
    """Close each connection after its answer, without a word: as one that was idle for long."""

    def ca_file(self, folder: Path) -> Path:
        file = folder / "ca.crt"
        self.ca.cert_pem.write_to_path(str(file))
        return file

    @property
    def ca_pem(self) -> str:
        return self.ca.cert_pem.bytes().decode()


def status(code: int, message: str) -> tuple[int, str, bytes]:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return code, "application/json", json.dumps(body).encode()


def _handler(server: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            if server.drop_kept and hasattr(self, "answered"):
                self.close_connection = True
                return
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            body = json.loads(raw) if raw else None
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            certificate: Any = getattr(self.connection, "getpeercert", dict)()
            subject: Any = certificate or {}
            client = dict(pair[0] for pair in subject.get("subject", ())).get("organizationalUnitName", "")
            server.asked.append(
                Asked(
                    self.command,
                    parts.path,
                    parse_qs(parts.query),
                    token,
                    body,
                    client,
                    id(self.connection),
                    raw,
                )
            )
            code, kind, data = self._find(parts.path, token)
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            for name, value in server.headers.items() if code >= 300 else ():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            self.answered = True
            self.close_connection = server.close_idle

        def _find(self, path: str, token: str) -> tuple[int, str, bytes]:
            if server.tokens is not None and token not in server.tokens:
                return status(401, "Unauthorized")
            if path in server.forbidden:
                return status(403, f'{path} is forbidden: User "oidc-bob" cannot do that')
            answer = server.answers.get(path, READY if path == "/readyz" else None)
            if callable(answer):
                answer = answer(server.asked[-1])
            if answer is None:
                return status(404, "the server could not find the requested resource")
            return (
                answer
                if isinstance(answer, tuple)
                else (200, "application/json", json.dumps(answer).encode())
            )

        do_GET = do_POST = do_DELETE = do_PATCH = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_arguments: Any) -> None:
            pass

    return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: Any) -> None:
        """A client that leaves in the handshake is what some tests are about."""


@contextmanager
def serve(server: ApiServer, *, tls: bool = True) -> Iterator[ApiServer]:
    """Have the server answer as long as the block runs, at its `url`."""
    listener = _Quiet(("127.0.0.1", 0), _handler(server))
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.ca.issue_cert("localhost", "127.0.0.1", "api.example").configure_cert(context)
        server.ca.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        # The handshake belongs to the connection's thread, not to the one that accepts.
        listener.socket = context.wrap_socket(
            listener.socket, server_side=True, do_handshake_on_connect=False
        )
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.server_address[1]}"
    threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
