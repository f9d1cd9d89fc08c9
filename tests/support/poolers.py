"""Debian's PgBouncer, in front of a PostgreSQL of the tests."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import trustme

from sspcloud_magics.sandbox import postgres
from tests.support import debian_servers
from tests.support.ports import free_port
from tests.support.postgres_servers import Server
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Pooler:
    """Where PgBouncer listens, its process, and its log."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def pgbouncer(
    server: Server,
    mode: str = "transaction",
    *,
    ignored: str = "",
    size: int = 20,
    clients: int = 100,
    round_robin: bool = False,
    tls: bool = False,
) -> Iterator[Pooler]:
    """Run a PgBouncer before a server, or do not run the test that needs it.

    Parameters
    ----------
    server
        The server.
    mode
        When a client gives its session with the server back: ``session``, ``transaction``.
    ignored
        The startup parameters that it drops without a word; it refuses all others that it does not know.
    size
        How many sessions with the server it holds for a user and a database.
    clients
        How many clients it takes at once.
    round_robin
        Whether it takes the session that was not used for longest, not the last one.
    tls
        Whether it encrypts. Without, a client's first, refused attempt takes a place until PgBouncer has noticed its end.
    """
    root = debian_servers.require("pgbouncer")
    identity = postgres.identity()  # PgBouncer refuses to run as root
    home = Path(tempfile.mkdtemp(prefix="sspcloud-pgbouncer-"))
    (home / "users").write_text(f'"{server.user}" "{server.password}"\n')
    if tls:
        certificate = trustme.CA().issue_cert("localhost")
        certificate.private_key_pem.write_to_path(home / "key")
        certificate.cert_chain_pems[0].write_to_path(home / "certificate")
    port = free_port()
    (home / "pgbouncer.ini").write_text(f"""
[databases]
* = host=127.0.0.1 port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {home / "users"}
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = {clients}
server_round_robin = {int(round_robin)}
ignore_startup_parameters = {ignored}
client_tls_sslmode = {"allow" if tls else "disable"}
client_tls_key_file = {home / "key"}
client_tls_cert_file = {home / "certificate"}
""")
    postgres.give(home)
    log = home / "log"
    try:
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [root / "usr/sbin/pgbouncer", home / "pgbouncer.ini"],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=debian_servers.environment(root),
                cwd=home,
                **identity,
            )
        try:
            _wait_until_ready(server, port, process, log)
            yield Pooler(port, process, log)
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _wait_until_ready(server: Server, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    while process.poll() is None:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(**server.conninfo(port=port, connect_timeout=5)).close()
            # Until PgBouncer has seen that this client left, it takes one of the places.
            wait_until(lambda: b"client close request" in log.read_bytes())
            return
    raise AssertionError(f"PgBouncer ended at its start: {log.read_text()}")
