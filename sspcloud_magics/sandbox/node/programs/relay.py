"""The part of ``alpine/socat`` that a relay needs: a TCP listener that forwards its connections to an address.

``TCP-LISTEN:5432,fork,reuseaddr TCP:host:port``, with the TCP4 and TCP6 variants and socat's options before them.

Source: socat(1).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sspcloud_magics.sandbox.node.programs.pod import NoRoute, Pod, close_after, run, say

LISTENER: Final = re.compile(r"(?i)tcp[46]?-l(?:isten)?:(\d+)((?:,[^,]+)*)")
CONNECTOR: Final = re.compile(r"(?i)tcp[46]?(?:-connect)?:(\[.+\]|[^:]+):(\d+)(?:,.*)?")
CONNECT_TIMEOUT: Final = re.compile(r"(?i),connect-timeout=(\d+)")
FLAGS_WITH_VALUE: Final = frozenset({"-t", "-T", "-b", "-lf", "-lp"})
LINGER: Final = 0.5
"""Seconds that one direction has to end after the other: the default of socat's ``-t``."""


class UsageError(Exception):
    """The arguments are invalid; the message is socat's."""


@dataclass(frozen=True, slots=True)
class Relay:
    """The parsed arguments."""

    port: int  # to listen on
    fork: bool  # whether to accept more than one connection
    host: str  # to connect to
    target_port: int
    linger: float = LINGER
    connect_timeout: float | None = None  # in seconds; the system's if None


def parse(args: Sequence[str]) -> Relay:
    """Parse socat's arguments; raise `UsageError` if they are not a listener and a target."""
    linger = LINGER
    words = list(args)
    while words and words[0].startswith("-"):
        flag = words.pop(0)
        value = words.pop(0) if flag in FLAGS_WITH_VALUE and words else flag[2:]
        if flag.startswith("-t") and value.isdecimal():
            linger = float(value)
    if len(words) != 2:
        raise UsageError(f'exactly 2 addresses required (there are {len(words)}); use option "-h" for help')
    listener, connector = LISTENER.fullmatch(words[0]), CONNECTOR.fullmatch(words[1])
    for found, word in ((listener, words[0]), (connector, words[1])):
        if found is None or not all(0 < int(n) < 65536 for n in found.groups() if n and n.isdigit()):
            raise UsageError(f'unknown device/address "{word}"')
    assert listener is not None  # noqa: S101 - else it was refused
    assert connector is not None  # noqa: S101
    fork = "fork" in listener[2].lower().split(",")
    limit = CONNECT_TIMEOUT.search(words[1])
    timeout = float(limit[1]) if limit else None
    return Relay(int(listener[1]), fork, connector[1].strip("[]"), int(connector[2]), linger, timeout)


def log(level: str, text: str) -> None:
    """Write a line in socat's format."""
    when = datetime.now(UTC).strftime("%Y/%m/%d %H:%M:%S")
    say(f"{when} socat[1] {level} {text}")


async def join(
    here: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    there: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    linger: float,
) -> None:
    """Copy in both directions; when one has ended, the other has `linger` seconds."""
    tasks = {asyncio.create_task(_copy(here[0], there[1])), asyncio.create_task(_copy(there[0], here[1]))}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(tasks, timeout=linger)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, ConnectionResetError):
                log("E", "read(6, 0x7f2c1a5f5000, 8192): Connection reset by peer")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(256 * 1024):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        with contextlib.suppress(OSError):
            writer.write_eof()


async def main() -> int:
    """Relay until the node stops it or, without ``fork``, until the end of the first connection."""
    pod = await Pod.join()
    try:
        relay = parse(pod.args)
    except UsageError as error:
        log("E", str(error))
        return 1
    over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    taken = False

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        if taken and not relay.fork:
            return
        taken = True
        code = 0
        try:
            async with asyncio.timeout(relay.connect_timeout):
                target = await pod.connect(relay.host, relay.target_port)
        except TimeoutError:
            code = 1
            log("E", f"connecting to {relay.host}:{relay.target_port}: Connection timed out")
        except NoRoute as error:
            code = 1
            if error.address:
                log("E", f"connect(5, AF=2 {error.address}:{relay.target_port}, 16): {error.words}")
            else:
                log("E", f'getaddrinfo("{relay.host}", "NULL", {{1,0,1,6}}, {{}}): {error.words}')
        else:
            try:
                await join((reader, writer), target, relay.linger)
            finally:
                target[1].close()
        if not relay.fork and not over.done():
            over.set_result(code)

    server = await pod.listen(relay.port, close_after(handle))
    try:
        return await over
    finally:
        server.close()


if __name__ == "__main__":
    run(main)
