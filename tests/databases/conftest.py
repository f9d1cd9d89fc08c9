"""A real PostgreSQL of our own for these tests: no tunnel, no sandbox, one server a session."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import psycopg
import pytest

from sspcloud_magics.databases.connection import DatabaseConnection
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.libpq import Login
from sspcloud_magics.sandbox import postgres
from sspcloud_magics.secret import Secret

BINARIES = postgres.binaries()
NOBODY = 65534


@dataclass(frozen=True)
class Server:
    """Where the server listens, its superuser, and its process."""

    port: int
    user: str
    password: str
    log: Path
    process: subprocess.Popen[bytes]

    def conninfo(self, **more: object) -> dict[str, object]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": "postgres",
            **more,
        }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One PostgreSQL that ends with the session."""
    with started() as running:
        yield running


@contextlib.contextmanager
def started() -> Iterator[Server]:
    """Run a PostgreSQL, in UTC and with messages in English."""
    # PostgreSQL refuses to run as root.
    identity = (
        {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        if os.name == "posix" and os.geteuid() == 0
        else {}
    )
    home = Path(tempfile.mkdtemp(prefix="sspcloud-pg-"))
    password = secrets.token_urlsafe(12)
    (home / "password").write_text(password)
    if identity:
        for path in (home, home / "password"):
            os.chown(path, NOBODY, NOBODY)
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    data = home / "data"
    try:
        subprocess.run(
            [
                *(BINARIES / "initdb", "-D", data, "-U", "postgres", f"--pwfile={home / 'password'}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            ],
            check=True,
            capture_output=True,
            env=environment,
            cwd=home,
            **identity,
        )
        port = _free_port()
        log = home / "log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [
                    *(BINARIES / "postgres", "-D", data, "-p", str(port), "-k", "", "-h", "127.0.0.1"),
                    *("-c", "fsync=off", "-c", "max_connections=30", "-c", "timezone=UTC"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=environment,
                cwd=home,
                **identity,
            )
        try:
            _wait_until_ready(process, port, password, log)
            yield Server(port, "postgres", password, log, process)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, password: str, log: Path) -> None:
    while process.poll() is None:
        try:
            psycopg.connect(
                host="127.0.0.1",
                port=port,
                user="postgres",
                password=password,
                dbname="postgres",
                connect_timeout=5,
            ).close()
        except psycopg.OperationalError:
            continue
        return
    raise AssertionError(f"PostgreSQL ended at its start: {log.read_text()}")


@pytest.fixture
def login(server: Server) -> Login:
    """The superuser's login, without a tunnel."""
    return login_to(server)


def login_to(server: Server) -> Login:
    """Return the superuser's login."""
    return Login(
        host="db-rw.user-alice.svc",
        address="127.0.0.1",
        port=server.port,
        user=server.user,
        password=Secret(server.password),
        dbname="postgres",
    )


@pytest.fixture
def connection(login: Login) -> Iterator[DatabaseConnection]:
    """A connection of our own kind to the server."""
    made = DatabaseConnection(Database("db", "user-alice", "postgres", "db-rw", 5432), login)
    yield made
    made.close()


HOSTILE = """
import os, sys, json
from psycopg import pq
for option in pq.Conninfo.get_defaults():
    if option.envvar:
        os.environ[option.envvar.decode()] = "nonsense"
for name in ("PGTZ", "PGDATESTYLE", "PGGEQO", "PGSERVICEFILE", "PGSYSCONFDIR", "PGOPTIONS"):
    os.environ[name] = "nonsense"
before = dict(os.environ)
from sspcloud_magics.databases import libpq
from sspcloud_magics.secret import Secret
told = json.load(sys.stdin)
connection, tls = libpq.log_in(libpq.Login(**told | {"password": Secret(told["password"])}))
print(connection.execute("show timezone").fetchone()[0], connection.execute("show application_name").fetchone()[0], tls)
assert dict(os.environ) == before
connection.close()
"""


@pytest.fixture
def hostile_login(tmp_path: Path) -> Callable[[Login], str]:
    """Log in from a process whose environment and home are full of another database's settings."""
    (tmp_path / ".postgresql").mkdir()
    for name in ("root.crt", "root.crl", "postgresql.crt", "postgresql.key"):
        (tmp_path / ".postgresql" / name).write_text("not a certificate")
        (tmp_path / ".postgresql" / name).chmod(0o600)
    (tmp_path / ".pgpass").write_text("*:*:*:*:wrong")
    (tmp_path / ".pgpass").chmod(0o600)
    (tmp_path / ".pg_service.conf").write_text("[other]\nhost=192.0.2.1\n")

    def log_in(login: Login) -> str:
        told = {field.name: getattr(login, field.name) for field in fields(login)}
        told["password"] = login.password.reveal()
        done = subprocess.run(
            [sys.executable, "-c", HOSTILE],
            input=json.dumps(told),
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    return log_in
