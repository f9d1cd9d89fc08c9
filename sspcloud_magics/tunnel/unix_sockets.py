"""Unix sockets in a private directory, which one forward holds at a time.

The directory is locked (flock) as long as the forward lives, and the system releases the lock however the process
ends. So the directory of a killed helper is found unlocked and reused. A forward that finds a directory locked tries
the next candidate.

A Unix socket cannot be reset: its client sees a cut transfer as a normal end of data. Only its protocol can tell that
something is missing, as PostgreSQL's does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from sspcloud_magics.errors import PortTaken, SspcloudError
from sspcloud_magics.i18n import _
from sspcloud_magics.i18n.system_reasons import system_reason

if sys.platform != "win32":
    import fcntl

_BACKLOG = 1024


class SocketFolder:
    """A private directory (0700) for this process's sockets; created by `claim`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        # Holds the lock; -1 once closed.
        self._descriptor = descriptor
        # The sockets to remove in `close`.
        self._names: list[str] = []

    @classmethod
    def claim(cls, candidates: Sequence[str]) -> SocketFolder:
        """Lock the first directory of `candidates` that no other forward holds; create it if it is missing.

        Raises
        ------
        PortTaken
            If other forwards hold all of them.
        SspcloudError
            If a directory cannot be created, or is not private to this user.
        """
        for candidate in candidates:
            path = Path(candidate)
            try:
                for folder in (path.parent, path):
                    _make_private(folder)
                descriptor = _lock(path)
            except OSError as error:
                raise SspcloudError(
                    _("The directory {path} cannot hold Unix sockets.", path=path),
                    why=system_reason(error),
                    hint=_(
                        "set XDG_RUNTIME_DIR or TMPDIR to a directory of your own, and restart the kernel"
                    ),
                ) from None
            if descriptor is not None:
                return cls(path, descriptor)
        raise PortTaken(
            _("No directory for the socket is free: {directories}.", directories=", ".join(candidates)),
            why=_("Other forwards use all of them."),
            hint=_("stop one of these forwards, or listen on a port: leave out --unix"),
        )

    def listen(self, name: str) -> socket.socket:
        """Return a socket that listens as `name`; replace one that a dead process left there."""
        path = self.path / name
        path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(str(path))
            self._names.append(name)
            sock.listen(_BACKLOG)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock

    def close(self) -> None:
        """Remove the sockets and, if nothing else is in it, the directory."""
        if self._descriptor < 0:
            return
        for name in self._names:
            with contextlib.suppress(OSError):
                (self.path / name).unlink()
        with contextlib.suppress(OSError):
            self.path.rmdir()
        os.close(self._descriptor)
        self._descriptor = -1


def _make_private(path: Path) -> None:
    """Create a directory that only this user may enter; reject an existing one that others may enter."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(0, _("It is not a directory"))
    if sys.platform != "win32" and found.st_uid != os.geteuid():
        raise PermissionError(0, _("It belongs to another user"))
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(0, _("Others may enter it (chmod 700 would prevent that)"))


def _lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock of a directory; None if another process holds it."""
    if sys.platform == "win32":
        raise OSError(0, "Python has no Unix sockets on Windows")
    while True:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The previous holder may have removed the directory between the two calls.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(path.lstat(), os.fstat(descriptor)):
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        _make_private(path)
