"""What the panel knows of the world, as facts: small values under a key, ready to be told to the browser.

`LOOKS` is the table of what the cluster is asked, and how often while a view is visible; `FOLLOWED` of what is
watched. What belongs to this process is in `local_state`. Texts are cut: a fact is one row of a table, not a
document. Nothing secret is in any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sspcloud_magics import sandbox_session, session
from sspcloud_magics.errors import SandboxFailed, SspcloudError
from sspcloud_magics.widgets.diff_queue import Facts

if TYPE_CHECKING:
    from sspcloud_magics.cluster.api.resources import Resource
    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.cluster.workloads.inventory import TargetPort

LONGEST = 240
MOST_PORTS = 12
MOST_NAMESPACES = 12
_DATABASE_TONES = {"running": "good", "starting": "waiting"}
_SHARE_TONES = {"open": "good", "incomplete": "waiting"}


@dataclass(frozen=True, slots=True)
class SnapshotSource:
    """One question to the cluster.

    Parameters
    ----------
    ask
        Returns facts; runs on a thread that may wait.
    every
        How long its answer is good, in seconds.
    """

    ask: Callable[[Cluster], Facts]
    every: float


def who(cluster: Cluster) -> Facts:
    """Return who one is, where, with which rights, until when, and which configuration said so."""
    from sspcloud_magics.cluster.requests.permissions import strongest_role, who_am_i  # noqa: PLC0415 - at first use

    found = who_am_i(cluster)
    validity = cluster.validity()
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
            "ends": int(validity.ends.timestamp()) if validity.ends else None,
            "renews": validity.renews,
            "renewable": validity.renews and not cluster.in_service,
            "unverified": not cluster.verifies,
            "remote": cluster.in_service,
        }
    }


def pod(item: dict[str, Any]) -> Facts:
    """Return what is told of a pod."""
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


def service(item: dict[str, Any]) -> Facts:
    """Return what is told of a service."""
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


FOLLOWED: dict[str, tuple[Callable[[], Resource], str, Callable[[dict[str, Any]], Facts]]] = {
    "pods": (_pods, "pod/", pod),
    "services": (_services, "service/", service),
}
"""What is watched: the kind of object, under which key its facts are, and how an object becomes one."""


def databases(cluster: Cluster) -> Facts:
    """Return the databases of one's namespace, and those that colleagues share with oneself."""
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


def shares(cluster: Cluster) -> Facts:
    """Return what one shares with colleagues, and who is connected where that can be asked in passing."""
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
    """Return how many sessions the roles of shares have and since when, where this process is connected anyway."""
    opened = {each.database.path for each in session.open_connections()}
    sessions: dict[tuple[str, str], tuple[int, int | None]] = {}
    for path in wanted & opened:
        from sspcloud_magics.sharing.inventory import list_roles  # noqa: PLC0415 - at first use

        try:
            with session.open_side_session(path) as connection:
                for role in list_roles(connection):
                    since = int(role.since.timestamp()) if role.since else None
                    sessions[path, role.name] = (role.sessions, since)
        except SspcloudError:
            continue  # it is asked for in passing: whoever needs the database is told why
    return sessions


LOOKS = {
    "who": SnapshotSource(who, 60.0),
    "databases": SnapshotSource(databases, 15.0),
    "shares": SnapshotSource(shares, 15.0),
}


def sandbox() -> Facts:
    """Return the practice cluster of this machine; nothing where it is not installed."""
    try:
        status = sandbox_session.status()
    except SandboxFailed:
        return {}
    facts = {"running": status.running, "server": status.server or "", "keeps": status.keeps}
    return {"sandbox": facts}


def trouble(error: BaseException) -> Facts:
    """Return an error as a fact's value: what happened, why, what to do next, and its family in the tree of errors."""
    if isinstance(error, SspcloudError):
        told = error.to_wire() | {"family": type(error).__mro__[1].__name__}
    else:
        # Its text may hold anything.
        told = SspcloudError(f"Something unexpected went wrong ({type(error).__name__}).").to_wire()
    return {name: cut(text) for name, text in told.items()}


def cut(text: str) -> str:
    """Return a text that is short enough for a row."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _ports(ports: Iterable[TargetPort]) -> list[list[Any]]:
    # A forward carries TCP only.
    return [[port.number, port.name] for port in ports if port.protocol == "TCP"][:MOST_PORTS]
