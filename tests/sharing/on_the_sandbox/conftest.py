"""These tests share, take back and replace pods: they have a sandbox of their own."""

from collections.abc import Iterator

import pytest

from tests.testbed import Sandbox, open_sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that other tests do not meet."""
    with open_sandbox() as running:
        yield running
