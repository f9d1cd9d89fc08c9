"""A link-local IPv6 address with a zone, which means something only on this machine, and is not sent to the server."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.tunnel.http import Client

LOOPBACK = next((number for number, name in socket.if_nameindex() if name.startswith("lo")), 1)
ZONES = pytest.mark.parametrize(
    "zone", ["", f"%25{LOOPBACK}", f"%{LOOPBACK}"], ids=["none", "as a URL", "bare"]
)


class Handler(BaseHTTPRequestHandler):
    hosts: list[str]

    def do_GET(self) -> None:
        self.hosts.append(self.headers["Host"])
        self.send_response(200)
        self.send_header("Content-Length", "15")
        self.end_headers()
        self.wfile.write(b'{"metadata":{}}')

    def log_message(self, *_arguments: object) -> None:
        """Do not log."""


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[Server]:
    Handler.hosts = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("::1").configure_cert(context)
    found = Server(("::1", 0), Handler)
    found.socket = context.wrap_socket(found.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


@ZONES
def test_address_with_a_zone_is_reached(
    server: Server, authority: trustme.CA, tmp_path: Path, zone: str
) -> None:
    port = server.server_address[1]
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    (tmp_path / "token").write_text("t")
    cluster = find_cluster(
        server=f"https://[::1{zone}]:{port}",
        token_file=tmp_path / "token",
        ca_file=tmp_path / "ca",
        environ={},
    )
    try:
        assert cluster.api.probe("/version")[0] == 200
        assert asyncio.run(Client(cluster.access()).get("/api")) == {"metadata": {}}
    finally:
        cluster.close()
    assert Handler.hosts[-1] == f"[::1]:{port}"
