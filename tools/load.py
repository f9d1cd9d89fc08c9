"""Run a command under an intermittent load on processors, disk, memory and local ports.

    python tools/load.py [--seed N] COMMAND …

It simulates a shared machine for the tests. The exit code is that of the command.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

LONGEST = 4.0
"""The maximum duration of one load and of the pause after it, in seconds."""
MIB = 1 << 20


def compute(until: float) -> None:
    """Keep a processor busy."""
    while time.monotonic() < until:
        sum(range(10_000))


def write(until: float) -> None:
    """Keep the disk busy."""
    with tempfile.TemporaryFile() as file:
        while time.monotonic() < until:
            file.seek(0)
            file.write(os.urandom(8 * MIB))
            file.flush()
            os.fsync(file.fileno())


def fill(until: float) -> None:
    """Allocate memory, and touch all of it."""
    held = bytearray(256 * MIB)
    while time.monotonic() < until:
        held[:: 4 << 10] = bytes(len(held) // (4 << 10))


def take_ports(until: float) -> None:
    """Listen on common ports of databases and servers, and on many ephemeral ports."""
    with contextlib.ExitStack() as stack:
        for port in (5432, 8000, 8080, 8888, 9000, *[0] * 200):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        while time.monotonic() < until:
            with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
                client.connect(server.getsockname())


KINDS: tuple[Callable[[float], None], ...] = (compute, compute, write, fill, take_ports)


def burden(seed: int, parent: int) -> None:
    """Apply one load after another, with pauses, as long as the parent lives."""
    source = random.Random(seed)  # noqa: S311 - it need not be cryptographic
    while os.getppid() == parent:
        source.choice(KINDS)(time.monotonic() + source.uniform(0, LONGEST))
        time.sleep(source.uniform(0, LONGEST))


def main() -> int:
    """Run the command with two loads for each processor."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    print(f"Load with --seed {given.seed}", flush=True)
    code = "import sys; from load import burden; burden(int(sys.argv[1]), int(sys.argv[2]))"
    burdens = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(given.seed + number), str(os.getpid())],
            cwd=Path(__file__).parent,
            stderr=subprocess.DEVNULL,
        )
        for number in range(2 * (os.cpu_count() or 1))
    ]
    try:
        return subprocess.run(given.command, check=False).returncode
    finally:
        for each in burdens:
            each.kill()
            each.wait()


if __name__ == "__main__":
    sys.exit(main())
