"""A separate sandbox with a MariaDB, whose owner is alice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import sspcloud_magics as ssp
from sspcloud_magics.databases.mariadb.connection import MariadbConnection
from sspcloud_magics.session import sharing
from tests.support.mariadb_sandbox import RELEASE, open_mariadb_sandbox
from tests.testbed import Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with MariaDB, which no other test uses."""
    with open_mariadb_sandbox() as running:
        yield running


@pytest.fixture
def be(sandbox: Sandbox) -> Iterator[Callable[[str], Any]]:
    """A function that logs in as a user; it starts as Alice."""

    def be(person: str) -> Any:
        return ssp.login(kubeconfig=sandbox.kubeconfig(person))

    be("alice")
    yield be
    ssp.close()


@pytest.fixture
def root(be: Callable[[str], Any]) -> Iterator[MariadbConnection]:
    """Root's connection, as sharing has it."""
    service = sharing.service()
    connection = service.connect(service.find(RELEASE))
    yield connection
    connection.close()
