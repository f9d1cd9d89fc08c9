"""Run the tests with the lowest dependencies that the package allows, and with the newest that there are.

    python tools/dependencies.py [lowest | newest] [ARGUMENT OF PYTEST …]

Each in an environment of its own below build/: the lowest of what pyproject.toml names, on this Python; the newest of
everything, with no pins, on the newest Python of this machine. Browsers are left out: what they show is built from the
front end's own lock file. uv resolves, since pip knows no lowest versions.
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
# The pins are this environment's; what is packed is not what is resolved.
LEFT_OUT = ("tests/browser", "tests/packaging", "tests/test_constraints.py")


def environment(kind: str) -> Path:
    """Make an environment, and return its Python."""
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
    """Run the tests in one environment or in both, and return how many of them failed."""
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
