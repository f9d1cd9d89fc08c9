"""Compare the tunnel with kubectl, kr8s and `portforward` in one interleaved run.

    python benchmarks/tunnel.py [--testbed FILE.json] [--json] [--rounds 5] [--only MEASURE …] [--scale 1.0]

Each round measures every subject once, and short measures three times, so that noise affects all of them alike. The
order changes such that no subject always follows the same one. The output has the medians, and next to ours the goals
with their verdicts.

Without a testbed it runs on the sandbox, whose own server then takes most of the time: throughput says little there,
but CPU seconds per GiB of the client, latency and behaviour say a lot. Rows named ``…, sandbox's share`` are the share
of the time in which the sandbox and its pods computed; with several cores it may exceed 1.
`--scale 0.1` moves a tenth of the bytes. Ctrl-C ends it early, with the medians so far.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import goals
import subjects
from measures.bed import Bed, Numbers, the_bed
from measures.connections import measure_at_once, measure_connect, measure_echo
from measures.kernel import measure_busy_kernel
from measures.life import measure_idle, measure_killed, measure_start
from measures.replacement import measure_replaced
from measures.transfers import measure_download, measure_stalled, measure_upload

MEASURES: dict[str, Callable[[Bed, str, float], Numbers]] = {
    "start": measure_start,
    "idle": measure_idle,
    "echo": measure_echo,
    "connect": measure_connect,
    "at-once": measure_at_once,
    "download": measure_download,
    "upload": measure_upload,
    "stalled": measure_stalled,
    "replaced": measure_replaced,
    "busy-kernel": measure_busy_kernel,
    "killed": measure_killed,
}

TURNS = dict.fromkeys(("start", "echo", "connect", "at-once", "download"), 3)
"""The repetitions of short measures in a round: five samples on a shared machine say little."""


def order_of_round(names: list[str], number: int) -> list[str]:
    """Return the names in the order of a round, such that each name follows each other one equally often.

    The rounds form a balanced Latin square; with an odd number of names it is nearly balanced.
    """
    count = len(names)
    steps = ((step + 1) // 2 * (1 if step % 2 else -1) for step in range(count))
    return [names[(number + step) % count] for step in steps]


def attempt(measure: Callable[[Bed, str, float], Numbers], bed: Bed, name: str, scale: float) -> Numbers:
    """Measure once; a subject that fails has no numbers, and its error goes to the error stream."""
    try:
        return measure(bed, name, scale)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        print(f"  {name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return {}


def show_value(value: float | None) -> str:
    """Return a value as a cell of the table."""
    if value is None:
        return "-"
    return "never" if math.isinf(value) else f"{value:.2f}"


def table(medians: dict[str, Numbers]) -> str:
    """Return the medians as a table with one row per measure, and the goals."""
    rows = list(dict.fromkeys(row for numbers in medians.values() for row in numbers))
    width = max(map(len, rows), default=0)
    judged = goals.verdicts(medians)
    lines = [" " * width + "".join(f"{name:>13}" for name in medians) + "  goal"]
    for row in rows:
        cells = "".join(f"{show_value(numbers.get(row)):>13}" for numbers in medians.values())
        verdict = {True: "met:", False: "NOT MET:", None: ""}[judged.get(row)]
        goal = f"  {verdict} {goals.GOALS[row]}" if row in judged else ""
        lines.append(f"{row:<{width}}{cells}{goal}")
    met = sum(judged.values())
    lines.append(f"{met} of {len(judged)} goals met")
    return "\n".join(lines)


def as_json(medians: dict[str, Numbers]) -> str:
    """Return the medians as one object, with null for infinity."""
    plain: dict[str, object] = {
        name: {row: None if math.isinf(value) else value for row, value in numbers.items()}
        for name, numbers in medians.items()
    }
    return json.dumps(plain | {"goals met": goals.verdicts(medians)}, indent=1)


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
        try:
            for number in range(options.rounds):
                for measure in options.only:
                    progress = f"round {number + 1} of {options.rounds}, {measure}"
                    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
                    print(progress + load, file=sys.stderr, flush=True)
                    turns = TURNS.get(measure, 1)
                    for turn in range(turns):
                        for name in order_of_round(options.subjects, number * turns + turn):
                            for row, value in attempt(MEASURES[measure], bed, name, options.scale).items():
                                collected[name].setdefault(row, []).append(value)
        except KeyboardInterrupt:
            print("interrupted: the medians so far", file=sys.stderr)
    medians = {
        name: {row: statistics.median(values) for row, values in rows.items()}
        for name, rows in collected.items()
    }
    print(as_json(medians) if options.json else table(medians))


if __name__ == "__main__":
    main()
