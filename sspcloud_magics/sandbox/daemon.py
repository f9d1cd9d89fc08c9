"""Start, find and stop the server process of a sandbox.

A sandbox has a directory, its *home*. The server process holds a lock on the file ``lock`` in it, so that a
home never has two servers. When it is ready, it writes its identity and its addresses to ``server.json``; the
identity is the process ID and the start time, because IDs are reused. Commands that start or stop a sandbox
hold ``start.lock``. A start waits for one line on a pipe, without polling.

A server that is started *with its parent* stops when its standard input closes, however the parent ended, and
saves no data. Any other server saves its data in the home.
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

from sspcloud_magics.i18n import _, current
from sspcloud_magics.i18n.language import VARIABLE
from sspcloud_magics.i18n.system_reasons import system_reason

PEOPLE = ("alice", "bob", "carol", "admin")
"""The users that have a kubeconfig."""

# Servers started by this process, which may outlive it; `status` reaps those that have ended.
_started: list[subprocess.Popen[bytes]] = []

# Timeouts: of a start, and of a stop before the processes are killed.
_START_SECONDS = 90.0
_STOP_SECONDS = 15.0
# Seconds after which a stop reports that it waits.
_QUIET_STOP_SECONDS = 2.0
# Interval between two checks whether processes have ended.
_POLL_SECONDS = 0.02


class SandboxError(Exception):
    """The sandbox cannot do what was asked; ``what``, ``why`` and ``hint`` explain the error."""

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.why, self.hint and f"→ {self.hint}") if part)


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a sandbox."""

    home: Path  # the sandbox's directory
    server: str | None = None  # the address of its API server; None if the sandbox does not run
    pid: int | None = None  # the process ID of the server; None if the sandbox does not run

    @property
    def running(self) -> bool:
        """Whether the sandbox runs."""
        return self.pid is not None

    @property
    def keeps(self) -> bool:
        """Whether the home holds saved data."""
        return snapshot_file(self.home).exists()

    def __str__(self) -> str:
        if not self.running and self.keeps:
            return _("The sandbox is not running; its changes are kept (home: {home}).", home=self.home)
        if not self.running:
            return _("The sandbox is not running (home: {home}).", home=self.home)
        return _(
            "The sandbox is running at {server} (process {pid}, home: {home}).",
            server=self.server,
            pid=self.pid,
            home=self.home,
        )

    __repr__ = __str__


def default_home() -> Path:
    """Return the default home: ``SSPCLOUD_SANDBOX_HOME``, or one per user."""
    named = os.environ.get("SSPCLOUD_SANDBOX_HOME")
    if named:
        return Path(named).expanduser().absolute()
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser().absolute() / "sspcloud-sandbox"


def snapshot_file(home: Path) -> Path:
    """Return the path of the file that keeps the objects of a sandbox across restarts."""
    return home / "snapshot.json"


def status(home: Path | None = None) -> Status:
    """Return the state of a sandbox.

    Parameters
    ----------
    home
        The sandbox's directory; the user's default if None.
    """
    home = _home(home)
    _started[:] = [process for process in _started if process.poll() is None]
    try:
        server = json.loads((home / "server.json").read_text())
        process = psutil.Process(server["pid"])
        alive = process.create_time() == server["began"] and _is_alive(process)
        return Status(home, server["server"], server["pid"]) if alive else Status(home)
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return Status(home)


def start(home: Path | None = None) -> Status:
    """Start the sandbox in the background with its saved data, and return when its pods are ready.

    A sandbox that already runs is left as it is.

    Parameters
    ----------
    home
        The sandbox's directory; the user's default if None.

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
        raise SandboxError(_("The sandbox exited right after it had started."), hint=_suggest_log(home))
    return found


def spawn(home: Path, *, with_parent: bool = False) -> subprocess.Popen[bytes]:
    """Start a server for `home`, and return its process when the sandbox is ready; raise `SandboxError` if it fails.

    A server that is started `with_parent` saves no data, and stops when the ``stdin`` of the returned process
    closes: at the latest when this process ends.
    """
    prepare(home)
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "sspcloud_magics.sandbox", "serve", f"--home={home}"]
    command += [f"--ready-fd={writing}", *(["--with-parent"] if with_parent else [])]
    (home / "sandbox.log").touch(mode=0o600)
    process: subprocess.Popen[bytes] | None = None
    try:
        with os.fdopen(reading, "rb") as pipe:
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
            ready, _unused, _unused = select.select([pipe], [], [], _START_SECONDS)
            line = pipe.readline() if ready else b""
    except BaseException:
        if process is not None:
            _end(process)
        raise
    result = json.loads(line or "{}")
    if "server" in result:
        return process
    _end(process)
    if result:
        raise SandboxError(**result)
    raise SandboxError(
        _("The sandbox did not start."), why=_read_last_log_line(home), hint=_suggest_log(home)
    )


def stop(home: Path | None = None, *, progress: Callable[[str], None] | None = None) -> Status:
    """Stop the sandbox with all its pods, and keep its data; a sandbox that does not run is no error.

    Parameters
    ----------
    home
        The sandbox's directory; the user's default if None.
    progress
        Called with a description of what the stop waits for, if it takes more than a moment.

    Raises
    ------
    SandboxError
        If the sandbox was stopped, but the last changes could not be saved.
    """
    home = _home(home)
    if not home.exists():
        return status(home)
    snapshot = snapshot_file(home)
    before = snapshot.stat() if snapshot.exists() else None
    with _hold_start_lock(home):
        ran = _stop(home, progress)
    if ran and before is not None and snapshot.stat().st_mtime_ns == before.st_mtime_ns:
        saved = time.strftime("%H:%M:%S", time.localtime(before.st_mtime))
        raise SandboxError(
            _("The sandbox is stopped, but its last changes could not be saved."),
            why="; ".join(
                filter(None, [_read_last_log_line(home), _("it will start as it was at {time}", time=saved)])
            ),
            hint=_("free some space on the disk of {home}", home=home),
        )
    return status(home)


def _stop(home: Path, progress: Callable[[str], None] | None) -> bool:
    """Stop the sandbox, and return whether it was running; the caller holds the start lock."""
    found = status(home)
    if found.pid is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(found.pid)
            everyone = [process, *process.children(recursive=True)]
            process.terminate()
            if wait_for_end([process], _QUIET_STOP_SECONDS) and progress is not None:
                progress(_("waiting for the databases of the sandbox to stop"))
            wait_for_end([process], _STOP_SECONDS)
            for straggler in wait_for_end(everyone, 0.0):
                with contextlib.suppress(psutil.NoSuchProcess):
                    straggler.kill()
            wait_for_end(everyone, _STOP_SECONDS)
    (home / "server.json").unlink(missing_ok=True)
    return found.running


def wait_for_end(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait up to `seconds` for the end of processes, and return those that still run.

    A zombie counts as ended. psutil's own functions would wait for its parent, which may be another notebook.
    """
    until = time.monotonic() + seconds
    while left := [process for process in processes if _is_alive(process)]:
        if time.monotonic() >= until:
            break
        time.sleep(_POLL_SECONDS)
    return left


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def restart_api_server(home: Path | None = None) -> Status:
    """Kill and restart the sandbox's API server: connections break, pods keep running.

    For a moment after the restart it forbids everything, as a real one does until it has read the RBAC rules.
    """
    found = status(home)
    if found.pid is None:
        raise SandboxError(
            _("The sandbox is not running."),
            hint="sspcloud-sandbox start",  # not translated: a command
        )
    os.kill(found.pid, signal.SIGUSR1)
    return found


def reset(home: Path | None = None, *, progress: Callable[[str], None] | None = None) -> Status:
    """Delete everything in the sandbox, including its credentials, and start it again if it was running.

    Parameters
    ----------
    home
        The sandbox's directory; the user's default if None.
    progress
        Called with a description of what the stop waits for, if it takes more than a moment.

    Raises
    ------
    SandboxError
        If `home` is not the home of a sandbox, or the new sandbox does not start.
    """
    from sspcloud_magics.sandbox import postgres  # noqa: PLC0415 - imports modules that Windows lacks

    home = _home(home)
    if not home.exists():
        return status(home)
    if not (home / "lock").exists():
        raise SandboxError(_("{home} is not the home of a sandbox: nothing was removed.", home=home))
    with _hold_start_lock(home):
        ran = _stop(home, progress)
        postgres.forget(home)
        shutil.rmtree(home)
    return start(home) if ran else status(home)


def kubeconfig(person: str = "alice", home: Path | None = None) -> Path:
    """Return the path of a user's kubeconfig.

    Parameters
    ----------
    person
        ``alice``, ``bob``, ``carol`` or ``admin``.
    home
        The sandbox's directory; the user's default if None.

    Raises
    ------
    SandboxError
        If there is no such user, or the sandbox was never started.
    """
    if person not in PEOPLE:
        raise SandboxError(
            _("The sandbox has no user {name!r}.", name=person),
            hint=_("choose one of {names}", names=", ".join(PEOPLE)),
        )
    path = _home(home) / f"kubeconfig-{person}"
    if not path.exists():
        raise SandboxError(
            _("The sandbox has not been started yet."),
            hint="sspcloud-sandbox start",  # not translated: a command
        )
    return path


def _home(home: Path | None) -> Path:
    return default_home() if home is None else Path(home).expanduser().absolute()


def prepare(home: Path) -> Path:
    """Create the directory `home` with its lock, and return its path; raise `SandboxError` if that fails."""
    if sys.platform == "win32":
        raise SandboxError(_("The sandbox runs on Linux and macOS only."))
    try:
        # Root's Postgres runs as another user, who must be able to traverse the home; listing stays forbidden.
        home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        (home / "lock").touch(mode=0o600)
    except OSError as error:
        raise SandboxError(
            _("The sandbox cannot write to its home {home}.", home=home),
            why=system_reason(error),
            hint=_("set SSPCLOUD_SANDBOX_HOME to another directory"),
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
        prepare(home)  # a reset has removed the home with the lock that this call waited for


def _environment() -> dict[str, str]:
    """Return the environment without the variables that would change Postgres and Python, and with the language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTHONPATH"))}
    return kept | {VARIABLE: current()}


@contextlib.contextmanager
def _interrupt_waits() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block: within `subprocess.Popen` it would leave an unknown process."""
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is interrupted
        return
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if interrupts:
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


def _read_last_log_line(home: Path) -> str:
    lines = (home / "sandbox.log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _suggest_log(home: Path) -> str:
    return _("read {path}", path=home / "sandbox.log")


def announce(home: Path, server: str, issuer: str) -> None:
    """Write ``server.json``; the server process calls this when the sandbox is ready."""
    content = {
        "pid": os.getpid(),
        "began": psutil.Process().create_time(),
        "server": server,
        "issuer": issuer,
        "since": time.time(),
    }
    scratch = home / "server.json.new"
    scratch.touch(mode=0o600)
    scratch.write_text(json.dumps(content))
    scratch.replace(home / "server.json")
