"""Debian's own servers, unpacked below ``build/``: nothing is installed, and no root is needed.

The packages are those of one release, whatever this machine runs, so that all machines test against the same versions;
of the libraries that they need, those are fetched that the machine lacks. Where there is no apt, or no mirror of
Debian, the tests that need a server are not run, and say so (`tests.support.not_run`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

from sspcloud_magics.sandbox import postgres
from tests.support import not_run
from tools import debian

SUITE = "bookworm"
FOLDER = Path(__file__).resolve().parent.parent.parent / "build" / "debian"

# Only PostgreSQL's just-in-time compiler is linked with it: 100 MB that a test's queries never load.
_UNUSED = {"libllvm14"}
_COMPLETE = "complete"


class CannotUnpack(Exception):
    """A package cannot be fetched or unpacked here; the text says why."""


def unpack(*packages: str) -> Path:
    """Return the root folder of these packages, fetched and unpacked where it is missing.

    A server that refuses to run as root can reach it too. Two processes that ask at once share one.

    Parameters
    ----------
    packages
        Their names. Libraries that they depend on come along; what else they need is to be named.

    Raises
    ------
    CannotUnpack
        If this machine has no apt or no mirror of Debian, or the packages cannot be fetched.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    place = postgres._reachable(FOLDER) / "+".join(packages)
    with FileLock(FOLDER / "lock"):
        if not (place / _COMPLETE).exists():
            _make(place, packages)
    return place


def require(*packages: str) -> Path:
    """Return what `unpack` returns, or do not run the test that needs it."""
    try:
        return unpack(*packages)
    except CannotUnpack as error:
        not_run.skip(f"{' and '.join(packages)} of Debian: {error}")


def environment(root: Path) -> dict[str, str]:
    """Return an environment in which the programs below `root` find their libraries, and no settings of ours."""
    libraries = [str(found) for part in ("lib", "usr/lib") for found in (root / part).glob("*-linux-gnu*")]
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "LD_LIBRARY_PATH": os.pathsep.join(libraries)}


def _make(place: Path, packages: tuple[str, ...]) -> None:
    for program in ("apt-get", "dpkg-deb", "dpkg-query"):
        if shutil.which(program) is None:
            raise CannotUnpack(f"there is no {program} on this machine")
    status = FOLDER / "status"
    status.touch()  # as if nothing were installed: what is missing on the machine is then seen by its name
    shutil.rmtree(place, ignore_errors=True)
    try:
        apt = debian.private_apt(FOLDER / "apt", "deb", SUITE, {"Dir::State::status": status})
        with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
            root = Path(scratch) / place.name
            root.mkdir(mode=0o755)
            names = [*packages, *_list_missing_libraries(apt, packages)]
            _run(*apt, "download", *names, cwd=Path(scratch))
            for archive in Path(scratch).glob("*.deb"):
                _run("dpkg-deb", "--extract", str(archive), str(root))
            (root / _COMPLETE).touch()
            root.rename(place)
    except debian.MirrorNotFound as error:
        raise CannotUnpack(str(error)) from None
    except subprocess.CalledProcessError as error:
        raise CannotUnpack(f"{error.cmd[0]} failed ({(error.stderr or '').strip()[-300:]})") from None


def _list_missing_libraries(apt: list[str], packages: tuple[str, ...]) -> list[str]:
    """Return the libraries that the packages depend on and that are not installed on this machine."""
    planned = _run(*apt, "--simulate", "install", "--no-install-recommends", *packages)
    needed = {line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")}
    listed = _run("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Abbrev}\n")
    installed = {line.split()[0] for line in listed.splitlines() if line.split()[1:] == ["ii"]}
    libraries = {name for name in needed if name.startswith("lib")}
    return sorted(libraries - installed - _UNUSED - set(packages))


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return done.stdout
