"""Small things: one byte there and back, and short connections, in turn and at once."""

from __future__ import annotations

import load
import subjects

from measures.bed import Bed, Numbers, percentile

IN_TURN = 1000


def measure_echo(bed: Bed, name: str, scale: float) -> Numbers:
    """Echo one byte at a time on one connection."""
    with subjects.run(name, bed.place, bed.testbed.echo.pod, bed.testbed.echo.port) as running:
        load.echo(running.port, 50)
        with bed.cost(running) as cost:
            spent = load.echo(running.port, max(1000, int(2000 * scale)))
        times = {"echo p50 us": percentile(spent, 0.5) * 1e6, "echo p99 us": percentile(spent, 0.99) * 1e6}
        return times | cost.shares("echo")


def measure_connect(bed: Bed, name: str, _scale: float) -> Numbers:
    """Connect, echo one byte and close, in turn: so often that the 99th percentile is more than the second worst."""
    with subjects.run(name, bed.place, bed.testbed.echo.pod, bed.testbed.echo.port) as running:
        load.one(running.port)
        with bed.cost(running) as cost:
            spent = load.in_turn(running.port, IN_TURN)
        return {
            "connect p50 ms": percentile(spent, 0.5) * 1e3,
            "connect p99 ms": percentile(spent, 0.99) * 1e3,
            "connect CPU ms": cost.client / len(spent) * 1e3,
        } | cost.shares("connect")


def measure_at_once(bed: Bed, name: str, _scale: float) -> Numbers:
    """Hold 200 connections open at the same time; once more, as bursts come back; then 1,000.

    Who loses some of 200 is asked for no more: it would only be waited for.
    """
    numbers: Numbers = {}
    for rows in (("200 at once", "200 at once again"), ("1000 at once",)):
        with subjects.run(name, bed.place, bed.testbed.echo.pod, bed.testbed.echo.port) as running:
            load.one(running.port)
            for row in rows:
                with bed.cost(running) as cost:
                    served, seconds = load.at_once(running.port, int(row.split()[0]))
                numbers |= {f"{row}, served": served, f"{row} s": seconds} | cost.shares(row)
                numbers[f"{row}, RSS MiB"] = running.rss()
                if served < int(row.split()[0]):
                    return numbers
    return numbers
