"""Show that users need no node: build the wheel as an index would have it, and install it where nothing is.

    python tools/wheel.py

From the checkout an sdist is made, and the wheel from the sdist, with a PATH on which there is no node. The wheel
and JupyterLab go into an empty environment, also without node; JupyterLab has to find the side panel there, and
the widget has to find its view. Everything happens in a temporary folder. The front end that `make` has built is in
the sdist as it is; nothing is built twice. `tools/package.py` builds what is released in the same way.
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
BUILDERS = ("hatchling>=1.27", "hatch-jupyter-builder>=0.9.1", "jupyter-builder>=1.2")
BUILD = "import sys, hatchling.build; getattr(hatchling.build, 'build_' + sys.argv[1])(sys.argv[2])"
WIDGET = (
    "from sspcloud_magics.widgets.widget import Panel, STATIC; assert len(Panel._esm) > 10_000; assert Panel._css; "
    "print(STATIC.resolve())"
)
# An index that is slow is waited for. What is looked at once need not be compiled.
PATIENT = ("--retries", "10", "--timeout", "60", "--no-compile")


def without_node(*first: Path) -> dict[str, str]:
    """Return an environment on whose PATH there is no node, and in which nothing of this one's Python is seen."""
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    nodes = ("node", "nodejs", "node.exe")
    kept = [folder for folder in path if not any((Path(folder) / name).exists() for name in nodes)]
    hidden = ("PYTHON", "VIRTUAL_ENV", "JUPYTER")
    others = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    ours = {**others, "PATH": os.pathsep.join([*map(str, first), *kept])}
    found = [found for name in nodes if (found := shutil.which(name, path=ours["PATH"]))]
    if found:
        sys.exit(f"{found[0]} was to be hidden, and is found.")
    return ours


def environment(folder: Path, *packages: str) -> Path:
    """Make a virtual environment with these packages, and return the folder of its commands."""
    venv.create(folder, with_pip=False)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", str(commands / "python"), "install", "--quiet"]
    constraints = ["--constraint", str(ROOT / "tools" / "constraints.txt")]
    run([*pip, *PATIENT, "--disable-pip-version-check", *constraints, *packages], without_node())
    return commands


def run(command: list[str], env: dict[str, str], folder: Path = ROOT) -> str:
    """Run a command and return what it says, errors included; it has to succeed."""
    done = subprocess.run(
        command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


def build(into: Path) -> tuple[Path, Path]:
    """Make the sdist, and from what is in it the wheel, which shows that it is whole; there is no node to help.

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
    """Make sure that the JupyterLab of an environment has found the side panel, and takes it.

    `jupyter labextension check` knows only what is compiled into JupyterLab, and no prebuilt extension at all.
    """
    listed = run([str(commands / "jupyter"), "labextension", "list"], env)
    line = next((each for each in listed.splitlines() if NAME in each), "")
    if "OK" not in line or "enabled" not in line:
        sys.exit(f"JupyterLab does not list {NAME} as enabled and fitting:\n{listed}")
    print(line.strip())


def main() -> None:
    """Build, install, and look."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _sdist, wheel = build(folder)
        commands = environment(folder / "empty", f"{NAME}[lab] @ {wheel.as_uri()}")
        here = {**without_node(commands), "JUPYTER_CONFIG_DIR": str(folder / "config"), "HOME": name}
        check_listed(commands, here)
        # -P: the package that is installed, not the one of the folder in which this runs.
        origin = Path(run([str(commands / "python"), "-P", "-c", WIDGET], here).strip())
        if not origin.is_relative_to(folder.resolve()):
            sys.exit(f"The view was looked for in {origin}, which is not the package that was installed.")
        print(f"{NAME} is there, and no node was.")


if __name__ == "__main__":
    main()
