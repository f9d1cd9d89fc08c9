"""A real PostgreSQL, a real S3 server, and a DuckDB instance over them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.lake import instance as instances
from sspcloud_magics.lake.instance import Instance
from tests.databases.conftest import connection, login, server
from tests.support.s3_server import S3Server, start_s3

__all__ = ["connection", "login", "server"]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server with the bucket ``diffusion``, which ends with the session."""
    with start_s3() as running:
        running.make_bucket("diffusion")
        yield running


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The S3 server, with its keys in the environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def instance(connection: DatabaseConnection) -> Iterator[Instance]:
    """The process's DuckDB instance, in which the server is ``pg``."""
    made = instances.current()
    made.refresh({"pg": connection})
    yield made
    instances.close()
