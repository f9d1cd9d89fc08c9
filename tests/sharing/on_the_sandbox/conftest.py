"""A separate sandbox, because these tests share, revoke and replace pods."""

from collections.abc import Callable, Iterator

import pytest

import sspcloud_magics as ssp
from sspcloud_magics.cluster.requests.permissions import Identity
from tests.support.shares import nothing_shared
from tests.testbed import Sandbox, open_sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that no other test uses."""
    with open_sandbox() as running:
        yield running


@pytest.fixture
def be(sandbox) -> Iterator[Callable[[str], Identity]]:
    """A function that logs in as a user; it starts as Alice, and all shares are revoked at the end."""

    def be(person: str) -> Identity:
        return ssp.login(kubeconfig=sandbox.kubeconfig(person))

    with nothing_shared(lambda: be("alice")):
        yield be
    ssp.unshare(ended=True)
    ssp.close()
