"""Servers that are not what they say: no password in clear, no file of this machine, no traceback."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import pytest

from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.login import Login
from sspcloud_magics.databases.mariadb.connection import MariadbConnection
from sspcloud_magics.databases.mariadb.query import run
from sspcloud_magics.errors import DatabaseError, DatabaseUnavailable
from sspcloud_magics.secret import Secret

PASSWORD = "only-for-the-right-server"
# MariaDB's "Initial Handshake Packet", without TLS.
GREETING = (
    b"\x0a10.11.18-MariaDB\0" + struct.pack("<I", 7) + b"12345678\0" + struct.pack("<H", 0xF7FF)
    + b"\x2d" + struct.pack("<HHB", 2, 0x81FF, 21) + b"\0" * 10 + b"901234567890\0" + b"mysql_native_password\0"
)  # fmt: skip
OK = b"\0\0\0\x02\0\0\0"


class Server:
    """A server whose replies a test scripts; it keeps what it received."""

    def __init__(self, *replies: bytes) -> None:
        self._replies = replies
        self.received = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                with client:
                    self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        number = 0
        with contextlib.suppress(OSError):
            client.settimeout(2)
            for reply in (GREETING, *self._replies):
                client.sendall(len(reply).to_bytes(3, "little") + bytes([number]) + reply)
                data = client.recv(65536)
                self.received += data
                number = data[3] + 1 if len(data) > 3 else 0

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def serve():
    servers = []

    def start(*replies: bytes) -> Server:
        servers.append(Server(*replies))
        return servers[-1]

    yield start
    for each in servers:
        each.close()


def connect(server: Server) -> MariadbConnection:
    login = Login(
        host="127.0.0.1",
        port=server.port,
        user="bob",
        password=Secret(PASSWORD),
        dbname="defaultdb",
        timeout=5,
    )
    return MariadbConnection(Database("m", "user-alice", "mariadb", "m", 3306), login)


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"dialog"])
def test_password_is_never_sent(serve, plugin):
    server = serve(b"\xfe" + plugin + b"\0\x03Password: ", OK, OK)
    with pytest.raises(DatabaseUnavailable) as caught:
        connect(server)
    assert PASSWORD.encode() not in server.received
    assert PASSWORD not in str(caught.value)


def test_no_file_is_sent(serve, tmp_path):
    file = tmp_path / "private"
    file.write_text("only for this machine")
    server = serve(OK, OK, b"\xfb" + str(file).encode(), OK)
    with pytest.raises(DatabaseError):
        run(connect(server), "select 1")
    assert b"only for this machine" not in server.received


@pytest.mark.parametrize("reply", [b"", b"\x05\x00", b"\xff", b"\x01" + b"\xfe" * 40, b"\x00" * 3])
def test_reply_without_sense_is_an_error(serve, reply):
    server = serve(OK, OK, reply, b"\xfe\xfe")
    connection = connect(server)
    with pytest.raises(DatabaseError):
        run(connection, "select 1")
    connection.close()


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3, b"\x4a\0\0\0", b""])
def test_other_server_is_an_error(greeting):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as client:
                client.sendall(greeting)

        threading.Thread(target=answer, daemon=True).start()
        login = Login(
            host="127.0.0.1",
            port=listener.getsockname()[1],
            user="bob",
            password=Secret(PASSWORD),
            dbname="x",
            timeout=1,
        )
        with pytest.raises(DatabaseUnavailable):
            MariadbConnection(Database("m", "user-alice", "mariadb", "m", 3306), login)
