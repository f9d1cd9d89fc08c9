"""The interface of a program to its pod: configuration, ports, and connections to other pods.

Standard input is a socket to the node, with a line of JSON per message. The node's first line is the
configuration; the program's lines announce ports and request connections. When the socket closes, the node is
gone and the program ends, so that no program outlives a killed sandbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any


class NoRoute(OSError):
    """A connection failed; `address` is the IP address that was tried, empty for an unknown name."""

    def __init__(self, words: str, address: str = "") -> None:
        super().__init__(words)
        self.words = words
        self.address = address


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Pod:
    """The pod in which this program runs; created with `join`."""

    def __init__(self, writer: asyncio.StreamWriter, config: Mapping[str, Any]) -> None:
        self._writer = writer
        # Requests for connections that the node has not answered, by their number, and the last number.
        self._requests: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._last = 0
        self._node: asyncio.Task[None] | None = None
        self.args: Sequence[str] = config["args"]
        # The container's environment. It may hold secrets, and is not part of the process's environment.
        self.env: Mapping[str, str] = config["env"]
        self.config = config

    @classmethod
    async def join(cls, on_node_lost: Callable[[], None] | None = None) -> Pod:
        """Connect to the node.

        `on_node_lost`: called when the node is gone; by default the process exits at once.
        """
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=os.dup(0)))
        pod = cls(writer, json.loads(await reader.readline()))
        pod._node = asyncio.create_task(
            pod._listen_to_node(reader, on_node_lost or (lambda: os._exit(128 + signal.SIGKILL)))
        )
        return pod

    async def _listen_to_node(self, reader: asyncio.StreamReader, on_lost: Callable[[], None]) -> None:
        try:
            while line := await reader.readline():
                answer = json.loads(line)
                request = self._requests.pop(answer["connect"], None)
                if request is not None and not request.done():
                    request.set_result(answer)
        except ConnectionError:
            pass
        on_lost()

    def announce(self, port: int, listener: socket.socket) -> None:
        """Announce to the node that `listener` is behind a port of the pod."""
        at = listener.getsockname()[1]
        self._writer.write(json.dumps({"listening": port, "at": at}).encode() + b"\n")

    async def listen(self, port: int, handler: Handler) -> asyncio.Server:
        """Serve a TCP port of the pod, with a call of `handler` for each connection."""
        server = await asyncio.start_server(handler, "127.0.0.1", 0, limit=256 * 1024)
        self.announce(port, server.sockets[0])
        return server

    async def connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a name or address inside the cluster.

        Raise `NoRoute` for an unknown name, or if nothing listens there. A connection that a NetworkPolicy forbids
        is not refused: it times out.
        """
        self._last = number = self._last + 1
        request = self._requests[number] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps({"connect": number, "host": host, "port": port}).encode() + b"\n")
        try:
            answer = await request
        finally:
            self._requests.pop(number, None)
        if "error" in answer:
            raise NoRoute(answer["error"], answer.get("address", ""))
        try:
            return await asyncio.open_connection("127.0.0.1", answer["at"], limit=256 * 1024)
        except OSError:
            raise NoRoute("Connection refused", answer["address"]) from None


def close_after(handler: Handler) -> Handler:
    """Return a handler that closes the connection at its end, and ignores errors of the client's connection."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, ValueError):
                await handler(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    return handle


def say(text: str) -> None:
    """Write a line to the container's log."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(main: Callable[[], Coroutine[Any, Any, int]]) -> None:
    """Run a program, and exit with its exit code."""
    # Ctrl-C in the terminal of the sandbox does not concern a pod.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise SystemExit(asyncio.run(main()))
