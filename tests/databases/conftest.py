"""A real PostgreSQL server for these tests, without a tunnel or the sandbox; one for each test session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres.libpq import Login
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import QueryFailed
from sspcloud_magics.secret import Secret
from tests.support.poolers import Pooler, pgbouncer
from tests.support.postgres_servers import Server, start_server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One PostgreSQL that ends with the session."""
    with start_server() as running:
        yield running


THROUGH_POOLER = {
    "test_cte",
    "test_export",
    "test_libraries",
    "test_column_values",
    "test_query",
    "test_result_reader",
    "test_sqlalchemy_engine",
}
"""Files whose tests run a second time through PgBouncer in transaction mode.

A statement that needs a session must be refused with a message: such a test is an expected failure, and counted as one.
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of some files with and without a pooler."""
    is_decided = any("login" in mark.args for mark in metafunc.definition.iter_markers("parametrize"))
    name = metafunc.module.__name__.rpartition(".")[2]
    if "login" in metafunc.fixturenames and name in THROUGH_POOLER and not is_decided:
        metafunc.parametrize("login", ["server", "pgbouncer"], indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    try:
        return (yield)
    except QueryFailed as error:
        if "the pooler keeps none" not in error.what:
            raise
        return pytest.xfail(error.what)


@pytest.fixture(scope="session")
def pooler(server: Server) -> Iterator[Pooler]:
    """One PgBouncer in transaction mode that ends with the session."""
    with pgbouncer(server) as running:
        yield running


@pytest.fixture
def login(server: Server, request: pytest.FixtureRequest) -> Login:
    """The superuser's login, without a tunnel; through a pooler if a test requests it."""
    if getattr(request, "param", "server") == "server":
        return login_to(server)
    return login_to(server, request.getfixturevalue("pooler").port)


def login_to(server: Server, port: int | None = None) -> Login:
    """Return the superuser's login."""
    return Login(
        host="db-rw.user-alice.svc",
        address="127.0.0.1",
        port=port or server.port,
        user=server.user,
        password=Secret(server.password),
        dbname="postgres",
    )


@pytest.fixture
def connection(login: Login) -> Iterator[DatabaseConnection]:
    """A `DatabaseConnection` to the server."""
    made = DatabaseConnection(Database("db", "user-alice", "postgres", "db-rw", 5432), login)
    yield made
    made.close()


def process_of(connection: DatabaseConnection) -> int:
    """Return the ID of the server process, which a pooler hides."""
    (process,) = connection.psycopg.execute("select pg_backend_pid()").fetchone()
    return process


HOSTILE = """
import os, sys, json
from psycopg import pq
for option in pq.Conninfo.get_defaults():
    if option.envvar:
        os.environ[option.envvar.decode()] = "nonsense"
for name in ("PGTZ", "PGDATESTYLE", "PGGEQO", "PGSERVICEFILE", "PGSYSCONFDIR", "PGOPTIONS"):
    os.environ[name] = "nonsense"
before = dict(os.environ)
from sspcloud_magics.databases.postgres import libpq
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
