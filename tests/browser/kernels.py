"""Kernels for JupyterLab in whose environment something is different, and how a notebook comes to have one of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.browser import echo_kernel
from tests.browser.lab import ROOT

# This checkout is taken off the path, as if the package were not installed.
_ABSENT = f"sys.path[:] = [each for each in sys.path if each != {str(ROOT)!r}]"


def add_kernel(home: Path, name: str, argv: Sequence[str], language: str = "python") -> None:
    """Make a kernel known to the JupyterLab of `home`: the command that starts it, and its language."""
    place = home / "data" / "kernels" / name
    place.mkdir(parents=True)
    spec = {"argv": [*argv, "-f", "{connection_file}"], "display_name": name, "language": language}
    (place / "kernel.json").write_text(json.dumps(spec))


def add_python(home: Path, name: str, *lines: str, before: Sequence[str] = ()) -> None:
    """Add a Python kernel that runs these lines when it has started, and others before it starts."""
    start = "; ".join(
        [*before, "import runpy", "runpy.run_module('ipykernel_launcher', run_name='__main__')"]
    )
    options = [f"--IPKernelApp.exec_lines={line}" for line in lines]
    add_kernel(home, name, [sys.executable, "-c", start, *options])


def add_bare(home: Path, name: str = "bare") -> None:
    """Add a Python kernel in whose environment the package is not."""
    add_python(home, name, f"import sys; {_ABSENT}")


def add_with_package(home: Path, name: str, source: str) -> None:
    """Add a Python kernel in whose environment `sspcloud_magics` is something else: this source."""
    package = home / f"packages-{name}" / "sspcloud_magics"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source)
    add_python(home, name, f"import sys; {_ABSENT}; sys.path.insert(0, {str(package.parent)!r})")


def add_echo(home: Path, name: str = "echo") -> None:
    """Add a kernel that is not Python's."""
    add_kernel(home, name, [sys.executable, str(echo_kernel.__file__)], "echo")
