"""The tunnel beside kubectl, kr8s and `portforward`, in one run, interleaved.

    python benchmarks/tunnel.py [--testbed FILE.json] [--json] [--rounds 5] [--only MEASURE …] [--scale 1.0]

Each round measures every subject once, so that a noisy machine is noisy for all of them; what is printed
are the medians of the rounds. Without a testbed it runs on the sandbox, whose own server then costs most
of the time: throughput there says little, the client's CPU seconds per GiB, latency and behaviour say a
lot. `--scale 0.1` moves a tenth of the bytes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import load
import subjects

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

GIB = 1 << 30
MIB = 1 << 20
Numbers = dict[str, float]


@dataclass(frozen=True)
class Helper:
    """A pod of the testbed, and the port it serves."""

    pod: str
    port: int


@dataclass(frozen=True)
class Bed:
    """Where the benchmark runs."""

    place: subjects.Place
    source: Helper
    sink: Helper
    echo: Helper


def percentile(values: list[float], share: float) -> float:
    """Return the value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def moved(running: subjects.Running, transfer: Callable[[], load.Transfer], name: str) -> Numbers:
    """Return the rate of a transfer and the CPU seconds that it cost per GiB."""
    before = running.cpu()
    done = transfer()
    spent = running.cpu() - before
    return {f"{name} MiB/s": done.rate, f"{name} CPU s/GiB": spent / (done.size / GIB)}


def measure_download(bed: Bed, name: str, scale: float) -> Numbers:
    """Download over one connection, then over four."""
    size = int(GIB * scale)
    with subjects.run(name, bed.place, bed.source.pod, bed.source.port) as running:
        load.download(running.port, MIB)
        one = moved(running, lambda: load.download(running.port, size), "download")
        return one | moved(running, lambda: load.download_many(running.port, size, 4), "download, 4")


def measure_upload(bed: Bed, name: str, scale: float) -> Numbers:
    """Upload over one connection."""
    with subjects.run(name, bed.place, bed.sink.pod, bed.sink.port) as running:
        return moved(running, lambda: load.upload(running.port, int(GIB * scale / 2)), "upload")


def measure_echo(bed: Bed, name: str, scale: float) -> Numbers:
    """Echo one byte at a time on one connection."""
    with subjects.run(name, bed.place, bed.echo.pod, bed.echo.port) as running:
        load.echo(running.port, 50)
        spent = load.echo(running.port, max(200, int(2000 * scale)))
        return {"echo p50 us": percentile(spent, 0.5) * 1e6, "echo p99 us": percentile(spent, 0.99) * 1e6}


def measure_connect(bed: Bed, name: str, _scale: float) -> Numbers:
    """Connect, echo one byte and close, 200 times in turn."""
    with subjects.run(name, bed.place, bed.echo.pod, bed.echo.port) as running:
        load.one(running.port)
        spent = load.in_turn(running.port, 200)
        return {
            "connect p50 ms": percentile(spent, 0.5) * 1e3,
            "connect p99 ms": percentile(spent, 0.99) * 1e3,
            "200 in turn s": sum(spent),
        }


def measure_at_once(bed: Bed, name: str, _scale: float) -> Numbers:
    """Hold 200 connections open, then 1,000."""
    numbers: Numbers = {}
    for count in (200, 1000):
        with subjects.run(name, bed.place, bed.echo.pod, bed.echo.port) as running:
            load.one(running.port)
            served, seconds = load.at_once(running.port, count)
            numbers |= {f"{count} at once, served": served, f"{count} at once s": seconds}
            numbers[f"RSS with {count} MiB"] = running.rss()
    return numbers


def measure_start(bed: Bed, name: str, _scale: float) -> Numbers:
    """Start and wait until it is ready; then look at its memory and what it costs when idle."""
    with subjects.run(name, bed.place, bed.echo.pod, bed.echo.port) as running:
        load.one(running.port)
        before = running.cpu()
        time.sleep(3)
        return {
            "ready ms": running.ready * 1e3,
            "idle CPU %": (running.cpu() - before) / 3 * 100,
            "RSS MiB": running.rss(),
        }


def measure_busy_kernel(bed: Bed, name: str, scale: float) -> Numbers:
    """Download and echo while the program that called for the forward computes in pure Python."""
    if name == "kubectl":
        return {}
    size = int(GIB * scale / 4)
    numbers: Numbers = {}
    with subjects.run(name, bed.place, bed.source.pod, bed.source.port) as running:
        idle = load.download(running.port, size).rate
        running.tell({"do": "spin", "seconds": 6})
        numbers["download while computing, of idle"] = load.download(running.port, size).rate / idle
    with subjects.run(name, bed.place, bed.echo.pod, bed.echo.port) as running:
        quiet = percentile(load.echo(running.port, 500), 0.99)
        running.tell({"do": "spin", "seconds": 6})
        numbers["echo p99 while computing, of idle"] = percentile(load.echo(running.port, 500), 0.99) / quiet
    return numbers


MEASURES: dict[str, Callable[[Bed, str, float], Numbers]] = {
    "start": measure_start,
    "echo": measure_echo,
    "connect": measure_connect,
    "at-once": measure_at_once,
    "download": measure_download,
    "upload": measure_upload,
    "busy-kernel": measure_busy_kernel,
}


@contextmanager
def the_bed(file: Path | None) -> Iterator[Bed]:
    """Yield the cluster that the file describes, else a sandbox of our own with the helper pods in it."""
    from tests.testbed import open_testbed

    with open_testbed(file) as found:
        helpers = (Helper(helper.pod, helper.port) for helper in (found.source, found.sink, found.echo))
        yield Bed(subjects.Place(found.kubeconfig, found.context, found.namespace), *helpers)


def attempt(measure: Callable[[Bed, str, float], Numbers], bed: Bed, name: str, scale: float) -> Numbers:
    """Measure once; a subject that fails has no numbers, and says why on the error stream."""
    try:
        return measure(bed, name, scale)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        print(f"  {name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return {}


def table(medians: dict[str, Numbers]) -> str:
    """Return the medians as a table with one row a measure."""
    rows = list(dict.fromkeys(row for numbers in medians.values() for row in numbers))
    width = max(map(len, rows), default=0)
    lines = [" " * width + "".join(f"{name:>14}" for name in medians)]
    for row in rows:
        cells = (f"{numbers[row]:14.2f}" if row in numbers else f"{'-':>14}" for numbers in medians.values())
        lines.append(f"{row:<{width}}" + "".join(cells))
    return "\n".join(lines)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--testbed", type=Path, help="a file that describes a cluster; else the sandbox")
    parser.add_argument("--json", action="store_true", help="print one object with the medians")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--subjects", nargs="+", choices=subjects.SUBJECTS, default=list(subjects.SUBJECTS))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the bytes to move")
    options = parser.parse_args()
    collected: dict[str, dict[str, list[float]]] = {name: {} for name in options.subjects}
    with the_bed(options.testbed) as bed:
        for measure in options.only:
            for number in range(options.rounds):
                print(f"{measure}, round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
                for name in options.subjects:
                    for row, value in attempt(MEASURES[measure], bed, name, options.scale).items():
                        collected[name].setdefault(row, []).append(value)
    medians = {
        name: {row: statistics.median(values) for row, values in rows.items()}
        for name, rows in collected.items()
    }
    print(json.dumps(medians, indent=1) if options.json else table(medians))


if __name__ == "__main__":
    main()
