"""The helpers of the integration tests: ``source PORT``, ``sink PORT`` and ``echo PORT``.

`source` sends as many zero bytes as the decimal number on the first line that it receives, then closes.
`sink` reads to the end. `echo` sends back what it gets.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, cast

from sspcloud_magics.sandbox.node.programs.pod import Handler, Pod, run, say

CHUNK: Final = bytes(256 * 1024)


async def _source(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line = (await reader.readline()).strip()
    left = int(line) if line.isdigit() else 0
    while left:
        part = CHUNK if left >= len(CHUNK) else CHUNK[:left]
        writer.write(part)
        await writer.drain()
        left -= len(part)


async def _sink(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    while await reader.read(len(CHUNK)):
        pass


class _Echo(asyncio.Protocol):
    """Sends back what it gets, and takes no more while the client takes none; latencies are measured against it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()


def closing(handler: Handler) -> Handler:
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


HANDLERS: Final[dict[str, Handler]] = {"source": _source, "sink": _sink}


async def main() -> int:
    """Serve until the node ends it."""
    pod = await Pod.join()
    match pod.args:
        case [("source" | "sink") as role, port] if port.isdigit():
            server = await pod.listen(int(port), closing(HANDLERS[role]))
        case ["echo" as role, port] if port.isdigit():
            server = await asyncio.get_running_loop().create_server(_Echo, "127.0.0.1", 0, backlog=1024)
            pod.announce(int(port), server)
        case _:
            say(f"usage: source PORT | sink PORT | echo PORT, not {' '.join(pod.args)!r}")
            return 2
    say(f"{role} listens on {port}")
    await server.serve_forever()
    return 0


if __name__ == "__main__":
    run(main)
