"""Messages about local ports: the owner of a taken port, and the port that is used instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sspcloud_magics.errors import PortTaken
from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.forwards.port_owner import find_port_owner
from sspcloud_magics.forwards.ports import derive_ports, first_unprivileged_port, is_loopback
from sspcloud_magics.i18n import _
from sspcloud_magics.target import PortText


def describe_owner(port: int, forwards: Iterable[Forward], helper: int | None) -> str:
    """Describe the owner of a local port; empty if the system does not report it.

    Parameters
    ----------
    port
        The local port.
    forwards
        The forwards of this process.
    helper
        The pid of this process's helper process, if it has one.
    """
    for forward in forwards:
        if forward.is_live and any(local == port for local, _unused in forward.ports):
            return _("this notebook's own forward to {target}", target=forward.target)
    owner = find_port_owner(port)
    # This process's helper, without a forward on the port, is just closing it.
    return "" if owner is None or owner.pid == helper else str(owner)


def explain_port_taken(
    error: PortTaken, wanted: Sequence[PortText], describe: Callable[[int], str]
) -> PortTaken:
    """Return the error, with the owner of the port and a hint, if the owner is known."""
    for port in wanted:
        owner = describe(port.local) if port.local else ""
        if owner:
            hint = _("write :{port} for any free local port, or choose another one", port=port.remote)
            return PortTaken(error.what, why=_("The port is in use by {owner}.", owner=owner), hint=hint)
    return error


def list_notes(forward: Forward, describe: Callable[[int], str]) -> tuple[str, ...]:
    """Return notes for the user about a forward that has just become active."""
    if forward.sockets:
        return _list_socket_notes(forward)
    notes = []
    for (local, _unused), port in zip(forward.ports, forward.wanted, strict=False):
        remote = port.number or port.remote
        if port.local is not None or remote == local or not isinstance(remote, int):
            continue
        if remote < first_unprivileged_port():
            why = _("Only the administrator may use port {port} on this machine", port=remote)
        else:
            owner = describe(remote)
            why = (
                _("Port {port} is in use by {owner}", port=remote, owner=owner)
                if owner
                else _("Port {port} is taken", port=remote)
            )
        if local in derive_ports(forward.target, remote):
            note = _("{reason}: the local port is {local}, the same each time.", reason=why, local=local)
        else:
            note = _("{reason}: the local port is {local}.", reason=why, local=local)
        notes.append(note)
    if not is_loopback(forward.address):
        notes.append(
            _("Anyone who reaches {address} over the network can use this forward.", address=forward.address)
        )
    return tuple(notes)


def _list_socket_notes(forward: Forward) -> tuple[str, ...]:
    notes = []
    first = forward.spec.folders[0]
    if forward.address != first:
        notes.append(
            _(
                "Another forward uses {other}: the directory is {directory}.",
                other=first,
                directory=forward.address,
            )
        )
    for (local, _unused), path in zip(forward.ports, forward.sockets, strict=True):
        if ".s.PGSQL." in path:
            notes.append(
                _(
                    "For psql, psycopg and libpq: host={address} port={local}",
                    address=forward.address,
                    local=local,
                )
            )
    return tuple(notes)
