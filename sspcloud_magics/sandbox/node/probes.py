"""TCP and HTTP probes.

Pods of the sandbox cannot run commands: ``exec`` probes always succeed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from sspcloud_magics.sandbox.node.connection import Connection, connect
from sspcloud_magics.sandbox.store import Obj


async def passes(probe: Obj, container: Obj, ports: Mapping[int, int]) -> str | None:
    """Run a probe; return None if it succeeds, else the kubelet's message.

    `ports`: the loopback ports behind the open ports of the pod.
    """
    for kind in ("tcpSocket", "httpGet"):
        if kind in probe:
            port = _number(probe[kind]["port"], container)
            break
    else:
        return None
    try:
        async with asyncio.timeout(float(probe.get("timeoutSeconds", 1))):
            if port not in ports:
                raise ConnectionRefusedError
            connection = await connect(ports[port])
            try:
                return None if kind == "tcpSocket" else await _get(connection, probe[kind].get("path", "/"))
            finally:
                connection.close()
    except TimeoutError:
        return "context deadline exceeded"
    except OSError:
        return f"dial tcp: connect: connection refused (port {port})"


async def _get(connection: Connection, path: str) -> str | None:
    request = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kube-probe/1.36\r\nConnection: close\r\n\r\n"
    )
    await connection.write(request.encode())
    answer = b""
    while b"\r\n" not in answer and (more := await connection.read()):
        answer += more
    code = answer.split(b" ", 2)[1:2]
    if code and code[0].isdigit() and 200 <= int(code[0]) < 400:
        return None
    return f"HTTP probe failed with statuscode: {code[0].decode() if code else 'none'}"


def _number(port: Any, container: Obj) -> int:
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for named in container.get("ports") or []:
        if named.get("name") == port:
            return int(named["containerPort"])
    return 0
