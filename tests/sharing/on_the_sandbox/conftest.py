"""These tests share, take back and replace pods: they have a sandbox of their own."""

from collections.abc import Callable, Iterator

import pytest

import sspcloud_magics as ssp
from sspcloud_magics.cluster.requests.permissions import Identity
from tests.support.shares import nothing_shared
from tests.testbed import Sandbox, open_sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that other tests do not meet."""
    with open_sandbox() as running:
        yield running


@pytest.fixture
def be(sandbox) -> Iterator[Callable[[str], Identity]]:
    """A function that logs in as a person; it begins as Alice, and whatever was shared is taken back in the end."""

    def be(person: str) -> Identity:
        return ssp.login(kubeconfig=sandbox.kubeconfig(person))

    with nothing_shared(lambda: be("alice")):
        yield be
    ssp.unshare(ended=True)
    ssp.close()
