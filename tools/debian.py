"""Debian packages, fetched by apt with its state in a separate folder, so that the system does not change."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_APT = Path("/etc/apt")
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class MirrorNotFound(Exception):
    """No mirror of Debian is known on this machine; the text says why."""


def release() -> str:
    """Return the code name of this machine's Debian release; empty on another system."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


def mirror() -> str:
    """Return the address of this machine's Debian mirror.

    Raises
    ------
    MirrorNotFound
        If apt's sources name none.
    """
    files = [
        *_APT.glob("sources.list.d/*.sources"),
        *_APT.glob("sources.list.d/*.list"),
        _APT / "sources.list",
    ]
    text = "\n".join(file.read_text() for file in files if file.exists())
    address = re.search(r"^(?:URIs:|deb(?: \[[^]]*\])?)\s+(\S+/debian/?)(?:\s|$)", text, re.MULTILINE)
    if address is None:
        raise MirrorNotFound("/etc/apt names no Debian mirror.")
    return address[1]


def private_apt(folder: Path, kind: str, suite: str, settings: Mapping[str, Path] | None = None) -> list[str]:
    """Fetch the package lists of one suite into a folder, and return the apt-get command that uses them.

    Parameters
    ----------
    folder
        The folder for apt's state, in place of the system's folders. It does not need root.
    kind
        ``deb`` for packages, ``deb-src`` for their sources.
    suite
        The code name of the release.
    settings
        Additional options of apt.
    """
    for part in ("lists/partial", "cache/archives/partial", "parts"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    signed = f"[signed-by={_KEYS}] " if _KEYS.exists() else ""
    (folder / "sources.list").write_text(f"{kind} {signed}{mirror()} {suite} main\n")
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": folder / "parts",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",
        **(settings or {}),
    }
    command = ["apt-get", "-qq", *(f"--option={name}={value}" for name, value in options.items())]
    subprocess.run([*command, "update"], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    return command
