"""What tests share is taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sspcloud_magics as ssp
from tests.support.database import DATABASE


@contextmanager
def nothing_shared(be_owner: Callable[[], object]) -> Iterator[None]:
    """Revoke all shares of the database before and after the block, as its owner."""
    be_owner()
    ssp.unshare(DATABASE, everybody=True)
    try:
        yield
    finally:
        be_owner()
        ssp.unshare(DATABASE, everybody=True)
