"""The choice of local ports for the ports of a target.

A local port that the user wrote has no alternative. A bare remote port gets the same local number if it is free.
Otherwise, the number is derived from the target: it is the same each time, so that the settings in a notebook or a
database tool stay valid. Only if all derived numbers are taken too, any free port is used.
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
from sspcloud_magics.i18n import _
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import PortSpec

ANY = 0
"""As a local port, any free one."""

# Below the ephemeral ports of Linux (from 32768), Windows and macOS (from 49152).
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
    """Derive the local ports to try for a target's port whose own number is taken.

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
    """Return the local ports to try for each requested port.

    Parameters
    ----------
    target
        The target of the ports.
    ports
        The ports that the user typed.
    first_port
        The lowest port that may be bound; by default, the system's.

    Raises
    ------
    UsageProblem
        If there is no port, a local port appears twice, or only the administrator may bind it.
    """
    if not ports:
        raise UsageProblem(
            _("No port of {target} is given.", target=target),
            hint=_("write REMOTE or LOCAL:REMOTE, such as 8000 or 1500:8000"),
        )
    lowest = first_unprivileged_port() if first_port is None else first_port
    written = [port.local for port in ports if port.local]
    for local in written:
        if written.count(local) > 1:
            raise UsageProblem(
                _("The local port {local} is given twice.", local=local),
                hint=_("write a different local port for each"),
            )
        if local < lowest:
            example = next(f"{local + 8000}:{port.remote}" for port in ports if port.local == local)
            raise UsageProblem(
                _("You may not listen on port {local}.", local=local),
                why=_("On this machine, only the administrator may use ports below {lowest}.", lowest=lowest),
                hint=_("choose another local port, such as {example}", example=example),
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
        Unless it is ``localhost``, `UNIX`, or an IP address of this machine.
    """
    if address in {"localhost", UNIX}:
        return address
    hint = _("use localhost, or an IP address of this machine, such as 127.0.0.1")
    try:
        checked = ipaddress.ip_address(address)
    except ValueError:
        raise UsageProblem(
            _("{address!r} is not an address to listen on.", address=address), hint=hint
        ) from None
    family = socket.AF_INET if checked.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family) as probe:
            probe.bind((str(checked), ANY))
    except OSError as error:
        why = system_reason(error) if error.strerror else ""
        raise UsageProblem(
            _("{address} is not an address of this machine.", address=checked), why=why, hint=hint
        ) from None
    return str(checked)


def is_loopback(address: str) -> bool:
    """Return whether only this machine reaches an address, as returned by `check_address`."""
    return address == "localhost" or ipaddress.ip_address(address).is_loopback
