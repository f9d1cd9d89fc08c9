"""One real MariaDB for these tests, and connections to it without a tunnel."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.login import Login
from sspcloud_magics.databases.mariadb.connection import MariadbConnection
from sspcloud_magics.secret import Secret
from tests.support.mariadb_servers import MariaServer, start_mariadb


@pytest.fixture(scope="session")
def server() -> Iterator[MariaServer]:
    """One MariaDB of Debian's that ends with the session."""
    with start_mariadb() as running:
        yield running


@pytest.fixture
def connect(server: MariaServer) -> Iterator[Callable[..., MariadbConnection]]:
    """Open connections, which are closed at the end of the test."""
    opened = []

    def open_one(user: str = "root", password: str | None = None) -> MariadbConnection:
        login = Login(
            host="127.0.0.1",
            port=server.port,
            user=user,
            password=Secret(server.password if password is None else password),
            dbname="defaultdb",
        )
        database = Database("mariadb-1", "user-alice", "mariadb", "mariadb-1", 3306, database="defaultdb")
        opened.append(MariadbConnection(database, login))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def connection(connect: Callable[..., MariadbConnection]) -> MariadbConnection:
    """The administrator's connection."""
    return connect()
