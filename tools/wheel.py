"""Show that users need no node: build the wheel as an index would have it, and install it where nothing is.

    python tools/wheel.py

From the checkout an sdist is made, and the wheel from the sdist, with a PATH on which there is no node. The wheel
and JupyterLab go into an empty environment, also without node; JupyterLab has to find the side panel there, and
the widget has to find its view. Everything happens in a temporary folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "sspcloud-magics"
BUILDERS = ("hatchling>=1.27", "hatch-jupyter-builder>=0.9.1", "jupyter-builder>=1.2")
SDIST = "import sys, hatchling.build; print(hatchling.build.build_sdist(sys.argv[1]))"
WIDGET = (
    "from sspcloud_magics.widgets.widget import Panel, STATIC; assert len(Panel._esm) > 10_000; assert Panel._css; "
    "print(STATIC.resolve())"
)


def without_node(*first: Path) -> dict[str, str]:
    """Return an environment on whose PATH there is no node, and in which nothing of this one's Python is seen."""
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    nodes = ("node", "nodejs", "node.exe")
    kept = [folder for folder in path if not any((Path(folder) / name).exists() for name in nodes)]
    hidden = ("PYTHON", "VIRTUAL_ENV", "JUPYTER")
    others = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return {**others, "PATH": os.pathsep.join([*map(str, first), *kept])}


def environment(folder: Path, *packages: str) -> Path:
    """Make a virtual environment with these packages, and return the folder of its commands."""
    venv.create(folder, with_pip=False)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", str(commands / "python"), "install", "--quiet"]
    constraints = ["--constraint", str(ROOT / "tools" / "constraints.txt")]
    run([*pip, "--disable-pip-version-check", *constraints, *packages], without_node())
    return commands


def run(command: list[str], env: dict[str, str]) -> str:
    """Run a command and return what it says, errors included; it has to succeed."""
    done = subprocess.run(
        command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


def main() -> None:
    """Build, install, and look."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        builders = environment(folder / "builders", *BUILDERS)
        run([str(builders / "python"), "-c", SDIST, str(folder)], without_node(builders))
        (sdist,) = folder.glob("*.tar.gz")
        print(f"{sdist.name}: {sdist.stat().st_size / 1e6:.1f} MB", flush=True)
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--disable-pip-version-check"]
        run([*pip, "--wheel-dir", name, str(sdist)], without_node())
        (wheel,) = folder.glob("*.whl")
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, built without node", flush=True)

        commands = environment(folder / "empty", f"{NAME}[lab] @ {wheel.as_uri()}")
        here = {**without_node(commands), "JUPYTER_CONFIG_DIR": str(folder / "config"), "HOME": name}
        listed = run([str(commands / "jupyter"), "labextension", "list"], here)
        print(listed.strip())
        # `jupyter labextension check` knows only what is compiled into JupyterLab, and no prebuilt extension at all.
        line = next((each for each in listed.splitlines() if NAME in each), "")
        if "OK" not in line or "enabled" not in line:
            sys.exit(f"JupyterLab does not list {NAME} as enabled and fitting.")
        # -P: the package that is installed, not the one of the folder in which this runs.
        origin = Path(run([str(commands / "python"), "-P", "-c", WIDGET], here).strip())
        if not origin.is_relative_to(folder.resolve()):
            sys.exit(f"The view was looked for in {origin}, which is not the package that was installed.")
        print(f"{NAME} is there, and no node was.")


if __name__ == "__main__":
    main()
