"""A sandbox with MariaDB in it, from Debian's package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from sspcloud_magics.sandbox.mariadb import ROOT_VARIABLE
from tests.support import debian_servers
from tests.support.mariadb_servers import PACKAGES
from tests.testbed import Sandbox, open_sandbox

RELEASE = "mariadb-310842"


@contextlib.contextmanager
def open_mariadb_sandbox() -> Iterator[Sandbox]:
    """Run a sandbox in which alice has a MariaDB, or do not run the test that needs it."""
    root = debian_servers.require(*PACKAGES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROOT_VARIABLE, str(root))
        with open_sandbox() as running:
            yield running
