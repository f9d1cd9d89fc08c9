"""What the image ``sspcloud-sandbox/helper`` of the tests runs: ``source PORT``, ``sink PORT``, ``echo PORT``, ``say LINE …`` and ``exit CODE``.

`source` sends as many zero bytes as the decimal number on the first line that it receives, then closes.
`sink` reads to the end. `echo` sends back what it gets. `say` writes the lines to its log. `exit` ends at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Final

from sspcloud_magics.sandbox.node.programs.pod import Handler, Pod, close_after, run, say

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


class _Echo:
    """One connection that gets back what it sends, and is read no further while it takes nothing.

    Latencies are measured against it, so it answers in the same turn of the loop in which it is connected.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._unsent = b""
        self._loop.add_reader(sock, self._read)
        self._read()

    def _read(self) -> None:
        try:
            data = self._sock.recv(len(CHUNK))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data and self._send(data):
            return
        self._loop.remove_reader(self._sock)
        if self._unsent:
            self._loop.add_writer(self._sock, self._write)
        else:
            self._sock.close()

    def _write(self) -> None:
        if self._send(self._unsent):
            self._loop.remove_writer(self._sock)
            self._loop.add_reader(self._sock, self._read)
        elif not self._unsent:
            self._loop.remove_writer(self._sock)
            self._sock.close()

    def _send(self, data: bytes) -> bool:
        """Return whether all was sent; what was not is kept, but for a client that is gone."""
        try:
            self._unsent = data[self._sock.send(data) :]
        except BlockingIOError:
            self._unsent = data
        except OSError:
            self._unsent = b""
            return False
        return not self._unsent


def _accept(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the peer may have closed already
        while True:
            _Echo(listener.accept()[0])


HANDLERS: Final[dict[str, Handler]] = {"source": _source, "sink": _sink}


async def main() -> int:
    """Serve until the node ends it."""
    pod = await Pod.join()
    match pod.args:
        case [("source" | "sink") as role, port] if port.isdigit():
            await pod.listen(int(port), close_after(HANDLERS[role]))
        case ["echo" as role, port] if port.isdigit():
            listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
            listener.setblocking(False)
            asyncio.get_running_loop().add_reader(listener, _accept, listener)
            pod.announce(int(port), listener)
        case ["say", *lines]:
            for line in lines:
                say(line)
            await asyncio.Event().wait()  # as below
        case ["exit", code] if code.isdigit():
            return int(code)
        case _:
            say(
                f"usage: source PORT | sink PORT | echo PORT | say LINE … | exit CODE, not {' '.join(pod.args)!r}"
            )
            return 2
    say(f"{role} listens on {port}")
    await asyncio.Event().wait()  # the node ends it
    return 0


if __name__ == "__main__":
    run(main)
