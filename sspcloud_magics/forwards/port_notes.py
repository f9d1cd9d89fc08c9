"""What is said about local ports: who holds one that was wanted, and which other stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sspcloud_magics.errors import PortTaken
from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.forwards.port_owner import find_holder
from sspcloud_magics.forwards.ports import derive_ports, first_unprivileged_port, is_loopback
from sspcloud_magics.target import PortText


def say_holder(port: int, forwards: Iterable[Forward], helper: int | None) -> str:
    """Return in words who holds a local port; empty where the system does not tell.

    Parameters
    ----------
    port
        The local port.
    forwards
        The forwards of this process.
    helper
        The number of this process's helper process, if it has one.
    """
    for forward in forwards:
        if forward.is_live and any(local == port for local, _ in forward.ports):
            return f"this notebook's own forward to {forward.target}"
    holder = find_holder(port)
    # The own helper, with no forward to show for it, is closing the listener at this moment.
    return "" if holder is None or holder.pid == helper else str(holder)


def name_holder(error: PortTaken, wanted: Sequence[PortText], holder: Callable[[int], str]) -> PortTaken:
    """Return the error, completed by who holds the port, and by how to do without it."""
    for port in wanted:
        held = holder(port.local) if port.local else ""
        if held:
            hint = f"write :{port.remote} for any free local port, or choose another one"
            return PortTaken(error.what, why=f"It is held by {held}.", hint=hint)
    return error


def remark(forward: Forward, holder: Callable[[int], str]) -> tuple[str, ...]:
    """Return what the user should know about a forward that has just become active."""
    if forward.sockets:
        return _remark_sockets(forward)
    notes = []
    for (local, _), port in zip(forward.ports, forward.wanted, strict=False):
        remote = port.number or port.remote
        if port.local is not None or remote == local or not isinstance(remote, int):
            continue
        if remote < first_unprivileged_port():
            why = f"Port {remote} is the administrator's on this machine"
        else:
            held = holder(remote)
            why = f"Port {remote} is held by {held}" if held else f"Port {remote} is taken"
        lasting = ", the same each time" if local in derive_ports(forward.target, remote) else ""
        notes.append(f"{why}: {local} stands in for it{lasting}.")
    if not is_loopback(forward.address):
        notes.append(f"Everyone who reaches {forward.address} over the network can use this forward.")
    return tuple(notes)


def _remark_sockets(forward: Forward) -> tuple[str, ...]:
    notes = []
    first = forward.spec.folders[0]
    if forward.address != first:
        notes.append(f"Another forward holds {first}: {forward.address} stands in for it.")
    for (local, _), path in zip(forward.ports, forward.sockets, strict=True):
        if ".s.PGSQL." in path:
            notes.append(f"For psql, psycopg and libpq: host={forward.address} port={local}")
    return tuple(notes)
