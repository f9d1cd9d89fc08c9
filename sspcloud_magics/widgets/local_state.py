"""What belongs to this process, as facts: its forwards and its connections. Read at every turn; asks nobody."""

from __future__ import annotations

from sspcloud_magics import session
from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.forwards.sockets import UNIX
from sspcloud_magics.widgets.diff_queue import Facts
from sspcloud_magics.widgets.snapshots import MOST_PORTS, cut


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
            "sockets": list(each.sockets[:MOST_PORTS]),
            "pod": each.pod,
            "notes": cut(" ".join(each.notes)),
            "magic": _magic(each),
        }
        facts[f"traffic/{each.id}"] = [counters.sent, counters.received, counters.open_connections]
    return facts


def _magic(forward: Forward) -> str:
    """Return the line that opens the same forward in another notebook."""
    if forward.destination:  # its relay ends with it, so another one is needed
        target, ports = f"--relay {forward.destination}", [str(local) for local, _ in forward.ports]
    else:
        target = str(forward.target)
        ports = [f"{local}:{remote}" for local, remote in forward.ports[:MOST_PORTS]]
    where = {"localhost": [], UNIX: ["--unix"]}.get(forward.spec.address, ["--address", forward.spec.address])
    return " ".join(["%forward", target, *ports, *where])


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
