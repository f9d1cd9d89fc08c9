"""MariaDB: the real server on a Unix socket, behind the pod's port, as Bitnami's image starts it.

The first start creates the data directory, with the users and the database of the container's environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from functools import partial
from pathlib import Path
from typing import Final

from sspcloud_magics.sandbox import mariadb, postgres
from sspcloud_magics.sandbox.node.connection import Connection
from sspcloud_magics.sandbox.node.programs.pod import Pod, run, say
from sspcloud_magics.sandbox.node.programs.postgres import Incoming, _pump, run_server

PORT: Final = 3306
READY: Final = b"ready for connections"


def _statements(env: dict[str, str]) -> list[str]:
    """Return the statements that Bitnami's image runs on an empty data directory."""
    user, database = f"'{env['MARIADB_USER']}'@'%'", f"`{env['MARIADB_DATABASE']}`"
    pattern = database.replace("_", r"\_")
    return [
        f"CREATE DATABASE {database}",
        f"CREATE USER root@'%' IDENTIFIED BY '{env['MARIADB_ROOT_PASSWORD']}'",
        "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION",
        f"CREATE USER {user} IDENTIFIED BY '{env['MARIADB_PASSWORD']}'",
        f"GRANT ALL ON {pattern}.* TO {user}",
    ]


async def _serve(socket: str, client: Connection) -> None:
    server: Connection | None = None
    with contextlib.suppress(OSError):
        _unused, server = await asyncio.get_running_loop().create_unix_connection(Connection, socket)
        await _pump(client, server)
    client.close()
    if server is not None:
        server.close()


async def main() -> int:
    """Run the server until it ends or the node stops it."""
    stopping = asyncio.Event()
    pod = await Pod.join(stopping.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    programs = mariadb.find_programs(pod.config["mariadb"])
    if programs is None:
        say(f"mariadbd is missing on this machine: name its root directory in {mariadb.ROOT_VARIABLE}")
        return 127
    data, sockets = Path(pod.config["data"]).with_name("mariadb"), Path(pod.config["run"])
    postgres.give(sockets)
    if not (data / "mysql").exists():
        await asyncio.to_thread(mariadb.initialise, programs, data, _statements(dict(pod.env)))
    socket = str(sockets / "mysqld.sock")
    tasks: set[asyncio.Task[None]] = set()

    async def announce() -> None:
        serve = partial(Incoming, partial(_serve, socket), tasks)
        listening = await asyncio.get_running_loop().create_server(serve, "127.0.0.1", 0)
        pod.announce(PORT, listening.sockets[0])

    return await run_server(
        [*programs.server(data), "--skip-networking", f"--socket={socket}"],
        data,
        stopping,
        announce,
        sign=READY,
        stops=(signal.SIGTERM, signal.SIGKILL),
        env=programs.environment,
    )


if __name__ == "__main__":
    run(main)
