"""Hold one forward of a Python library and obey the benchmark: one JSON object a line on the standard streams.

    python host.py ours|kr8s|portforward

Commands: ``forward`` answers with the port and the seconds that the call took once everything is imported
and warm; ``spin`` runs a loop in pure Python that holds the interpreter lock for some seconds.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from typing import Any


def answer(**values: object) -> None:
    """Write one answer."""
    print(json.dumps(values), flush=True)


def read() -> dict[str, Any]:
    """Return the next command; the end of the input ends the program."""
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


def spin(seconds: float) -> None:
    """Hold the interpreter lock as a cell that computes does."""
    end = time.monotonic() + seconds
    total = 0
    while time.monotonic() < end:
        for number in range(100_000):
            total += number * number


def obey() -> None:
    """Obey commands until the input ends."""
    while True:
        command = read()
        if command["do"] == "spin":
            answer(started=True)
            spin(float(command["seconds"]))


def host_ours(command: dict[str, Any]) -> None:
    """Forward with this project; a first forward warms the kernel, the second is timed."""
    import sspcloud_magics as ssp

    ssp.login(kubeconfig=command["kubeconfig"], context=command["context"], namespace=command["namespace"])
    target = f"pod/{command['pod']}"
    with ssp.forward(target, f":{command['port']}"):
        pass
    started = time.perf_counter()
    forward = ssp.forward(target, f":{command['port']}")
    answer(port=forward.local_port, ready=time.perf_counter() - started)
    obey()


def host_portforward(command: dict[str, Any]) -> None:
    """Forward with `portforward`."""
    import portforward

    local = free_port()
    started = time.perf_counter()
    with portforward.forward(
        command["namespace"],
        command["pod"],
        local,
        command["port"],
        config_path=command["kubeconfig"],
        kube_context=command["context"] or "",
    ):
        answer(port=local, ready=time.perf_counter() - started)
        obey()


def host_kr8s(command: dict[str, Any]) -> None:
    """Forward with kr8s."""
    import kr8s.asyncio
    from kr8s.asyncio.objects import Pod

    async def serve() -> None:
        api = await kr8s.asyncio.api(kubeconfig=command["kubeconfig"], context=command["context"])
        pod = await Pod.get(command["pod"], namespace=command["namespace"], api=api)
        started = time.perf_counter()
        async with pod.portforward(remote_port=command["port"], local_port="auto") as local:
            answer(port=local, ready=time.perf_counter() - started)
            await asyncio.get_running_loop().run_in_executor(None, obey)

    asyncio.run(serve())


if __name__ == "__main__":
    {"ours": host_ours, "portforward": host_portforward, "kr8s": host_kr8s}[sys.argv[1]](read())
