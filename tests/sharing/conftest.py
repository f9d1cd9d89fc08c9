"""The server of the databases' tests, which these tests use too."""

from tests.databases.conftest import server

__all__ = ["server"]
