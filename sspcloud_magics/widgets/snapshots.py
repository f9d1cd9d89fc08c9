"""Snapshots of the cluster for the panel: small values under a key, ready to send to the browser.

`SOURCES` is the table of polled sources, with their intervals while a view is visible; `WATCHED` that of watched
resources. `local_state` has the snapshots of this process. Texts are shortened: a value is one row of a table, not a
document. No snapshot holds secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from sspcloud_magics import sandbox_session, session
from sspcloud_magics.errors import SandboxFailed, SspcloudError
from sspcloud_magics.i18n import _
from sspcloud_magics.widgets.protocol import (
    Database,
    ErrorMessage,
    OpenSessions,
    Pod,
    Port,
    Sandbox,
    Service,
    Share,
    Snapshot,
    Tone,
    Who,
)

if TYPE_CHECKING:
    from sspcloud_magics.cluster.api.resources import Resource
    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.cluster.workloads.inventory import TargetPort

# The maximum length of a text, in characters, and of lists.
LONGEST = 240
LONGEST_DOCUMENT = 200_000
"""Characters of a preview's SQL and YAML, and of a log: Jupyter Server drops messages above 1 MB a second."""
MOST_PORTS = 12
MOST_NAMESPACES = 12
_DATABASE_TONES: dict[str, Tone] = {"running": "good", "starting": "waiting"}
_SHARE_TONES: dict[str, Tone] = {"open": "good", "incomplete": "waiting"}


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
    identity: Who = {
        "user": cut(found.user),
        "namespace": found.namespace,
        "namespaces": [each for each in session.recent_use().namespaces if each != "*"][-MOST_NAMESPACES:],
        "server": cut(found.server),
        "source": cut(found.source),
        "role": cast("Literal['admin', 'edit', 'view', 'none']", strongest_role(cluster)),
        "ends": int(expiry.ends.timestamp()) if expiry.ends else None,
        "renews": expiry.renews,
        "renewable": expiry.renews and not cluster.in_service,
        "unverified": not cluster.verifies,
        "remote": cluster.in_service,
    }
    return {"who": identity}


def pod(item: dict[str, Any]) -> Pod:
    """Return the snapshot of a pod."""
    from sspcloud_magics.cluster.workloads import inventory  # noqa: PLC0415 - at first use
    from sspcloud_magics.cluster.workloads.tables import pod_tone  # noqa: PLC0415

    found = inventory.Pod.from_object(item)
    return {
        "state": found.status,
        "tone": cast("Tone", pod_tone({"status": found.status, "ready": found.ready}).name.lower()),
        "ready": found.ready,
        "restarts": found.restarts,
        "created": int(found.created.timestamp()) if found.created else None,
        "ports": _ports(found.ports),
    }


def service(item: dict[str, Any]) -> Service:
    """Return the snapshot of a service."""
    from sspcloud_magics.cluster.workloads import inventory  # noqa: PLC0415 - at first use

    found = inventory.Service.from_object(item)
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


WATCHED: dict[str, tuple[Callable[[], Resource], str, Callable[[dict[str, Any]], Pod | Service]]] = {
    "pods": (_pods, "pod/", pod),
    "services": (_services, "service/", service),
}
"""Watched resources: the resource type, the prefix of the keys, and the function that makes the snapshot of an object."""


def databases(cluster: Cluster) -> Snapshot:
    """Return the databases of your namespace, and those that colleagues share with you."""
    snapshot: Snapshot = {}
    for each in session.reachable_databases(cluster):
        database: Database = {
            "name": each.name,
            "kind": each.kind,
            "state": each.state,
            "tone": _DATABASE_TONES.get(each.state, "over"),
            "mine": each.namespace == cluster.namespace,
        }
        snapshot[f"database/{each.path}"] = database
    return snapshot


def shares(cluster: Cluster) -> Snapshot:
    """Return your shares, with the sessions of colleagues for databases with an open connection."""
    from sspcloud_magics.sharing.inventory import list_shares  # noqa: PLC0415 - at first use
    from sspcloud_magics.sharing.services import list_service_shares  # noqa: PLC0415

    found = [*list_shares(cluster), *list_service_shares(cluster)]
    connected = _sessions({f"{each.namespace}/{each.database}" for each in found})
    snapshot: Snapshot = {}
    for each in found:
        # ``network:80`` is the access to a service.
        access, _separator, port = each.access.partition(":")
        share: Share = {
            "database": each.database,
            "colleague": each.colleague,
            "access": access,
            "scope": port or cut(", ".join(each.schemas)),
            "until": int(min(each.until.timestamp(), 2**40)),
            "state": each.state,
            "tone": _SHARE_TONES.get(each.state, "over"),
            "sessions": connected.get((f"{each.namespace}/{each.database}", each.role)),
        }
        snapshot[f"share/{each.database}/{each.colleague}"] = share
    return snapshot


def _sessions(wanted: set[str]) -> dict[tuple[str, str], OpenSessions]:
    """Return the sessions of the roles of shares, their number and start, in databases with an open connection."""
    opened = {each.database.path for each in session.open_connections() if each.database.kind == "postgres"}
    sessions: dict[tuple[str, str], OpenSessions] = {}
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
    found: Sandbox = {"running": status.running, "server": status.server or "", "keeps": status.keeps}
    return {"sandbox": found}


def describe_error(error: BaseException) -> ErrorMessage:
    """Return the value for an error."""
    if not isinstance(error, SspcloudError):
        # Without its message, which may hold anything.
        error = SspcloudError(_("Something unexpected went wrong ({kind}).", kind=type(error).__name__))
    return {
        "code": type(error).__name__,
        "family": type(error).__mro__[1].__name__,
        "what": cut(error.what),
        "why": cut(error.why),
        "hint": cut(error.hint),
    }


def cut(text: str) -> str:
    """Shorten a text to the length of a row."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _ports(ports: Iterable[TargetPort]) -> list[Port]:
    # Only TCP ports can be forwarded.
    return [(port.number, port.name) for port in ports if port.protocol == "TCP"][:MOST_PORTS]
