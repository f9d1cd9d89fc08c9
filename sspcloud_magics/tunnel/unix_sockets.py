"""Unix sockets in a directory that nobody else may enter, and that one forward holds at a time.

The directory is locked (flock) for as long as the forward lives, and the system lets go of the lock however
the process ends: what a killed helper has left behind is found unlocked, and used again. Whoever finds a
directory locked takes the next of its candidates.

A Unix socket cannot be reset: a client on it sees a cut transfer as an end, and has to know from its protocol,
as PostgreSQL's clients do, that something is missing.
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

if sys.platform != "win32":
    import fcntl

_BACKLOG = 1024


class SocketFolder:
    """A directory (0700) of this process's sockets; made by `claim`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._names: list[str] = []

    @classmethod
    def claim(cls, candidates: Sequence[str]) -> SocketFolder:
        """Take the first directory of `candidates` that no other forward holds; makes it where it is not.

        Raises
        ------
        PortTaken
            If others hold them all.
        SspcloudError
            If one cannot be made, or is not this user's alone.
        """
        for candidate in candidates:
            path = Path(candidate)
            try:
                for folder in (path.parent, path):
                    _make_private(folder)
                descriptor = _lock(path)
            except OSError as error:
                raise SspcloudError(
                    f"The directory {path} for Unix sockets cannot be used.",
                    why=f"{error.strerror}.",
                    hint="set XDG_RUNTIME_DIR or TMPDIR to a directory of yours, and restart the kernel",
                ) from None
            if descriptor is not None:
                return cls(path, descriptor)
        raise PortTaken(
            f"No directory for the socket is free: {', '.join(candidates)}.",
            why="Other forwards hold them.",
            hint="stop one of those, or forward to a port instead (without --unix)",
        )

    def listen(self, name: str) -> socket.socket:
        """Return a socket that listens as `name`; one that a dead process has left there is replaced."""
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
        """Remove the sockets and, where nothing else is in it, the directory."""
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
    """Make a directory for this user alone; refuse one that is not."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(0, "It is not a directory")
    if sys.platform != "win32" and found.st_uid != os.geteuid():
        raise PermissionError(0, "It belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(0, "Others may enter it (chmod 700 would mend that)")


def _lock(path: Path) -> int | None:
    """Return a descriptor that holds the directory; None where another process does."""
    if sys.platform == "win32":
        raise OSError(0, "Windows has no such sockets here")
    while True:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it until now may have removed it between the two calls.
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
