"""Direct access to the PostgreSQL of the sandbox, without a tunnel: its Unix socket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
from queries.workers import conninfo

_NAME = ".s.PGSQL."


def direct_socket(processes: Iterable[psutil.Process], login: dict[str, Any]) -> dict[str, Any] | None:
    """Return the login at the first socket that accepts it; None if none does.

    Parameters
    ----------
    processes
        The processes of the sandbox.
    login
        ``user``, ``password`` and ``dbname``.
    """
    import psycopg

    for path in _sockets(processes):
        found = login | {"host": str(path.parent), "port": int(path.name.removeprefix(_NAME))}
        with contextlib.suppress(psycopg.Error):
            psycopg.connect(**conninfo(found)).close()
            return found
    return None


def _sockets(processes: Iterable[psutil.Process]) -> Iterator[Path]:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() == "postgres":
                paths = [Path(str(each.laddr)) for each in process.net_connections("unix")]
                yield from (path for path in paths if path.name.startswith(_NAME))
