"""A real MariaDB of Debian's, unpacked below ``build/``: no tunnel, no sandbox."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from sspcloud_magics.sandbox import mariadb, postgres
from tests.support import debian_servers
from tests.support.ports import free_port
from tests.support.waiting import wait_until

PACKAGES = ("mariadb-server-core", "mariadb-client-core", "mariadb-common")


@dataclass(frozen=True)
class MariaServer:
    """Where the server listens, the password of ``root``, and its process."""

    port: int
    password: str
    process: subprocess.Popen[bytes]
    log: Path

    def connect(self, user: str = "root", password: str | None = None, **more: Any) -> Any:
        """Connect with PyMySQL alone."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=user,
            password=self.password if password is None else password,
            **{"autocommit": True, **more},
        )


@contextlib.contextmanager
def start_mariadb(*options: str) -> Iterator[MariaServer]:
    """Run a MariaDB with an empty database ``defaultdb``, or do not run the test that needs it."""
    programs = mariadb.Programs(debian_servers.require(*PACKAGES))
    home = Path(tempfile.mkdtemp(prefix="sspcloud-maria-"))
    postgres.give(home)
    password, port = secrets.token_urlsafe(12), free_port()
    data = home / "data"
    mariadb.initialise(
        programs,
        data,
        [
            "CREATE DATABASE defaultdb",
            f"CREATE USER root@'%' IDENTIFIED BY '{password}'",
            "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION",
        ],
    )
    log = home / "log"
    network = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={home}/socket"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*programs.server(data), *network, *options], env=programs.environment, cwd=data,
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, **postgres.identity(),
        )  # fmt: skip
    server = MariaServer(port, password, process, log)
    try:
        wait_until(lambda: _answers(server))
        yield server
        assert process.poll() is None, log.read_text()[-4000:]
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _answers(server: MariaServer) -> bool:
    assert server.process.poll() is None, server.log.read_text()[-2000:]
    with contextlib.suppress(pymysql.OperationalError):
        server.connect().close()
        return True
    return False
