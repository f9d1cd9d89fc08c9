"""The sandbox as a process of its own: started in the background, found again, stopped.

A sandbox lives in a directory, its *home*. The server process holds a lock on ``lock`` in it for as long as
it lives, so that no home ever has two; when it is ready it writes ``server.json``, which says who it is
(a process id and the time that it began, since ids are used again) and where it listens. A command that starts or
stops one holds ``start.lock`` until it has, and a start reads one line from a pipe: nothing is polled.

A server that is started *with its parent* ends when its standard input closes, however the parent died, and keeps
nothing. Any other leaves in its home what its users did in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

PEOPLE = ("alice", "bob", "carol", "admin")
"""Whom the sandbox has a kubeconfig for."""

# Servers that this process has started and that outlive it: kept so that those which end are reaped.
_started: list[subprocess.Popen[bytes]] = []

_START_SECONDS = 90.0
_STOP_SECONDS = 15.0
# After so many seconds a stop says what it waits for.
_QUIET_STOP_SECONDS = 2.0
# How often it is looked whether a process has ended.
_LOOK_SECONDS = 0.02


class SandboxError(Exception):
    """The sandbox cannot do what it was asked: what happened, why, and what to do next."""

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.why, self.hint and f"→ {self.hint}") if part)


@dataclass(frozen=True, slots=True)
class Status:
    """Whether a sandbox runs, and where.

    Parameters
    ----------
    home
        Its directory.
    server
        The address of its API server; None where it does not run.
    pid
        The server's process id; None where it does not run.
    """

    home: Path
    server: str | None = None
    pid: int | None = None

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.pid is not None

    @property
    def keeps(self) -> bool:
        """Whether its home holds what was done in it."""
        return snapshot_file(self.home).exists()

    def __str__(self) -> str:
        if not self.running and self.keeps:
            return f"The sandbox is not running; what was done in it is kept (home: {self.home})."
        if not self.running:
            return f"The sandbox is not running (home: {self.home})."
        return f"The sandbox is running at {self.server} (process {self.pid}, home: {self.home})."

    __repr__ = __str__


def default_home() -> Path:
    """Return the home that is meant where none is named: ``SSPCLOUD_SANDBOX_HOME``, or one per user."""
    named = os.environ.get("SSPCLOUD_SANDBOX_HOME")
    if named:
        return Path(named).expanduser().absolute()
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser().absolute() / "sspcloud-sandbox"


def snapshot_file(home: Path) -> Path:
    """Return the file that carries all objects of a sandbox over a restart."""
    return home / "snapshot.json"


def status(home: Path | None = None) -> Status:
    """Return whether the sandbox at `home` runs, and where.

    Parameters
    ----------
    home
        Its directory; the user's own where it is None.
    """
    home = _home(home)
    _started[:] = [process for process in _started if process.poll() is None]
    try:
        said = json.loads((home / "server.json").read_text())
        process = psutil.Process(said["pid"])
        alive = process.create_time() == said["began"] and _is_alive(process)
        return Status(home, said["server"], said["pid"]) if alive else Status(home)
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return Status(home)


def start(home: Path | None = None) -> Status:
    """Start the sandbox in the background, and return when its pods are ready.

    It goes on where it was stopped. One that runs already is left as it is.

    Parameters
    ----------
    home
        Its directory; the user's own where it is None.

    Raises
    ------
    SandboxError
        If it does not start.

    Examples
    --------
    >>> from sspcloud_magics import sandbox
    >>> sandbox.start()  # doctest: +SKIP
    The sandbox is running at https://127.0.0.1:36443 (process 4711, home: /home/ana/.local/state/sspcloud-sandbox).
    """
    home = prepare(_home(home))
    with _hold_start_lock(home):
        found = status(home)
        if not found.running:
            _started.append(spawn(home))
            found = status(home)
    if not found.running:
        raise SandboxError("The sandbox ended as soon as it had started.", hint=_look_at(home))
    return found


def spawn(home: Path, *, with_parent: bool = False) -> subprocess.Popen[bytes]:
    """Start a server for `home` and return its process when the sandbox is ready, or raise `SandboxError`.

    One that is started `with_parent` keeps nothing, and ends when the ``stdin`` of the process closes: with us, at the latest.
    """
    prepare(home)
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "sspcloud_magics.sandbox", "serve", f"--home={home}"]
    command += [f"--ready-fd={writing}", *(["--with-parent"] if with_parent else [])]
    (home / "sandbox.log").touch(mode=0o600)
    process: subprocess.Popen[bytes] | None = None
    try:
        with os.fdopen(reading, "rb") as told:
            try:
                with (home / "sandbox.log").open("ab") as log, _interrupt_waits():
                    process = subprocess.Popen(
                        command,
                        stdin=subprocess.PIPE if with_parent else subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        pass_fds=[writing],
                        start_new_session=True,
                        cwd="/",
                        env=_environment(),
                    )
            finally:
                os.close(writing)
            ready, _, _ = select.select([told], [], [], _START_SECONDS)
            line = told.readline() if ready else b""
    except BaseException:
        if process is not None:
            _end(process)
        raise
    said = json.loads(line or "{}")
    if "server" in said:
        return process
    _end(process)
    if said:
        raise SandboxError(**said)
    raise SandboxError("The sandbox did not start.", why=_last_words(home), hint=_look_at(home))


def stop(home: Path | None = None, *, progress: Callable[[str], None] | None = None) -> Status:
    """Stop the sandbox with all its pods, and keep what was done in it; one that does not run is no error.

    Parameters
    ----------
    home
        Its directory; the user's own where it is None.
    progress
        Is told what is waited for, if that takes more than a moment.

    Raises
    ------
    SandboxError
        If it was stopped, and the last changes could not be kept.
    """
    home = _home(home)
    if not home.exists():
        return status(home)
    snapshot = snapshot_file(home)
    before = snapshot.stat() if snapshot.exists() else None
    with _hold_start_lock(home):
        ran = _stop(home, progress)
    if ran and before is not None and snapshot.stat().st_mtime_ns == before.st_mtime_ns:
        kept = time.strftime("%H:%M:%S", time.localtime(before.st_mtime))
        raise SandboxError(
            "The sandbox is stopped, and its last changes could not be kept.",
            why="; ".join(filter(None, [_last_words(home), f"it will start as it was at {kept}"])),
            hint=f"make room on the disk of {home}",
        )
    return status(home)


def _stop(home: Path, progress: Callable[[str], None] | None) -> bool:
    """Stop the sandbox while no other starts, and return whether it ran."""
    found = status(home)
    if found.pid is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(found.pid)
            everyone = [process, *process.children(recursive=True)]
            process.terminate()
            if wait_for_end([process], _QUIET_STOP_SECONDS) and progress is not None:
                progress("waiting for the databases of the sandbox to stop")
            wait_for_end([process], _STOP_SECONDS)
            for straggler in wait_for_end(everyone, 0.0):
                with contextlib.suppress(psutil.NoSuchProcess):
                    straggler.kill()
            wait_for_end(everyone, _STOP_SECONDS)
    (home / "server.json").unlink(missing_ok=True)
    return found.running


def wait_for_end(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until processes have ended, and return those that have not in so many seconds.

    A zombie counts as ended: psutil's own functions wait for its parent, which may be another notebook that runs on.
    """
    until = time.monotonic() + seconds
    while left := [process for process in processes if _is_alive(process)]:
        if time.monotonic() >= until:
            break
        time.sleep(_LOOK_SECONDS)
    return left


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def restart_api_server(home: Path | None = None) -> Status:
    """Kill the sandbox's API server and have it start again: connections break, pods run on.

    For a moment after its start it refuses everything, as a real one does until it has read the rights.
    """
    found = status(home)
    if found.pid is None:
        raise SandboxError("The sandbox is not running.", hint="sspcloud-sandbox start")
    os.kill(found.pid, signal.SIGUSR1)
    return found


def reset(home: Path | None = None, *, progress: Callable[[str], None] | None = None) -> Status:
    """Forget everything that the sandbox holds, credentials too, and start it afresh if it ran.

    Parameters
    ----------
    home
        Its directory; the user's own where it is None.
    progress
        Is told what is waited for, if that takes more than a moment.

    Raises
    ------
    SandboxError
        If `home` is not a sandbox's, or the new one does not start.
    """
    from sspcloud_magics.sandbox import postgres  # noqa: PLC0415 - it needs what Windows lacks

    home = _home(home)
    if not home.exists():
        return status(home)
    if not (home / "lock").exists():
        raise SandboxError(f"{home} is not the home of a sandbox: nothing was removed.")
    with _hold_start_lock(home):
        ran = _stop(home, progress)
        postgres.forget(home)
        shutil.rmtree(home)
    return start(home) if ran else status(home)


def kubeconfig(person: str = "alice", home: Path | None = None) -> Path:
    """Return the kubeconfig of one of the sandbox's people.

    Parameters
    ----------
    person
        ``alice``, ``bob``, ``carol`` or ``admin``.
    home
        The sandbox's directory; the user's own where it is None.

    Raises
    ------
    SandboxError
        If there is no such person, or the sandbox was never started.
    """
    if person not in PEOPLE:
        raise SandboxError(
            f"Nobody in the sandbox is called {person!r}.", hint=f"choose among {', '.join(PEOPLE)}"
        )
    path = _home(home) / f"kubeconfig-{person}"
    if not path.exists():
        raise SandboxError("The sandbox has not been started yet.", hint="sspcloud-sandbox start")
    return path


def _home(home: Path | None) -> Path:
    return default_home() if home is None else Path(home).expanduser().absolute()


def prepare(home: Path) -> Path:
    """Make the directory `home` and what it needs, and return it; raises `SandboxError` where it cannot."""
    if sys.platform == "win32":
        raise SandboxError("The sandbox runs on Linux and macOS only.")
    try:
        # Root's Postgres runs as nobody, who must pass through; nothing in it can be listed or read by others.
        home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        (home / "lock").touch(mode=0o600)
    except OSError as error:
        raise SandboxError(
            f"The sandbox cannot write to its home {home}.",
            why=error.strerror or "",
            hint="name another directory in SSPCLOUD_SANDBOX_HOME",
        ) from error
    return home


@contextlib.contextmanager
def _hold_start_lock(home: Path) -> Iterator[None]:
    import fcntl  # noqa: PLC0415 - Windows has none

    path = home / "start.lock"
    while True:
        path.touch(mode=0o600)
        with path.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield
                return
        prepare(home)  # a reset has removed the home, and the lock that we waited for with it


def _environment() -> dict[str, str]:
    """Return our environment without what would lead Postgres or Python astray."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTHONPATH"))}


@contextlib.contextmanager
def _interrupt_waits() -> Iterator[None]:
    """Let Ctrl-C wait inside of the block: amid `subprocess.Popen` it would leave a process that nobody knows."""
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is interrupted
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin:
        process.stdin.close()


def _last_words(home: Path) -> str:
    lines = (home / "sandbox.log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _look_at(home: Path) -> str:
    return f"look at {home / 'sandbox.log'}"


def announce(home: Path, server: str, issuer: str) -> None:
    """Write ``server.json``: called in the server process when the sandbox is ready."""
    said = {
        "pid": os.getpid(),
        "began": psutil.Process().create_time(),
        "server": server,
        "issuer": issuer,
        "since": time.time(),
    }
    scratch = home / "server.json.new"
    scratch.touch(mode=0o600)
    scratch.write_text(json.dumps(said))
    scratch.replace(home / "server.json")
