"""A real PostgreSQL of our own for these tests: no tunnel, no sandbox, one server a session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from sspcloud_magics.databases.connection import DatabaseConnection
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.libpq import Login
from sspcloud_magics.secret import Secret
from tests.support.postgres_servers import Server, started


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One PostgreSQL that ends with the session."""
    with started() as running:
        yield running


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
