"""A real PostgreSQL of our own: no tunnel, no sandbox; the wheel's version, or one of Debian's."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from sspcloud_magics.sandbox import postgres
from tests.support import debian_servers
from tests.support.ports import free_port
from tests.support.waiting import wait_until

BINARIES = postgres.binaries()
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Programs:
    """Where a version's programs are, and the environment that they run in."""

    folder: Path
    environment: Mapping[str, str]


def of_the_wheel() -> Programs:
    """Return the version that the sandbox runs."""
    return Programs(BINARIES, _ENVIRONMENT)


def of_debian(version: int = 15) -> Programs:
    """Return Debian's, or do not run the test that needs it."""
    root = debian_servers.require(f"postgresql-{version}")
    return Programs(root / f"usr/lib/postgresql/{version}/bin", debian_servers.environment(root))


def with_postgis() -> Programs:
    """Return Debian's PostgreSQL 15 with PostGIS, or do not run the test that needs it."""
    root = debian_servers.require(
        "postgresql-15", "postgresql-15-postgis-3", "postgresql-15-postgis-3-scripts"
    )
    # An installation links it: Debian allows several versions next to each other.
    control = root / "usr/share/postgresql/15/extension/postgis.control"
    shutil.copyfile(control.with_name("postgis-3.control"), control)
    return Programs(root / "usr/lib/postgresql/15/bin", debian_servers.environment(root))


@dataclass(frozen=True)
class Server:
    """Where the server listens, its superuser, and its process."""

    port: int
    user: str
    password: str
    log: Path
    process: subprocess.Popen[bytes]

    def conninfo(self, **more: object) -> dict[str, object]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": "postgres",
            **more,
        }


@contextlib.contextmanager
def start_server(
    programs: Programs | None = None, settings: Mapping[str, str] | None = None, *, standby: bool = False
) -> Iterator[Server]:
    """Run a PostgreSQL, in UTC and with messages in English; the wheel's where no other is named.

    A standby has no primary: it waits for one, and can be read in that time.
    """
    programs = programs or of_the_wheel()
    identity = postgres.identity()  # PostgreSQL refuses to run as root
    home = Path(tempfile.mkdtemp(prefix="sspcloud-pg-"))
    password = secrets.token_urlsafe(12)
    (home / "password").write_text(password)
    postgres.give(home)
    data = home / "data"
    how = {
        "fsync": "off",
        "max_connections": "100"
        if standby
        else "30",  # a standby has as many as its primary, which initdb was
        "timezone": "UTC",
        "jit": "off",  # not unpacked with Debian's
        **(settings or {}),
    }
    try:
        subprocess.run(
            [
                *(programs.folder / "initdb", "-D", data, "-U", "postgres", f"--pwfile={home / 'password'}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            ],
            check=True,
            capture_output=True,
            env=programs.environment,
            cwd=home,
            **identity,
        )
        if standby:
            (data / "standby.signal").touch()
        port = free_port()
        log = home / "log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [
                    *(programs.folder / "postgres", "-D", data, "-p", str(port), "-k", "", "-h", "127.0.0.1"),
                    *(word for name, value in how.items() for word in ("-c", f"{name}={value}")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=programs.environment,
                cwd=home,
                **identity,
            )
        try:
            server = Server(port, "postgres", password, log, process)
            wait_until(lambda: _answers(server))
            yield server
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _answers(server: Server) -> bool:
    assert server.process.poll() is None, f"PostgreSQL ended at its start: {server.log.read_text()}"
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(**server.conninfo(connect_timeout=5)).close()  # type: ignore[arg-type]
        return True
    return False
