"""Join 100 million generated rows in DuckDB, in a process that may use 2 GiB: the rest goes to a temporary folder.

    python benchmarks/spill.py [--rows 100000000] [--limit 2]

It fails if the join fails, gives a wrong number, or the process uses more than the limit.
"""

from __future__ import annotations

import argparse
import resource
import time

from sspcloud_magics.i18n import format_bytes
from sspcloud_magics.lake import instance, memory

# Each key occurs once on each side; a multiplication modulo a prime orders the sides differently.
JOIN = """
SELECT count(*), sum(a.x - b.x) FROM (SELECT range AS id, range AS x FROM range({rows})) AS a
JOIN (SELECT (range * 7919) % {rows} AS id, (range * 7919) % {rows} AS x FROM range({rows})) AS b USING (id)
"""


def main() -> None:
    """Run the join, and check it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--limit", type=float, default=2, help="the limit in GiB")
    options = parser.parse_args()
    limit = int(options.limit * (1 << 30))
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    memory.memory_limit = lambda *_files: limit  # as a container's control group says
    duck = instance.current().duck
    began = time.perf_counter()
    found = duck.execute(JOIN.format(rows=options.rows)).fetchone()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    took = time.perf_counter() - began
    instance.close()
    print(f"{options.rows:,} rows joined in {took:.0f} s, peak {format_bytes(peak)} of {format_bytes(limit)}")
    assert found == (options.rows, 0), found
    assert peak <= limit


if __name__ == "__main__":
    main()
