"""Many bytes: one connection, four, upwards, and eight beside one that does not read."""

from __future__ import annotations

import contextlib
import statistics

import load
import subjects

from measures.bed import GIB, MIB, Bed, Numbers

_STALLED_PATIENCE = 10.0
"""Seconds after which connections that a stalled one has stopped are given up."""


def measure_download(bed: Bed, name: str, scale: float) -> Numbers:
    """Download over one connection, then over four."""
    size = int(GIB * scale)
    numbers: Numbers = {}
    with subjects.run(name, bed.place, bed.testbed.source.pod, bed.testbed.source.port) as running:
        load.download(running.port, MIB)
        for row, connections in (("download", 1), ("download, 4", 4)):
            with bed.cost(running) as cost:
                done = load.download_many(running.port, size, connections)
            numbers |= {f"{row} MiB/s": done.rate} | cost.per_gib(row, done.size)
    return numbers


def measure_upload(bed: Bed, name: str, scale: float) -> Numbers:
    """Upload over one connection."""
    with subjects.run(name, bed.place, bed.testbed.sink.pod, bed.testbed.sink.port) as running:
        load.upload(running.port, MIB)
        with bed.cost(running) as cost:
            done = load.upload(running.port, int(GIB * scale / 2))
        return {"upload MiB/s": done.rate} | cost.per_gib("upload", done.size)


def measure_stalled(bed: Bed, name: str, scale: float) -> Numbers:
    """Download over eight connections, without and with a ninth that asks for much and reads nothing."""
    size = int(GIB * scale / 4)
    rates: dict[bool, list[float]] = {False: [], True: []}
    with subjects.run(name, bed.place, bed.testbed.source.pod, bed.testbed.source.port) as running:
        load.download_many(running.port, 8 * MIB, 8)
        # Each with a neighbour of the other kind, so that a machine that changes its mind is no difference.
        for stalled in (False, True, True, False):
            with load.stall_reader(running.port, GIB) if stalled else contextlib.nullcontext():
                rates[stalled].append(load.download_some(running.port, size, 8, _STALLED_PATIENCE).rate)
    kept = statistics.mean(rates[True]) / statistics.mean(rates[False])
    return {"stalled neighbour, loss %": (1 - kept) * 100}
