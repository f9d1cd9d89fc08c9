"""A program's side of its pod: what it was told to run, its ports, its way to other pods.

Standard input is a socket to the node, on which both send lines of JSON. The node's first line says what
the container is to do; the program's lines announce ports and ask for connections. When the socket closes,
the node is gone and the program ends, so nothing outlives a sandbox that was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any


class NoRoute(OSError):
    """No connection could be made; `address` is the IP address that was tried, empty if the name is unknown."""

    def __init__(self, words: str, address: str = "") -> None:
        super().__init__(words)
        self.words = words
        self.address = address


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Pod:
    """The pod in which this program runs; made with `join`.

    `env`: its environment, which is kept out of the process's own: it may hold secrets.
    """

    def __init__(self, writer: asyncio.StreamWriter, config: Mapping[str, Any]) -> None:
        self._writer = writer
        self._asked: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._next = 0
        self._node: asyncio.Task[None] | None = None
        self.args: Sequence[str] = config["args"]
        self.env: Mapping[str, str] = config["env"]
        self.config = config

    @classmethod
    async def join(cls, on_node_lost: Callable[[], None] | None = None) -> Pod:
        """Meet the node.

        `on_node_lost`: called when the node is gone; without it the process ends on the spot.
        """
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=os.dup(0)))
        pod = cls(writer, json.loads(await reader.readline()))
        pod._node = asyncio.create_task(pod._listen_to_node(reader, on_node_lost or _vanish))
        return pod

    async def _listen_to_node(self, reader: asyncio.StreamReader, on_lost: Callable[[], None]) -> None:
        try:
            while line := await reader.readline():
                answer = json.loads(line)
                asked = self._asked.pop(answer["connect"], None)
                if asked is not None and not asked.done():
                    asked.set_result(answer)
        except ConnectionError:
            pass
        on_lost()

    def announce(self, port: int, listener: socket.socket) -> None:
        """Tell the node that a listener of ours stands for a port of the pod."""
        at = listener.getsockname()[1]
        self._writer.write(json.dumps({"listening": port, "at": at}).encode() + b"\n")

    async def listen(self, port: int, handler: Handler) -> asyncio.Server:
        """Serve a TCP port of the pod with a coroutine for each connection."""
        server = await asyncio.start_server(handler, "127.0.0.1", 0, limit=256 * 1024)
        self.announce(port, server.sockets[0])
        return server

    async def connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a name or address inside the cluster.

        Raise `NoRoute` if there is no such name, or nothing listens there. A connection that a NetworkPolicy
        forbids is not refused: like any dropped packet it times out.
        """
        self._next += 1
        asked = self._asked[self._next] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps({"connect": self._next, "host": host, "port": port}).encode() + b"\n")
        try:
            answer = await asked
        finally:
            self._asked.pop(self._next, None)
        if "error" in answer:
            raise NoRoute(answer["error"], answer.get("address", ""))
        try:
            return await asyncio.open_connection("127.0.0.1", answer["at"], limit=256 * 1024)
        except OSError:
            raise NoRoute("Connection refused", answer["address"]) from None


def close_after(handler: Handler) -> Handler:
    """Close the connection behind a handler; a client that breaks it is its own affair."""

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
    """Write a line into the container's log."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _vanish() -> None:
    os._exit(128 + signal.SIGKILL)


def run(main: Callable[[], Awaitable[int]]) -> None:
    """Run a program to its end and exit with its code."""

    async def _main() -> int:
        return await main()

    # As process 1 of a container would: Ctrl-C of the terminal is not meant for a pod.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise SystemExit(asyncio.run(_main()))
