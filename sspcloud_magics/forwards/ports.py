"""Which local ports to try for a port of a target.

A port that the user wrote is that one or none. A bare remote port takes the same number where it is
free. Where it is not, the number is derived from the target, so that it is the same one each time and
what stands in a notebook or a database tool stays true; only if all of those are taken too, any free
port will do.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.forwards.sockets import UNIX
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import PortSpec

ANY = 0

# Below the ports that Linux (32768), Windows and macOS (49152) give to outgoing connections.
_DERIVED = range(20_000, 32_768)
_DERIVED_CHOICES = 5


def first_unprivileged_port() -> int:
    """Return the lowest port that this process may listen on."""
    if sys.platform == "win32" or os.geteuid() == 0:
        return 1
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text("ascii"))
    except (OSError, ValueError):
        return 1024


def derive_ports(target: Target, remote: int | str) -> tuple[int, ...]:
    """Return the local ports that belong to a target's port when its own number is taken.

    Examples
    --------
    >>> derive_ports(Target("user-alice", "service", "db-rw"), 5432)[0]
    23967
    """
    digest = hashlib.sha256(f"{target}:{remote}".encode()).digest()
    numbers = [int.from_bytes(digest[4 * i : 4 * i + 4], "big") for i in range(_DERIVED_CHOICES)]
    return tuple(dict.fromkeys(_DERIVED[number % len(_DERIVED)] for number in numbers))


def specify(
    target: Target, ports: Sequence[PortText], *, first_port: int | None = None
) -> tuple[PortSpec, ...]:
    """Return for each port that the user named the local ports to try.

    Parameters
    ----------
    target
        What the ports belong to.
    ports
        What the user typed.
    first_port
        The lowest port that may be bound; the system's where it is None.

    Raises
    ------
    UsageProblem
        If no port is named, a local port is named twice, or one is for the administrator only.
    """
    if not ports:
        raise UsageProblem(
            f"No port of {target} is named.", hint="write REMOTE or LOCAL:REMOTE, such as 8000 or 1500:8000"
        )
    lowest = first_unprivileged_port() if first_port is None else first_port
    written = [port.local for port in ports if port.local]
    for local in written:
        if written.count(local) > 1:
            raise UsageProblem(f"The local port {local} is named twice.", hint="give each its own")
        if local < lowest:
            raise UsageProblem(
                f"An ordinary user may not listen on port {local}.",
                why=f"Ports below {lowest} are the administrator's on this machine.",
                hint="write another, such as "
                + next(f"{local + 8000}:{p.remote}" for p in ports if p.local == local),
            )
    return tuple(PortSpec(port.remote, _candidates(target, port, lowest, written)) for port in ports)


def _candidates(target: Target, port: PortText, lowest: int, written: list[int]) -> tuple[int, ...]:
    if port.local is not None:
        return (port.local,)
    remote = port.number or port.remote
    derived = derive_ports(target, remote)
    wished = (remote, *derived) if isinstance(remote, int) else derived
    return (*(number for number in wished if number >= lowest and number not in written), ANY)


def check_address(address: str) -> str:
    """Return the address to listen on.

    Raises
    ------
    UsageProblem
        If it is neither ``localhost``, nor `UNIX`, nor an IP address of this machine.
    """
    if address in {"localhost", UNIX}:
        return address
    hint = "use localhost, or an IP address of this machine, such as 127.0.0.1"
    try:
        checked = ipaddress.ip_address(address)
    except ValueError:
        raise UsageProblem(f"{address!r} is not an address to listen on.", hint=hint) from None
    family = socket.AF_INET if checked.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family) as probe:
            probe.bind((str(checked), ANY))
    except OSError as error:
        why = f"{error.strerror}." if error.strerror else ""
        raise UsageProblem(f"{checked} is not an address of this machine.", why=why, hint=hint) from None
    return str(checked)


def is_loopback(address: str) -> bool:
    """Return whether only this machine reaches an address that `check_address` has let pass."""
    return address == "localhost" or ipaddress.ip_address(address).is_loopback
