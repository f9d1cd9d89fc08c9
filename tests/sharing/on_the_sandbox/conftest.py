"""Other tests meet the sandbox as it begins: with Alice's database shared with Bob."""

from collections.abc import Callable, Iterator

import pytest

import sspcloud_magics as ssp
from sspcloud_magics.cluster.permissions import Identity

DATABASE = "postgresql-cnpg-951239"


@pytest.fixture(scope="module", autouse=True)
def shared_again_in_the_end(sandbox) -> Iterator[None]:
    """Share with Bob again, when the tests of a module have taken everything back."""
    yield
    ssp.login(kubeconfig=sandbox.kubeconfig("alice"))
    ssp.unshare(DATABASE, everybody=True)
    ssp.share_db(DATABASE, "bob", lasts="30d")
    ssp.close()


@pytest.fixture
def be(sandbox) -> Iterator[Callable[[str], Identity]]:
    """A function that logs in as a person; it begins as Alice, and whatever was shared is taken back in the end."""

    def be(person: str) -> Identity:
        return ssp.login(kubeconfig=sandbox.kubeconfig(person))

    be("alice")
    ssp.unshare(DATABASE, everybody=True)
    yield be
    be("alice")
    ssp.unshare(DATABASE, everybody=True)
    ssp.unshare(ended=True)
    ssp.close()
