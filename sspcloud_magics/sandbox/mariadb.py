"""MariaDB: its programs, if this machine has them, and its data directories.

No wheel contains MariaDB. ``SSPCLOUD_SANDBOX_MARIADB`` names the root directory of its programs: ``/`` for the machine's
own, or the directory below which Debian's package ``mariadb-server-core`` was unpacked. Without it, the sandbox has no
MariaDB. Like Postgres, it refuses to run as root (`sandbox.postgres.identity`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sspcloud_magics.sandbox import postgres

ROOT_VARIABLE = "SSPCLOUD_SANDBOX_MARIADB"
"""Variable with the root directory of the programs."""

SETTINGS = (
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--performance-schema=OFF",
    "--skip-log-bin",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--default-time-zone=+00:00",
)
"""Settings of all servers: small, and not durable, because a practice cluster need not survive a power cut."""

_TABLES = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")


class MariadbFailed(Exception):
    """A data directory could not be created; the message is MariaDB's own."""


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one MariaDB."""

    root: Path  # the directory in which ``usr/sbin/mariadbd`` is

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the server, in which it finds its libraries."""
        libraries = [
            str(found) for part in ("lib", "usr/lib") for found in (self.root / part).glob("*-linux-gnu*")
        ]
        found = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        return found if self.root == Path("/") else found | {"LD_LIBRARY_PATH": os.pathsep.join(libraries)}

    def server(self, data: Path) -> list[str]:
        """Return the command line of a server on this data directory, without its address."""
        share = self.root / "usr/share/mysql"
        return [
            str(self.root / "usr/sbin/mariadbd"),
            "--no-defaults",
            f"--datadir={data}",
            # A server that starts deletes the temporary tables of all others in the same directory, which crash.
            f"--tmpdir={data}",
            f"--lc-messages-dir={share}",
            f"--character-sets-dir={share / 'charsets'}",
            *SETTINGS,
        ]


def find_programs(root: str | None = None) -> Programs | None:
    """Return the programs below `root`, or below the directory in the variable; None if there are none."""
    root = os.environ.get(ROOT_VARIABLE) if root is None else root
    if not root or shutil.which(f"{root}/usr/sbin/mariadbd") is None:
        return None
    return Programs(Path(root))


def initialise(programs: Programs, data: Path, statements: Sequence[str]) -> None:
    """Create a data directory, and run statements in it as its administrator.

    Parameters
    ----------
    programs
        The programs.
    data
        The directory; its parent must exist and be reachable by the user of Postgres.
    statements
        SQL without semicolons at the end.

    Raises
    ------
    MariadbFailed
        If a statement fails.
    """
    data.mkdir(mode=0o700)
    postgres.give(data)
    share = programs.root / "usr/share/mysql"
    system = [(share / part).read_text() for part in _TABLES if (share / part).exists()]
    script = "\n".join(
        [
            "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;",
            *system,
            # The users without a password of a new server.
            "DELETE FROM global_priv WHERE User IN ('root', '');",
            "FLUSH PRIVILEGES;",
            *(f"{statement};" for statement in statements),
        ]
    )
    done = subprocess.run(
        [*programs.server(data), "--bootstrap", "--skip-networking", "--log-warnings=0"],
        input=script,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=data,
        env=programs.environment,
        **postgres.identity(),
    )
    if done.returncode or "ERROR" in done.stderr:
        raise MariadbFailed(f"mariadbd: {done.stderr.strip()[-2000:]}")
