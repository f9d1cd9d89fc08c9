"""The process of a container.

The process leads its own session, so that its whole group can be ended. On its standard input, a socket, it
announces ports and requests connections to other pods (see `programs.pod`); its output goes to the log. Its
arguments and environment hold no secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from sspcloud_magics.sandbox.network.routing import Destination, Dropped, Refused, Unresolved
from sspcloud_magics.sandbox.node.logs import Log

CONNECT_TIMEOUT: Final = 127.0
"""Seconds until Linux gives up a connection whose packets are dropped (six retries)."""
# Bytes of a line of output.
MAX_LINE: Final = 1024 * 1024

Route = Callable[[str, int], tuple[Destination, int]]
"""From a host and port to the destination and its loopback port (0: nothing listens)."""


class Process:
    """One run of a container; created with `start`."""

    def __init__(self, child: asyncio.subprocess.Process, control: asyncio.StreamWriter, log: Log) -> None:
        self._child = child
        # The ID of the process and of its group.
        self.pid = child.pid
        self._control = control
        self._log = log
        # Copies the output to the log; reads the control socket.
        self._tasks: list[asyncio.Task[Any]] = []
        # Requests for connections that are not answered yet.
        self._requests: set[asyncio.Task[None]] = set()
        # The loopback ports behind the open ports of the pod.
        self.ports: dict[int, int] = {}

    @classmethod
    async def start(
        cls,
        program: Path,
        title: str,
        *,
        config: Mapping[str, Any],
        log: Log,
        route: Route,
        on_port: Callable[[], None],
    ) -> Process:
        """Start a program.

        `config`: its configuration, sent over the socket. `on_port`: called when it has opened a port.
        """
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE)
        try:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", str(program), title),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                limit=MAX_LINE,
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC", "TMPDIR": tempfile.gettempdir()},
            )
        except BaseException:
            writer.close()
            log.close()
            raise
        finally:
            theirs.close()
        process = cls(child, writer, log)
        with contextlib.suppress(ConnectionError):
            writer.write(json.dumps(config).encode() + b"\n")
        process._tasks = [
            asyncio.create_task(process._pump()),
            asyncio.create_task(process._serve(reader, route, on_port)),
        ]
        return process

    async def wait(self) -> int:
        """Wait for the end of the process and of its output; return the exit code of a container runtime."""
        try:
            code = await self._child.wait()
            self.kill()  # the rest of its group may still hold the output open
            await self._tasks[0]
        finally:
            self.kill()
            self._control.close()
            self._log.close()
            self.ports.clear()
            for task in (*self._tasks, *self._requests):
                task.cancel()
            await asyncio.gather(*self._tasks, *self._requests, return_exceptions=True)
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """Ask the process to end."""
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)

    async def _pump(self) -> None:
        assert self._child.stdout is not None  # noqa: S101 - it was asked for
        while True:
            try:
                line = await self._child.stdout.readline()
            except ValueError:  # longer than MAX_LINE: this part is lost
                continue
            if not line:
                return
            self._log.write(line)

    async def _serve(self, reader: asyncio.StreamReader, route: Route, on_port: Callable[[], None]) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                message = json.loads(line)
                if "listening" in message:
                    self.ports[message["listening"]] = message["at"]
                    on_port()
                elif "connect" in message:
                    task = asyncio.create_task(self._connect(message, route))
                    self._requests.add(task)
                    task.add_done_callback(self._requests.discard)

    async def _connect(self, message: Mapping[str, Any], route: Route) -> None:
        answer: dict[str, Any] = {"connect": message["connect"]}
        try:
            destination, at = route(message["host"], message["port"])
        except Unresolved:
            answer["error"] = "Name does not resolve"
        except Refused as refused:
            answer |= {"error": "Connection refused", "address": str(refused)}
        except Dropped as dropped:
            await asyncio.sleep(CONNECT_TIMEOUT)
            answer |= {"error": "Operation timed out", "address": str(dropped)}
        else:
            answer |= {"address": destination.address}
            answer |= {"at": at} if at else {"error": "Connection refused"}
        with contextlib.suppress(ConnectionError):
            self._control.write(json.dumps(answer).encode() + b"\n")
