"""Unix sockets in place of local ports: where they lie, and how they are called.

Loopback belongs to every user of a machine, a directory of mode 0700 to one. So on a host that is shared,
a Unix socket is the safe end of a forward. libpq looks for one called ``.s.PGSQL.PORT`` in the directory that
stands as ``host``; other programs are given the path of a file ``PORT.sock``.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import PortSpec

UNIX = "unix"
"""The address of a forward that listens on Unix sockets."""

_POSTGRES = 5432
_POSTGRES_WORDS = ("postgres", "pgsql", "psql")
_LONGEST_NAME = 40
# What the kernels' sun_path holds, without the 0 at its end.
_LONGEST_PATH = 103 if sys.platform == "darwin" else 107
_FOLDERS = 8
_DIGITS = 8


def runtime_folder() -> Path:
    """Return the directory of this user in which those of the forwards lie."""
    if sys.platform == "win32":
        raise UsageProblem(
            "Programs on Windows do not use Unix sockets.", hint="forward to a local port: leave --unix out"
        )
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere")
    if runtime.is_absolute() and runtime.is_dir() and runtime.stat().st_uid == os.geteuid():
        return runtime / "sspcloud-magics"
    return Path(tempfile.gettempdir()) / f"sspcloud-magics-{os.geteuid()}"


def folders(target: Target, ports: tuple[PortSpec, ...]) -> tuple[str, ...]:
    """Return the directories to try for a target's sockets, the same ones each time.

    Parameters
    ----------
    target
        What the forward leads to.
    ports
        Its ports, with the names of their sockets.

    Raises
    ------
    UsageProblem
        On Windows, and where the path would be longer than a socket's may be.
    """
    home = runtime_folder()
    longest_socket = max(len(port.socket) for port in ports)
    room = min(_LONGEST_PATH - len(os.fsencode(home)) - len(f"/-{_FOLDERS}/") - longest_socket, _LONGEST_NAME)
    name = f"{target.namespace}-{target.name}"
    if len(name) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
        name = f"{name[: room - _DIGITS - 1]}-{digest}".lstrip("-")
    if room <= _DIGITS:
        raise UsageProblem(
            f"The path of the socket would be too long, in {home}.",
            why=f"A socket's path has {_LONGEST_PATH} bytes at most.",
            hint="set XDG_RUNTIME_DIR or TMPDIR to a shorter directory",
        )
    return (str(home / name), *(str(home / f"{name}-{number}") for number in range(2, _FOLDERS + 1)))


def specify_sockets(ports: tuple[PortText, ...]) -> tuple[PortSpec, ...]:
    """Return for each port that the user named its number on this side, and the name of its socket.

    Examples
    --------
    >>> [port.socket for port in specify_sockets((PortText(5432), PortText(8000), PortText("http")))]
    ['.s.PGSQL.5432', '8000.sock', 'http.sock']
    >>> specify_sockets((PortText(5432, 1500),))
    (PortSpec(remote=5432, candidates=(1500,), socket='.s.PGSQL.1500'),)
    """
    return tuple(_specify(port) for port in ports)


def _specify(port: PortText) -> PortSpec:
    remote = port.number or port.remote
    is_postgres = remote == _POSTGRES or any(word in str(port.remote) for word in _POSTGRES_WORDS)
    number = port.local or (remote if isinstance(remote, int) else _POSTGRES if is_postgres else 0)
    name = f".s.PGSQL.{number}" if is_postgres else f"{number or port.remote}.sock"
    return PortSpec(port.remote, (number,), name)
