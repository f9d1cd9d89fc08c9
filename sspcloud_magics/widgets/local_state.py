"""Snapshots of the local state, the forwards and connections of this process, read without a request."""

from __future__ import annotations

from sspcloud_magics import session
from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.forwards.sockets import UNIX
from sspcloud_magics.widgets.protocol import Connection, Snapshot
from sspcloud_magics.widgets.protocol import Forward as ForwardSnapshot
from sspcloud_magics.widgets.snapshots import MOST_PORTS, cut


def forwards() -> Snapshot:
    """Return the forwards of this process, and their traffic."""
    snapshot: Snapshot = {}
    for each in session.open_forwards():
        counters = each.counters
        forward: ForwardSnapshot = {
            "target": str(each.target),
            "state": each.state.value,
            "reason": cut(each.reason),
            "address": each.address,
            "ports": list(each.ports[:MOST_PORTS]),
            "sockets": list(each.sockets[:MOST_PORTS]),
            "pod": each.pod,
            "notes": cut(" ".join(each.notes)),
            "magic": _magic(each),
        }
        snapshot[f"forward/{each.id}"] = forward
        snapshot[f"traffic/{each.id}"] = [counters.sent, counters.received, counters.open_connections]
    return snapshot


def _magic(forward: Forward) -> str:
    """Return the line that opens the same forward in another notebook."""
    if forward.destination:  # its relay ends with it, so the line creates a new one
        target = f"--relay {forward.destination}"  # not translated: an option of a magic
        ports = [str(local) for local, _ in forward.ports]
    else:
        target = str(forward.target)
        ports = [f"{local}:{remote}" for local, remote in forward.ports[:MOST_PORTS]]
    where = {"localhost": [], UNIX: ["--unix"]}.get(forward.spec.address, ["--address", forward.spec.address])
    return " ".join(["%forward", target, *ports, *where])


def connections() -> Snapshot:
    """Return the connections of this process; the last one is the current connection."""
    opened = session.open_connections()
    snapshot: Snapshot = {}
    for each in opened:
        connection: Connection = {
            "database": each.database.path,
            "user": each.user,
            "dbname": each.dbname,
            "current": each is opened[-1],
        }
        snapshot[f"connection/{each.database.path}/{each.user}/{each.dbname}"] = connection
    return snapshot
