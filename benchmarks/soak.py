"""Send traffic through one forward for some minutes with random faults, and detect losses and leaks.

    python benchmarks/soak.py [--minutes 10] [--seed 1] [--testbed FILE.json] [--json]

The tests' fault proxy stands between the helper and the API server. Workers send blocks of random length, and compare
the echo byte for byte. A connection may end with an error during a fault. A wrong byte, an early clean end, or a forward
that does not recover is a loss. Memory, file descriptors, threads and tasks of the helper, and threads of this process,
are recorded regularly. At the end, without workers, the helper must have returned to its initial resources, and its
memory must not have grown in the second half. The exit code is 0 if all of this holds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.forwards import Forward, ForwardManager
from sspcloud_magics.forwards.helper import Helper, default_command
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import State
from tests.faults import FaultProxy, Faults
from tests.testbed import Testbed, open_testbed

QUIET = Faults()
KINDS = {
    "latency": Faults(latency=0.02),
    "slicing": Faults(slice=50),
    "bandwidth": Faults(bandwidth=1 << 20),
    "cut": Faults(close_after=200_000),
    "black hole": Faults(black_hole=True),
    "refuse": Faults(refuse=True),
    "handshake": Faults(cut_handshake=1000),
}
# In seconds; longer than pings need to detect it.
BLACK_HOLE = 35.0
MOST_RSS_MIB_A_MINUTE = 0.5
# Writes the number of tasks on the helper's own event loop into a file.
COUNT_TASKS = """
import asyncio
def tell(loop, path):
    with open(path, "w") as file:
        file.write(str(len(asyncio.all_tasks(loop))))
    loop.call_later(1.0, tell, loop, path)
set_event_loop = asyncio.set_event_loop
def watch(loop):
    set_event_loop(loop)
    loop.call_soon(tell, loop, {path!r})
asyncio.set_event_loop = watch
"""


@dataclass
class Result:
    """The figures of a run."""

    seconds: float = 0.0
    bytes: int = 0
    blocks: int = 0
    connections: int = 0
    ended_by_fault: int = 0
    wrong_bytes: int = 0
    early_ends: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    resets: int = 0
    longest_outage: float = 0.0
    black_holes_noticed: list[float] = field(default_factory=list)
    reconnects: int = 0
    read_at: list[float] = field(default_factory=list)
    helper_rss_mib: list[float] = field(default_factory=list)
    helper_fds: list[int] = field(default_factory=list)
    helper_threads: list[int] = field(default_factory=list)
    helper_tasks: list[int] = field(default_factory=list)
    kernel_threads: list[int] = field(default_factory=list)


def through_proxy(testbed: Testbed, port: int, folder: Path) -> Path:
    """Write a kubeconfig whose server is the proxy; the certificate is verified against the original name."""
    config = yaml.safe_load(testbed.kubeconfig.read_text())
    for cluster in config["clusters"]:
        true = urlsplit(cluster["cluster"]["server"])
        cluster["cluster"]["server"] = f"https://127.0.0.1:{port}{true.path}"
        if not cluster["cluster"].get("insecure-skip-tls-verify"):
            cluster["cluster"]["tls-server-name"] = true.hostname
    written = folder / "kubeconfig"
    written.touch(0o600)
    written.write_text(yaml.safe_dump(config))
    return written


class Workers:
    """Threads that use the echo through the forward until `stop`."""

    def __init__(self, port: int, result: Result, count: int, seed: int) -> None:
        self._port = port
        self._result = result
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.last_success = time.monotonic()
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(seed + number),), daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _work(self, chance: random.Random) -> None:
        while not self._stop.is_set():
            try:
                self._connection(chance)
            except OSError:
                with self._lock:
                    self._result.ended_by_fault += 1
                self._stop.wait(0.05)

    def _connection(self, chance: random.Random) -> None:
        with socket.create_connection(("127.0.0.1", self._port), 60) as link:
            with self._lock:
                self._result.connections += 1
            for _ in range(chance.randint(1, 20)):
                if self._stop.is_set():
                    return
                self._block(link, chance.randbytes(chance.choice((1, 100, 5_000, 70_000, 300_000))))

    def _block(self, link: socket.socket, block: bytes) -> None:
        broken = threading.Event()
        sender = threading.Thread(target=_send, args=(link, block, broken))
        sender.start()
        try:
            digest, got = hashlib.blake2b(), 0
            while got < len(block):
                part = link.recv(1 << 16)
                if not part:
                    # A reset is reported once: if the sender received it, the receiver sees an end.
                    sender.join()
                    with self._lock:
                        self._result.early_ends += not broken.is_set()
                    raise ConnectionError("an end in the middle of a block")
                digest.update(part)
                got += len(part)
        finally:
            sender.join()
        with self._lock:
            self._result.wrong_bytes += digest.digest() != hashlib.blake2b(block).digest()
            self._result.blocks += 1
            self._result.bytes += got
            now = time.monotonic()
            self._result.longest_outage = max(self._result.longest_outage, now - self.last_success)
            self.last_success = now


def _send(link: socket.socket, block: bytes, broken: threading.Event) -> None:
    try:
        link.sendall(block)
    except OSError:
        broken.set()


def observe(helper: psutil.Process, tasks: Path, result: Result) -> None:
    """Record the resources that must not grow."""
    result.read_at.append(round(time.monotonic(), 1))
    result.helper_tasks.append(int(tasks.read_text() or 0))
    result.helper_rss_mib.append(round(helper.memory_info().rss / 2**20, 1))
    result.helper_fds.append(helper.num_fds())
    result.helper_threads.append(helper.num_threads())
    result.kernel_threads.append(threading.active_count())


def trouble(
    proxy: FaultProxy, forward: Forward, result: Result, seconds: float, chance: random.Random
) -> Iterator[None]:
    """Switch faults on and off for `seconds`; yield between them."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name = chance.choice(list(KINDS))
        result.faults[name] = result.faults.get(name, 0) + 1
        proxy.faults = KINDS[name]
        began = time.monotonic()
        if name == "black hole":
            while forward.state is State.ACTIVE and time.monotonic() < began + BLACK_HOLE:
                time.sleep(0.05)
            result.black_holes_noticed.append(round(time.monotonic() - began, 1))
        time.sleep(chance.uniform(0.5, 4.0))
        proxy.faults = QUIET
        if chance.random() < 0.5:
            result.resets += proxy.reset_all()
        time.sleep(chance.uniform(2.0, 6.0))
        yield


def slope(times: list[float], values: list[float]) -> float:
    """Return the least-squares slope of the second half, in units per minute."""
    half = len(values) // 2
    if len(values) - half < 2:
        return 0.0
    return 60 * statistics.linear_regression(times[half:], values[half:]).slope


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--testbed", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    result = Result()
    with open_testbed(options.testbed) as testbed, tempfile.TemporaryDirectory() as folder:
        server, tasks = urlsplit(server_of(testbed)), Path(folder) / "tasks"
        tasks.touch()
        manager = ForwardManager(lambda: Helper(count_tasks(tasks)))
        with FaultProxy(server.hostname or "", server.port or 443, seed=options.seed) as proxy:
            kubeconfig = through_proxy(testbed, proxy.port, Path(folder))
            cluster = find_cluster(
                kubeconfig=kubeconfig, context=testbed.context, namespace=testbed.namespace
            )
            target = Target(testbed.namespace, "pod", testbed.echo.pod)
            with manager.forward(cluster, target, [PortText(testbed.echo.port, 0)]) as forward:
                helper = next(
                    child
                    for child in psutil.Process().children()
                    if any("sspcloud_magics.tunnel" in part for part in child.cmdline())
                )
                time.sleep(3)  # until the pool's spare tunnels are open, and counted
                observe(helper, tasks, result)
                workers = Workers(forward.local_port, result, options.workers, options.seed)
                started = time.monotonic()
                chance = random.Random(options.seed)
                for _ in trouble(proxy, forward, result, options.minutes * 60, chance):
                    observe(helper, tasks, result)
                settle(workers, result)
                workers.stop()
                result.seconds = time.monotonic() - started
                quieten(helper, tasks, result)
                result.reconnects = forward.counters.reconnects
            manager.close()
            cluster.close()
    problems = losses(result)
    told = asdict(result) | {
        "helper_rss_mib_a_minute": round(slope(result.read_at, result.helper_rss_mib), 3),
        "problems": problems,
    }
    if options.json:
        print(json.dumps(told))
    else:
        for name, value in told.items():
            shown = (
                f"{value[0]} … {value[-1]} (max {max(value)})" if isinstance(value, list) and value else value
            )
            print(f"{name:24} {shown}")
    sys.exit(bool(problems))


def count_tasks(tasks: Path) -> list[str]:
    """Return the helper's command line, with code that writes the number of tasks into a file."""
    command = default_command()
    code = command.index("-c") + 1
    command[code] = f"exec({COUNT_TASKS.format(path=str(tasks))!r}); {command[code]}"
    return command


def quieten(helper: psutil.Process, tasks: Path, result: Result) -> None:
    """Wait without traffic until the helper has returned to its initial resources, at most two minutes."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        observe(helper, tasks, result)
        if not leaks(result):
            return
        time.sleep(2)


def leaks(result: Result) -> list[str]:
    """Return the resources of the helper or this process that have grown."""
    kinds = ("helper_fds", "helper_threads", "helper_tasks", "kernel_threads")
    return [
        f"{kind}: {values[0]} at first, {values[-1]} at the end"
        for kind in kinds
        if (values := getattr(result, kind))[-1] > values[0]
    ]


def losses(result: Result) -> list[str]:
    """Return all losses and leaks."""
    found = leaks(result)
    if result.wrong_bytes or result.early_ends:
        found.append(f"{result.wrong_bytes} blocks came back wrong, {result.early_ends} ended early")
    if (growth := slope(result.read_at, result.helper_rss_mib)) > MOST_RSS_MIB_A_MINUTE:
        found.append(f"the helper grows by {growth:.2f} MiB a minute")
    if late := [seconds for seconds in result.black_holes_noticed if seconds > 30]:
        found.append(f"black holes were noticed after {late} s")
    return found


def settle(workers: Workers, result: Result) -> None:
    """Wait without faults until blocks arrive again."""
    moment = time.monotonic()
    while workers.last_success < moment:
        if time.monotonic() - moment > 60:
            sys.exit(f"the forward did not recover: {result}")
        time.sleep(0.1)


def server_of(testbed: Testbed) -> str:
    """Return the address of the API server of the testbed's context."""
    config = yaml.safe_load(testbed.kubeconfig.read_text())
    wanted = testbed.context or config["current-context"]
    context = next(entry["context"] for entry in config["contexts"] if entry["name"] == wanted)
    return str(
        next(
            entry["cluster"]["server"] for entry in config["clusters"] if entry["name"] == context["cluster"]
        )
    )


if __name__ == "__main__":
    main()
