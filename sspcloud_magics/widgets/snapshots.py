"""Snapshots of the cluster for the panel: small values under a key, ready to send to the browser.

`SOURCES` is the table of polled sources, with their intervals while a view is visible; `WATCHED` that of watched
resources. `local_state` has the snapshots of this process. Texts are shortened: a value is one row of a table, not a
document. No snapshot holds secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sspcloud_magics import sandbox_session, session
from sspcloud_magics.errors import SandboxFailed, SspcloudError
from sspcloud_magics.widgets.diff_queue import Snapshot

if TYPE_CHECKING:
    from sspcloud_magics.cluster.api.resources import Resource
    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.cluster.workloads.inventory import TargetPort

# The maximum length of a text, in characters, and of lists.
LONGEST = 240
MOST_PORTS = 12
MOST_NAMESPACES = 12
_DATABASE_TONES = {"running": "good", "starting": "waiting"}
_SHARE_TONES = {"open": "good", "incomplete": "waiting"}


@dataclass(frozen=True, slots=True)
class SnapshotSource:
    """A source that the panel polls.

    Parameters
    ----------
    ask
        Returns a snapshot; called in a thread that may wait.
    every
        The polling interval, in seconds.
    """

    ask: Callable[[Cluster], Snapshot]
    every: float


def who(cluster: Cluster) -> Snapshot:
    """Return your identity, namespace, server, role, the expiry of the credentials, and their source."""
    from sspcloud_magics.cluster.requests.permissions import strongest_role, who_am_i  # noqa: PLC0415 - at first use

    found = who_am_i(cluster)
    expiry = cluster.expiry()
    return {
        "who": {
            "user": cut(found.user),
            "namespace": found.namespace,
            "namespaces": [each for each in session.recent_use().namespaces if each != "*"][
                -MOST_NAMESPACES:
            ],
            "server": cut(found.server),
            "source": cut(found.source),
            "role": strongest_role(cluster),
            "ends": int(expiry.ends.timestamp()) if expiry.ends else None,
            "renews": expiry.renews,
            "renewable": expiry.renews and not cluster.in_service,
            "unverified": not cluster.verifies,
            "remote": cluster.in_service,
        }
    }


def pod(item: dict[str, Any]) -> Snapshot:
    """Return the snapshot of a pod."""
    from sspcloud_magics.cluster.workloads.inventory import Pod  # noqa: PLC0415 - at first use
    from sspcloud_magics.cluster.workloads.tables import pod_tone  # noqa: PLC0415

    found = Pod.from_object(item)
    return {
        "state": found.status,
        "tone": pod_tone({"status": found.status, "ready": found.ready}).name.lower(),
        "ready": found.ready,
        "restarts": found.restarts,
        "created": int(found.created.timestamp()) if found.created else None,
        "ports": _ports(found.ports),
    }


def service(item: dict[str, Any]) -> Snapshot:
    """Return the snapshot of a service."""
    from sspcloud_magics.cluster.workloads.inventory import Service  # noqa: PLC0415 - at first use

    found = Service.from_object(item)
    return {
        "type": found.type,
        "created": int(found.created.timestamp()) if found.created else None,
        "ports": _ports(found.ports),
    }


def _pods() -> Resource:
    from sspcloud_magics.cluster.api.resources import PODS  # noqa: PLC0415 - at first use

    return PODS


def _services() -> Resource:
    from sspcloud_magics.cluster.api.resources import SERVICES  # noqa: PLC0415 - at first use

    return SERVICES


WATCHED: dict[str, tuple[Callable[[], Resource], str, Callable[[dict[str, Any]], Snapshot]]] = {
    "pods": (_pods, "pod/", pod),
    "services": (_services, "service/", service),
}
"""Watched resources: the resource type, the prefix of the keys, and the function that makes the snapshot of an object."""


def databases(cluster: Cluster) -> Snapshot:
    """Return the databases of your namespace, and those that colleagues share with you."""
    return {
        f"database/{each.path}": {
            "name": each.name,
            "kind": each.kind,
            "state": each.state,
            "tone": _DATABASE_TONES.get(each.state, "over"),
            "mine": each.namespace == cluster.namespace,
        }
        for each in session.reachable_databases(cluster)
    }


def shares(cluster: Cluster) -> Snapshot:
    """Return your shares, with the sessions of colleagues for databases with an open connection."""
    from sspcloud_magics.sharing.inventory import list_shares  # noqa: PLC0415 - at first use

    found = list_shares(cluster)
    connected = _sessions({f"{each.namespace}/{each.database}" for each in found})
    return {
        f"share/{each.database}/{each.colleague}": {
            "database": each.database,
            "colleague": each.colleague,
            "access": each.access,
            "schemas": cut(", ".join(each.schemas)),
            "until": int(min(each.until.timestamp(), 2**40)),
            "state": each.state,
            "tone": _SHARE_TONES.get(each.state, "over"),
            "sessions": connected.get((f"{each.namespace}/{each.database}", each.role)),
        }
        for each in found
    }


def _sessions(wanted: set[str]) -> dict[tuple[str, str], tuple[int, int | None]]:
    """Return the sessions of the roles of shares, their number and start, in databases with an open connection."""
    opened = {each.database.path for each in session.open_connections() if each.database.kind == "postgres"}
    sessions: dict[tuple[str, str], tuple[int, int | None]] = {}
    for path in wanted & opened:
        from sspcloud_magics.sharing.inventory import list_roles  # noqa: PLC0415 - at first use

        try:
            connection: Any
            with session.open_side_session(path) as connection:
                for role in list_roles(connection):
                    since = int(role.since.timestamp()) if role.since else None
                    sessions[path, role.name] = (role.sessions, since)
        except SspcloudError:
            continue  # optional information: the next use of the database raises the error
    return sessions


SOURCES = {
    "who": SnapshotSource(who, 60.0),
    "databases": SnapshotSource(databases, 15.0),
    "shares": SnapshotSource(shares, 15.0),
}


def sandbox() -> Snapshot:
    """Return the state of the sandbox; empty if it is not installed."""
    try:
        status = sandbox_session.status()
    except SandboxFailed:
        return {}
    return {"sandbox": {"running": status.running, "server": status.server or "", "keeps": status.keeps}}


def describe_error(error: BaseException) -> Snapshot:
    """Return the value for an error: what, why, hint, and the base class in the tree of errors."""
    if isinstance(error, SspcloudError):
        parts = error.to_wire() | {"family": type(error).__mro__[1].__name__}
    else:
        # Without its message, which may hold anything.
        parts = SspcloudError(f"Something unexpected went wrong ({type(error).__name__}).").to_wire()
    return {name: cut(text) for name, text in parts.items()}


def cut(text: str) -> str:
    """Shorten a text to the length of a row."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _ports(ports: Iterable[TargetPort]) -> list[list[Any]]:
    # Only TCP ports can be forwarded.
    return [[port.number, port.name] for port in ports if port.protocol == "TCP"][:MOST_PORTS]
