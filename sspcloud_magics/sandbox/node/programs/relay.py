"""``alpine/socat`` as far as a relay needs it: a TCP listener, each of whose connections is joined to another one.

``TCP-LISTEN:5432,fork,reuseaddr TCP:host:port``, with their TCP4 and TCP6 variants and socat's options in front.

Source: socat(1).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sspcloud_magics.sandbox.node.programs.pod import NoRoute, Pod, closing, run, say

LISTENERS: Final = frozenset({"tcp-listen", "tcp-l", "tcp4-listen", "tcp4-l", "tcp6-listen", "tcp6-l"})
CONNECTORS: Final = frozenset({"tcp", "tcp-connect", "tcp4", "tcp4-connect", "tcp6", "tcp6-connect"})
FLAGS_WITH_VALUE: Final = frozenset({"-t", "-T", "-b", "-lf", "-lp"})
LINGER: Final = 0.5
"""Seconds that the second direction has when the first has ended: socat's ``-t``."""


class UsageError(Exception):
    """The arguments make no sense; the text is socat's."""


@dataclass(frozen=True, slots=True)
class Relay:
    """What the arguments ask for."""

    port: int  # to listen on
    fork: bool  # whether to take more than one connection
    host: str  # where to connect to
    target_port: int
    linger: float = LINGER  # seconds that the second direction has when the first has ended


def parse(args: Sequence[str]) -> Relay:
    """Read socat's arguments; raise `UsageError` if they are not a listener and a connection."""
    linger = LINGER
    words = list(args)
    while words and words[0].startswith("-") and len(words[0]) > 1:
        flag = words.pop(0)
        if flag in FLAGS_WITH_VALUE and words:
            value = words.pop(0)
            if flag == "-t":
                linger = _float(value)
        elif flag[:2] == "-t" and len(flag) > 2:
            linger = _float(flag[2:])
    if len(words) != 2:
        raise UsageError(f'exactly 2 addresses required (there are {len(words)}); use option "-h" for help')
    listener, listen_args, options = _address(words[0])
    connector, connect_args, _ = _address(words[1])
    if listener not in LISTENERS:
        raise UsageError(f'unknown device/address "{words[0].partition(":")[0]}"')
    if connector not in CONNECTORS:
        raise UsageError(f'unknown device/address "{words[1].partition(":")[0]}"')
    if len(listen_args) != 1:
        raise UsageError(f"{listener.upper()}: wrong number of parameters ({len(listen_args)} instead of 1)")
    if len(connect_args) != 2:
        raise UsageError(
            f"{connector.upper()}: wrong number of parameters ({len(connect_args)} instead of 2)"
        )
    return Relay(
        _port(listen_args[0]), "fork" in options, connect_args[0].strip("[]"), _port(connect_args[1]), linger
    )


def _address(text: str) -> tuple[str, list[str], set[str]]:
    """Split ``KEYWORD:arg:arg,option,option=value``."""
    front, *options = text.split(",")
    keyword, *arguments = front.split(":")
    return keyword.lower(), arguments, {option.partition("=")[0].lower() for option in options}


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise UsageError(f'service "{text}" not found')
    return int(text)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f'not a number: "{text}"') from None


def log(level: str, text: str) -> None:
    """Write a line as socat does."""
    when = datetime.now(UTC).strftime("%Y/%m/%d %H:%M:%S")
    say(f"{when} socat[1] {level} {text}")


async def join(
    here: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    there: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    linger: float,
) -> None:
    """Copy both ways; when one direction has ended, the other has `linger` seconds more."""
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
    """Relay until the node ends it, or, without ``fork``, until the first connection is over."""
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
            target = await pod.connect(relay.host, relay.target_port)
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

    server = await pod.listen(relay.port, closing(handle))
    try:
        return await over
    finally:
        server.close()


if __name__ == "__main__":
    run(main)
