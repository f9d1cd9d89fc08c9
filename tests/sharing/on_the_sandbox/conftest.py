"""Other tests meet the sandbox as it begins: with Alice's database shared with Bob."""

from collections.abc import Iterator

import pytest

import sspcloud_magics as ssp

DATABASE = "postgresql-cnpg-951239"


@pytest.fixture(scope="module", autouse=True)
def shared_again_in_the_end(sandbox) -> Iterator[None]:
    """Share with Bob again, when the tests of a module have taken everything back."""
    yield
    ssp.login(kubeconfig=sandbox.kubeconfig("alice"))
    ssp.unshare(DATABASE, everybody=True)
    ssp.share_db(DATABASE, "bob", lasts="30d")
    ssp.close()
