"""Run the tests; files in which one failed are run once more, alone.

Thousands of tests with real browsers, databases and processes share a machine which is sometimes too busy
for one of them. A fault fails again; such a one does not. Both runs are in the log, so that a test which
needs its second chance is seen. Whole files are run again, because what they check at their end is part of them.

    python tools/tests.py -n 2 --dist loadfile
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAST_FAILED = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
# What this machine cannot run is written there by pytest, and read by `make test` (tests/support/not_run.py).
NOT_RUN = ROOT / "build" / "not-run"
TESTS_FAILED = 1
# More than that is no matter of chance.
MOST_FILES = 5


def pytest(*arguments: str) -> int:
    """Run pytest, and return its exit code."""
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=False).returncode


def failed_files() -> list[str]:
    """Return the files in which a test, or what is checked around it, failed in the last run."""
    return sorted({name.split("::")[0] for name in json.loads(LAST_FAILED.read_text(encoding="utf-8"))})


def main(arguments: list[str]) -> int:
    """Run the tests with these arguments of pytest, and return the exit code."""
    LAST_FAILED.unlink(missing_ok=True)
    NOT_RUN.unlink(missing_ok=True)
    code = pytest(*arguments)
    if code != TESTS_FAILED:
        return code
    files = failed_files()
    if len(files) > MOST_FILES:
        return code
    print("\nOnce more, alone:", *files, flush=True)
    return pytest(*files, *of_cluster(arguments))


def of_cluster(arguments: list[str]) -> list[str]:
    """Return those arguments that say on which cluster."""
    return arguments[arguments.index("--testbed") :][:2] if "--testbed" in arguments else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
