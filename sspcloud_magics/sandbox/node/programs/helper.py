"""The helpers of the integration tests: ``source PORT``, ``sink PORT`` and ``echo PORT``.

`source` sends as many zero bytes as the decimal number on the first line that it receives, then closes.
`sink` reads to the end. `echo` sends back what it gets.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

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


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(len(CHUNK)):
        writer.write(data)
        await writer.drain()


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


HANDLERS: Final[dict[str, Handler]] = {"source": _source, "sink": _sink, "echo": _echo}


async def main() -> int:
    """Serve until the node ends it."""
    pod = await Pod.join()
    match pod.args:
        case [("source" | "sink" | "echo") as role, port] if port.isdigit():
            server = await pod.listen(int(port), closing(HANDLERS[role]))
            say(f"{role} listens on {port}")
            await server.serve_forever()
            return 0
    say(f"usage: source PORT | sink PORT | echo PORT, not {' '.join(pod.args)!r}")
    return 2


if __name__ == "__main__":
    run(main)
