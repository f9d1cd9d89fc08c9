"""Check that users need no node: build the wheel without node, and install it into an empty environment.

    python tools/wheel.py

It builds an sdist from the checkout, and the wheel from the sdist, with a PATH without node. Then it installs the wheel
and JupyterLab into an empty environment: JupyterLab must find the side panel, and the widget its view. It works in a
temporary folder. The sdist contains the front end that `make` has built. `tools/package.py` builds releases in the same
way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "sspcloud-magics"
BUILDERS = ("hatchling>=1.27", "babel>=2.16", "hatch-jupyter-builder>=0.9.1", "jupyter-builder>=1.2")
BUILD = "import sys, hatchling.build; getattr(hatchling.build, 'build_' + sys.argv[1])(sys.argv[2])"
WIDGET = (
    "from sspcloud_magics.widgets.widget import Panel, STATIC; assert len(Panel._esm) > 10_000; assert Panel._css; "
    "print(STATIC.resolve())"
)
# Wait for a slow index; do not compile what is used only once.
PATIENT = ("--retries", "10", "--timeout", "60", "--no-compile")


def without_node(*first: Path) -> dict[str, str]:
    """Return an environment without node on its PATH, and without variables of this Python."""
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    nodes = ("node", "nodejs", "node.exe")
    kept = [folder for folder in path if not any((Path(folder) / name).exists() for name in nodes)]
    hidden = ("PYTHON", "VIRTUAL_ENV", "JUPYTER")
    others = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    ours = {**others, "PATH": os.pathsep.join([*map(str, first), *kept])}
    found = [found for name in nodes if (found := shutil.which(name, path=ours["PATH"]))]
    if found:
        sys.exit(f"{found[0]} is still on the PATH, although it should be hidden.")
    return ours


def environment(folder: Path, *packages: str) -> Path:
    """Create a virtual environment with these packages, and return the folder of its commands."""
    venv.create(folder, with_pip=False)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", str(commands / "python"), "install", "--quiet"]
    constraints = ["--constraint", str(ROOT / "tools" / "constraints.txt")]
    run([*pip, *PATIENT, "--disable-pip-version-check", *constraints, *packages], without_node())
    return commands


def run(command: list[str], env: dict[str, str], folder: Path = ROOT) -> str:
    """Run a command that must succeed, and return its output, including errors."""
    done = subprocess.run(
        command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


def build(into: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from the sdist, which shows that it is complete; without node.

    Parameters
    ----------
    into
        The folder for both.
    """
    with tempfile.TemporaryDirectory() as name:
        commands = environment(Path(name) / "builders", *BUILDERS)
        make = [str(commands / "python"), "-c", BUILD]
        run([*make, "sdist", str(into)], without_node(commands))
        (sdist,) = into.glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            # Python before 3.11.4 has no filters.
            archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
            archive.extractall(name)  # noqa: S202 - our own archive
        (unpacked,) = Path(name).glob("sspcloud_magics-*")
        run([*make, "wheel", str(into)], without_node(commands), unpacked)
    (wheel,) = into.glob("*.whl")
    for path in (sdist, wheel):
        print(f"{path.name}: {path.stat().st_size / 1000:,.0f} kB, built without node", flush=True)
    return sdist, wheel


def check_listed(commands: Path, env: dict[str, str]) -> None:
    """Check that the JupyterLab of an environment lists the side panel as enabled and compatible.

    `jupyter labextension check` does not know prebuilt extensions, only those compiled into JupyterLab.
    """
    listed = run([str(commands / "jupyter"), "labextension", "list"], env)
    line = next((each for each in listed.splitlines() if NAME in each), "")
    if "OK" not in line or "enabled" not in line:
        sys.exit(f"JupyterLab does not list {NAME} as enabled and compatible:\n{listed}")
    print(line.strip())


def main() -> None:
    """Build the wheel, install it, and check the installation."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _sdist, wheel = build(folder)
        commands = environment(folder / "empty", f"{NAME}[lab] @ {wheel.as_uri()}")
        here = {**without_node(commands), "JUPYTER_CONFIG_DIR": str(folder / "config"), "HOME": name}
        check_listed(commands, here)
        # -P: the installed package, not the one in the current folder.
        origin = Path(run([str(commands / "python"), "-P", "-c", WIDGET], here).strip())
        if not origin.is_relative_to(folder.resolve()):
            sys.exit(f"The view was loaded from {origin}, not from the installed package.")
        print(f"{NAME} is installed, without node.")


if __name__ == "__main__":
    main()
