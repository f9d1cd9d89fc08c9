"""Run the tests with the lowest allowed and with the newest available dependencies.

    python tools/dependencies.py [lowest | newest] [ARGUMENT OF PYTEST …]

Each run has its own environment below build/: the lowest versions that pyproject.toml allows, on this Python; or the
newest versions without pins, on the newest Python of this machine. Browser tests are left out, since the front end has
its own lock file. uv resolves the versions, since pip cannot choose the lowest ones.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from package import pythons

ROOT = Path(__file__).resolve().parent.parent
KINDS = {"lowest": "lowest-direct", "newest": "highest"}
# The pins belong to the development environment, and the packaging tests do not use the resolved versions.
LEFT_OUT = ("tests/browser", "tests/packaging", "tests/test_constraints.py")


def environment(kind: str) -> Path:
    """Create an environment, and return its Python."""
    folder = ROOT / "build" / "dependencies" / kind
    base = sys.executable if kind == "lowest" else pythons()[-1]
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([base, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
    install = [folder / "bin" / "uv", "pip", "install", "--quiet", "--python", python]
    # The front end is built already.
    variables = {**os.environ, "SKIP_JUPYTER_BUILDER": "1"}
    subprocess.run(
        [*install, "--resolution", KINDS[kind], "--editable", f"{ROOT}[dev]"], env=variables, check=True
    )
    return python


def main() -> int:
    """Run the tests in one environment or in both, and return the number of failed runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=[*KINDS, "both"], nargs="?", default="both")
    given, arguments = parser.parse_known_args()
    ignored = [f"--ignore={path}" for path in LEFT_OUT]
    failed = 0
    for kind in KINDS if given.kind == "both" else [given.kind]:
        python = environment(kind)
        print(
            f"With the {kind} dependencies, on {subprocess.check_output([python, '-V'], text=True)}",
            flush=True,
        )
        tests = [python, "-m", "pytest", "--quiet", *ignored, *arguments]
        failed += subprocess.run(tests, cwd=ROOT, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
