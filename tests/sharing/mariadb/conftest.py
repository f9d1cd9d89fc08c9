"""A separate sandbox with a MariaDB, whose owner is alice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import sspcloud_magics as ssp
from tests.support.mariadb_sandbox import open_mariadb_sandbox
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
