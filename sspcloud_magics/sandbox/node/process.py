"""A container as a process of this machine.

The process leads a session of its own, so that all of it can be ended together. Its standard input is a socket
on which it announces its ports and asks its way to other pods (see `programs.pod`); its output goes to the
log. Nothing secret is in its arguments or its environment.
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
"""Seconds after which Linux gives up a connection whose packets are dropped (six retries)."""
MAX_LINE: Final = 1024 * 1024

Route = Callable[[str, int], tuple[Destination, int]]
"""From a host and port to where that leads, and to the loopback port that stands for it (0: nothing listens)."""


class Process:
    """One run of a container; made with `start`."""

    def __init__(self, child: asyncio.subprocess.Process, control: asyncio.StreamWriter, log: Log) -> None:
        self._child = child
        self._control = control
        self._log = log
        self._tasks: list[asyncio.Task[Any]] = []
        self._waiting: set[asyncio.Task[None]] = set()
        self.ports: dict[int, int] = {}
        """From a port of the pod to the loopback port that stands for it."""

    @property
    def pid(self) -> int:
        """The process's id, which is its group's too."""
        return self._child.pid

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

        `config`: what it is to do; travels over the socket. `on_port`: called when it has opened a port.
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
                env={
                    "PATH": os.defpath,
                    "LANG": "C.UTF-8",
                    "TZ": "UTC",
                    "TMPDIR": tempfile.gettempdir(),
                },
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
        """Wait for the end of the process and of its output; return its exit code as a container runtime counts."""
        try:
            code = await self._child.wait()
            self.kill()  # what it left of its group, which may still hold its output open
            await self._tasks[0]
        finally:
            self.kill()
            self._control.close()
            self._log.close()
            self.ports.clear()
            for task in (*self._tasks, *self._waiting):
                task.cancel()
            await asyncio.gather(*self._tasks, *self._waiting, return_exceptions=True)
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """Ask the process to end."""
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)

    async def _pump(self) -> None:
        assert self._child.stdout is not None  # noqa: S101 - it was asked for
        while True:
            try:
                line = await self._child.stdout.readline()
            except ValueError:  # longer than MAX_LINE: that part is lost
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
                    self._waiting.add(task)
                    task.add_done_callback(self._waiting.discard)

    async def _connect(self, message: Mapping[str, Any], route: Route) -> None:
        answer: dict[str, Any] = {"connect": message["connect"]}
        try:
            destination, at = route(message["host"], message["port"])
        except Unresolved:
            answer["error"] = "Name does not resolve"
        except Refused as refused:
            answer |= {"error": "Connection refused", "address": str(refused)}
        except Dropped as dropped:
            # What a dropped packet is like: nothing happens, for long.
            await asyncio.sleep(CONNECT_TIMEOUT)
            answer |= {"error": "Operation timed out", "address": str(dropped)}
        else:
            answer |= {"address": destination.address}
            answer |= {"at": at} if at else {"error": "Connection refused"}
        with contextlib.suppress(ConnectionError):
            self._control.write(json.dumps(answer).encode() + b"\n")
