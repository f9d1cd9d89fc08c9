"""The sandbox with a MariaDB, and the fixtures of its shares."""

from __future__ import annotations

from tests.sharing.mariadb.conftest import be, root, sandbox

__all__ = ["be", "root", "sandbox"]
