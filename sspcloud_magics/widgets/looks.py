"""What the panel knows of the world, as facts: small values under a key, ready to be told to the browser.

`LOOKS` is the table of what the cluster is asked, and how often while somebody looks. What belongs to this
process (forwards, connections) is read at every turn and asks nobody. Texts are cut: a fact is one row of a
table, not a document. Nothing secret is in any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sspcloud_magics import practice, session
from sspcloud_magics.errors import SandboxFailed, SspcloudError
from sspcloud_magics.widgets.outbox import Facts

if TYPE_CHECKING:
    from sspcloud_magics.cluster.identity import Cluster
    from sspcloud_magics.cluster.inventory import TargetPort

LONGEST = 240
MOST_PORTS = 12
_DATABASE_TONES = {"running": "good", "starting": "waiting"}
_SHARE_TONES = {"open": "good", "incomplete": "waiting"}


@dataclass(frozen=True, slots=True)
class Look:
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
    """Return who one is, where, and which configuration said so."""
    from sspcloud_magics.cluster.permissions import who_am_i  # noqa: PLC0415 - at first use

    found = who_am_i(cluster)
    return {
        "who": {
            "user": cut(found.user),
            "namespace": found.namespace,
            "server": cut(found.server),
            "source": cut(found.source),
            "warning": cut(found.warning),
        }
    }


def pods(cluster: Cluster) -> Facts:
    """Return the pods of one's namespace."""
    from sspcloud_magics.cluster import inventory  # noqa: PLC0415 - at first use
    from sspcloud_magics.cluster.tables import pod_tone  # noqa: PLC0415

    return {
        f"pod/{pod.name}": {
            "state": pod.status,
            "tone": pod_tone({"status": pod.status, "ready": pod.ready}).name.lower(),
            "ready": pod.ready,
            "restarts": pod.restarts,
            "created": int(pod.created.timestamp()) if pod.created else None,
            "ports": _ports(pod.ports),
        }
        for pod in inventory.pods(cluster)
    }


def services(cluster: Cluster) -> Facts:
    """Return the services of one's namespace."""
    from sspcloud_magics.cluster import inventory  # noqa: PLC0415 - at first use

    return {
        f"service/{service.name}": {
            "type": service.type,
            "created": int(service.created.timestamp()) if service.created else None,
            "ports": _ports(service.ports),
        }
        for service in inventory.services(cluster)
    }


def databases(cluster: Cluster) -> Facts:
    """Return the databases of one's namespace."""
    from sspcloud_magics.databases import discovery  # noqa: PLC0415 - at first use

    return {
        f"database/{each.path}": {
            "name": each.name,
            "kind": each.kind,
            "state": each.state,
            "tone": _DATABASE_TONES.get(each.state, "over"),
        }
        for each in discovery.databases(cluster)
    }


def shares(cluster: Cluster) -> Facts:
    """Return what one shares with colleagues."""
    from sspcloud_magics.sharing.shares import shares as standing_shares  # noqa: PLC0415 - at first use

    return {
        f"share/{each.database}/{each.colleague}": {
            "database": each.database,
            "colleague": each.colleague,
            "access": each.access,
            "schemas": cut(", ".join(each.schemas)),
            "until": int(min(each.until.timestamp(), 2**40)),
            "state": each.state,
            "tone": _SHARE_TONES.get(each.state, "over"),
        }
        for each in standing_shares(cluster)
    }


LOOKS = {
    "who": Look(who, 60.0),
    "pods": Look(pods, 3.0),
    "services": Look(services, 5.0),
    "databases": Look(databases, 15.0),
    "shares": Look(shares, 15.0),
}


def sandbox() -> Facts:
    """Return the practice cluster of this machine; nothing where it is not installed."""
    try:
        status = practice.status()
    except SandboxFailed:
        return {}
    return {"sandbox": {"running": status.running, "server": status.server or ""}}


def forwards() -> Facts:
    """Return the forwards of this process, and what they have carried."""
    facts: Facts = {}
    for each in session.open_forwards():
        counters = each.counters
        facts[f"forward/{each.id}"] = {
            "target": str(each.target),
            "state": str(each.state),
            "reason": cut(each.reason),
            "address": each.address,
            "ports": [list(pair) for pair in each.ports[:MOST_PORTS]],
            "pod": each.pod,
        }
        facts[f"traffic/{each.id}"] = [counters.sent, counters.received, counters.open_connections]
    return facts


def connections() -> Facts:
    """Return the databases that this process is connected to; the last one is asked by a query."""
    opened = session.open_connections()
    return {
        f"connection/{each.database.path}/{each.user}/{each.dbname}": {
            "database": each.database.path,
            "user": each.user,
            "dbname": each.dbname,
            "current": each is opened[-1],
        }
        for each in opened
    }


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
