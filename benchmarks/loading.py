"""Measure the time of ``%load_ext sspcloud_magics`` in addition to IPython's start, in new processes.

    python benchmarks/loading.py [--rounds 15]

The last lines come from ``-X importtime``: the imported modules, the slowest first.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys

LOAD = """
import time
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
import sys
print("loading", file=sys.stderr)
began = time.perf_counter()
shell.run_line_magic("load_ext", "sspcloud_magics")
print(1000 * (time.perf_counter() - began))
"""
LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="the number of new processes (15)")
    given = parser.parse_args()
    times = []
    for _ in range(given.rounds):
        done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
        times.append(float(done.stdout))
    print(
        f"%load_ext over IPython: median {statistics.median(times):.0f} ms, of {given.rounds} processes "
        f"({min(times):.0f} to {max(times):.0f}); the goal is 150 ms"
    )
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", LOAD], capture_output=True, text=True, check=True
    )
    brought = traced.stderr.partition("loading\n")[2]
    found = sorted(((int(own), name) for own, _, _, name in LINE.findall(brought)), reverse=True)
    print(f"{len(found)} modules; the slowest on their own, in ms (with tracing):")
    for own, name in found[:10]:
        print(f"  {own / 1000:6.1f}  {name}")


if __name__ == "__main__":
    main()
