"""Isolate the tests from the settings of the machine and its user.

A test finds the same variables, the same home and the same Ctrl-C wherever it runs: as a job of a script in the
background, in a container without a home, under a user's proxies and locale.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path

import psutil

KEPT = {
    *("PATH", "LD_LIBRARY_PATH", "USER", "LOGNAME", "TERM"),
    *("COMSPEC", "SYSTEMROOT", "PATHEXT", "TEMP", "TMP"),  # without these Windows starts no program
    *("CHROMIUM", "CI"),
}
"""The variables of the machine that tests see, besides those of pytest, coverage and pip (`OF_TOOLS`)."""

OF_TOOLS = ("PYTEST_", "COV_", "COVERAGE_", "PIP_", "HYPOTHESIS_", "PYTHON", "_PYTEST")
PROGRAMS = Path(__file__).with_name("programs")
"""What runs in the images of the tests, in a sandbox."""
LOCALE = {"LANG": "C.UTF-8", "TZ": "UTC"}


MEMORY = Path("/dev/shm")
"""Where Linux has files in memory."""
ENOUGH = 6 << 30
"""The bytes that must be free in memory and in `MEMORY`; one process used at most 1.1 GiB."""
OF_A_RUN = "tests-run-"
"""How the name of a run's folder in memory begins; the run holds a lock on it."""


def make_folder(memory: Path = MEMORY, enough: int = ENOUGH) -> Path:
    """Make a run's folder for temporary files: in memory if there is enough, else in the system's temporary folder.

    A run creates and deletes hundreds of thousands of files, because each sandbox copies its databases. In memory, a
    file takes 6 µs of processor time. ext4 takes 20 µs, and without a journal up to 800 µs after many deletions.

    What is left there keeps memory: a run that was killed removed nothing, so the next one does.
    """
    usable = (
        "TMPDIR" not in os.environ
        and os.access(memory, os.W_OK)
        and not os.statvfs(memory).f_flag & os.ST_NOEXEC
    )
    if usable:
        remove_abandoned_folders(memory)
    fits = usable and min(shutil.disk_usage(memory).free, psutil.virtual_memory().available) >= enough
    folder = make_locked_folder(memory) if fits else Path(tempfile.mkdtemp(prefix=OF_A_RUN))
    folder.chmod(0o711)  # as root, the sandbox's Postgres is another user, who must pass through
    return folder


def make_locked_folder(parent: Path) -> Path:
    """Make a run's folder, and hold a lock on it until this process ends, however it ends."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=OF_A_RUN, dir=parent))
        if lock_folder(folder) is not None and folder.exists():
            return folder  # else another run has removed it before the lock


def remove_abandoned_folders(parent: Path) -> None:
    """Remove the folders of runs that have ended; that of a run which still lives is locked."""
    for folder in parent.glob(f"{OF_A_RUN}*"):
        lock = lock_folder(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def lock_folder(folder: Path) -> int | None:
    """Return the open file that locks a folder, or nothing if it is locked, another user's, or gone."""
    import fcntl  # Windows has none, and no `MEMORY`

    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(opened)
            raise
        return opened
    return None


def restore_interrupts() -> None:
    """Let SIGINT interrupt us and our children: a shell without job control lets a background job ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def isolate(temporary: Path) -> None:
    """Give this process and its children an environment that is not the user's.

    Parameters
    ----------
    temporary
        The run's folder, for temporary files, a home of this process alone, and the cache of all its processes.
    """
    home = Path(tempfile.mkdtemp(prefix="home-", dir=temporary))
    home.chmod(0o711)
    for name in list(os.environ):
        if name not in KEPT and not name.startswith(OF_TOOLS):
            del os.environ[name]
    os.environ |= LOCALE | {
        "TMPDIR": str(temporary),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(temporary / "cache"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        # Tests match messages in English, whatever the machine's language is.
        "SSPCLOUD_LANGUAGE": "en",
        "SSPCLOUD_SANDBOX_PROGRAMS": str(PROGRAMS),
    }
    tempfile.tempdir = None  # it keeps the folder that it found first
