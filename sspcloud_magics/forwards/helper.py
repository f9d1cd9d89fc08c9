"""The helper process from the kernel's side: its start, messages and end.

The helper is a separate Python process, from which three things are kept away. The user's folder: a notebook may lie
next to a file called ``ssl.py`` or ``random.py``. So the helper imports from the standard library, then from the folders
of installed packages, and never from the working directory. The environment: it gets only the variables of a network
client, because others contain passwords (``PGPASSWORD``, ``PASSWORD``). The signals: it has its own session, because
interrupting a cell signals the kernel's whole process group.

The helper lives as long as the pipe to it is open. A forked child of the kernel (a ``multiprocessing`` worker) inherits
the pipe, and would keep the helper of a killed kernel alive. So the child closes its copy at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from sspcloud_magics.errors import HelperFailed
from sspcloud_magics.i18n import _
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.tunnel import ipc

_log = logging.getLogger(__name__)

MODULE = "sspcloud_magics.tunnel"

# For glibc: keep buffers of 256 KiB on the heap. Fresh pages for each buffer would cost more than all work with it.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20), "MALLOC_TRIM_THRESHOLD_": str(16 << 20)}

# No garbage collection during the imports: they make no garbage, and take a tenth less time without it.
_RUN = (
    "import gc, sys; gc.disable(); sys.path += sys.argv[1:]; del sys.argv[1:]; "  # not translated: code
    f"from {MODULE}.__main__ import main; gc.enable(); main()"
)

_KEPT_VARIABLES = frozenset(
    {
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("TMPDIR", "TEMP", "TMP"),
        *("TZ", "LANG", "LC_ALL", "LC_CTYPE"),
        # Without these, Python does not start: on Windows, in a relocated Linux or macOS installation.
        *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
        # The notebook's path, from which another notebook can tell the owner of a port.
        "JPY_SESSION_NAME",
    }
)

# The bytes that POSIX writes to a pipe all or nothing, even if a signal interrupts the write.
_ATOMIC: int = getattr(select, "PIPE_BUF", 512)

# A fork waits while a helper starts, because the child must know the pipes to close.
_starting = threading.RLock()
_helpers: weakref.WeakSet[Helper] = weakref.WeakSet()


def import_path() -> list[str]:
    """Return the helper's import path, after the standard library."""
    installed = [entry for entry in sys.path if Path(entry).name in {"site-packages", "dist-packages"}]
    home = str(Path(__file__).parents[2])
    return list(dict.fromkeys([*installed, home]))


def environment() -> dict[str, str]:
    """Return the helper's environment variables."""
    kept = {name: value for name, value in os.environ.items() if name.upper() in _KEPT_VARIABLES}
    return kept | _MALLOC


def default_command() -> list[str]:
    """Return the command line of the helper, which has no arguments but folders."""
    # -I: no PYTHON* variables, no user folder; -S: no startup code of other packages.
    return [sys.executable, "-I", "-S", "-c", _RUN, *import_path()]


class Helper:
    """A running helper process.

    Parameters
    ----------
    command
        The command line; by default, the real helper's.

    Raises
    ------
    HelperFailed
        If the process cannot be started.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._sending = threading.Lock()
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        with _starting:
            try:
                self._process = subprocess.Popen(
                    list(command or default_command()),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._stderr,
                    bufsize=0,
                    cwd=os.path.abspath(os.sep),  # noqa: PTH100 - the root, of the drive on Windows
                    env=environment(),
                    start_new_session=True,
                    creationflags=flags,
                )
            except OSError as error:
                self._stderr.close()
                raise HelperFailed(
                    _("The helper process of the forwards could not be started."),
                    why=f"{sys.executable}: {system_reason(error)}",
                    hint=_("restart the kernel"),
                ) from None
            assert self._process.stdin is not None  # noqa: S101 - for the type checker: it is a PIPE
            assert self._process.stdout is not None  # noqa: S101
            self._stdin: IO[bytes] = self._process.stdin
            self._stdout: IO[bytes] = self._process.stdout
            _helpers.add(self)

    @property
    def pid(self) -> int:
        """The pid of the process."""
        return self._process.pid

    def send(self, command: ipc.Command) -> None:
        """Send a command; drop it if the helper has ended, which the end of `events` shows."""
        line = ipc.encode(command)
        is_whole = len(line) <= _ATOMIC
        with self._sending, contextlib.suppress(OSError, ValueError):
            try:
                sent = 0
                while sent < len(line):
                    sent += self._stdin.write(line[sent:])
                is_whole = True
            finally:
                # The helper may have half a line, and would misread the next one.
                if not is_whole:
                    self._process.kill()

    def events(self) -> Iterator[ipc.Event]:
        """Yield the helper's events until its output ends."""
        rest = bytearray()
        while True:
            try:
                received = self._stdout.read(1 << 16)
            except (OSError, ValueError):
                received = b""
            if not received:
                return
            rest += received
            *lines, tail = rest.split(b"\n")
            rest = bytearray(tail)
            for line in lines:
                try:
                    message = ipc.decode(bytes(line))
                except ValueError:  # a bug in the helper; the next line may be valid
                    continue
                if isinstance(message, ipc.Event):
                    yield message

    def close_input(self) -> None:
        """Close the pipe to the helper, which makes it end."""
        if not self._sending.acquire(timeout=0.5):
            # A helper that does not read its commands would not see the end of the pipe either.
            self._process.kill()
            self._sending.acquire()
        try:
            with contextlib.suppress(OSError):
                self._stdin.close()
        finally:
            self._sending.release()

    def kill(self) -> None:
        """End the process at once; `events` ends then."""
        self._process.kill()

    def end(self, grace: float = 1.0) -> str:
        """Close the pipe, wait for the end of the process, and free its resources.

        Called once, by the thread that reads `events`: no other thread may close a pipe that it reads.

        Parameters
        ----------
        grace
            The time for the helper to end before it is killed, in seconds.

        Returns
        -------
        str
            The last line of its standard error; without one, its exit code or signal.
        """
        self.close_input()
        try:
            status = self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._stdout.close()
        _log.info("helper %d ended with status %d", self.pid, status)
        with self._stderr:
            self._stderr.seek(0, os.SEEK_END)
            self._stderr.seek(max(0, self._stderr.tell() - 4096))
            lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        if lines:
            return lines[-1].strip()
        if status < 0:
            return _("it ended with signal {number}", number=-status)
        return _("it ended with exit code {code}", code=status)

    def _forget_in_child(self) -> None:
        """Close the inherited ends of the pipes, because the process belongs to the parent."""
        self._sending = threading.Lock()
        for pipe in (self._stdin, self._stdout, self._stderr):
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.returncode = 0  # so that the destructor does not wait for the parent's child


def _after_fork_in_child() -> None:
    for helper in list(_helpers):
        helper._forget_in_child()  # noqa: SLF001 - the same module
    _helpers.clear()
    _starting.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_starting.acquire,
        after_in_parent=_starting.release,
        after_in_child=_after_fork_in_child,
    )
