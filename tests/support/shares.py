"""Revoke the shares that tests create."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sspcloud_magics as ssp
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.session import sharing
from tests.support.database import DATABASE


@contextmanager
def nothing_shared(be_owner: Callable[[], object]) -> Iterator[None]:
    """Revoke all shares of the database before and after the block, as its owner."""
    be_owner()
    ssp.unshare(DATABASE, all_colleagues=True)
    try:
        yield
    finally:
        be_owner()
        ssp.unshare(DATABASE, all_colleagues=True)


def superuser(dbname: str | None = None) -> DatabaseConnection:
    """Connect to the owner's database, or to another one of its server, as sharing does."""
    service = sharing.service()
    return service.connect(service.find(DATABASE), dbname)
