"""Recently used namespaces of colleagues, saved for later sessions, so that their shares are found without a name.

The API server does not let users list the namespaces that share something with them, so the client must remember them.
The file contains servers and namespaces, no secret, and is private to the user (0600). It is a convenience, not a source
of truth: read and write errors are ignored, and the cluster is asked each time for what is shared there.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sspcloud_magics.bounded_json import parse
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.forwards.saved_forwards import state_folder
from sspcloud_magics.private_file import replace_file
from sspcloud_magics.session import session

MOST = 20
"""Search at most this many namespaces, the latest used first: each costs a request."""

_KEPT = timedelta(days=366)
"""Forget a namespace that was not used for as long as the longest share lasts."""


@dataclass(frozen=True, slots=True)
class RecentNamespace:
    """A used namespace."""

    server: str  # the API server
    mine: str  # the user's own namespace at that time: in the sandbox, you switch between users
    namespace: str  # the colleague's namespace
    at: datetime  # the time of its last use

    def to_plain(self) -> dict[str, str]:
        """Return the entry of the file."""
        return {
            "server": self.server,
            "mine": self.mine,
            "namespace": self.namespace,
            "at": self.at.isoformat(timespec="seconds"),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> RecentNamespace:
        """Parse an entry of the file.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it does not have the form that `to_plain` returns.
        """
        at = datetime.fromisoformat(plain["at"])
        if at.tzinfo is None:
            raise ValueError(plain["at"])
        return cls(str(plain["server"]), str(plain["mine"]), str(plain["namespace"]), at)


def file() -> Path:
    """Return the path of the file."""
    return state_folder().parent / "namespaces.json"


def list_recent(server: str, mine: str) -> tuple[str, ...]:
    """Return the colleagues' namespaces that were used from `mine`, the latest first."""
    known = [entry.namespace for entry in _read() if (entry.server, entry.mine) == (server, mine)]
    return tuple(known[:MOST])


def remember(server: str, mine: str, namespace: str) -> None:
    """Save a namespace in which something was found."""
    if namespace == mine:
        return
    now = datetime.now(UTC)
    others = [
        entry
        for entry in _read()
        if (entry.server, entry.mine, entry.namespace) != (server, mine, namespace) and now - entry.at < _KEPT
    ]
    with contextlib.suppress(OSError):  # a full or read-only disk
        _write([RecentNamespace(server, mine, namespace, now), *others])


def colleagues_namespaces(cluster: Cluster) -> tuple[str, ...]:
    """Return the colleagues' namespaces used in this session or earlier, the latest first."""
    with session.session.lock:
        now = [each for each in session.session.namespaces if each not in ("*", cluster.namespace)]
    before = list_recent(cluster.server, cluster.namespace)
    return tuple(dict.fromkeys([*reversed(now), *before]))


def remember_namespace(cluster: Cluster, namespace: str) -> None:
    """Save a colleague's namespace in which something was found, for later sessions."""
    remember(cluster.server, cluster.namespace, namespace)


def _read() -> list[RecentNamespace]:
    try:
        listed = parse(file().read_text("utf-8"))["used"]
        entries = [RecentNamespace.from_plain(plain) for plain in listed]
    except (OSError, KeyError, TypeError, ValueError):
        return []  # the file does not exist yet, or was edited
    return sorted(entries, key=lambda entry: entry.at, reverse=True)


def _write(entries: list[RecentNamespace]) -> None:
    path = file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {"version": 1, "used": [entry.to_plain() for entry in entries]}
    replace_file(path, json.dumps(content, indent=1).encode())
