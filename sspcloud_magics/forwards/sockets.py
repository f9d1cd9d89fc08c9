"""The directories and names of Unix sockets, which a forward may use instead of local ports.

All users of a machine share its loopback addresses, but a directory of mode 0700 belongs to one user. So on a shared
host, a Unix socket is the safe local end of a forward. libpq looks for ``.s.PGSQL.PORT`` in the directory given as
``host``; other programs use the path of the file ``PORT.sock``.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import PortSpec

UNIX = "unix"
"""The address of a forward that listens on Unix sockets."""

_POSTGRES = 5432
_POSTGRES_WORDS = ("postgres", "pgsql", "psql")
_MAX_NAME = 40
# The size of the kernels' sun_path, without the final NUL.
_MAX_PATH = 103 if sys.platform == "darwin" else 107
# The number of directories to try for a target, and the digits of the hash in a shortened name.
_FOLDERS = 8
_DIGITS = 8


def runtime_folder() -> Path:
    """Return this user's directory for the directories of the forwards."""
    if sys.platform == "win32":
        raise UsageProblem(
            _("Programs on Windows do not use Unix sockets."),
            hint=_("forward to a local port: leave out --unix"),
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
        The target of the forward.
    ports
        Its ports, with the names of their sockets.

    Raises
    ------
    UsageProblem
        On Windows, and if the path would be too long for a socket.
    """
    home = runtime_folder()
    longest_socket = max(len(port.socket) for port in ports)
    room = min(_MAX_PATH - len(os.fsencode(home)) - len(f"/-{_FOLDERS}/") - longest_socket, _MAX_NAME)
    name = f"{target.namespace}-{target.name}"
    if len(name) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
        name = f"{name[: room - _DIGITS - 1]}-{digest}".lstrip("-")
    if room <= _DIGITS:
        raise UsageProblem(
            _("The path of a socket in {directory} would be too long.", directory=home),
            why=_("The path of a socket has at most {count} bytes.", count=_MAX_PATH),
            hint=_("set XDG_RUNTIME_DIR or TMPDIR to a shorter directory"),
        )
    return (str(home / name), *(str(home / f"{name}-{number}") for number in range(2, _FOLDERS + 1)))


def specify_sockets(ports: tuple[PortText, ...]) -> tuple[PortSpec, ...]:
    """Return the local number and the socket's name for each requested port.

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
