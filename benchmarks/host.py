"""Hold one forward of a Python library, and run the benchmark's commands: one JSON object per line on standard streams.

    python host.py ours|kr8s|portforward|bystander

Commands: ``forward`` answers with the port, the seconds that the call took once everything is imported and warm,
and by how many bytes this process has grown since before the import. ``start`` begins some work on a thread,
``stop`` ends it: ``spin`` is a loop in pure Python that holds the interpreter lock, ``fetch`` fetches rows with
psycopg into Python objects.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
from typing import Any

import psutil


def answer(**values: object) -> None:
    """Write one reply."""
    print(json.dumps(values), flush=True)


def read() -> dict[str, Any]:
    """Return the next command; exit at the end of the input."""
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    command: dict[str, Any] = json.loads(line)
    return command


def free_port() -> int:
    """Return a port that was free a moment ago, for a library that cannot choose one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def memory() -> int:
    """Return the resident memory of this process in bytes."""
    return int(psutil.Process().memory_info().rss)


def spin(over: threading.Event) -> None:
    """Hold the interpreter lock like a computing cell."""
    total = 0
    while not over.is_set():
        for number in range(100_000):
            total += number * number


class Fetching:
    """A database connection, through a forward of ours if no `host` is given; opened once, outside the measurement."""

    def __init__(self, command: dict[str, Any]) -> None:
        import psycopg

        login = {name: command[name] for name in ("user", "password", "dbname")}
        if "host" in command:  # a Unix socket, which knows no TLS
            place = {"host": command["host"], "port": command["port"], "sslmode": "disable"}
        else:
            import sspcloud_magics as ssp

            ssp.login(
                kubeconfig=command["kubeconfig"], context=command["context"], namespace=command["namespace"]
            )
            forward = ssp.forward(f"svc/{command['service']}", f":{command['port']}")
            place = {"host": "127.0.0.1", "port": forward.local_port, "sslmode": "require"}
        self._connection = psycopg.connect(**place, **login)

    def run(self, over: threading.Event) -> None:
        """Fetch rows of several types until it is over."""
        query = "SELECT n, n::text, n::float8, n::numeric, now() FROM generate_series(1, 50000) AS n"
        while not over.is_set():
            self._connection.execute(query).fetchall()


def obey() -> None:
    """Run commands until the input ends."""
    over = threading.Event()
    worker: threading.Thread | None = None
    fetching: Fetching | None = None
    while True:
        command = read()
        if command["do"] == "start":
            if command["work"] == "fetch" and fetching is None:
                fetching = Fetching(command)
            over.clear()
            work = fetching.run if command["work"] == "fetch" and fetching else spin
            worker = threading.Thread(target=work, args=(over,), daemon=True)
            worker.start()
        elif worker is not None:
            over.set()
            worker.join()
        answer(done=command["do"])


def host_ours(command: dict[str, Any], before: int) -> None:
    """Forward with this project; a first forward warms the kernel, the second is timed."""
    import sspcloud_magics as ssp

    ssp.login(kubeconfig=command["kubeconfig"], context=command["context"], namespace=command["namespace"])
    target = command["pod"] if "/" in command["pod"] else f"pod/{command['pod']}"
    with ssp.forward(target, f":{command['port']}"):
        pass
    started = time.perf_counter()
    forward = ssp.forward(target, f":{command['port']}")
    answer(port=forward.local_port, ready=time.perf_counter() - started, added=memory() - before)
    obey()


def host_portforward(command: dict[str, Any], before: int) -> None:
    """Forward with `portforward`."""
    import portforward

    local = free_port()
    started = time.perf_counter()
    with portforward.forward(
        command["namespace"],
        command["pod"].rpartition("/")[2],
        local,
        command["port"],
        config_path=command["kubeconfig"],
        kube_context=command["context"] or "",
    ):
        answer(port=local, ready=time.perf_counter() - started, added=memory() - before)
        obey()


def host_kr8s(command: dict[str, Any], before: int) -> None:
    """Forward with kr8s."""
    import kr8s.asyncio
    from kr8s.asyncio.objects import Pod, Service

    async def serve() -> None:
        api = await kr8s.asyncio.api(kubeconfig=command["kubeconfig"], context=command["context"])
        _, is_service, name = command["pod"].rpartition("/")
        kind = Service if is_service else Pod
        target = await kind.get(name, namespace=command["namespace"], api=api)
        started = time.perf_counter()
        async with target.portforward(remote_port=command["port"], local_port="auto") as local:
            answer(port=local, ready=time.perf_counter() - started, added=memory() - before)
            await asyncio.get_running_loop().run_in_executor(None, obey)

    asyncio.run(serve())


if __name__ == "__main__":
    hosts = {"ours": host_ours, "portforward": host_portforward, "kr8s": host_kr8s}
    if sys.argv[1] in hosts:
        hosts[sys.argv[1]](read(), memory())
    else:
        obey()
