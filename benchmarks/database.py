"""The way to the PostgreSQL of the sandbox that no tunnel is on: its Unix socket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil


def direct_socket(processes: Iterable[psutil.Process], login: dict[str, Any]) -> dict[str, Any] | None:
    """Return the login at the socket of the one of the processes that lets it in; None if none does.

    Parameters
    ----------
    processes
        Those of the sandbox.
    login
        ``user``, ``password`` and ``dbname``.
    """
    import psycopg

    for process in processes:
        if process.name() != "postgres":
            continue
        for each in process.net_connections("unix"):
            folder, name = Path(str(each.laddr)).parent, Path(str(each.laddr)).name
            if name.startswith(".s.PGSQL."):
                found = login | {"host": str(folder), "port": int(name.removeprefix(".s.PGSQL."))}
                names = ("host", "port", "user", "password", "dbname")
                with contextlib.suppress(psycopg.Error):
                    psycopg.connect(**{each: found[each] for each in names}).close()
                    return found
    return None
