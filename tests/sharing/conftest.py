"""The server of the databases' tests serves these too."""

from tests.databases.conftest import server

__all__ = ["server"]
