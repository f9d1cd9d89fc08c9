"""Files for PostgreSQL's other clients: an entry in ``pg_service.conf``, and a password file that only you can read.

The entry is a block between two comments of ours: the rest of the file stays as it is. The password is not in it, but in a
file of our own (0600), which the entry names. The first comment holds the expiry of the share, at which `sweep` removes both.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from sspcloud_magics.errors import CredentialsNotFound
from sspcloud_magics.i18n import _
from sspcloud_magics.private_file import replace_file
from sspcloud_magics.secret import Secret
from sspcloud_magics.user_files import state_folder

_BEGIN = re.compile(rb"# sspcloud-magics begin ([-\w.]+) until (\S+)\r?\n?")
_END = re.compile(rb"# sspcloud-magics end\r?\n?")
_NO_END = "-"


def service_file() -> Path:
    """Return libpq's file of services for this user."""
    named = os.environ.get("PGSERVICEFILE")
    if named:
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home())) / "postgresql" / ".pg_service.conf"
    return Path.home() / ".pg_service.conf"


def _folder() -> Path:
    return state_folder() / "clients"


def pass_file(service: str) -> Path:
    """Return the password file of a service."""
    return _folder() / f"{service}.pgpass"


def ca_file(service: str) -> Path:
    """Return the file with the certificate authority of a service."""
    return _folder() / f"{service}.pem"


def write(
    service: str,
    entry: Mapping[str, str],
    password: Secret,
    *,
    ca: str | None = None,
    until: datetime | None = None,
) -> None:
    """Write the entry of a service, its password file, and its certificate authority.

    Parameters
    ----------
    service
        The name of the service.
    entry
        The parameters of libpq: at least ``host``, ``port``, ``dbname`` and ``user``.
    ca
        The certificate authority, in PEM; None if it is not known.
    until
        The expiry of the login; None if it has none.

    Raises
    ------
    CredentialsNotFound
        If a value cannot be stored, because it has a line break.
    """
    fields = [entry["port"], entry["dbname"], entry["user"], password.reveal()]
    if any("\n" in text or "\r" in text for text in (*entry.values(), *fields)):
        raise CredentialsNotFound(
            _("The login of {service} cannot be stored for other clients.", service=service),
            why=_("It has a line break."),
        )
    escaped = [text.replace("\\", "\\\\").replace(":", "\\:") for text in fields]
    # JDBC looks the password up by the host that it dials.
    lines = [":".join([host, *escaped]) for host in (entry["host"], "localhost", "127.0.0.1")]
    parameters = {**entry, "passfile": str(pass_file(service))}
    _folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(pass_file(service), "".join(f"{line}\n" for line in lines).encode())
    if ca:
        replace_file(ca_file(service), ca.encode())
        parameters |= {"sslmode": "verify-full", "sslrootcert": str(ca_file(service))}
    end = until.astimezone(UTC).isoformat(timespec="seconds") if until else _NO_END
    begin = f"# sspcloud-magics begin {service} until {end}"  # not translated: the mark of our block
    block = [begin, f"[{service}]"]
    block += [f"{name}={value}" for name, value in parameters.items()]
    block.append("# sspcloud-magics end")  # not translated: the mark of its end
    _edit(service, "".join(f"{line}\n" for line in block).encode())


def forget(service: str) -> bool:
    """Remove the entry and the files of a service; return whether there were any."""
    found = pass_file(service).exists()
    for file in (pass_file(service), ca_file(service)):
        with suppress(FileNotFoundError):
            file.unlink()
    return _edit(service, b"") or found


def sweep() -> list[str]:
    """Remove the entries whose share has ended, with their files; return their names."""
    ended = [service for service, until in _list_blocks() if until is not None and until <= datetime.now(UTC)]
    for service in ended:
        forget(service)
    return ended


def _list_blocks() -> list[tuple[str, datetime | None]]:
    found: list[tuple[str, datetime | None]] = []
    for service, until in _BEGIN.findall(_read()):
        moment = None
        with suppress(ValueError):
            moment = datetime.fromisoformat(until.decode("ascii", "replace"))
        found.append((service.decode("utf-8", "replace"), moment if moment and moment.tzinfo else None))
    return found


def _read() -> bytes:
    try:
        return service_file().read_bytes()
    except OSError:
        return b""


def _edit(service: str, block: bytes) -> bool:
    """Replace our block of a service; return whether the file changed. A block without its end stays, as someone else's."""
    file = service_file().resolve()  # the file may be a link into a folder of settings
    _folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(_folder() / "lock"):
        before = _read()
        after = _remove_block(before, service)
        if block:
            gap = b"" if not after or after.endswith(b"\n") else b"\n"
            after += gap + block
        if after == before:
            return False
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, after)
        file.chmod(mode)
    return True


def _remove_block(text: bytes, service: str) -> bytes:
    kept: list[bytes] = []
    ours: list[bytes] = []
    for line in text.splitlines(keepends=True):
        begin = _BEGIN.fullmatch(line)
        if begin and begin[1] == service.encode():
            kept += ours
            ours = [line]
        elif ours:
            ours = [] if _END.fullmatch(line) else [*ours, line]
        else:
            kept.append(line)
    return b"".join(kept + ours)
