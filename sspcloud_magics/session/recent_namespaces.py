"""The colleagues' namespaces that one has used, kept for later sessions: so that what they share is found without a name.

The API server lets nobody list the namespaces in which something is shared with them, so somebody has to remember
them. The file holds servers and names of namespaces, no secret, and for this user alone (0600). It is a help and no
truth: what cannot be read or written is left, and what is shared there is the cluster's to say each time.
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
"""So many namespaces are asked, the latest used first."""

_KEPT = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class RecentNamespace:
    """A namespace that was used.

    Parameters
    ----------
    server
        The API server.
    mine
        The namespace that one worked in: on the practice cluster one is now this person and now that.
    namespace
        The colleague's.
    at
        When it was used last.
    """

    server: str
    mine: str
    namespace: str
    at: datetime

    def to_plain(self) -> dict[str, str]:
        """Return it as the file holds it."""
        return {
            "server": self.server,
            "mine": self.mine,
            "namespace": self.namespace,
            "at": self.at.isoformat(timespec="seconds"),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> RecentNamespace:
        """Return what the file says.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not what `to_plain` returns.
        """
        at = datetime.fromisoformat(plain["at"])
        if at.tzinfo is None:
            raise ValueError(plain["at"])
        return cls(str(plain["server"]), str(plain["mine"]), str(plain["namespace"]), at)


def file() -> Path:
    """Return where it is kept."""
    return state_folder().parent / "namespaces.json"


def list_recent(server: str, mine: str) -> tuple[str, ...]:
    """Return the colleagues' namespaces that were used from one's own, the latest first."""
    known = [place.namespace for place in _read() if (place.server, place.mine) == (server, mine)]
    return tuple(known[:MOST])


def remember(server: str, mine: str, namespace: str) -> None:
    """Keep a namespace in which something was found."""
    if namespace == mine:
        return
    now = datetime.now(UTC)
    others = [
        place
        for place in _read()
        if (place.server, place.mine, place.namespace) != (server, mine, namespace) and now - place.at < _KEPT
    ]
    with contextlib.suppress(OSError):  # a full or read-only disk: then it is not remembered
        _write([RecentNamespace(server, mine, namespace, now), *others])


def colleagues_namespaces(cluster: Cluster) -> tuple[str, ...]:
    """Return the colleagues' namespaces that were used, in this session or before, the latest first."""
    with session.session.lock:
        now = [each for each in session.session.namespaces if each not in ("*", cluster.namespace)]
    before = list_recent(cluster.server, cluster.namespace)
    return tuple(dict.fromkeys([*reversed(now), *before]))


def remember_namespace(cluster: Cluster, namespace: str) -> None:
    """Keep a colleague's namespace in which something was found, for later sessions."""
    remember(cluster.server, cluster.namespace, namespace)


def _read() -> list[RecentNamespace]:
    try:
        listed = parse(file().read_text("utf-8"))["used"]
        places = [RecentNamespace.from_plain(plain) for plain in listed]
    except (OSError, KeyError, TypeError, ValueError):
        return []  # there is none yet, or somebody has edited it
    return sorted(places, key=lambda place: place.at, reverse=True)


def _write(places: list[RecentNamespace]) -> None:
    path = file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {"version": 1, "used": [place.to_plain() for place in places]}
    replace_file(path, json.dumps(content, indent=1).encode())
