"""Create the virtual environment of a checkout, with the package and its development tools.

    python3 tools/environment.py .venv

It runs on the first Python that `make` finds, so it uses no syntax newer than Python 3.8. If that one is too old, a
newer one on the PATH takes over. It needs pip or ensurepip, the package index and the npm registry. If the PATH has no
node, it comes from the package index.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NEEDED = (3, 11)
NEWER = ("python3.13", "python3.12", "python3.11", "python3.14")
ROOT = Path(__file__).resolve().parent.parent


def say(text: str) -> None:
    """Print without buffering, even into a pipe."""
    print(text, flush=True)


def works(python: str) -> bool:
    """Whether a command is a Python that is new enough; a shim on the PATH may not be one."""
    check = f"import sys; sys.exit(sys.version_info < {NEEDED!r})"
    return subprocess.run([python, "-c", check], check=False, capture_output=True).returncode == 0


def hand_over_to_newer_python() -> None:
    """Restart with a newer Python, or exit with a message."""
    for name in NEWER:
        path = shutil.which(name)
        if path and works(path):
            os.execv(path, [path, *sys.argv])  # noqa: S606
    version = ".".join(map(str, sys.version_info[:3]))
    sys.exit(
        "Python {} is too old: Python {}.{} or newer is needed.\n"
        "Install one, or give its path: make PYTHON=/path/to/python3 …".format(version, *NEEDED)
    )


def make_venv(venv: Path) -> None:
    """Create the virtual environment; with virtualenv if Python has no ensurepip, as on Debian."""
    first = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(venv)], check=False, capture_output=True, text=True
    )
    if first.returncode == 0:
        return
    with tempfile.TemporaryDirectory() as folder:
        got = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, "virtualenv"],
            check=False,
            capture_output=True,
            text=True,
        )
        if got.returncode == 0:
            environment = {**os.environ, "PYTHONPATH": folder}
            shutil.rmtree(venv, ignore_errors=True)
            subprocess.run(
                [sys.executable, "-m", "virtualenv", "--quiet", str(venv)], env=environment, check=True
            )
            return
    sys.exit(
        f"This Python cannot create a virtual environment:\n{(first.stdout + first.stderr).strip()}\n"
        "On Debian and Ubuntu, run: apt-get install python3-venv"
    )


def install(python: str, *what: str) -> None:
    """Install with pip, in the pinned versions."""
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["--constraint", str(ROOT / "tools" / "constraints.txt")]
    # The front end is built already; pip's build would build it again, without the node that was installed for it.
    environment = {**os.environ, "SKIP_JUPYTER_BUILDER": "1"}
    if subprocess.run([*pip, *constraints, *what], env=environment, check=False).returncode:
        sys.exit("The installation failed: see above. Is the package index reachable?")


def main() -> None:
    """Create the environment named on the command line."""
    if sys.version_info < NEEDED:
        hand_over_to_newer_python()
    venv = Path(sys.argv[1])
    bin_folder = venv / "bin"
    if not (bin_folder / "python").exists():
        say(f"Making the environment in {venv} …")
        make_venv(venv)
    python = str(bin_folder / "python")
    # jupyter-builder first: it builds the front end, which the package includes.
    say("Building the front end …")
    install(python, "jupyter-builder")
    built = subprocess.run([python, str(ROOT / "tools" / "frontend.py"), "build"], check=False)
    if built.returncode:
        sys.exit("The front end could not be built: see above. Is the npm registry reachable?")
    say("Installing the package and its tools (a minute or two the first time) …")
    install(python, "--editable", f"{ROOT}[dev]")
    subprocess.run([python, "-m", "tools.catalogue", "compile"], cwd=ROOT, check=True)
    (venv / "installed").touch()


if __name__ == "__main__":
    main()
